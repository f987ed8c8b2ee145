"""Command-line options that the modules of `tasks/` share."""

import argparse
from collections.abc import Mapping
from pathlib import Path


def task_parser(doc: str | None) -> argparse.ArgumentParser:
    """Return a parser whose help text is the docstring of a task, with the option `--params`."""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--params", type=Path, default=Path("params.yaml"), help="file of parameters")
    return parser


def parse_stage(
    parser: argparse.ArgumentParser, paths: Mapping[str, str], *, verify: str | None = None
) -> argparse.Namespace:
    """Add the paths that a stage reads and writes, and parse the command line.

    Args:
        parser: as `task_parser` returns it, maybe with more options.
        paths: name of each required path option and its help text; `out` is the stage's output.
        verify: help text of the option `--verify`, which needs `out` alone; None for a stage without it.
    """
    for name, help_text in paths.items():
        parser.add_argument(f"--{name}", type=Path, required=verify is None or name == "out", help=help_text)
    if verify is not None:
        parser.add_argument("--verify", action="store_true", help=verify)
    args = parser.parse_args()
    missing = [f"--{name}" for name in paths if getattr(args, name) is None]
    if missing and not args.verify:
        parser.error(f"the following arguments are required, except with --verify: {', '.join(missing)}")
    return args
