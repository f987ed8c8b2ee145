"""Render the evaluation of a network as one HTML page, and log it to the MLflow run of its training.

python -m tasks.report --model cnn --frames data/frames --split data/split --models models/trained/cnn
    --evaluation reports/evaluation/cnn --out reports/report/cnn
"""

from pathlib import Path

from pageflip.base.arguments import parse_stage, task_parser
from pageflip.base.console import run_main
from pageflip.base.files import atomic_folder
from pageflip.evaluation.protocol_tables import PROTOCOLS_FILE
from pageflip.params.evaluation import Evaluate
from pageflip.params.load import load_section
from pageflip.registry import tracking
from pageflip.reports.evaluation_data import ReportSources, read_report
from pageflip.reports.evaluation_page import PAGE_FILE, write_report

PROTOCOLS_FOLDER = Path("reports/protocols")
PATHS = {
    "frames": "folder of the pack",
    "split": "folder of the assignment",
    "models": "folder of the trained network",
    "evaluation": "folder that tasks.evaluate wrote",
    "out": "folder of the page",
}


def main() -> None:
    """Read `evaluate.worst_mistakes` and the files of the earlier stages; write and log the page."""
    parser = task_parser(__doc__)
    parser.add_argument("--model", required=True, help="name of the network")
    parser.add_argument(
        "--protocols",
        type=Path,
        default=PROTOCOLS_FOLDER,
        help="folder of `pageflip benchmark-protocols`, if it ran",
    )
    args = parse_stage(parser, PATHS)
    mistakes = load_section(args.params, "evaluate", Evaluate).worst_mistakes
    protocols = args.protocols / args.model / PROTOCOLS_FILE
    sources = ReportSources(args.frames, args.split, args.models, args.evaluation, protocols)
    report = read_report(args.model, sources, mistakes)
    with atomic_folder(args.out) as folder:
        write_report(folder / PAGE_FILE, report)
        tracking.log_report(weights_sha256=report.metrics["weights_sha256"], folder=folder)
    print(f"report: {args.out / PAGE_FILE}")


if __name__ == "__main__":
    run_main(main)
