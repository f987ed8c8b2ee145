"""Decode every raw JPEG once into the pack, and index the frames.

python -m tasks.prepare --raw data/raw --out data/frames
"""

from pageflip.base.arguments import parse_stage, task_parser
from pageflip.base.console import run_main
from pageflip.frames.pack_building import build_pack
from pageflip.params.load import load_section
from pageflip.params.prepare import Prepare


def main() -> None:
    """Read the section `prepare` and build the pack."""
    args = parse_stage(task_parser(__doc__), {"raw": "folder of raw frames", "out": "folder of the pack"})
    params = load_section(args.params, "prepare", Prepare)
    index = build_pack(args.raw, args.out, width=params.width, height=params.height)
    bad = int((~index["decodable"]).sum())
    print(f"prepare: {len(index)} frames of {index['clip'].nunique()} clips in {args.out}, {bad} not decodable")


if __name__ == "__main__":
    run_main(main)
