"""The doctor's lines on models."""

import shutil
from functools import partial

import pytest
import torch

from pageflip.base.errors import ConfigError
from pageflip.cli import doctor
from pageflip.inference import cards, day_zero
from pageflip.registry import promotion


@pytest.fixture
def project(models_home, params_file, monkeypatch):
    monkeypatch.chdir(params_file.parent)


def test_the_model_that_is_there_before_any_labels_is_named():
    finding = doctor._check_day_zero(cards.PRETRAINED)
    assert finding.ok
    assert finding.value.startswith(day_zero.load_day_zero(cards.PRETRAINED).version)


def test_a_model_that_was_changed_is_reported(tmp_path):
    folder = shutil.copytree(cards.PRETRAINED, tmp_path / "weights")
    (folder / cards.WEIGHTS_FILE).write_bytes(b"other")
    finding = doctor._guard("day-zero", partial(doctor._check_day_zero, folder))
    assert finding.ok is False
    assert "its card names" in finding.value


def test_without_a_champion_it_says_what_stands_in(project):
    finding = doctor._check_mlflow()
    assert finding.ok is None
    assert "no champion yet, day-zero stands in" in finding.value
    promotion.promote_version("pageflip", "2", why="test")
    finding = doctor._check_mlflow()
    assert (finding.ok, "champion of pageflip is version 2" in finding.value) == (True, True)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_a_probe_of_cuda_on_a_machine_without_fails_for_good_and_says_so():
    with pytest.raises(ConfigError, match="there is no GPU here that CUDA") as caught:
        doctor.probe_cuda()
    assert caught.value.exit_code == 78
    assert "PAGEFLIP_TASK_GPU=off" in caught.value.remedy


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_probe_of_cuda_computes_and_names_the_gpu():
    assert torch.cuda.get_device_name(0) in doctor.probe_cuda()
