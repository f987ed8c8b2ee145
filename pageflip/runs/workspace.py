"""Workspace of a stage: a temporary DVC repository with the code, the run's inputs and the lock entries so far."""

import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import chdir, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import yaml

from pageflip.base import settings, storage
from pageflip.base.errors import ConfigError
from pageflip.base.files import temporary_folder
from pageflip.runs import dvc_transfers
from pageflip.runs.run_store import RunStore

if TYPE_CHECKING:
    from dvc.repo import Repo
    from dvc.stage import PipelineStage

CODE = ("pageflip", "tasks")
S3_TIMEOUTS = {name: storage.S3_CONFIG[name] for name in ("connect_timeout", "read_timeout")}


@contextmanager
def open_workspace(run: RunStore, project: Path) -> Iterator["Repo"]:
    """Yield a clean DVC repository for a stage of the run; it is the working folder for as long as the block lasts."""
    from dvc.repo import Repo

    dvc_transfers.clean_up_failed_copies()
    inputs = run.inputs(project)
    entries = run.lock_entries()
    environment = _stage_environment(inputs)
    with temporary_folder(settings.home() / "work", "stage.") as folder:
        for name in CODE:
            shutil.copytree(project / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copy(project / "dvc.yaml", folder)
        (folder / "params.yaml").write_text(inputs["params"], encoding="utf-8")
        (folder / "data").mkdir()
        (folder / "data" / "raw.dvc").write_text(inputs["raw_dvc"], encoding="utf-8")
        if entries:
            (folder / "dvc.lock").write_text(yaml.safe_dump({"schema": "2.0", "stages": entries}), encoding="utf-8")
        _write_dvc_config(folder, project)
        with _environment(environment), chdir(folder), Repo(str(folder)) as repo:
            yield repo


@contextmanager
def _environment(variables: dict[str, str]) -> Iterator[None]:
    """Set environment variables for as long as the block lasts."""
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})


def _stage_environment(inputs: dict[str, str]) -> dict[str, str]:
    """Return the environment of the stage's command; addresses are absolute, since it runs in the workspace."""
    return {
        "PAGEFLIP_HOME": str(settings.home()),
        "PAGEFLIP_STORE": settings.store_url(),
        "PAGEFLIP_GIT_REVISION": inputs["git_revision"],
        "MLFLOW_TRACKING_URI": settings.tracking_uri(),
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")]),
        "PYTHONUNBUFFERED": "1",
    }


def _write_dvc_config(folder: Path, project: Path) -> None:
    """Write a configuration without git, with the project's default remote (or PAGEFLIP_REMOTE) and its cache."""
    from dvc.config import Config

    (folder / ".dvc").mkdir()
    project_config = Config(str(project / ".dvc"), validate=True)
    name = project_config["core"].get("remote", "store")
    remote = dict(project_config["remote"].get(name, {}))
    url = settings.remote_url()
    if url:
        # the project's options (credentials, an endpoint) are valid for an address of the same kind only
        same_kind = urlsplit(url).scheme == urlsplit(str(remote.get("url", ""))).scheme
        remote = (remote if same_kind else {}) | {"url": url}
    if urlsplit(str(remote.get("url", ""))).scheme == "s3":
        remote = S3_TIMEOUTS | remote  # the default is a minute per connection, several times over
    if not remote.get("url"):
        raise ConfigError("no DVC remote is configured", "set PAGEFLIP_REMOTE, or `dvc remote add --default NAME URL`.")
    with Config(str(folder / ".dvc"), validate=False).edit("repo") as config:
        config["core"] = {
            "no_scm": True,
            "analytics": False,
            "remote": "store",
            "site_cache_dir": str(folder / ".dvc" / "site"),
        }
        config["cache"] = {"dir": _cache_folder(project_config), "type": ["reflink", "hardlink", "symlink", "copy"]}
        config["remote"] = {"store": remote}


def _cache_folder(project_config: Any) -> str:
    """Return the DVC cache of this machine: the project's, so that `dvc repro` and runs share it."""
    configured = settings.cache_folder() or project_config.get("cache", {}).get("dir")
    return str(configured or settings.home() / "cache")


def find_stage(repo: "Repo", name: str) -> "PipelineStage":
    """Return the stage of this name.

    Raises:
        ConfigError: dvc.yaml has none.
    """
    for stage in repo.index.stages:
        if stage.addressing == name:
            return stage
    known = sorted(stage.addressing for stage in repo.index.stages if stage.cmd)
    raise ConfigError(f"dvc.yaml has no stage {name!r}", f"use one of {', '.join(known)}.")
