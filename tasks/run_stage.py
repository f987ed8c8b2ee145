"""Run one stage of dvc.yaml for one run, hermetically: what every Airflow task executes, in whatever place.

python -m tasks.run_stage prepare --run try-1
python -m tasks.run_stage train@cnn --run try-1 --store s3://bucket/runs
python -m tasks.run_stage prepare --run try-2 --set train.seed=8 --data-version published
"""

import argparse
import os

from pageflip.base import settings
from pageflip.base.console import run_main
from pageflip.runs.run_stage import run_stage
from pageflip.runs.run_store import RunStore, Wishes


def main() -> None:
    """Run the stage and say whether it was computed or restored."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("stage", help="name in dvc.yaml, such as train@cnn")
    parser.add_argument("--run", required=True, help="name of the run; the stages of one run share it")
    parser.add_argument("--store", help="address of the run store (default: PAGEFLIP_STORE)")
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="a parameter that differs from params.yaml's"
    )
    parser.add_argument("--data-version", metavar="HASH", help="of a published version; `published`: the newest")
    args = parser.parse_args()
    if args.store:
        os.environ["PAGEFLIP_STORE"] = args.store
    run = RunStore(settings.store_url(), args.run, Wishes(tuple(args.set), args.data_version))
    outcome = run_stage(args.stage, run, settings.project_root())
    print(f"{args.stage}: {'computed' if outcome.ran else 'unchanged, restored'} in {outcome.seconds:.1f} s")


if __name__ == "__main__":
    run_main(main)
