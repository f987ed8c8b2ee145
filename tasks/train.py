"""Train one network on the pack; a killed training resumes from its last checkpoint.

python -m tasks.train --model cnn --frames data/frames --split data/split --out models/trained/cnn
"""

from pageflip.base.arguments import parse_stage, task_parser
from pageflip.base.console import run_main
from pageflip.networks.build import REGISTRY
from pageflip.params.load import load_section
from pageflip.params.training import Train
from pageflip.registry.tracking import TrainingRun
from pageflip.training.stage import train_model

PATHS = {"frames": "folder of the pack", "split": "folder of the assignment", "out": "folder of the trained network"}


def main() -> None:
    """Read the section `train`, and train a network, tracked by MLflow."""
    parser = task_parser(__doc__)
    parser.add_argument("--model", required=True, choices=sorted(REGISTRY), help="name of the network")
    args = parse_stage(parser, PATHS)
    params = load_section(args.params, "train", Train)
    train_model(args.model, params, frames=args.frames, split=args.split, out=args.out, start_run=TrainingRun)


if __name__ == "__main__":
    run_main(main)
