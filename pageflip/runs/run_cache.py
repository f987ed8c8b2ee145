"""DVC's run cache of a single stage: fetch and push earlier results for the stage's present inputs.

DVC's own calls transfer all that the run cache has ever held.
"""

import os
from contextlib import suppress
from typing import TYPE_CHECKING

from pageflip.runs.workspace import find_stage

if TYPE_CHECKING:
    from dvc.repo import Repo
    from dvc.stage import PipelineStage


def fetch_run_cache(repo: "Repo", stage: "PipelineStage") -> None:
    """Fetch earlier results of the stage for its present inputs from the remote."""
    _copy_run_cache(repo, stage, to_remote=False)


def push_run_cache(repo: "Repo", stage: str) -> None:
    """Push the results of the stage for its present inputs to the remote."""
    _copy_run_cache(repo, find_stage(repo, stage), to_remote=True)


def _run_cache_folder(stage: "PipelineStage") -> str | None:
    """Return the folder of the stage's results, relative to a cache or remote; None if DVC does not cache its runs."""
    from dvc.stage.cache import _can_hash, _get_stage_hash

    stage.save_deps()
    if not _can_hash(stage):
        return None
    key = _get_stage_hash(stage)
    return f"runs/{key[:2]}/{key}"


def _copy_run_cache(repo: "Repo", stage: "PipelineStage", *, to_remote: bool) -> None:
    folder = _run_cache_folder(stage)
    if folder is None:
        return
    remote = repo.cloud.get_remote_odb(None, "run-cache", hash_name="md5-dos2unix")
    local = repo.cache.legacy
    source, target = (local, remote) if to_remote else (remote, local)
    top = source.fs.join(source.path, folder)
    if not source.fs.exists(top):
        return
    for path in source.fs.find(top):
        if "." in source.fs.name(path):  # the temporary file of a killed push
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
