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

import json
import os
import re
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import yaml

from pageflip.base import settings, storage
from pageflip.base.console import OUTCOME_VARIABLE, prepare_outcome, read_outcome
from pageflip.base.errors import ConfigError, DataError, PageflipError, UnavailableError
from pageflip.base.files import temporary_folder
from pageflip.base.provenance import git_revision
from pageflip.params.all import Params
from pageflip.params.load import parse, read_yaml
from pageflip.runs import dvc_transfers
from pageflip.runs.data_versions import find_version

if TYPE_CHECKING:
    from dvc.repo import Repo
    from dvc.stage import PipelineStage

CODE = ("pageflip", "tasks")
RUN_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._=-]{0,199}")
KEPT_ON_FAILURE = "reports/"
REMEDY = "check the remote's address and credentials, the network and the server, then run the stage again."
S3_TIMEOUTS = {name: storage.S3_CONFIG[name] for name in ("connect_timeout", "read_timeout")}


@dataclass(frozen=True)
class Outcome:
    """How a stage ended well: `ran` tells whether its command was run, or its outputs were restored."""

    ran: bool
    seconds: float


@dataclass(frozen=True)
class Wishes:
    """What a run is to do otherwise than the project as it stands.

    Attributes:
        settings: KEY=VALUE with a dotted key of params.yaml and a value in YAML.
        data_version: the hash of a published version of the raw frames, or `published` for the newest of them.
    """

    settings: tuple[str, ...] = ()
    data_version: str | None = None


class RunStore:
    """The few KB that the stages of one run share, at a folder or s3:// address."""

    def __init__(self, url: str, run_id: str, wishes: Wishes = Wishes()) -> None:
        if not RUN_NAME.fullmatch(run_id):
            raise ConfigError(
                f"the run id {run_id!r} is not a plain name",
                "use letters, digits, dots, dashes, underscores and equal signs, 200 at most.",
            )
        self.url = storage.join(url, run_id)
        self._store = url
        self._wishes = wishes

    def inputs(self, project: Path) -> dict[str, str]:
        """What the run was started with; the first stage that asks fixes it for all.

        Raises:
            ConfigError: there is no (such) data version, or a wish does not fit params.yaml.
        """
        address = storage.join(self.url, "inputs.json")
        if not storage.exists(address):
            content = json.dumps(_current_inputs(project, self._store, self._wishes), indent=2) + "\n"
            storage.create_bytes(address, content.encode())  # another stage's may win: read back what stands
        return json.loads(storage.read_bytes(address))

    def lock_entries(self) -> dict[str, Any]:
        """The entries of dvc.lock that the stages of the run have left, by stage name."""
        files = storage.list_files(storage.join(self.url, "lock"))
        contents = storage.read_many(file.url for file in files)
        return {
            file.name.removesuffix(".json"): json.loads(content) for file, content in zip(files, contents, strict=True)
        }

    def leave_lock_entry(self, stage: str, entry: dict[str, Any]) -> None:
        """Leave a stage's own entry."""
        content = json.dumps(entry, indent=2) + "\n"
        storage.write_bytes(storage.join(self.url, "lock", f"{stage}.json"), content.encode())

    def keep_failed(self, stage: str, folder: Path) -> str:
        """Keep the files below `folder` of a failed stage; return their address."""
        address = storage.join(self.url, "failed", stage)
        for file in sorted(path for path in folder.rglob("*") if path.is_file()):
            storage.write_bytes(storage.join(address, file.relative_to(folder).as_posix()), file.read_bytes())
        return address


def _current_inputs(project: Path, store: str, wishes: Wishes) -> dict[str, str]:
    return {
        "params": _params_text(project / "params.yaml", wishes.settings),
        "raw_dvc": find_version(project, store, wishes.data_version),
        "git_revision": git_revision(),
    }


def _params_text(path: Path, wanted: tuple[str, ...]) -> str:
    """The text of params.yaml with these settings; as it stands where there are none.

    Raises:
        ConfigError: a setting is no KEY=VALUE, its key is unknown or its value impossible.
    """
    if not wanted:
        return path.read_text(encoding="utf-8")
    params = read_yaml(path)
    for setting in wanted:
        key, separator, value = setting.partition("=")
        *parents, last = key.split(".")
        node = params
        for parent in parents:
            node = node.get(parent) if isinstance(node, dict) else None
        if not separator or not isinstance(node, dict) or last not in node:
            raise ConfigError(f"{setting!r} sets no key of {path.name}", "write it as train.seed=8.")
        try:
            node[last] = yaml.safe_load(value)
        except yaml.YAMLError as error:
            raise ConfigError(f"{setting!r} holds no YAML value: {error}", "write it as train.seed=8.") from None
    parse(Params, params, path, "the keys and their ranges stand in pageflip/params/load.py.")
    return yaml.safe_dump(params, sort_keys=False)


def run_stage(stage: str, run: RunStore, project: Path) -> Outcome:
    """Run (or restore) one stage of a run and leave its lock entry.

    Raises:
        ConfigError: there is no such stage, or an upstream stage has not run.
        PageflipError: the stage's command failed; the exit code is the command's.
        UnavailableError: a disk is full, or the DVC remote does not answer.
    """
    import time

    started = time.monotonic()
    with _workspace(run, project) as repo:
        node = _find_stage(repo, stage)
        _pull_dependencies(repo, node, run)
        with dvc_transfers.explained(repo, f"earlier results of {stage} cannot be fetched from the DVC remote", REMEDY):
            _fetch_run_cache(repo, node)
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
    with _workspace(run, settings.project_root()) as repo:
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


@contextmanager
def _workspace(run: RunStore, project: Path) -> Iterator["Repo"]:
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


def _find_stage(repo: "Repo", name: str) -> "PipelineStage":
    for stage in repo.index.stages:
        if stage.addressing == name:
            return stage
    known = sorted(stage.addressing for stage in repo.index.stages if stage.cmd)
    raise ConfigError(f"dvc.yaml has no stage {name!r}", f"use one of {', '.join(known)}.")


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


def _run_cache_folder(repo: "Repo", stage: "PipelineStage") -> str | None:
    """Where the run cache keeps earlier results of the stage with these inputs, relative to a cache or remote."""
    from dvc.stage.cache import _can_hash, _get_stage_hash

    stage.save_deps()
    if not _can_hash(stage):
        return None
    key = _get_stage_hash(stage)
    return f"runs/{key[:2]}/{key}"


def _fetch_run_cache(repo: "Repo", stage: "PipelineStage") -> None:
    """Fetch from the remote what this stage gave for these inputs before; DVC's own call fetches all there ever was."""
    _copy_run_cache(repo, stage, to_remote=False)


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
        _push_run_cache(repo, stage)


def _push_run_cache(repo: "Repo", stage: str) -> None:
    _copy_run_cache(repo, _find_stage(repo, stage), to_remote=True)


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
