"""Every MLflow call of the system: training runs, evaluations, model versions, aliases, and loading what is served.

Runs and versions are found by what they hold, not by an id carried along: a training run by the SHA-256 of its weights,
a version by the SHA-256 of its ONNX file. So a stage's outputs depend on its inputs alone, and a stage that DVC
restored still finds its run.
"""

from pathlib import Path
from typing import Any

import mlflow

from pageflip.base.files import sha256_of
from pageflip.inference.cards import INT8
from pageflip.registry import journal
from pageflip.registry.aliases import move_alias
from pageflip.registry.client import client, explained, mark
from pageflip.registry.journal import CANDIDATE
from pageflip.registry.tracking import run_of_weights
from pageflip.registry.versions import (
    ARTIFACT,
    CARD_FILE,
    INT8_ARTIFACT,
    INT8_FILE,
    LOCK,
    MODEL_FILE,
    WEIGHTS,
    find_version,
)


@explained
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
        run_id = run_of_weights(mlflow_client, weights_sha256)
        info = _log_pyfunc(name, package, run_id, pip_requirements)
        version = str(info.registered_model_version)
        if lock:
            mlflow_client.log_text(run_id, lock, LOCK)
        mlflow_client.set_tag(run_id, "pageflip.model_version", version)
        mark(mlflow_client, run_id)
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
