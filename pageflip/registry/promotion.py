"""Every MLflow call of the system: training runs, evaluations, model versions, aliases, and loading what is served.

Runs and versions are found by what they hold, not by an id carried along: a training run by the SHA-256 of its weights,
a version by the SHA-256 of its ONNX file. So a stage's outputs depend on its inputs alone, and a stage that DVC
restored still finds its run.
"""

from collections.abc import Mapping
from typing import Any

from pageflip.base.errors import ConfigError, UnavailableError
from pageflip.registry import journal
from pageflip.registry.aliases import move_alias
from pageflip.registry.journal import CHAMPION, PREVIOUS, Move
from pageflip.registry.loading import load_predictor
from pageflip.registry.versions import ARTIFACT, get_version


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
