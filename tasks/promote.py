"""Move the alias `champion` to the candidate when it passes the gate on the current test split, and write why.

python -m tasks.promote --package models/package --frames data/frames --split data/split --out reports/promotion.json
python -m tasks.promote --verify --out reports/promotion.json

The section `promote` sets what the gate requires; the decision holds every figure and every check. A version that fails
is promoted only by name, with `promote.override: {version: 7, reason: ...}`.

Where `promote.approval` is manual, a person must have approved: Airflow passes on who did; on the command line, set
PAGEFLIP_APPROVED_BY=NAME.
"""

from pageflip.base.arguments import parse_stage, task_parser
from pageflip.base.console import run_main
from pageflip.base.files import write_json
from pageflip.frames.assignment import read_assignment
from pageflip.frames.pack import open_pack
from pageflip.params.load import load_section
from pageflip.params.promote import Promote
from pageflip.params.register import Register
from pageflip.params.split import Split
from pageflip.registry.promotion import promote, verify_promotion

PATHS = {
    "package": "folder of the exported candidate",
    "frames": "folder of the pack",
    "split": "folder of the assignment",
    "out": "file of the decision",
}


def main() -> None:
    """Read the section `promote`, compare the candidate with the champion, promote, and write the decision."""
    args = parse_stage(
        task_parser(__doc__), PATHS, verify="only check that MLflow's champion is the one that --out left"
    )
    name = load_section(args.params, "register", Register).model_name
    if args.verify:
        verify_promotion(args.out, name)
        return
    decision = promote(
        name,
        args.package,
        open_pack(args.frames)[0],
        read_assignment(args.split),
        load_section(args.params, "promote", Promote),
        protocol=load_section(args.params, "split", Split).protocol,
    )
    write_json(args.out, decision)
    print(f"promote: {'promoted' if decision['promoted'] else 'kept the champion'}: {decision['reason']}")


if __name__ == "__main__":
    run_main(main)
