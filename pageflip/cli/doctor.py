"""What this machine and its services offer: the first thing to look at when something does not work."""

import os
import platform
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from pageflip import __version__
from pageflip.base import settings
from pageflip.base.errors import ConfigError, PageflipError
from pageflip.base.provenance import data_version, environment, git_revision
from pageflip.params.all import load_params

LOW_DISK_GB = 5


@dataclass(frozen=True)
class Finding:
    """One line of the doctor's table; `ok` is None for what is only told."""

    topic: str
    value: str
    ok: bool | None = None


def examine() -> Iterator[Finding]:
    """Look at releases, GPU, disk, data, models, MLflow, Airflow and the champion, one after the other."""
    yield Finding("pageflip", f"{__version__}, revision {git_revision()}")
    yield Finding("machine", f"{platform.platform()}, {os.cpu_count()} cores")
    for name, release in environment().items():
        if name != "platform":
            yield Finding(name, release, release != "unknown")
    yield _gpu()
    looks = {"disk": _disk, "raw frames": _data, "day-zero": _day_zero, "MLflow": _mlflow, "Airflow": _airflow}
    for topic, look in looks.items():
        yield _guarded(topic, look)


def _guarded(topic: str, look: Callable[[], Finding]) -> Finding:
    try:
        return look()
    except PageflipError as error:
        return Finding(topic, str(error), ok=False)


def probe_cuda() -> str:
    """Name the GPU after a small computation on it.

    Raises:
        ConfigError: there is no GPU that CUDA can use, or it does not compute.
    """
    import torch

    remedy = (
        "run where there is one: `docker run --gpus all` with the NVIDIA container toolkit, or a Kubernetes node that "
        "offers nvidia.com/gpu; or do without, with PAGEFLIP_TASK_GPU=off."
    )
    if not torch.cuda.is_available():
        raise ConfigError(f"there is no GPU here that CUDA {torch.version.cuda} can use", remedy)
    finding = _gpu()
    try:
        product = torch.ones(64, 64, device="cuda") @ torch.ones(64, 64, device="cuda")
        correct = bool((product == 64).all().item())
    except RuntimeError as error:  # a driver that is too old, a device that is lost or full
        raise ConfigError(f"CUDA finds {finding.value}, but cannot compute: {error}", remedy) from error
    if not correct:
        raise ConfigError(f"CUDA finds {finding.value}, but it computes wrongly", remedy)
    return finding.value


def _gpu() -> Finding:
    import torch

    if not torch.cuda.is_available():
        return Finding("GPU", f"none that CUDA {torch.version.cuda} can use: training and scoring run on the CPU")
    facts = torch.cuda.get_device_properties(0)
    count = torch.cuda.device_count()
    return Finding(
        "GPU", f"{count} x {facts.name}, {facts.total_memory / 2**30:.0f} GiB, CUDA {torch.version.cuda}", True
    )


def _disk() -> Finding:
    place = settings.home()
    while not place.exists():
        place = place.parent
    free = shutil.disk_usage(place).free / 1e9
    return Finding("disk", f"{free:.0f} GB free for {settings.home()}", free >= LOW_DISK_GB)


def _data() -> Finding:
    version = data_version(settings.project_root())
    if version == "unknown":
        return Finding("raw frames", "none tracked: run `pageflip synthesize` or `pageflip import`", ok=False)
    return Finding("raw frames", f"version {version}", ok=True)


def _day_zero() -> Finding:
    from pageflip.inference import cards

    card = cards.read_card()
    files = (cards.MODEL_FILE, cards.WEIGHTS_FILE, *([cards.INT8_FILE] if card.get("int8_sha256") else []))
    for file in files:
        cards.checked_file(file)
    f1 = card["test"]["f1"]
    return Finding("day-zero", f"{cards.version_of(card)}, F1 {f1:.3f} on drawn books it never saw", ok=True)


def _mlflow() -> Finding:
    from pageflip.registry import versions
    from pageflip.registry.journal import CHAMPION

    name = load_params(settings.project_root() / "params.yaml").register_.model_name
    version = versions.get_version(name, CHAMPION)
    place = settings.shown(settings.tracking_uri())
    if version is None:
        return Finding("MLflow", f"{place}: {name} has no champion yet, day-zero stands in; `make run` makes one")
    return Finding("MLflow", f"{place}: champion of {name} is version {version.version}", ok=True)


def _airflow() -> Finding:
    import requests

    port = os.environ.get("PAGEFLIP_AIRFLOW_PORT", "8080")
    address = f"http://127.0.0.1:{port}"
    try:
        health = requests.get(f"{address}/api/v2/monitor/health", timeout=3).json()
    except (requests.RequestException, ValueError):
        return Finding("Airflow", f"not up at {address} (`make up` starts it)")
    parts = [f"{name} {state.get('status')}" for name, state in health.items()]
    return Finding("Airflow", f"{address}: {', '.join(parts)}", "unhealthy" not in str(health))
