"""One stage of one run, hermetic: a clean workspace, what it depends on from the DVC remote, its outputs back to it.

Between the stages of a run travel only two things: content in the DVC remote, and the few KB that each stage leaves in
the run store:

    STORE/RUN/inputs.json         params.yaml, data/raw.dvc and the code's revision, fixed by the first stage;
                                  with what the run was asked to do otherwise (`Wishes`)
    STORE/RUN/lock/STAGE.json     the stage's entry of dvc.lock
    STORE/RUN/failed/STAGE/...    the reports of a stage that failed

So a stage runs on any machine, a second attempt beside a first is harmless, and what is unchanged is not computed
again.
"""

import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
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
    """A clean DVC repository with the code, the run's inputs and the lock entries so far; the working directory."""
    from dvc.repo import Repo

    dvc_transfers.keep_folders_tidy()
    inputs = run.inputs(project)
    entries = run.lock_entries()
    before = Path.cwd()
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
        saved = {key: os.environ.get(key) for key in environment}
        os.environ.update(environment)
        os.chdir(folder)
        try:
            with Repo(str(folder)) as repo:
                yield repo
        finally:
            os.chdir(before)
            for key, value in saved.items():
                os.environ.pop(key) if value is None else os.environ.update({key: value})


def _stage_environment(inputs: dict[str, str]) -> dict[str, str]:
    """What the stage's command must know, in absolute addresses: its working directory is the workspace."""
    return {
        "PAGEFLIP_HOME": str(settings.home()),
        "PAGEFLIP_STORE": settings.store_url(),
        "PAGEFLIP_GIT_REVISION": inputs["git_revision"],
        "MLFLOW_TRACKING_URI": settings.tracking_uri(),
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")]),
        "PYTHONUNBUFFERED": "1",
    }


def _write_dvc_config(folder: Path, project: Path) -> None:
    """A DVC configuration without git, with the project's default remote (or PAGEFLIP_REMOTE) and its cache."""
    from dvc.config import Config

    (folder / ".dvc").mkdir()
    theirs = Config(str(project / ".dvc"), validate=True)
    name = theirs["core"].get("remote", "store")
    remote = dict(theirs["remote"].get(name, {}))
    given = os.environ.get("PAGEFLIP_REMOTE")
    if given:
        # the project's options (credentials, an end point) hold for an address of the same kind only
        same_kind = urlsplit(given).scheme == urlsplit(str(remote.get("url", ""))).scheme
        remote = (remote if same_kind else {}) | {"url": given}
    if urlsplit(str(remote.get("url", ""))).scheme == "s3":
        remote = S3_TIMEOUTS | remote  # the client would wait a minute for a connection, several times over
    if not remote.get("url"):
        raise ConfigError("no DVC remote is configured", "set PAGEFLIP_REMOTE, or `dvc remote add --default NAME URL`.")
    ours = Config(str(folder / ".dvc"), validate=False)
    with ours.edit("repo") as config:
        config["core"] = {
            "no_scm": True,
            "analytics": False,
            "remote": "store",
            "site_cache_dir": str(folder / ".dvc" / "site"),
        }
        config["cache"] = {"dir": _cache_folder(theirs), "type": ["reflink", "hardlink", "symlink", "copy"]}
        config["remote"] = {"store": remote}


def _cache_folder(theirs: Any) -> str:
    """The machine's own DVC cache: the one of the project, so that a laptop's `dvc repro` and its runs share it."""
    return os.environ.get("PAGEFLIP_CACHE") or theirs.get("cache", {}).get("dir") or str(settings.home() / "cache")


def find_stage(repo: "Repo", name: str) -> "PipelineStage":
    for stage in repo.index.stages:
        if stage.addressing == name:
            return stage
    known = sorted(stage.addressing for stage in repo.index.stages if stage.cmd)
    raise ConfigError(f"dvc.yaml has no stage {name!r}", f"use one of {', '.join(known)}.")
