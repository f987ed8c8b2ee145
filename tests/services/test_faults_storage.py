"""A stage whose disk is full, or whose S3 server goes away: what it says, what it leaves, and that it goes on.

The disks are small ones in memory, which only root may mount.
"""

import hashlib
import json
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from shutil import copytree

import pytest
import torch

from pageflip.base import storage
from pageflip.base.errors import EXIT_UNAVAILABLE, UnavailableError
from pageflip.training.checkpoints import StoredCheckpoints
from pipeline.conftest import call, environment, make_project
from services.conftest import BUCKET, KEY, SECRET, SeaweedFS

Moment = Callable[[dict[str, str], Path], bool]
COMMAND = ("python", "-m", "tasks.run_stage", "prepare", "--run", "one")
PAGE = 4096
DISK_BYTES = 64 << 20
ROOM = 700_000  # less than the pack of the frames, more than all else that the stage writes
DOWN_S = 30
OUTAGE_S = 300

pytestmark = pytest.mark.timeout(1800)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project whose frames stand in its remote, and in which no stage has run."""
    return make_project(tmp_path_factory.mktemp("faults") / "project")


@pytest.fixture(scope="module")
def expected(project: Path, tmp_path_factory: pytest.TempPathFactory) -> list[dict]:
    """What the stage gives when nothing disturbs it."""
    places = _places(project, tmp_path_factory.mktemp("undisturbed"))
    call(project, *COMMAND, **places)
    return _outs(places["PAGEFLIP_STORE"])


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A small disk."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs", str(folder)]
    done = subprocess.run(mount, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        pytest.skip(f"no disk can be mounted here: {done.stderr.strip()}")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def _places(project: Path, folder: Path) -> dict[str, str]:
    """A remote of its own with the frames in it, and an empty store, cache and workspace."""
    copytree(project / ".pageflip" / "remote", folder / "remote")
    return {name: str(folder / name.removeprefix("PAGEFLIP_").lower()) for name in PLACES}


PLACES = ("PAGEFLIP_REMOTE", "PAGEFLIP_STORE", "PAGEFLIP_CACHE", "PAGEFLIP_HOME")


def _outs(store: str) -> list[dict]:
    return json.loads(storage.read_bytes(storage.join(store, "one/lock/prepare.json")))["outs"]


def _fill(disk: Path, left: int) -> Path:
    """A file that takes all room of the disk but `left` bytes."""
    ballast, state = disk / "ballast", os.statvfs(disk)
    with ballast.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, state.f_bavail * state.f_frsize - left)
    return ballast


def _code_bytes(project: Path) -> int:
    """The room that the code takes in a workspace."""
    files = [file for name in ("pageflip", "tasks") for file in (project / name).rglob("*") if file.is_file()]
    return sum(-(-file.stat().st_size // PAGE) * PAGE for file in files if "__pycache__" not in file.parts)


def _require_whole_objects(folder: Path) -> None:
    """All that stands in a DVC cache or remote is what its name says; nothing temporary is left."""
    for file in (file for file in folder.rglob("*") if file.is_file()):
        parts = file.relative_to(folder).parts
        if parts[0] == "files":
            name = parts[2] + parts[3].removesuffix(".dir")
            assert hashlib.md5(file.read_bytes()).hexdigest() == name, f"{file} is not whole"
        else:
            assert parts[0] == "runs"
            assert "." not in file.name


def _require_clear(error: str, *words: str) -> None:
    assert "Traceback" not in error
    assert "What to do:" in error
    for word in words:
        assert word in error


@pytest.mark.parametrize("place", PLACES)
def test_a_stage_whose_disk_is_full_names_it_and_goes_on_when_there_is_room(
    project: Path, expected: list[dict], disk: Path, tmp_path: Path, place: str
) -> None:
    places = _places(project, tmp_path)
    full = disk / "full"
    full.mkdir()
    if place == "PAGEFLIP_REMOTE":
        copytree(places[place], full, dirs_exist_ok=True)
    places[place] = str(full)
    room = {"PAGEFLIP_STORE": 0, "PAGEFLIP_HOME": _code_bytes(project) + ROOM}
    ballast = _fill(disk, room.get(place, ROOM))
    error = call(project, *COMMAND, expect=EXIT_UNAVAILABLE, **places).stderr
    _require_clear(error, f"the disk of {full}", "is full", "free some space")
    for name in ("PAGEFLIP_REMOTE", "PAGEFLIP_CACHE"):
        _require_whole_objects(Path(places[name]))
    assert not [file.name for file in storage.list_files(places["PAGEFLIP_STORE"]) if "/lock/" in file.name]
    assert not list(Path(places["PAGEFLIP_STORE"]).rglob(f"{storage.TEMPORARY}*"))
    assert not list(Path(places["PAGEFLIP_HOME"]).glob("work/*"))
    ballast.unlink()
    call(project, *COMMAND, **places)
    assert _outs(places["PAGEFLIP_STORE"]) == expected


def test_a_checkpoint_that_finds_no_room_leaves_the_last_one(disk: Path) -> None:
    path, checkpoints = str(disk / "checkpoints" / "last.ckpt"), StoredCheckpoints()
    checkpoints.save_checkpoint({"epoch": 1, "weights": torch.zeros(1000)}, path)
    _fill(disk, 100_000)
    with pytest.raises(UnavailableError, match=r"the disk of .* is full"):
        checkpoints.save_checkpoint({"epoch": 2, "weights": torch.zeros(100_000)}, path)
    assert checkpoints.load_checkpoint(path)["epoch"] == 1
    assert [file.name for file in (disk / "checkpoints").iterdir()] == ["last.ckpt"]


def _on_s3(project: Path, endpoint: str, folder: Path, prefix: str) -> dict[str, str]:
    return {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ACCESS_KEY_ID": KEY,
        "AWS_SECRET_ACCESS_KEY": SECRET,
        "AWS_DEFAULT_REGION": "us-east-1",
        "PAGEFLIP_REMOTE": f"s3://{BUCKET}/{prefix}/remote",
        "PAGEFLIP_STORE": f"s3://{BUCKET}/{prefix}/runs",
        "PAGEFLIP_CACHE": str(folder / "cache"),
    }


def _copy(source: str, target: str) -> None:
    for file in storage.list_files(source):
        storage.write_bytes(storage.join(target, file.name), storage.read_bytes(file.url))


def _some_frames_came(variables: dict[str, str], log: Path) -> bool:
    files = Path(variables["PAGEFLIP_CACHE"]).glob("files/md5/*/*")
    return sum(1 for file in files if not file.name.startswith(".")) > 4


def _frames_are_packed(variables: dict[str, str], log: Path) -> bool:
    return "frames of" in log.read_text()


def _run_through_an_outage(
    project: Path, variables: dict[str, str], server: SeaweedFS, moment: Moment, log: Path
) -> int:
    """Run the stage, with the server gone for DOWN_S seconds from the moment on; its exit code."""
    with log.open("wb") as output:
        env = {**environment(), **variables}
        stage = subprocess.Popen(COMMAND, cwd=project, env=env, stdout=output, stderr=output)
    try:
        while not moment(variables, log):
            assert stage.poll() is None, log.read_text()
            time.sleep(0.005)
        server.kill()
        time.sleep(DOWN_S)
        server.start()
        return stage.wait(OUTAGE_S)
    finally:
        stage.kill()


@pytest.mark.usefixtures("s3_server")
@pytest.mark.parametrize("moment", [_some_frames_came, _frames_are_packed])
def test_a_stage_outlives_an_s3_server_that_is_gone_for_a_while(
    project: Path,
    expected: list[dict],
    seaweedfs: SeaweedFS,
    tmp_path: Path,
    moment: Moment,
) -> None:
    variables = _on_s3(project, seaweedfs.endpoint, tmp_path, moment.__name__)
    _copy(str(project / ".pageflip" / "remote"), variables["PAGEFLIP_REMOTE"])
    log = tmp_path / "log"
    code = _run_through_an_outage(project, variables, seaweedfs, moment, log)
    _require_whole_objects(tmp_path / "cache")
    if code != 0:
        assert code == EXIT_UNAVAILABLE, log.read_text()
        _require_clear(log.read_text(), seaweedfs.endpoint)
        assert not storage.exists(storage.join(variables["PAGEFLIP_STORE"], "one/lock/prepare.json"))
        call(project, *COMMAND, **variables)
    assert _outs(variables["PAGEFLIP_STORE"]) == expected
    _copy(variables["PAGEFLIP_REMOTE"], str(tmp_path / "remote"))
    _require_whole_objects(tmp_path / "remote")


@pytest.mark.parametrize("place", ["PAGEFLIP_STORE", "PAGEFLIP_REMOTE"])
def test_an_s3_server_that_is_gone_for_good_is_named(project: Path, tmp_path: Path, place: str) -> None:
    variables = _on_s3(project, "http://127.0.0.1:9", tmp_path, "x")  # the port of `discard`, which nobody serves
    other = ({"PAGEFLIP_STORE", "PAGEFLIP_REMOTE"} - {place}).pop()
    variables[other] = str(tmp_path / "folder") if other == "PAGEFLIP_STORE" else str(project / ".pageflip/remote")
    error = call(project, *COMMAND, expect=EXIT_UNAVAILABLE, **variables).stderr
    _require_clear(error, "http://127.0.0.1:9", variables[place] if place == "PAGEFLIP_STORE" else "DVC remote")
