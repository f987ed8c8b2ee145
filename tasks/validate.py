"""Check the frame table with Great Expectations; a breach stops the pipeline, a warning does not.

python -m tasks.validate --frames data/frames --out reports/validation
"""

from rich.console import Console

from pageflip.base.arguments import parse_stage, task_parser
from pageflip.base.console import run_main
from pageflip.base.files import atomic_folder
from pageflip.frames.pack import open_pack
from pageflip.frames.validation import breaches, check_frames, failure_table, refuse_breaches
from pageflip.params.load import load_section
from pageflip.params.validate import Validate


def main() -> None:
    """Read the section `validate`, check, and fail on a breach after the result is written."""
    args = parse_stage(
        task_parser(__doc__), {"frames": "folder of the pack", "out": "folder of the result and the Data Docs"}
    )
    limits = load_section(args.params, "validate", Validate)
    _, index = open_pack(args.frames)
    with atomic_folder(args.out) as folder:
        checks = check_frames(index, limits, folder)
    failed, critical = sum(not check.success for check in checks), len(breaches(checks))
    if failed:
        Console(width=160).print(failure_table(checks))
    print(f"validate: {len(checks)} checks, {critical} failed, {failed - critical} warnings")
    refuse_breaches(checks, args.out)


if __name__ == "__main__":
    run_main(main)
