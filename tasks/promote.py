"""Move the alias `champion` to the candidate when it passes the gate on the current test split, and write why.

    python -m tasks.promote --package models/package \
        --frames data/frames --split data/split --out reports/promotion.json
    python -m tasks.promote --verify --out reports/promotion.json

What the gate asks for stands in the section `promote`; the decision holds every figure and every check. A version that
fails is promoted only by name, with `promote.override: {version: 7, reason: ...}`.

Where `promote.approval` is manual, a person must have approved: Airflow passes on who did, and whoever types the
command says so with PAGEFLIP_APPROVED_BY=NAME.
"""

import argparse
import json
from pathlib import Path

from pageflip.base.console import run_main
from pageflip.base.errors import UnavailableError
from pageflip.base.files import write_json
from pageflip.frames.assignment import read_assignment
from pageflip.frames.pack import open_pack
from pageflip.params.all import load_params
from pageflip.registry import versions
from pageflip.registry.promotion import champion_number, promote


def main() -> None:
    """Read the sections `promote` and `register`, compare, promote, and write the decision."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--package", type=Path, help="folder of the exported candidate")
    parser.add_argument("--frames", type=Path, help="folder of the pack")
    parser.add_argument("--split", type=Path, help="folder of the assignment")
    parser.add_argument("--out", type=Path, required=True, help="file of the decision")
    parser.add_argument("--params", type=Path, default=Path("params.yaml"))
    parser.add_argument("--verify", action="store_true", help="only say whether --out tells of MLflow's champion")
    args = parser.parse_args()
    params = load_params(args.params)
    name = params.register_.model_name
    if args.verify:
        verify(name, args.out)
        return
    if None in (args.package, args.frames, args.split):
        parser.error("--package, --frames and --split are needed, except with --verify")
    decision = promote(name, args.package, open_pack(args.frames)[0], read_assignment(args.split), params)
    write_json(args.out, decision)
    print(f"promote: {'promoted' if decision['promoted'] else 'kept the champion'}: {decision['reason']}")


def verify(name: str, out: Path) -> None:
    """Check that the champion is still the one that the decision left (a restored stage compared nothing here).

    Raises:
        UnavailableError: it is another one, or none.
    """
    decision, now = json.loads(out.read_text(encoding="utf-8")), champion_number(name)
    if decision["champion_after"] != now:
        raise UnavailableError(
            f"the decision left version {decision['champion_after']} as champion, now it is {now}", "run promote again."
        )
    if "version" in decision:
        versions.mark_version(name, decision["version"])


if __name__ == "__main__":
    run_main(main)
