"""Distillation of a teacher's feature maps and probabilities."""

import numpy as np
import pytest
import torch

from pageflip.networks.build import build_network
from pageflip.networks.predict import predict_logits
from pageflip.params.all import load_params
from pageflip.params.day_zero import Imitation
from pageflip.training.distillation import distil, run_teacher


@pytest.fixture
def frames():
    return np.random.default_rng(0).integers(0, 255, (16, 56, 32, 3), dtype=np.uint8)


@pytest.fixture
def plan(params_file):
    section = load_params(params_file).day_zero.compact.imitation
    return section.model_copy(update={"epochs": 25, "batch_size": 4})


def make(channels, seed):
    torch.manual_seed(seed)
    return build_network("cnn", {"channels": channels, "dropout": 0.0})


def learn(frames, plan: Imitation, seed=0):
    teacher = make((4, 8, 8), 1).eval()
    with torch.no_grad():
        teacher.head[1].weight.mul_(20)
    outputs = run_teacher(teacher, frames, np.arange(2, 16))
    student, records = make((8, 16), 2), []
    distil(student, frames, outputs, plan, seed=seed, on_epoch=records.append)
    return teacher, outputs, student, records


def test_a_teacher_predicts_each_frame_and_its_mirror_image(frames, plan):
    teacher, outputs, _, _ = learn(frames, plan.model_copy(update={"epochs": 1}))
    rows = np.arange(2, 16)
    assert outputs.maps.shape[:3] == (2, 14, 8)
    assert outputs.logits[0] == pytest.approx(predict_logits(teacher, frames, rows), abs=1e-4)
    assert outputs.logits[1] == pytest.approx(predict_logits(teacher, frames[:, :, ::-1], rows), abs=1e-4)


def test_distillation_brings_the_student_close_to_the_teachers_logits(frames, plan):
    _, outputs, student, records = learn(frames, plan)
    assert records[-1]["loss"] < 0.8 * records[0]["loss"]
    logits = predict_logits(student, frames, outputs.rows)
    assert np.corrcoef(logits, outputs.logits[0])[0, 1] > 0.5


def test_the_seed_fixes_what_is_learnt(frames, plan):
    short = plan.model_copy(update={"epochs": 2})
    one, same, other = (learn(frames, short, seed)[2].state_dict() for seed in (3, 3, 4))
    assert all(torch.equal(tensor, same[name]) for name, tensor in one.items())
    assert not all(torch.equal(tensor, other[name]) for name, tensor in one.items())
