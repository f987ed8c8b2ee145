"""Every MLflow call of the system: training runs, evaluations, model versions, aliases, and loading what is served.

Runs and versions are found by what they hold, not by an id carried along: a training run by the SHA-256 of its weights,
a version by the SHA-256 of its ONNX file. So a stage's outputs depend on its inputs alone, and a stage that DVC
restored still finds its run.
"""

import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import wraps
from pathlib import Path
from typing import Any, TypeVar

# MLflow reads its environment at import
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "3")  # its default waits five minutes for a dead server
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")  # a model is one small file

import mlflow
from mlflow.entities import Run
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient
from sqlalchemy.exc import SQLAlchemyError

from pageflip.base import settings
from pageflip.base.errors import ConfigError, DataError, UnavailableError
from pageflip.base.files import sha256_of
from pageflip.inference import cards, day_zero
from pageflip.inference.predictor import Predictor
from pageflip.registry import journal
from pageflip.registry.journal import CANDIDATE, CHAMPION, PREVIOUS, Move

TRAINING_KEY, WEIGHTS, ARTIFACT = "pageflip.training_key", "pageflip.weights_sha256", "pageflip.artifact_sha256"
INT8_ARTIFACT = "pageflip.int8_sha256"
MODEL_FILE, INT8_FILE, CARD_FILE, LOCK = "model.onnx", "model.int8.onnx", "card.json", "lineage/dvc.lock"
INT8 = "int8"  # `champion@int8` names the int8 file of the champion
DEFAULT_MODEL_NAME = "pageflip"

MISTAKES = ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE")  # a retry will not mend them

F = TypeVar("F", bound=Callable[..., Any])


def _explained(function: F) -> F:
    """Turn MLflow's failures to reach its server or database into an error that names the address."""

    @wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        try:
            return function(*args, **kwargs)
        except (SQLAlchemyError, OSError) as error:
            raise _unavailable(error) from error
        except MlflowException as error:
            if error.error_code in MISTAKES:
                raise ConfigError(f"MLflow refused: {error.message}", "check the name and the version.") from error
            raise _unavailable(error) from error

    return wrapper  # type: ignore[return-value]


def _unavailable(error: Exception) -> UnavailableError:
    return UnavailableError(
        settings.shown(f"MLflow at {settings.tracking_uri()} failed: {str(error).splitlines()[0]}"),
        "check that the server runs and that MLFLOW_TRACKING_URI is right (`pageflip doctor`).",
    )


def client() -> MlflowClient:
    """A client of the tracking server and registry; the fluent API is pointed to the same address."""
    uri = settings.tracking_uri()
    if uri.startswith("sqlite:///"):
        Path(uri.removeprefix("sqlite:///")).parent.mkdir(parents=True, exist_ok=True)
    mlflow.set_tracking_uri(uri)
    mlflow.set_registry_uri(uri)
    return MlflowClient(tracking_uri=uri, registry_uri=uri)


def _experiment_id(mlflow_client: MlflowClient) -> str:
    name = settings.experiment_name()
    found = mlflow_client.get_experiment_by_name(name)
    if found is not None:
        return found.experiment_id
    local = settings.tracking_uri().startswith("sqlite:")
    location = (settings.home() / "mlartifacts").as_uri() if local else None  # a server has a place of its own
    try:
        return mlflow_client.create_experiment(name, artifact_location=location)
    except MlflowException:
        found = mlflow_client.get_experiment_by_name(name)  # another stage may have made it at the same moment
        if found is None:
            raise
        return found.experiment_id


def _find_run(mlflow_client: MlflowClient, tag: str, value: str) -> Run | None:
    runs = mlflow_client.search_runs(
        [_experiment_id(mlflow_client)],
        f"tags.`{tag}` = '{value}'",
        order_by=["attributes.start_time DESC"],
        max_results=1,
    )
    return runs[0] if runs else None


