"""Run one stage of dvc.yaml hermetically, as part of a run; every Airflow task of `retrain` executes this command.

python -m tasks.run_stage prepare --run try-1
python -m tasks.run_stage train@cnn --run try-1 --store s3://bucket/runs
python -m tasks.run_stage prepare --run try-2 --set train.seed=8 --data-version published
"""

import argparse
import os

from pageflip.base import settings
from pageflip.base.console import run_main
from pageflip.runs.run_stage import run_stage
from pageflip.runs.run_store import RunOverrides, RunStore


def main() -> None:
    """Run the stage and say whether it was computed or restored."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("stage", help="name in dvc.yaml, such as train@cnn")
    parser.add_argument("--run", required=True, help="name of the run, which its stages share")
    parser.add_argument("--store", help="address of the run store (default: PAGEFLIP_STORE)")
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="override of a parameter in params.yaml"
    )
    parser.add_argument("--data-version", metavar="HASH", help="published version; `published` is the newest")
    args = parser.parse_args()
    if args.store:
        os.environ["PAGEFLIP_STORE"] = args.store  # for the stage's command too
    run = RunStore(settings.store_url(), args.run, RunOverrides(tuple(args.set), args.data_version))
    result = run_stage(args.stage, run, settings.project_root())
    print(f"{args.stage}: {'computed' if result.computed else 'unchanged, restored'} in {result.seconds:.1f} s")


if __name__ == "__main__":
    run_main(main)
