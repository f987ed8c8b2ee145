"""Move the alias `champion` to the candidate when it beats the champion on the current test split, and write why.

    python -m tasks.promote --package models/package \
        --frames data/frames --split data/split --out reports/promotion.json
    python -m tasks.promote --verify --out reports/promotion.json

Where `promote.approval` is manual, a person must have approved: Airflow passes on who did, and whoever types the
command says so with PAGEFLIP_APPROVED_BY=NAME.
"""

import argparse
import json
from pathlib import Path

import numpy as np
import pandas as pd

from pageflip import registry, settings
from pageflip.console import run_main
from pageflip.errors import ConfigError, UnavailableError
from pageflip.files import sha256_of, write_json
from pageflip.inference import Predictor
from pageflip.metrics import binary_metrics
from pageflip.pack import open_pack
from pageflip.params import load_params
from pageflip.splitting import part_rows, read_assignment


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
    candidate = candidate_version(name, args.package)
    frames, _ = open_pack(args.frames)
    assignment = read_assignment(args.split)
    decision = decide(name, candidate, frames, assignment, params.split.protocol, params.promote.min_f1)
    decision = approved(decision, params.promote.approval, settings.approved_by())
    if decision["promoted"]:
        registry.promote_version(name, candidate, why=decision["reason"])
    decision |= {"version": candidate, "aliases": registry.aliases(name, candidate)}
    decision["champion_after"] = champion_number(name)
    write_json(args.out, decision)
    print(f"promote: {'promoted' if decision['promoted'] else 'kept the champion'}: {decision['reason']}")


def candidate_version(name: str, package: Path) -> str:
    """The registered version of the exported model.

    Raises:
        UnavailableError: MLflow does not hold it.
    """
    version = registry.find_version(name, sha256_of(package / registry.MODEL_FILE))
    if version is None:
        raise UnavailableError(
            f"MLflow has no version of {name} with the ONNX file in {package}",
            "run `dvc repro --force --single-item register`, and then the same for promote.",
        )
    return version


def decide(
    name: str, candidate: str, frames: np.ndarray, assignment: pd.DataFrame, protocol: str, min_f1: float
) -> dict:
    """Compare candidate and champion on the test part: {promoted, reason, candidate_f1, champion, champion_f1}."""
    rows, target = part_rows(assignment, "test")
    ours = _f1(registry.load_predictor(candidate, name), frames, rows, target)
    number = champion_number(name)
    decision = {"promoted": False, "candidate_f1": ours, "champion": None, "champion_f1": None}
    facts = f"version {candidate} has F1 {ours:.4f} on {len(rows)} test frames"
    if protocol == "supplied":
        return decision | {"reason": f"{facts} of the supplied (leaky) split, which proves nothing: never promoted"}
    if ours < min_f1:
        return decision | {"reason": f"{facts}, below promote.min_f1 = {min_f1:g}"}
    if number is None:
        return decision | {"promoted": True, "reason": f"{facts}, and there was no champion"}
    if number == candidate:
        return decision | {"champion": number, "champion_f1": ours, "reason": f"{facts}, and is the champion already"}
    theirs = _f1(registry.load_predictor(number, name), frames, rows, target)
    decision |= {"champion": number, "champion_f1": theirs, "promoted": ours > theirs}
    verdict = "more than" if ours > theirs else "not more than"
    return decision | {"reason": f"{facts}, {verdict} the champion, version {number}, with {theirs:.4f}"}


def approved(decision: dict, approval: str, approver: str | None) -> dict:
    """The decision with the name of who approved of the promotion: {approved_by} is None where nobody was asked.

    Raises:
        ConfigError: it would promote, `approval` is manual, and nobody has approved.
    """
    if approval == "automatic" or not decision["promoted"]:
        return decision | {"approved_by": None}
    if approver is None:
        raise ConfigError(
            f"promote.approval is manual and nobody has approved, so the champion stays: {decision['reason']}",
            "look at the evaluation report; approve in Airflow, or here with `PAGEFLIP_APPROVED_BY=NAME dvc repro`.",
        )
    return decision | {"approved_by": approver, "reason": f"{decision['reason']}; approved by {approver}"}


def _f1(predictor: Predictor, frames: np.ndarray, rows: np.ndarray, target: np.ndarray) -> float:
    if frames.shape[1:3] != (predictor.height, predictor.width):
        raise ConfigError(
            f"version {predictor.version} takes frames of {predictor.width}x{predictor.height}, the pack's are "
            f"{frames.shape[2]}x{frames.shape[1]}",
            "set prepare.width and prepare.height to the champion's, or take its alias away: models of different sizes "
            "cannot be compared on one pack yet.",
        )
    return float(binary_metrics(target, predictor.predict(frames[rows]), predictor.threshold)["f1"])


def champion_number(name: str) -> str | None:
    """The version that the alias `champion` points to now; None when it points to none."""
    champion = registry.get_version(name, registry.CHAMPION)
    return None if champion is None else str(champion.version)


def verify(name: str, out: Path) -> None:
    """Check that the champion is still the one that the decision left (a restored stage compared nothing here).

    Raises:
        UnavailableError: it is another one, or none.
    """
    left, now = json.loads(out.read_text(encoding="utf-8"))["champion_after"], champion_number(name)
    if left != now:
        raise UnavailableError(f"the decision left version {left} as champion, now it is {now}", "run promote again.")


if __name__ == "__main__":
    run_main(main)