class TrainingRun:
    """A training's MLflow run; a resumed training goes on with the run it began."""

    @_explained
    def __init__(self, *, key: str, name: str, params: dict[str, Any], tags: dict[str, str]) -> None:
        self._client = client()
        found = _find_run(self._client, TRAINING_KEY, key)
        if found is not None and found.info.status != "FINISHED":
            self.run_id = found.info.run_id
            self._client.update_run(self.run_id, status="RUNNING")
            _mark(self._client, self.run_id)
            return
        tags = {**tags, **settings.orchestrator_tags(), TRAINING_KEY: key}
        self.run_id = self._client.create_run(_experiment_id(self._client), tags=tags, run_name=name).info.run_id
        for param, value in _flat(params).items():
            self._client.log_param(self.run_id, param, value)

    @_explained
    def log_epoch(self, record: dict[str, float]) -> None:
        """Log one epoch's numbers; the key `epoch` is the step."""
        metrics = {key: value for key, value in record.items() if key != "epoch"}
        _log_metrics(self._client, self.run_id, metrics, step=int(record["epoch"]))

    @_explained
    def finish(self, *, weights_sha256: str, folder: Path) -> None:
        """Log the model folder's files, note its weights, and close the run."""
        for file in sorted(folder.iterdir()):
            self._client.log_artifact(self.run_id, str(file), "training")
        self._client.set_tag(self.run_id, WEIGHTS, weights_sha256)
        self._client.set_terminated(self.run_id)

    def fail(self) -> None:
        """Close the run as failed; a later attempt of the same training takes it up again.

        Where MLflow cannot be told, nothing is raised: why the training failed matters more.
        """
        with suppress(MlflowException):
            if self._client.get_run(self.run_id).info.status != "FINISHED":  # an overlapping attempt may have ended it
                self._client.set_terminated(self.run_id, status="FAILED")


