"""Hermetic run of one stage: a clean workspace, its dependencies from the DVC remote, its outputs back to it.

Only two things travel between the stages of a run: content in the DVC remote, and the entries of the run store
(`pageflip.runs.run_store`). A stage therefore runs on any machine, two simultaneous attempts do no harm, and a stage
with unchanged inputs is restored instead of computed.
"""

import logging
import os
import shutil
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import yaml

from pageflip.base import settings
from pageflip.base.console import prepare_outcome, read_outcome
from pageflip.base.errors import ConfigError, DataError, PageflipError, UnavailableError
from pageflip.runs.dvc_transfers import (
    TransferLogHandler,
    capture_log,
    delete_partial_files,
    explain_failure,
    find_cause,
)
from pageflip.runs.run_cache import fetch_run_cache, push_run_cache
from pageflip.runs.run_store import RunStore
from pageflip.runs.workspace import find_stage, open_workspace

if TYPE_CHECKING:
    from dvc.repo import Repo
    from dvc.stage import PipelineStage

REPORTS = Path("reports")  # saved when a stage fails
REMEDY = "check the remote's address and credentials, the network and the server, then run the stage again."

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class StageResult:
    """Result of a successful stage: whether its command ran or its outputs were restored, and the time it took."""

    computed: bool
    seconds: float


def run_stage(stage: str, run: RunStore, project: Path) -> StageResult:
    """Compute or restore one stage of a run, and write its lock entry.

    Raises:
        ConfigError: there is no such stage, or an upstream stage has not run.
        PageflipError: the stage's command failed; the exit code is the command's.
        UnavailableError: a disk is full, or the DVC remote does not answer.
    """
    start = time.monotonic()
    with open_workspace(run, project) as repo:
        node = find_stage(repo, stage)
        _pull_dependencies(repo, node, run)
        with explain_failure(repo, f"earlier results of {stage} cannot be fetched from the DVC remote", REMEDY):
            fetch_run_cache(repo, node)
        computed, transfer_log = _reproduce(repo, node, run)
        if not computed and not _verify(node):
            log.warning("%s: its results outside DVC are gone; running it again", stage)
            computed, transfer_log = _reproduce(repo, node, run, force=True)
        _push(repo, stage, transfer_log)
        lock = yaml.safe_load(Path("dvc.lock").read_text(encoding="utf-8"))
        run.write_lock_entry(stage, lock["stages"][stage])
    return StageResult(computed, time.monotonic() - start)


def fetch_outputs(run_id: str, paths: list[str], destination: Path, store: str | None = None) -> None:
    """Copy outputs of a run's stages from the DVC remote.

    Args:
        run_id: name of the run.
        paths: files or folders, as in dvc.yaml or below.
        destination: folder to copy to, under the same relative paths.
        store: address of the run store; default PAGEFLIP_STORE.

    Raises:
        DataError: the run has no such output.
    """
    from dvc.exceptions import DvcException

    run = RunStore(store or settings.store_url(), run_id)
    with open_workspace(run, settings.project_root()) as repo:
        try:
            repo.pull(targets=paths)
        except DvcException as error:
            raise DataError(f"run {run_id} has no output {', '.join(paths)}: {error}", "see the run's log.") from None
        for path in paths:
            target = destination / path
            target.parent.mkdir(parents=True, exist_ok=True)
            if Path(path).is_dir():
                shutil.copytree(path, target, dirs_exist_ok=True)
            else:
                target.unlink(missing_ok=True)  # an earlier copy may be read-only
                shutil.copy(path, target)


def _pull_dependencies(repo: "Repo", stage: "PipelineStage", run: RunStore) -> None:
    """Fetch the outputs of other stages (and the raw data) that the stage depends on.

    Raises:
        ConfigError: an upstream stage has no lock entry in this run.
        UnavailableError: the remote lacks what the lock entries name.
    """
    dependencies = [Path(dep.fs_path) for dep in stage.deps]
    targets = []
    for other in repo.index.graph.successors(stage):  # DVC's edges run from a stage to what it needs
        outs = [out for out in other.outs if any(_overlap(Path(out.fs_path), dep) for dep in dependencies)]
        if outs and not all(out.hash_info for out in outs):
            raise ConfigError(
                f"stage {stage.addressing} needs {other.addressing}, which has not run in {run.url}",
                f"run `python -m tasks.run_stage {other.addressing}` of the same run first.",
            )
        targets += [os.path.relpath(out.fs_path) for out in outs]
    if not targets:
        return
    with explain_failure(
        repo,
        f"{', '.join(targets)} cannot be pulled from the DVC remote",
        "push the data (`dvc push`), or check the remote's address and credentials.",
    ):
        repo.pull(targets=targets)


def _overlap(one: Path, two: Path) -> bool:
    return one == two or one in two.parents or two in one.parents


def _push(repo: "Repo", stage: str, earlier: TransferLogHandler) -> None:
    """Push the stage's outputs, and then the run-cache entry that restores them in another run.

    Raises:
        UnavailableError: an output could not be pushed, or is not in the cache, of which DVC only warns.
    """
    problem = f"the outputs of {stage} cannot be pushed to the DVC remote"
    with explain_failure(repo, problem, REMEDY, earlier) as transfer_log:
        repo.push(targets=[stage])
        if transfer_log.missing:
            raise OSError("they are incomplete in the cache")
        push_run_cache(repo, stage)


def _reproduce(
    repo: "Repo", stage: "PipelineStage", run: RunStore, *, force: bool = False
) -> tuple[bool, TransferLogHandler]:
    """Compute or restore the stage; return whether its command ran, and what DVC logged.

    Raises:
        PageflipError: the command failed, with its exit code.
        UnavailableError: DVC could not restore or store its outputs.
    """
    from dvc.exceptions import DvcException

    outcome = Path(".outcome").absolute()
    prepare_outcome(outcome)
    os.environ[settings.OUTCOME_VARIABLE] = str(outcome)
    try:
        with capture_log() as transfer_log:
            repo.reproduce(targets=[stage.addressing], single_item=True, pull=True, force=force)
    except (DvcException, OSError) as error:
        delete_partial_files(repo, transfer_log)
        code = read_outcome(outcome)
        # no outcome: the command was killed; outcome 0: DVC failed to store the results; a retry may help in both cases
        cause = None if code else find_cause(repo, error, transfer_log)
        saved = _save_reports(run, stage.addressing)
        if cause is not None:
            raise UnavailableError(f"stage {stage.addressing} failed{saved}: {cause.message}", cause.remedy) from error
        if not isinstance(error, DvcException):
            raise
        failure = PageflipError(f"stage {stage.addressing} failed{saved}", "see the error above.")
        failure.exit_code = code or 1
        raise failure from error
    finally:
        os.environ.pop(settings.OUTCOME_VARIABLE)
    delete_partial_files(repo, transfer_log)
    return read_outcome(outcome) is not None, transfer_log


def _save_reports(run: RunStore, stage: str) -> str:
    """Save the reports of a failed stage, if it wrote any; return where they are, or why not, for a message."""
    if not REPORTS.is_dir():
        return ""
    try:
        return f"; its reports are kept at {run.save_failed(stage, REPORTS)}"
    except UnavailableError as error:
        return f"; its reports are lost ({error.message})"


def _verify(stage: "PipelineStage") -> bool:
    """Return whether the stage's results outside DVC are in place, by its `meta.verify` command; True without one."""
    command = (stage.meta or {}).get("verify")
    return command is None or subprocess.run(command, shell=True, check=False).returncode == 0
