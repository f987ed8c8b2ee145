"""Evaluate a trained network: calibration, threshold and review band from validation, every other number from test.

python -m tasks.evaluate --model cnn --frames data/frames --split data/split --models models/trained/cnn
    --out reports/evaluation/cnn
"""

from rich.console import Console

from pageflip.base.arguments import parse_stage, task_parser
from pageflip.base.console import run_main
from pageflip.base.files import atomic_folder
from pageflip.base.nested import flatten_numbers
from pageflip.evaluation.judging import evaluate_network
from pageflip.evaluation.results import write_results
from pageflip.evaluation.summary import summary_table
from pageflip.events.temporal import load_temporal
from pageflip.inference.cards import PRETRAINED
from pageflip.params.evaluation import Evaluate
from pageflip.params.load import load_section
from pageflip.params.split import Split
from pageflip.registry import tracking

PATHS = {
    "frames": "folder of the pack",
    "split": "folder of the assignment",
    "models": "folder of the trained network",
    "out": "folder of metrics, predictions and plots",
}


def main() -> None:
    """Read the sections `evaluate` and `split`, evaluate, and write and log the results."""
    parser = task_parser(__doc__)
    parser.add_argument("--model", required=True, help="name of the network")
    args = parse_stage(parser, PATHS)
    evaluate, split = load_section(args.params, "evaluate", Evaluate), load_section(args.params, "split", Split)
    temporal = load_temporal(PRETRAINED)
    predictions, metrics = evaluate_network(args.models, args.frames, args.split, evaluate, split, temporal)
    metrics["model"] = args.model
    numbers = flatten_numbers({name: value for name, value in metrics.items() if name != "val"})
    with atomic_folder(args.out) as folder:
        write_results(folder, metrics, predictions)
        tracking.log_evaluation(weights_sha256=metrics["weights_sha256"], metrics=numbers, folder=folder)
    Console().print(summary_table(metrics))


if __name__ == "__main__":
    run_main(main)
