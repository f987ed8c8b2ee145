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
from contextlib import suppress
from typing import TYPE_CHECKING

from pageflip.runs.workspace import find_stage

if TYPE_CHECKING:
    from dvc.repo import Repo
    from dvc.stage import PipelineStage


def _run_cache_folder(repo: "Repo", stage: "PipelineStage") -> str | None:
    """Where the run cache keeps earlier results of the stage with these inputs, relative to a cache or remote."""
    from dvc.stage.cache import _can_hash, _get_stage_hash

    stage.save_deps()
    if not _can_hash(stage):
        return None
    key = _get_stage_hash(stage)
    return f"runs/{key[:2]}/{key}"


def fetch_run_cache(repo: "Repo", stage: "PipelineStage") -> None:
    """Fetch from the remote what this stage gave for these inputs before; DVC's own call fetches all there ever was."""
    _copy_run_cache(repo, stage, to_remote=False)


def push_run_cache(repo: "Repo", stage: str) -> None:
    _copy_run_cache(repo, find_stage(repo, stage), to_remote=True)


def _copy_run_cache(repo: "Repo", stage: "PipelineStage", *, to_remote: bool) -> None:
    folder = _run_cache_folder(repo, stage)
    if folder is None:
        return
    remote = repo.cloud.get_remote_odb(None, "run-cache", hash_name="md5-dos2unix")
    local = repo.cache.legacy
    source, target = (local, remote) if to_remote else (remote, local)
    top = source.fs.join(source.path, folder)
    if not source.fs.exists(top):
        return
    for path in source.fs.find(top):
        if "." in source.fs.name(path):  # what a killed push was writing
            continue
        destination = target.fs.join(target.path, folder, source.fs.name(path))
        if not target.fs.exists(destination):
            target.fs.makedirs(target.fs.parent(destination), exist_ok=True)
            with source.fs.open(path, "rb") as file:
                content = file.read()
            temporary = f"{destination}.{os.getpid()}"
            try:
                target.fs.pipe_file(temporary, content)
                target.fs.move(temporary, destination)
            except BaseException:
                with suppress(Exception):
                    target.fs.remove(temporary)
                raise
