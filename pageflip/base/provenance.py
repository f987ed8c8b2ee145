"""Provenance of a result: code revision, data version and library releases."""

import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import yaml

from pageflip.base import settings

LIBRARIES = ("torch", "torchvision", "lightning", "numpy", "pillow", "onnxruntime", "mlflow", "dvc", "scikit-learn")
UNKNOWN = "unknown"


def git_revision() -> str:
    """Return the code's revision: PAGEFLIP_GIT_REVISION, or git's, with `-dirty` for uncommitted changes."""
    configured = settings.git_revision()
    if configured:
        return configured
    command = ["git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return UNKNOWN
    return done.stdout.strip()


def data_version(root: Path = Path()) -> str:
    """Return the DVC hash of data/raw, from data/raw.dvc below `root`."""
    try:
        content = yaml.safe_load((root / "data" / "raw.dvc").read_text(encoding="utf-8"))
        return str(content["outs"][0]["md5"])
    except (OSError, KeyError, IndexError, TypeError, yaml.YAMLError):
        return UNKNOWN


def environment() -> dict[str, str]:
    """Return the releases of Python and of the libraries that numbers depend on."""
    releases = {"python": platform.python_version(), "platform": platform.platform()}
    for name in LIBRARIES:
        try:
            releases[name] = version(name)
        except PackageNotFoundError:
            releases[name] = UNKNOWN
    return releases
