"""Decode every raw JPEG once into the pack, and index the frames.

python -m tasks.prepare --raw data/raw --out data/frames
"""

import argparse
from pathlib import Path

from pageflip.base.console import run_main
from pageflip.frames.pack_building import build_pack
from pageflip.params.all import load_params


def main() -> None:
    """Read the section `prepare` and build the pack."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--raw", type=Path, required=True, help="folder of raw frames")
    parser.add_argument("--out", type=Path, required=True, help="folder of the pack")
    parser.add_argument("--params", type=Path, default=Path("params.yaml"))
    args = parser.parse_args()
    params = load_params(args.params).prepare
    index = build_pack(args.raw, args.out, width=params.width, height=params.height)
    bad = int((~index["decodable"]).sum())
    print(f"prepare: {len(index)} frames of {index['clip'].nunique()} clips in {args.out}, {bad} not decodable")


if __name__ == "__main__":
    run_main(main)
