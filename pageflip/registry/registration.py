"""Registration of packages as model versions.

A version is found by the SHA-256 of its ONNX file, not by an id that a stage hands on: the outputs of a stage depend on
its inputs alone, and a stage that DVC restored still finds its version.
"""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version as release
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import mlflow
import yaml

from pageflip.base.errors import UnavailableError
from pageflip.base.files import sha256_of
from pageflip.base.imports import SOURCE, import_closure
from pageflip.base.provenance import git_revision
from pageflip.registry import journal
from pageflip.registry.aliases import move_alias
from pageflip.registry.client import client, mark, mark_run, translate_errors
from pageflip.registry.journal import CANDIDATE
from pageflip.registry.package import ModelPackage
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
    get_version,
)

SERVED_REQUIREMENTS = ("numpy", "onnxruntime", "pandas", "pillow")
NOT_UPSTREAM = ("report", "register", "promote")  # stages that no version comes from
SERVED_MODULE = "pageflip/registry/pyfunc.py"


def register_package(package: ModelPackage, name: str, split_sha256: str) -> str:
    """Register a package with tags that say what it was made from; return the version."""
    card = package.card
    tags = {f"metric.{key}": f"{value}" for key, value in card["metrics"].items()}
    tags |= {"git_revision": git_revision(), "data_version": card["data_version"], "split": split_sha256}
    tags |= {f"latency_ms.{file}": f"{value:.2f}" for file, value in package.latency_ms.items()}
    tags |= {key: f"{card[key]}" for key in ("network", "protocol", "threshold", "temperature")}
    return register_version(
        name,
        package.folder,
        weights_sha256=card["weights_sha256"],
        tags=tags,
        lock=_upstream_lock(Path("dvc.lock")),
        pip_requirements=[f"{requirement}=={release(requirement)}" for requirement in SERVED_REQUIREMENTS],
    )


def _upstream_lock(path: Path) -> str:
    """Return dvc.lock with the stages that the version comes from; the others may be of an earlier run."""
    if not path.exists():
        return ""
    lock = yaml.safe_load(path.read_text(encoding="utf-8"))
    lock["stages"] = {name: entry for name, entry in lock["stages"].items() if name.split("@")[0] not in NOT_UPSTREAM}
    return yaml.safe_dump(lock, sort_keys=True)


@translate_errors
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
    from pageflip.registry.pyfunc import INPUT_EXAMPLE, SIGNATURE

    files = {"model": package / MODEL_FILE, "card": package / CARD_FILE, "int8": package / INT8_FILE}
    with mlflow.start_run(run_id=run_id), _copied_code() as code:
        return mlflow.pyfunc.log_model(
            name="model",
            python_model=str(SOURCE / SERVED_MODULE),
            artifacts={key: str(file) for key, file in files.items() if file.exists()},
            code_paths=[str(code)],
            signature=SIGNATURE,
            input_example=INPUT_EXAMPLE,
            pip_requirements=pip_requirements,
            registered_model_name=name,
        )


@contextmanager
def _copied_code() -> Iterator[Path]:
    """Yield a temporary folder `pageflip` with the modules that the served model imports, and their packages."""
    with TemporaryDirectory(prefix="pageflip-code-") as folder:
        modules = import_closure(SERVED_MODULE) - {SERVED_MODULE}
        packages = {f"{parent.as_posix()}/__init__.py" for module in modules for parent in Path(module).parents[:-1]}
        for file in modules | packages:
            target = Path(folder) / file
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(SOURCE / file, target)
        yield Path(folder) / "pageflip"


def verify_registration(package: Path, name: str) -> None:
    """Check that the package is the registry's candidate: DVC may have restored the stage without running it.

    Raises:
        UnavailableError: it is not.
    """
    digest = sha256_of(package / MODEL_FILE)
    candidate = get_version(name, CANDIDATE)
    if candidate is None or candidate.tags.get(ARTIFACT) != digest:
        raise UnavailableError(f"the candidate of {name} is not the ONNX file {digest}", "run register again.")
    int8 = sha256_of(package / INT8_FILE) if (package / INT8_FILE).exists() else None
    if candidate.tags.get(INT8_ARTIFACT) != int8:
        raise UnavailableError(f"the candidate of {name} has not the int8 file {int8}", "run register again.")
    mark_run(candidate.run_id)
