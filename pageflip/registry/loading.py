"""Loading of registered versions, their files checked against the digests in the registry."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import mlflow
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException

from pageflip.base import settings
from pageflip.base.errors import ConfigError, DataError, UnavailableError
from pageflip.base.files import sha256_of
from pageflip.inference import day_zero
from pageflip.inference.cards import INT8, PRETRAINED
from pageflip.inference.local_models import load_local_model, split_variant
from pageflip.inference.predictor import Predictor
from pageflip.registry.client import client
from pageflip.registry.journal import CHAMPION
from pageflip.registry.versions import (
    ARTIFACT,
    CARD_FILE,
    DEFAULT_MODEL_NAME,
    INT8_ARTIFACT,
    INT8_FILE,
    MODEL_FILE,
    get_version,
)


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
    predictor = load_local_model(model, name, PRETRAINED)
    if predictor is not None:
        return predictor
    model, int8 = split_variant(model)
    version = get_version(name, model)
    if version is None and model == CHAMPION:
        predictor = day_zero.load_day_zero(PRETRAINED, name=name, int8=int8)
        print(f"{name} has no champion yet: {predictor.version} stands in (`make run` trains one)", file=sys.stderr)
        return predictor
    if version is None:
        place = settings.hide_passwords(settings.tracking_uri())
        raise ConfigError(f"the model {name} has no version or alias {model!r} in {place}", "see `pageflip doctor`.")
    return _load_version(name, version, int8=int8)


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
