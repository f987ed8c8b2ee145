"""What the main job does about data/raw, on a real DVC repository without git."""

from collections.abc import Callable
from pathlib import Path

import pytest

from pageflip.base.provenance import data_version
from pageflip.local_stack.config import Places
from pageflip.runs.main_job import make_frames


@pytest.fixture
def where(tmp_path: Path) -> Places:
    from dvc.repo import Repo

    with Repo.init(str(tmp_path), no_scm=True) as repo, repo.config.edit() as config:
        config["remote"]["store"] = {"url": str(tmp_path / "remote")}
        config["core"]["remote"] = "store"
    (tmp_path / "data" / "raw").mkdir(parents=True)
    (tmp_path / "data" / "raw" / "frame").write_text("1", encoding="utf-8")
    return Places(tmp_path, tmp_path / "home")


@pytest.fixture
def make(where: Places) -> Callable[[], str]:
    """Make the frames and return what was reported."""

    def call() -> str:
        lines: list[str] = []
        make_frames(where, lines.append)
        return "\n".join(lines)

    return call


def test_frames_are_tracked_once_and_again_when_they_change(where, make):
    reported = make()
    first = data_version(where.project)
    assert f"now tracked as data version {first}" in reported
    assert f"already, of data version {first}" in make()
    (where.project / "data" / "raw" / "frame").write_text("changed", encoding="utf-8")
    reported = make()
    second = data_version(where.project)
    assert second != first
    assert f"have changed: they are now tracked as data version {second}" in reported


def test_frames_that_are_not_here_come_from_the_remote(where, make):
    make()
    (where.project / "data" / "raw" / "frame").unlink()
    (where.project / "data" / "raw").rmdir()
    assert f"version {data_version(where.project)} come from the DVC remote" in make()
