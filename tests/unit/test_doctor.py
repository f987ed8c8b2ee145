"""The doctor's lines on models."""

import shutil

import pytest

from pageflip import day_zero, doctor, registry
from pageflip.errors import DataError


@pytest.fixture
def project(models_home, params_file, monkeypatch):
    monkeypatch.chdir(params_file.parent)


def test_the_model_that_is_there_before_any_labels_is_named():
    finding = doctor._day_zero()
    assert finding.ok
    assert finding.value.startswith(day_zero.load_day_zero().version)


def test_a_model_that_was_changed_is_told(tmp_path, monkeypatch):
    shutil.copytree(day_zero.FOLDER, tmp_path / "weights")
    (tmp_path / "weights" / day_zero.WEIGHTS_FILE).write_bytes(b"other")
    monkeypatch.setattr(day_zero.checked_file, "__defaults__", (tmp_path / "weights",))
    finding = doctor._guarded("day-zero", doctor._day_zero)
    assert finding.ok is False
    assert "its card names" in finding.value
    with pytest.raises(DataError, match="has the SHA-256"):
        doctor._day_zero()


def test_without_a_champion_it_says_what_stands_in(project):
    finding = doctor._mlflow()
    assert finding.ok is None
    assert "no champion yet, day-zero stands in" in finding.value
    registry.promote_version("pageflip", "2", why="test")
    finding = doctor._mlflow()
    assert (finding.ok, "champion of pageflip is version 2" in finding.value) == (True, True)
