"""Promotion of the candidate to champion, its verification, and rollback.

`pageflip.registry.gate` holds the conditions; here the versions are loaded, judged on the test part, and the alias is
moved.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from pageflip.base import settings
from pageflip.base.errors import ConfigError, DataError, UnavailableError
from pageflip.base.files import read_json, sha256_of
from pageflip.frames.assignment import part_rows
from pageflip.inference.predictor import Predictor
from pageflip.params.promote import Promote
from pageflip.registry import gate, journal, versions
from pageflip.registry.aliases import alias_history, move_alias, settle_moves
from pageflip.registry.gate import GateCheck, VersionPredictions
from pageflip.registry.journal import CHAMPION, PREVIOUS, Move
from pageflip.registry.loading import load_predictor
from pageflip.registry.versions import ARTIFACT, get_version

TIMED_FRAMES = 25
FIGURES = ("candidate_f1", "champion_f1", "paired", "latency_ms", "test_frames", "test_groups", "approved_by")


def promote_version(
    name: str,
    version: str,
    *,
    why: str,
    kind: str = journal.PROMOTION,
    figures: Mapping[str, Any] | None = None,
    expected: tuple[str | None] | None = None,
) -> Move | None:
    """Move the alias `champion` to `version`, and keep the one before under `previous`; see `move_alias`."""
    return move_alias(name, CHAMPION, version, kind=kind, reason=why, figures=figures, expected=expected)


def roll_back(name: str, *, reason: str, to: str = PREVIOUS) -> Move:
    """Move the alias `champion` back, to `previous` or to a version or alias, once its file has proved to be intact.

    Raises:
        ConfigError: no reason, no champion, no such version, one that is the champion, or one without a digest.
        DataError: the file is not the one that was registered.
        UnavailableError: MLflow did not answer, or the champion was moved meanwhile.
    """
    if not reason.strip():
        raise ConfigError("a rollback needs a reason", "say why with --reason: it goes into the journal.")
    champion = get_version(name, CHAMPION)
    if champion is None:
        raise ConfigError(f"{name} has no champion to roll back", "`dvc repro` or the DAG retrain promotes one.")
    target = get_version(name, to)
    if target is None:
        remedy = "name a version with --to; `pageflip lineage champion` shows those that were champion."
        raise ConfigError(f"the model {name} has no version or alias {to!r} to go back to", remedy)
    number, current = str(target.version), str(champion.version)
    if number == current:
        remedy = "name another one with --to; `pageflip lineage champion` shows those that were champion."
        raise ConfigError(f"version {number} is the champion of {name} already", remedy)
    if ARTIFACT not in target.tags:
        raise ConfigError(
            f"the registration of {name} version {number} never ended: the digest of its file is unknown",
            "name another version with --to.",
        )
    load_predictor(number, name)
    move = move_alias(name, CHAMPION, number, kind=journal.ROLLBACK, reason=reason.strip(), expected=(current,))
    if move is None:
        raise UnavailableError(
            f"another process has just made version {number} the champion", "see `pageflip lineage`."
        )
    return move


def promote(
    name: str, package: Path, frames: np.ndarray, assignment: pd.DataFrame, params: Promote, *, protocol: str
) -> dict[str, Any]:
    """Decide on the package's version, move the alias where the gate says so, and return the decision.

    Args:
        name: the registered model.
        package: folder of the candidate's package.
        frames: the pack, uint8 [N, height, width, 3].
        assignment: the split of its frames.
        params: the section `promote`.
        protocol: `split.protocol`.

    Raises:
        ConfigError: the champion takes frames of another size, or nobody has approved where that is asked for.
        UnavailableError: another process moved the alias meanwhile.
    """
    candidate = candidate_version(name, package)
    settle_moves(name)
    decision = made_before(name, candidate)
    if decision is None:
        alone = Predictor.load(package / versions.MODEL_FILE, threads=1)
        latency_ms = alone.latency_ms(frames[part_rows(assignment, "test")[0][:TIMED_FRAMES]])
        decision = decide(name, candidate, frames, assignment, protocol, params, latency_ms)
        decision = approved(decision, params.approval, settings.approved_by())
        if decision["promoted"]:
            promote_version(
                name,
                candidate,
                why=decision["reason"],
                kind=journal.OVERRIDE if decision["overridden"] else journal.PROMOTION,
                figures={key: decision[key] for key in FIGURES},
                expected=(decision["champion"],),
            )
    versions.mark_version(name, candidate)
    after = {"aliases": versions.aliases(name, candidate), "champion_after": champion_number(name)}
    return decision | {"version": candidate} | after


def candidate_version(name: str, package: Path) -> str:
    """The registered version of the exported model.

    Raises:
        UnavailableError: MLflow does not hold it.
    """
    version = versions.find_version(name, sha256_of(package / versions.MODEL_FILE))
    if version is None:
        raise UnavailableError(
            f"MLflow has no version of {name} with the ONNX file in {package}",
            "run `dvc repro --force --single-item register`, and then the same for promote.",
        )
    return version


def made_before(name: str, candidate: str) -> dict[str, Any] | None:
    """The decision of an attempt of this same Airflow run that promoted the candidate and then was cut short."""
    pointing, moves = alias_history(name)
    made = [move for move in moves if move.alias == CHAMPION and move.outcome == journal.MOVED]
    run = journal.own_run()
    if not made or run is None or (made[-1].run, made[-1].after) != (run, candidate):
        return None
    if pointing.get(CHAMPION) != candidate:
        return None
    overridden = made[-1].kind == journal.OVERRIDE
    facts = {"promoted": True, "overridden": overridden, "reason": made[-1].reason, "champion": made[-1].before}
    return facts | dict(made[-1].figures)


def decide(
    name: str,
    candidate: str,
    frames: np.ndarray,
    assignment: pd.DataFrame,
    protocol: str,
    params: Promote,
    latency_ms: float,
) -> dict[str, Any]:
    """Judge candidate and champion on the test part; every figure, every check, and whether to promote."""
    rows, target = part_rows(assignment, "test")
    test = assignment[assignment["part"] == "test"].assign(target=target)
    ours = predict_version(name, candidate, frames[rows])
    f1, books = gate.f1_of(test, ours), gate.books_of(test, ours)
    champion, override = champion_number(name), override_for(candidate, params)
    facts = f"version {candidate} has F1 {f1:.4f} on {len(rows)} test frames"
    decision = {
        "candidate_f1": f1,
        "books_f1": books,
        "latency_ms": latency_ms,
        "test_frames": len(rows),
        "test_groups": int(test["group"].nunique()),
        "champion": champion,
        "champion_f1": None,
        "paired": None,
    }
    if champion == candidate:
        already = {"promoted": False, "overridden": False, "reason": f"{facts}, and is the champion already"}
        return decision | {"champion_f1": f1, "checks": []} | already
    checks = gate.check_floors(f1, books, latency_ms, params, protocol)
    moves = alias_history(name)[1]
    checks.append(gate.check_history(candidate, journal.rollback_from(moves, candidate)))
    figures, check = compare_with(name, champion, frames[rows], test, ours, params, forced=override is not None)
    return decision | figures | gate.conclude(facts, [*checks, check], override=override)


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


def override_for(candidate: str, params: Promote) -> str | None:
    """The reason to promote this very version in spite of the gate; None when nobody asked for that."""
    override = params.override
    return override.reason if override is not None and str(override.version) == candidate else None


def compare_with(
    name: str,
    champion: str | None,
    frames: np.ndarray,
    test: pd.DataFrame,
    ours: VersionPredictions,
    params: Promote,
    *,
    forced: bool,
) -> tuple[dict[str, Any], GateCheck]:
    """The figures of the champion beside the candidate's, and the check; a champion that cannot be judged is an error.

    Args:
        forced: the candidate is promoted in any case, so that such a champion is only noted.
    """
    if champion is None:
        return {}, GateCheck("champion", True, "and there was no champion")
    try:
        theirs = predict_version(name, champion, frames)
    except (ConfigError, DataError) as error:
        if not forced:
            raise
        return {}, GateCheck("champion", False, f"not compared with the champion: {error.message}")
    f1, paired = gate.f1_of(test, theirs), gate.compare(test, ours, theirs, params)
    return {"champion_f1": f1, "paired": paired}, gate.check_champion(champion, f1, paired, params)


def predict_version(name: str, version: str, frames: np.ndarray) -> VersionPredictions:
    """Load a version, its digest checked, and predict the frames uint8 [N, height, width, 3].

    Raises:
        ConfigError: it takes frames of another size.
        DataError: its file is lost or is not the one that was registered.
    """
    predictor = load_predictor(version, name)
    if frames.shape[1:3] != (predictor.height, predictor.width):
        raise ConfigError(
            f"version {version} takes frames of {predictor.width}x{predictor.height}, the pack's are "
            f"{frames.shape[2]}x{frames.shape[1]}",
            "set prepare.width and prepare.height to the champion's, or promote the candidate by promote.override: "
            "models of different sizes cannot be compared on one pack yet.",
        )
    return VersionPredictions(version, predictor.predict(frames).astype(np.float64), predictor.threshold)


def champion_number(name: str) -> str | None:
    """The version that the alias `champion` points to now; None when it points to none."""
    champion = get_version(name, CHAMPION)
    return None if champion is None else str(champion.version)


def verify_promotion(decision: Path, name: str) -> None:
    """Check that the champion is the one that a decision left: DVC may have restored the stage without running it.

    Raises:
        UnavailableError: it is another one, or none.
    """
    content, now = read_json(decision), champion_number(name)
    if content["champion_after"] != now:
        raise UnavailableError(
            f"the decision left version {content['champion_after']} as champion, now it is {now}", "run promote again."
        )
    if "version" in content:
        versions.mark_version(name, content["version"])
