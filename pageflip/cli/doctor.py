"""The command `doctor`: what this machine and its services offer."""

import os
import platform
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from pageflip.base.errors import ConfigError, PageflipError
from pageflip.cli.extras import examine_extras
from pageflip.cli.output import make_console

LOW_DISK_GB = 5
NARROW = 140  # columns of the table when it is piped


@dataclass(frozen=True)
class Finding:
    """One line of the table; `ok` is None for facts that need no action."""

    topic: str
    value: str
    ok: bool | None = None


def doctor_command(
    cuda: Annotated[bool, typer.Option("--cuda", help="Only compute on a GPU; exit with 78 if that fails.")] = False,
) -> None:
    """Show releases, extras, GPU, disk, data and services; exit with 1 when something is missing."""
    if cuda:
        print(f"CUDA: {probe_cuda()}")
        return
    table = Table("what", "found", "")
    marks = {True: "[green]ok[/]", False: "[red]look here[/]", None: ""}
    findings = list(examine())
    for finding in findings:
        table.add_row(finding.topic, escape(finding.value), marks[finding.ok])
    make_console(NARROW).print(table)
    if any(finding.ok is False for finding in findings):
        raise typer.Exit(1)


def examine() -> Iterator[Finding]:
    """Examine releases, extras, GPU, disk, data, models, MLflow, Airflow and the champion."""
    from pageflip import __version__
    from pageflip.base import settings
    from pageflip.base.provenance import UNKNOWN, environment, git_revision
    from pageflip.inference.cards import PRETRAINED

    yield Finding("pageflip", f"{__version__}, revision {git_revision()}")
    yield Finding("machine", f"{platform.platform()}, {os.cpu_count()} cores")
    for name, release in environment().items():
        if name != "platform" and release != UNKNOWN:
            yield Finding(name, release, ok=True)
    for extra, missing in examine_extras():
        yield _describe_extra(extra, missing)
    yield _guard("GPU", _check_gpu)
    yield _guard("day-zero", partial(_check_day_zero, PRETRAINED))
    try:
        settings.project_root()
    except ConfigError as error:
        yield Finding("project", error.message)
        return
    checks = {
        "params.yaml": _check_params,
        "disk": _check_disk,
        "raw frames": _check_data,
        "MLflow": _check_mlflow,
        "Airflow": _check_airflow,
    }
    for topic, check in checks.items():
        yield _guard(topic, check)


def _guard(topic: str, check: Callable[[], Finding]) -> Finding:
    try:
        return check()
    except ModuleNotFoundError as error:
        if str(error.name).startswith("pageflip"):
            raise
        return Finding(topic, f"not examined: {error.name} is not installed")
    except PageflipError as error:
        return Finding(topic, str(error), ok=False)


def _describe_extra(extra: str, missing: list[str]) -> Finding:
    topic = f"extra {extra}"
    if not missing:
        return Finding(topic, "installed", ok=True)
    return Finding(topic, f"without {', '.join(missing)}: pip install 'pageflip[{extra}]'")


def probe_cuda() -> str:
    """Compute on the GPU, and return its name.

    Raises:
        ConfigError: CUDA finds no GPU, or it does not compute.
    """
    import torch

    remedy = (
        "run where there is one: `docker run --gpus all` with the NVIDIA container toolkit, or a Kubernetes node that "
        "offers nvidia.com/gpu; or do without, with PAGEFLIP_TASK_GPU=off."
    )
    if not torch.cuda.is_available():
        raise ConfigError(f"there is no GPU here that CUDA {torch.version.cuda} can use", remedy)
    found = _check_gpu().value
    try:
        product = torch.ones(64, 64, device="cuda") @ torch.ones(64, 64, device="cuda")
        correct = bool((product == 64).all().item())
    except RuntimeError as error:  # a driver that is too old, a device that is lost or full
        raise ConfigError(f"CUDA finds {found}, but cannot compute: {error}", remedy) from error
    if not correct:
        raise ConfigError(f"CUDA finds {found}, but computes wrong results", remedy)
    return found


def _check_gpu() -> Finding:
    import torch

    if not torch.cuda.is_available():
        return Finding("GPU", f"none that CUDA {torch.version.cuda} can use: training and scoring run on the CPU")
    facts = torch.cuda.get_device_properties(0)
    count = torch.cuda.device_count()
    memory = f"{facts.total_memory / 2**30:.0f} GiB"
    return Finding("GPU", f"{count} x {facts.name}, {memory}, CUDA {torch.version.cuda}", ok=True)


def _check_params() -> Finding:
    from pageflip.base import settings
    from pageflip.params.all import load_params

    load_params(settings.project_root() / "params.yaml")
    return Finding("params.yaml", "every section is valid", ok=True)


def _check_disk() -> Finding:
    from pageflip.base import settings

    place = settings.home()
    while not place.exists():
        place = place.parent
    free = shutil.disk_usage(place).free / 1e9
    return Finding("disk", f"{free:.0f} GB free for {settings.home()}", free >= LOW_DISK_GB)


def _check_data() -> Finding:
    from pageflip.base import settings
    from pageflip.base.provenance import UNKNOWN, data_version

    version = data_version(settings.project_root())
    if version == UNKNOWN:
        return Finding("raw frames", "none tracked: run `pageflip synthesize` or `pageflip import`", ok=False)
    return Finding("raw frames", f"version {version}", ok=True)


def _check_day_zero(folder: Path) -> Finding:
    from pageflip.inference import cards

    card = cards.read_card(folder)
    files = (cards.MODEL_FILE, cards.WEIGHTS_FILE, *([cards.INT8_FILE] if card.get("int8_sha256") else []))
    for file in files:
        cards.checked_file(file, folder)
    f1 = card["test"]["f1"]
    return Finding("day-zero", f"{cards.version_of(card)}, F1 {f1:.3f} on unseen drawn books", ok=True)


def _check_mlflow() -> Finding:
    from pageflip.base import settings
    from pageflip.cli.models import find_model_name
    from pageflip.registry import journal, versions

    name = find_model_name(None)
    version = versions.get_version(name, journal.CHAMPION)
    place = settings.hide_passwords(settings.tracking_uri())
    if version is None:
        return Finding("MLflow", f"{place}: {name} has no champion yet, day-zero stands in; `make run` makes one")
    return Finding("MLflow", f"{place}: champion of {name} is version {version.version}", ok=True)


def _check_airflow() -> Finding:
    import requests

    from pageflip.base import settings

    address = f"http://127.0.0.1:{settings.airflow_port()}"
    try:
        health = requests.get(f"{address}/api/v2/monitor/health", timeout=3).json()
    except (requests.RequestException, ValueError):
        return Finding("Airflow", f"not up at {address} (`make up` starts it)")
    parts = [f"{name} {state.get('status')}" for name, state in health.items()]
    return Finding("Airflow", f"{address}: {', '.join(parts)}", "unhealthy" not in str(health))
