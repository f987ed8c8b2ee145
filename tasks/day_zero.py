"""Make day-zero, the frame model shipped in pageflip/inference/pretrained, from drawn frames alone.

    make day-zero                                   # installs the ImageNet weights first
    python -m tasks.day_zero --real FOLDER          # also evaluate it on labelled real frames
    python -m tasks.day_zero --params small.yaml    # with a smaller section day_zero: minutes
    python -m tasks.day_zero --from-weights         # only evaluate, calibrate and export the weights in --out again
    python -m tasks.day_zero --network cnn          # the initial weights of cnn, distilled from day-zero

Drawn frames in the work folder are reused if nothing that they depend on has changed, and a killed training resumes
from its last epoch. `--from-weights` and `--network cnn` need the work folder of the training.
"""

from pathlib import Path

from pageflip.base.arguments import task_parser
from pageflip.base.console import run_main
from pageflip.inference import cards
from pageflip.params.all import load_params
from pageflip.pretraining import compact_network, day_zero
from pageflip.pretraining.drawn import work_folder


def main() -> None:
    """Read params.yaml, and write model, weights and card."""
    parser = task_parser(__doc__)
    parser.add_argument("--work", type=Path, help="folder of frames and checkpoints (default: in the run store)")
    parser.add_argument("--out", type=Path, default=cards.PRETRAINED, help="folder of the files")
    parser.add_argument("--from-weights", action="store_true", help="use the weights in --out instead of training")
    parser.add_argument("--real", type=Path, help="labelled real frames to evaluate the model on")
    networks = (day_zero.NETWORK, compact_network.NETWORK)
    parser.add_argument("--network", choices=networks, default=day_zero.NETWORK, help="what to make")
    args = parser.parse_args()
    params, work = load_params(args.params), args.work or work_folder(cards.NAME)
    if args.network == compact_network.NETWORK:
        compact_network.make_compact(params, work=work, out=args.out)
        return
    if args.from_weights:
        day_zero.remake_from_weights(params, work=work, out=args.out)
    else:
        ranges = day_zero.day_zero_ranges(args.params, params.day_zero)
        day_zero.make_day_zero(params, ranges, work=work, out=args.out)
    if args.real:
        print(day_zero.evaluate_on_real(args.real, args.out))


if __name__ == "__main__":
    run_main(main)
