"""Check the frame table with Great Expectations; a breach stops the pipeline, a warning does not.

python -m tasks.validate --frames data/frames --out reports/validation
"""

import argparse
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from pageflip.base.console import run_main
from pageflip.base.errors import DataError
from pageflip.base.files import atomic_folder
from pageflip.frames.pack import open_pack
from pageflip.frames.validation import Check, check_frames
from pageflip.params.all import load_params


def main() -> None:
    """Read the section `validate`, check, and fail on a breach after the result is written."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=Path, required=True, help="folder of the pack")
    parser.add_argument("--out", type=Path, required=True, help="folder of the result and the Data Docs")
    parser.add_argument("--params", type=Path, default=Path("params.yaml"))
    args = parser.parse_args()
    limits = load_params(args.params).validate_
    _, index = open_pack(args.frames)
    with atomic_folder(args.out) as folder:
        checks = check_frames(index, limits, folder)
    failed = [check for check in checks if not check.success]
    if failed:
        Console(width=160).print(failure_table(failed))
    breaches = [check for check in failed if check.severity == "critical"]
    print(f"validate: {len(checks)} checks, {len(breaches)} failed, {len(failed) - len(breaches)} warnings")
    if breaches:
        raise DataError(
            f"the frames fail {len(breaches)} checks, the first: {breaches[0].name}",
            f"mend the frames named above, or the limits in params.yaml; details: {args.out / 'docs/index.html'}.",
        )


def failure_table(checks: list[Check]) -> Table:
    """What failed, how often, and example paths."""
    table = Table("severity", "check", "failed", "observed", "examples", title="frames that fail checks")
    for check in checks:
        count = f"{check.failed} of {check.checked}" if check.failed else ""
        table.add_row(check.severity, check.name, count, check.observed, "\n".join(map(escape, check.examples)))
    return table


if __name__ == "__main__":
    run_main(main)
