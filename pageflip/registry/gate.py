"""The gate before the alias `champion`: what a candidate must show on the current test split.

Nothing here calls MLflow; `pageflip.registry.promotion` gathers what is judged and acts on the decision. All checks are
made, so that a refusal names everything that is wrong at once.
"""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd

from pageflip.evaluation.metrics import SUPPLIED_NAME, binary_metrics, paired_bootstrap
from pageflip.evaluation.tables import book_table
from pageflip.params.promote import Promote
from pageflip.registry.journal import Move


@dataclass(frozen=True)
class VersionPredictions:
    """A version's probabilities on the test part (float [N]), and its threshold."""

    version: str
    probability: np.ndarray
    threshold: float


@dataclass(frozen=True)
class GateCheck:
    """One condition of the gate: whether it holds, and in words why."""

    name: str
    passed: bool
    why: str


def f1_of(test: pd.DataFrame, judged: VersionPredictions) -> float:
    """F1 of class flip on the table of test frames (columns label, target, group, and clip and book if known)."""
    return float(binary_metrics(test["target"], judged.probability, judged.threshold)["f1"])


def books_of(test: pd.DataFrame, judged: VersionPredictions) -> dict[str, float]:
    """F1 of each book that is known and has frames of both labels, lowest first."""
    if "book" not in test or test["book"].isna().all():
        return {}
    table = book_table(test.assign(probability=judged.probability), judged.threshold)
    known = [(row["f1"], row["book"]) for row in table if row["f1"] is not None]
    return {book: f1 for f1, book in sorted(known)}


def check_floors(
    f1: float, books: dict[str, float], latency_ms: float, params: Promote, protocol: str
) -> list[GateCheck]:
    """The conditions on the candidate alone."""
    leaky = protocol == "supplied"
    split = f"the test split is {SUPPLIED_NAME if leaky else 'free of leaks'}"
    checks = [
        GateCheck("split", not leaky, split + (" and proves nothing" if leaky else "")),
        _floor("min_f1", f"F1 {f1:.4f}", f1, params.min_f1),
    ]
    if books and params.min_book_f1:
        lowest, of_lowest = next(iter(books.items()))
        checks.append(_floor("min_book_f1", f"F1 {of_lowest:.4f} on book {lowest}", of_lowest, params.min_book_f1))
    if params.max_latency_ms:
        passed = latency_ms <= params.max_latency_ms
        verdict = "within" if passed else "over"
        why = f"{latency_ms:.1f} ms a frame, {verdict} promote.max_latency_ms = {params.max_latency_ms:g}"
        checks.append(GateCheck("max_latency_ms", passed, why))
    return checks


def _floor(name: str, found: str, value: float, least: float) -> GateCheck:
    passed = value >= least
    return GateCheck(name, passed, f"{found}, {'at least' if passed else 'below'} promote.{name} = {least:g}")


def check_history(version: str, rolled_back: Move | None) -> GateCheck:
    """Check that the version was not rolled back: a retraining must not undo a rollback."""
    if rolled_back is None:
        return GateCheck("history", True, f"version {version} was never rolled back")
    day = rolled_back.time.date().isoformat()
    why = f"version {version} was rolled back on {day} ({rolled_back.reason}); promote.override can bring it back"
    return GateCheck("history", False, why)


def compare(
    test: pd.DataFrame, candidate: VersionPredictions, champion: VersionPredictions, params: Promote
) -> dict[str, float]:
    """The paired bootstrap of candidate against champion (see `pageflip.evaluation.metrics.paired_bootstrap`)."""
    return paired_bootstrap(
        test["target"],
        candidate.probability,
        champion.probability,
        test["group"],
        challenger_threshold=candidate.threshold,
        champion_threshold=champion.threshold,
        samples=params.bootstrap_samples,
        seed=params.seed,
        margin=params.f1_margin,
    )


def check_champion(version: str, f1: float, paired: dict[str, float], params: Promote) -> GateCheck:
    """Check non-inferiority of the candidate to the champion, with the required probability."""
    probability = paired["probability_not_worse"]
    passed = probability >= params.min_probability
    verdict = "not worse than" if passed else "not shown to be as good as"
    sign = ">=" if passed else "<"
    why = (
        f"{verdict} the champion, version {version}, with {f1:.4f} (probability {probability:.3f} {sign} "
        f"{params.min_probability:g} that it loses at most {params.f1_margin:g})"
    )
    return GateCheck("champion", passed, why)


def conclude(facts: str, checks: list[GateCheck], *, override: str | None) -> dict[str, Any]:
    """The decision: {promoted, overridden, reason, checks}.

    Args:
        facts: how the reason begins: the version, its F1 and on how many frames.
        checks: the last one is that against the champion.
        override: a person's reason to promote whatever the checks say; None when there is none.
    """
    failed = [check.why for check in checks if not check.passed]
    overridden = bool(failed) and override is not None
    reason = f"{facts}, {'; '.join(failed) if failed else checks[-1].why}"
    if overridden:
        reason = f"override: {override} ({reason})"
    return {
        "promoted": overridden or not failed,
        "overridden": overridden,
        "reason": reason,
        "checks": [asdict(check) for check in checks],
    }
