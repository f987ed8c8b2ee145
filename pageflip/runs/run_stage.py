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
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import yaml

from pageflip.base import settings
from pageflip.base.console import OUTCOME_VARIABLE, prepare_outcome, read_outcome
from pageflip.base.errors import ConfigError, DataError, PageflipError, UnavailableError
from pageflip.runs import dvc_transfers
from pageflip.runs.run_cache import fetch_run_cache, push_run_cache
from pageflip.runs.run_store import RunStore
from pageflip.runs.workspace import find_stage, open_workspace

if TYPE_CHECKING:
    from dvc.repo import Repo
    from dvc.stage import PipelineStage

KEPT_ON_FAILURE = "reports/"
REMEDY = "check the remote's address and credentials, the network and the server, then run the stage again."


@dataclass(frozen=True)
class Outcome:
    """How a stage ended well: `ran` tells whether its command was run, or its outputs were restored."""

    ran: bool
    seconds: float


def run_stage(stage: str, run: RunStore, project: Path) -> Outcome:
    """Run (or restore) one stage of a run and leave its lock entry.

    Raises:
        ConfigError: there is no such stage, or an upstream stage has not run.
        PageflipError: the stage's command failed; the exit code is the command's.
        UnavailableError: a disk is full, or the DVC remote does not answer.
    """
    import time

    started = time.monotonic()
    with open_workspace(run, project) as repo:
        node = find_stage(repo, stage)
        _pull_dependencies(repo, node, run)
        with dvc_transfers.explained(repo, f"earlier results of {stage} cannot be fetched from the DVC remote", REMEDY):
            fetch_run_cache(repo, node)
        ran, heard = _reproduce(repo, node, run)
        if not ran and not _still_there(repo, node):
            print(f"{stage}: what it left outside DVC is gone; running it again", flush=True)
            ran, heard = _reproduce(repo, node, run, force=True)
        _push(repo, stage, heard)
        lock = yaml.safe_load(Path("dvc.lock").read_text(encoding="utf-8"))
        run.leave_lock_entry(stage, lock["stages"][stage])
    return Outcome(ran, time.monotonic() - started)


def fetch_outputs(run_id: str, paths: list[str], dest: Path, store: str | None = None) -> None:
    """Copy outputs of a run's stages (files or folders, as in dvc.yaml or below it) from the DVC remote to `dest`.

    Raises:
        DataError: the run has no such output.
    """
    run = RunStore(store or settings.store_url(), run_id)
    with open_workspace(run, settings.project_root()) as repo:
        from dvc.exceptions import DvcException

        try:
            repo.pull(targets=paths)
        except DvcException as error:
            raise DataError(f"run {run_id} has no output {', '.join(paths)}: {error}", "see the run's log.") from None
        for path in paths:
            target = dest / path
            target.parent.mkdir(parents=True, exist_ok=True)
            if Path(path).is_dir():
                shutil.copytree(path, target, dirs_exist_ok=True)
            else:
                target.unlink(missing_ok=True)  # an earlier copy may be read-only
                shutil.copy(path, target)


def _pull_dependencies(repo: "Repo", stage: "PipelineStage", run: RunStore) -> None:
    """Fetch the outputs of other stages (and the raw data) that the stage depends on.

    Raises:
        ConfigError: an upstream stage has left no lock entry in this run.
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
    with dvc_transfers.explained(
        repo,
        f"{', '.join(targets)} cannot be pulled from the DVC remote",
        "push the data (`dvc push`), or check the remote's address and credentials.",
    ):
        repo.pull(targets=targets)


def _overlap(one: Path, two: Path) -> bool:
    return one == two or one in two.parents or two in one.parents


def _push(repo: "Repo", stage: str, before: dvc_transfers.Heard) -> None:
    """Bring the stage's outputs to the remote, all of them, and then what restores them in another run.

    Raises:
        UnavailableError: they could not be brought there, or into the cache before: of that DVC only warns.
    """
    what = f"the outputs of {stage} cannot be pushed to the DVC remote"
    with dvc_transfers.explained(repo, what, REMEDY, before) as heard:
        repo.push(targets=[stage])
        if heard.missing:
            raise OSError("they are not whole in the cache")
        push_run_cache(repo, stage)


def _reproduce(
    repo: "Repo", stage: "PipelineStage", run: RunStore, *, force: bool = False
) -> tuple[bool, dvc_transfers.Heard]:
    """Run or restore the stage; say whether its command ran, and what DVC warned of.

    Raises:
        PageflipError: the command failed, with its exit code.
        UnavailableError: DVC could not restore or keep its outputs.
    """
    from dvc.exceptions import DvcException

    outcome = Path(".outcome").absolute()
    prepare_outcome(outcome)
    os.environ[OUTCOME_VARIABLE] = str(outcome)
    try:
        with dvc_transfers.listening() as heard:
            repo.reproduce(targets=[stage.addressing], single_item=True, pull=True, force=force)
    except (DvcException, OSError) as error:
        dvc_transfers.drop_half_written(repo, heard)
        code = read_outcome(outcome)
        # without an outcome the command was killed; after a good one DVC failed to keep the results: a retry may help
        cause = None if code else dvc_transfers.explanation(repo, error, heard)
        kept = _keep_reports(run, stage.addressing)
        if cause is not None:
            raise UnavailableError(f"stage {stage.addressing} failed{kept}: {cause.message}", cause.remedy) from error
        if not isinstance(error, DvcException):
            raise
        failure = PageflipError(f"stage {stage.addressing} failed{kept}", "the reason stands above.")
        failure.exit_code = code or 1
        raise failure from error
    finally:
        os.environ.pop(OUTCOME_VARIABLE)
    dvc_transfers.drop_half_written(repo, heard)
    return read_outcome(outcome) is not None, heard


def _keep_reports(run: RunStore, stage: str) -> str:
    """Keep the reports of a failed stage, if it wrote any; say where, or why not."""
    if not Path(KEPT_ON_FAILURE).is_dir():
        return ""
    try:
        return f"; its reports are kept at {run.keep_failed(stage, Path(KEPT_ON_FAILURE))}"
    except UnavailableError as error:
        return f"; its reports are lost ({error.message})"


def _still_there(repo: "Repo", stage: "PipelineStage") -> bool:
    """Ask the stage's `meta.verify` command whether what the stage left outside DVC is still there."""
    import subprocess

    command = (stage.meta or {}).get("verify")
    return command is None or subprocess.run(command, shell=True, check=False).returncode == 0
