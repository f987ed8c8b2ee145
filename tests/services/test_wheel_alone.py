"""The wheel in a fresh environment with nothing but the base dependencies: it predicts, and it is small."""

import json
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from pageflip.synthetic.ranges import Synthesize
from pageflip.synthetic.samples import make_video
from wheel_factory import ROOT, build_wheel

MOST_HELP_S = 0.4  # of CPU
MOST_MB, FLIPS = 450, 2
Run = Callable[..., str]


@pytest.fixture(scope="module")
def site_packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fresh environment's packages: requirements/base.txt and the wheel."""
    folder = tmp_path_factory.mktemp("base")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder / "venv")], check=True)
    pip = [sys.executable, "-m", "pip", "--python", str(folder / "venv" / "bin" / "python")]
    install = [*pip, "install", "--quiet", "--no-deps", "--disable-pip-version-check"]
    subprocess.run([*install, "--require-hashes", "-r", str(ROOT / "requirements" / "base.txt")], check=True)
    subprocess.run([*install, "--no-index", str(build_wheel(folder))], check=True)
    subprocess.run([*pip, "check"], check=True)
    return next((folder / "venv" / "lib").glob("python*/site-packages"))


@pytest.fixture(scope="module")
def pageflip(site_packages: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Run the installed program in an empty folder and return what it prints."""
    program, folder = site_packages.parents[2] / "bin" / "pageflip", tmp_path_factory.mktemp("anywhere")

    def run(*arguments: object) -> str:
        command = [str(program), *map(str, arguments)]
        done = subprocess.run(
            command, cwd=folder, env={"HOME": str(folder)}, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A drawn video of turned pages."""
    path = tmp_path_factory.mktemp("video") / "book.mp4"
    make_video(path, Synthesize(), book=0, flips=FLIPS)
    return path


def test_the_base_install_is_small(site_packages):
    files = [path for path in site_packages.rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    megabytes = sum(path.stat().st_size for path in files) / 2**20
    print(f"base install: {megabytes:.0f} MB before byte code")
    assert megabytes <= MOST_MB


def test_events_and_stills_of_a_video_are_found(pageflip, video, tmp_path):
    stills = tmp_path / "stills"
    (found,) = json.loads(pageflip("predict", video, "--events", "--stills", stills, "--format", "json"))
    assert len(found["flips"]) == FLIPS
    assert len(found["stills"]) == len(list(stills.rglob("*.jpg"))) > 0


def test_a_picture_is_predicted_with_day_zero(pageflip):
    picture = ROOT / "docs" / "images" / "synthetic-sheet.jpg"
    (row,) = json.loads(pageflip("predict", picture, "--model", "day-zero", "--format", "json"))
    assert row["error"] is None
    assert 0 <= row["probability"] <= 1


def test_help_imports_nothing_heavy(pageflip):
    def cpu_seconds() -> float:
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        return used.ru_utime + used.ru_stime

    seconds = []
    for _ in range(3):
        before = cpu_seconds()
        assert "predict" in pageflip("--help")
        seconds.append(cpu_seconds() - before)
    print(f"pageflip --help: {min(seconds):.2f} s of CPU")
    assert min(seconds) < MOST_HELP_S
