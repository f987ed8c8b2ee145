"""Split the frames into train, val and test by groups; fail if near-duplicates or groups are divided between parts.

python -m tasks.split --frames data/frames --out data/split
"""

from pageflip.base.arguments import parse_stage, task_parser
from pageflip.base.console import run_main
from pageflip.frames.pack import open_pack
from pageflip.frames.splitting import describe_split, refuse_leaks, write_split
from pageflip.params.load import load_section
from pageflip.params.split import Split


def main() -> None:
    """Read the section `split`, write the assignment and the leak report, fail on a leak."""
    args = parse_stage(
        task_parser(__doc__),
        {"frames": "folder of the pack", "out": "folder of the assignment and the leak report"},
    )
    _, index = open_pack(args.frames)
    assignment, report = write_split(index, load_section(args.params, "split", Split), args.out)
    for line in describe_split(assignment, report):
        print(f"split: {line}")
    refuse_leaks(report, args.out)


if __name__ == "__main__":
    run_main(main)