def _flat(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in values.items():
        flat |= _flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return flat


def _mark(mlflow_client: MlflowClient, run_id: str) -> None:
    """Note on an MLflow run which task of which Airflow run worked on it."""
    for key, value in settings.orchestrator_tags().items():
        mlflow_client.set_tag(run_id, key, value)


@_explained
def mark_run(run_id: str) -> None:
    """Note on an MLflow run that this Airflow run restored what came of it."""
    _mark(client(), run_id)


def _log_metrics(mlflow_client: MlflowClient, run_id: str, metrics: dict[str, float], step: int = 0) -> None:
    from mlflow.entities import Metric
    from mlflow.utils.time import get_current_time_millis

    now = get_current_time_millis()
    mlflow_client.log_batch(run_id, metrics=[Metric(key, float(value), now, step) for key, value in metrics.items()])


def _run_of_weights(mlflow_client: MlflowClient, weights_sha256: str) -> str:
    """The run that trained these weights; a new one where this server never saw them (restored by DVC)."""
    found = _find_run(mlflow_client, WEIGHTS, weights_sha256)
    if found is not None:
        return found.info.run_id
    run = mlflow_client.create_run(
        _experiment_id(mlflow_client),
        tags={WEIGHTS: weights_sha256, "pageflip.restored": "true"},
        run_name="restored from the DVC remote",
    )
    mlflow_client.set_terminated(run.info.run_id)
    return run.info.run_id


@_explained
def log_evaluation(*, weights_sha256: str, metrics: dict[str, float], folder: Path) -> str:
    """Log an evaluation to the run that trained the weights; return that run's id."""
    mlflow_client = client()
    run_id = _run_of_weights(mlflow_client, weights_sha256)
    _log_metrics(mlflow_client, run_id, {f"test_{key}": value for key, value in metrics.items()})
    mlflow_client.log_artifacts(run_id, str(folder), "evaluation")
    _mark(mlflow_client, run_id)
    return run_id


@_explained
def register_version(
    name: str,
    package: Path,
    *,
    weights_sha256: str,
    tags: dict[str, str],
    pip_requirements: list[str],
    lock: str = "",
) -> str:
    """Register the package (model.onnx, card.json, maybe model.int8.onnx) as a pyfunc under the alias `candidate`.

    The same ONNX files are registered once: a second call finds their version.

    Args:
        lock: the dvc.lock entries of the stages that it is made of, as text.

    Returns:
        The version.
    """
    mlflow_client = client()
    digest = sha256_of(package / MODEL_FILE)
    int8 = {INT8_ARTIFACT: sha256_of(package / INT8_FILE)} if (package / INT8_FILE).exists() else {}
    version = find_version(name, digest)
    if version is not None and mlflow_client.get_model_version(name, version).tags.get(INT8_ARTIFACT) != int8.get(
        INT8_ARTIFACT
    ):
        version = None
    if version is None:
        run_id = _run_of_weights(mlflow_client, weights_sha256)
        info = _log_pyfunc(name, package, run_id, pip_requirements)
        version = str(info.registered_model_version)
        if lock:
            mlflow_client.log_text(run_id, lock, LOCK)
        mlflow_client.set_tag(run_id, "pageflip.model_version", version)
        _mark(mlflow_client, run_id)
        # the digest comes last: a version whose registration was cut short is not found, and is registered anew
        for key, value in {**tags, WEIGHTS: weights_sha256, **int8, ARTIFACT: digest}.items():
            mlflow_client.set_model_version_tag(name, version, key, value)
    move_alias(name, CANDIDATE, version, kind=journal.REGISTRATION, reason=f"registered; its ONNX file is {digest}")
    return version


def _log_pyfunc(name: str, package: Path, run_id: str, pip_requirements: list[str]) -> Any:
    from pageflip.registry.pyfunc import INPUT_EXAMPLE, SIGNATURE, copy_code

    files = {"model": package / MODEL_FILE, "card": package / CARD_FILE, INT8: package / INT8_FILE}
    with mlflow.start_run(run_id=run_id), copy_code() as code:
        return mlflow.pyfunc.log_model(
            name="model",
            python_model=str(Path(__file__).with_name("pyfunc.py")),
            artifacts={key: str(file) for key, file in files.items() if file.exists()},
            code_paths=[str(code)],
            signature=SIGNATURE,
            input_example=INPUT_EXAMPLE,
            pip_requirements=pip_requirements,
            registered_model_name=name,
        )


@_explained
def find_version(name: str, artifact_sha256: str) -> str | None:
    """The newest version that holds this ONNX file; None when there is none."""
    found = client().search_model_versions(f"name = '{name}' and tags.`{ARTIFACT}` = '{artifact_sha256}'")
    return str(max(int(version.version) for version in found)) if found else None


@_explained
def get_version(name: str, version_or_alias: str) -> ModelVersion | None:
    """A version by its number or alias; None when there is none."""
    mlflow_client = client()
    try:
        if version_or_alias.isdigit():
            return mlflow_client.get_model_version(name, version_or_alias)
        return mlflow_client.get_model_version_by_alias(name, version_or_alias)
    except MlflowException as error:
        if error.error_code in MISTAKES:
            return None
        raise


@_explained
def get_run(run_id: str) -> Run:
    """A tracking run by its id."""
    return client().get_run(run_id)


@_explained
def alias_history(name: str) -> tuple[dict[str, str], list[Move]]:
    """Where the aliases of a model point now, and all moves that its journal knows of, oldest first.

    Both are empty for a model that is not there.
    """
    return journal.read_state(client(), name)


@_explained
def move_alias(
    name: str,
    alias: str,
    version: str,
    *,
    kind: str,
    reason: str,
    figures: Mapping[str, Any] | None = None,
    expected: tuple[str | None] | None = None,
) -> Move | None:
    """Move an alias to `version` and journal it; a move of `champion` leaves `previous` where it was.

    MLflow moves an alias without a condition, so processes take turns by the journal (see `pageflip.registry.journal`).

    Args:
        kind, reason, figures: see `journal.Move`.
        expected: (version or None,), where the alias must still point; None accepts any.

    Returns:
        The journal's record; None when the alias points to `version` already, so that a repeat adds nothing.

    Raises:
        ConfigError: there is no such version.
        UnavailableError: the alias points elsewhere by now, or another process is moving it.
    """
    mlflow_client = client()
    if get_version(name, version) is None:
        raise ConfigError(f"the model {name} has no version {version!r}", "see the page of the registry (`make up`).")
    current = journal.wait_for_turn(mlflow_client, name, alias)[0].get(alias)
    journal.check_still(alias, current, expected or (current,), version)
    if current == version:
        return None
    tags = settings.orchestrator_tags()
    run = journal.own_run() if tags else None
    move = Move(journal.new_id(), alias, current, version, kind, reason, run, tags.get("airflow.url"), figures or {})
    mlflow_client.set_registered_model_tag(name, *journal.intent_record(move))
    try:
        if journal.was_made_meanwhile(mlflow_client, name, move):
            journal.end(mlflow_client, name, move, journal.WITHDRAWN)
            return None
    except UnavailableError:
        journal.end(mlflow_client, name, move, journal.WITHDRAWN)
        raise
    if alias == CHAMPION and current is not None:  # first: cut short here, the way back is still known
        mlflow_client.set_registered_model_alias(name, PREVIOUS, current)
    mlflow_client.set_registered_model_alias(name, alias, version)
    journal.end(mlflow_client, name, move, journal.MOVED)
    return move


@_explained
def settle_moves(name: str) -> None:
    """Give every move that was cut short, be it by an earlier attempt of this run, the outcome that it had."""
    mlflow_client = client()
    found, moves = journal.read_state(mlflow_client, name)
    for move in moves:
        if move.outcome is None:
            journal.settle(mlflow_client, name, move, found, moves)


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


@_explained
def mark_version(name: str, version: str) -> None:
    """Note on the MLflow run of a version that this Airflow run dealt with it."""
    mlflow_client = client()
    _mark(mlflow_client, mlflow_client.get_model_version(name, version).run_id)


@_explained
def aliases(name: str, version: str) -> list[str]:
    """The aliases that point to a version now, sorted."""
    return sorted(client().get_model_version(name, version).aliases)


def load_predictor(model: str, name: str = DEFAULT_MODEL_NAME) -> Predictor:
    """Load what a user calls `champion`, `day-zero`, a version, an alias, or the path of an .onnx file.

    `@int8` behind any but a path asks for the int8 file, which is part of the predictor's version, too: results of the
    two files are not the same. The SHA-256 of a registered or committed ONNX file is checked before the file is loaded.
    As long as there is no champion the model day-zero stands in for it, which is said on standard error.

    Raises:
        ConfigError: there is no such model, or it has no int8 file.
        DataError: the file is not the one that was registered.
        UnavailableError: MLflow did not answer.
    """
    if model.endswith(".onnx") or "/" in model:
        path = Path(model)
        if not path.is_file():
            remedy = "give a .onnx file, `champion`, `day-zero`, or a version number."
            raise ConfigError(f"there is no model file {model}", remedy)
        return Predictor.load(path)
    model, _, variant = model.partition("@")
    if variant not in ("", INT8):
        raise ConfigError(f"there is no variant {variant!r} of {model}", f"the one there may be is `{model}@{INT8}`.")
    if cards.is_day_zero(model):
        return day_zero.load_day_zero(model, name=name, int8=bool(variant))
    version = get_version(name, model)
    if version is None and model == CHAMPION:
        predictor = day_zero.load_day_zero(name=name, int8=bool(variant))
        print(f"{name} has no champion yet: {predictor.version} stands in (`make run` trains one)", file=sys.stderr)
        return predictor
    if version is None:
        place = settings.shown(settings.tracking_uri())
        raise ConfigError(f"the model {name} has no version or alias {model!r} in {place}", "see `pageflip doctor`.")
    return _load_version(name, version, int8=bool(variant))


def _load_version(name: str, version: ModelVersion, *, int8: bool) -> Predictor:
    file, tag = (INT8_FILE, INT8_ARTIFACT) if int8 else (MODEL_FILE, ARTIFACT)
    registered = version.tags.get(tag)
    if int8 and registered is None:
        raise ConfigError(
            f"{name} version {version.version} has no int8 file; its {CARD_FILE} says why", f"leave out `@{INT8}`."
        )
    with _downloaded(version) as folder:
        path = folder / file
        if not path.is_file():
            raise DataError(
                f"the artifact store has lost {file} of {name} version {version.version}",
                "restore it from a backup, or go back to another version: `pageflip rollback --to VERSION`.",
            )
        digest = sha256_of(path)
        if digest != registered:
            raise DataError(
                f"the file of {name} version {version.version} has the SHA-256 {digest}, registered was {registered}",
                "do not use it: find out who changed the artifact store, and `pageflip rollback --to` another version.",
            )
        return Predictor.load(path, name=name, version=f"{version.version}@{INT8}" if int8 else str(version.version))


@contextmanager
def _downloaded(version: ModelVersion) -> Iterator[Path]:
    """The `artifacts` folder of a version's model, fetched to a temporary place."""
    from tempfile import TemporaryDirectory

    client()
    with TemporaryDirectory(prefix="pageflip-model-") as folder:
        uri = f"models:/{version.name}/{version.version}"
        try:
            local = mlflow.artifacts.download_artifacts(artifact_uri=f"{uri}/artifacts", dst_path=folder)
        except (MlflowException, OSError) as error:
            raise UnavailableError(
                f"the files of {uri} cannot be fetched: {error}", "check the artifact store of the MLflow server."
            ) from error
        yield Path(local)


@_explained
def read_run_text(run_id: str, artifact: str) -> str | None:
    """A text file among a run's artifacts; None when it has none of that name."""
    from tempfile import TemporaryDirectory

    mlflow_client = client()
    folder, _, _ = artifact.rpartition("/")
    if artifact not in [entry.path for entry in mlflow_client.list_artifacts(run_id, folder)]:
        return None
    with TemporaryDirectory(prefix="pageflip-") as place:
        return Path(mlflow_client.download_artifacts(run_id, artifact, place)).read_text(encoding="utf-8")
