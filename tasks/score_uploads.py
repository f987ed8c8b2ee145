"""Score new uploads with the champion: plan the shards, score each, sum up. Every step may be repeated.

    python -m tasks.score_uploads run                            # all in a row, on this machine
    python -m tasks.score_uploads plan --run RUN_ID              # STORE/RUN_ID/score/plan.json
    python -m tasks.score_uploads shard --run RUN_ID --index 0   # STORE/RUN_ID/score/shard-0.json
    python -m tasks.score_uploads summarise --run RUN_ID         # STORE/RUN_ID/score/summary.json

Uploads are read from PAGEFLIP_UPLOADS and never changed; results appear below PAGEFLIP_RESULTS.
"""

import argparse
import datetime
import re
from pathlib import Path

from pageflip.base import settings
from pageflip.base.console import run_main
from pageflip.events.sequence_model import load_sequence_model
from pageflip.inference.cards import PRETRAINED
from pageflip.params.load import load_section
from pageflip.params.register import Register
from pageflip.params.scoring import ScoreUploads, Stills
from pageflip.registry.journal import CHAMPION
from pageflip.registry.loading import load_predictor
from pageflip.scoring.plan import make_plan, score_shard, summarise


def _run_id(value: str) -> str:
    if not re.fullmatch(r"\w[\w.:+@=~-]*", value):
        raise argparse.ArgumentTypeError(f"{value!r} is no run id: use letters, digits and . : + @ = ~ _ -")
    return value


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    steps = parser.add_subparsers(dest="step", required=True)
    fresh = f"score-{datetime.datetime.now(datetime.UTC):%Y%m%dT%H%M%S%f}"
    for name in ("plan", "shard", "summarise", "run"):
        step = steps.add_parser(name)
        step.add_argument("--run", type=_run_id, default=fresh if name == "run" else None, required=name != "run")
        step.add_argument("--store", default=None, help="address of the run store (default: PAGEFLIP_STORE)")
        step.add_argument("--params", type=Path, default=Path("params.yaml"))
        if name == "shard":
            step.add_argument("--index", type=int, required=True, help="number of the shard, from 0")
    return parser.parse_args()


def main() -> None:
    """Run one step, or all of them."""
    args = _arguments()
    store = args.store or settings.store_url()
    if args.step in ("plan", "run"):
        name = load_section(args.params, "register", Register).model_name
        params = load_section(args.params, "score_uploads", ScoreUploads)
        plan = make_plan(args.run, store, model=CHAMPION, name=name, params=params, load_predictor=load_predictor)
    if args.step in ("shard", "run"):
        model, stills = load_sequence_model(PRETRAINED), load_section(args.params, "stills", Stills)
        for index in [args.index] if args.step == "shard" else [shard["index"] for shard in plan["shards"]]:
            score_shard(args.run, store, index, model=model, stills=stills, load_predictor=load_predictor)
    if args.step in ("summarise", "run"):
        summarise(args.run, store)


if __name__ == "__main__":
    run_main(main)
