"""What the tests of scoring uploads share."""

from pathlib import Path

import pytest


@pytest.fixture
def drop(tmp_path: Path) -> Path:
    """A folder of uploads, still empty."""
    folder = tmp_path / "uploads"
    folder.mkdir()
    return folder


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """A folder for results, which is not there yet."""
    return tmp_path / "results"
