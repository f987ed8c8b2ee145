"""Train one network on the pack; a killed training resumes from its last checkpoint.

python -m tasks.train --model cnn --frames data/frames --split data/split --out models/trained/cnn
"""

import argparse
from pathlib import Path

from pageflip.base.console import run_main
from pageflip.networks.build import REGISTRY
from pageflip.params.load import load_section
from pageflip.params.training import Train
from pageflip.registry.tracking import TrainingRun
from pageflip.training.stage import train_model


def main() -> None:
    """Train a network with the section `train`, tracked by MLflow."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True, choices=sorted(REGISTRY), help="name of the network")
    parser.add_argument("--frames", type=Path, required=True, help="folder of the pack")
    parser.add_argument("--split", type=Path, required=True, help="folder of the assignment")
    parser.add_argument("--out", type=Path, required=True, help="folder of the trained model")
    parser.add_argument("--params", type=Path, default=Path("params.yaml"), help="parameters (default: params.yaml)")
    args = parser.parse_args()
    params = load_section(args.params, "train", Train)
    train_model(args.model, params, frames=args.frames, split=args.split, out=args.out, start_run=TrainingRun)


if __name__ == "__main__":
    run_main(main)
