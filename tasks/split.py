"""Deal the frames to train, val and test by groups, and fail if anything leaks from one side to another.

python -m tasks.split --frames data/frames --out data/split
"""

import argparse
from pathlib import Path

from pageflip.base.console import run_main
from pageflip.base.errors import DataError
from pageflip.base.files import atomic_folder, write_json
from pageflip.frames.pack import open_pack
from pageflip.frames.splitting import ASSIGNMENT_FILE, LEAKS_FILE, assign_parts, leak_report
from pageflip.params.all import load_params


def main() -> None:
    """Read the section `split`, write the assignment and the leak report, fail on a leak."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=Path, required=True, help="folder of the pack")
    parser.add_argument("--out", type=Path, required=True, help="folder of the assignment and the leak report")
    parser.add_argument("--params", type=Path, default=Path("params.yaml"))
    args = parser.parse_args()
    params = load_params(args.params).split
    _, index = open_pack(args.frames)
    assignment = assign_parts(
        index,
        unit=params.unit,
        protocol=params.protocol,
        shares=params.shares,
        near_duplicate_bits=params.near_duplicate_bits,
        seed=params.seed,
    )
    report = leak_report(index, assignment, params.near_duplicate_bits)
    report |= {"unit": params.unit, "protocol": params.protocol, "seed": params.seed}
    with atomic_folder(args.out) as folder:
        assignment.to_parquet(folder / ASSIGNMENT_FILE, index=False)
        write_json(folder / LEAKS_FILE, report)
    for part, frames in assignment.groupby("part"):
        flips = (frames["label"] == "flip").mean()
        print(f"split: {part}: {len(frames)} frames, {flips:.0%} flip, {frames['group'].nunique()} groups")
    if report["leaks"]:
        refuse_leak(report, params.protocol, args.out)


def refuse_leak(report: dict, protocol: str, out: Path) -> None:
    """Raise for a leak, unless the protocol is the archive's own split, which leaks by its nature.

    Raises:
        DataError: groups or near-duplicates stand on two sides.
    """
    groups, frames = len(report["groups_on_two_sides"]), report["near_duplicates_across"]
    found = f"{groups} groups stand on two sides, and {frames} frames of val and test have a near-duplicate in train"
    if protocol == "supplied":
        print(f"split: supplied (leaky): {found}")
        return
    raise DataError(f"the split leaks: {found}", f"see {out / LEAKS_FILE}; the split is not to be used.")


if __name__ == "__main__":
    run_main(main)
