"""A small network imitates what a trained one sees."""

import numpy as np
import pytest
import torch

from pageflip.networks.build import build_network
from pageflip.networks.predict import predict_logits
from pageflip.params.all import load_params
from pageflip.params.day_zero import Imitation
from pageflip.training.distillation import imitate, listen


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
    lessons = listen(teacher, frames, np.arange(2, 16))
    student, records = make((8, 16), 2), []
    imitate(student, frames, lessons, plan, seed=seed, on_epoch=records.append)
    return teacher, lessons, student, records


def test_a_lesson_is_what_the_teacher_sees_in_a_frame_and_in_its_mirror_image(frames, plan):
    teacher, lessons, _, _ = learn(frames, plan.model_copy(update={"epochs": 1}))
    rows = np.arange(2, 16)
    assert lessons.maps.shape[:3] == (2, 14, 8)
    assert lessons.logits[0] == pytest.approx(predict_logits(teacher, frames, rows), abs=1e-4)
    assert lessons.logits[1] == pytest.approx(predict_logits(teacher, frames[:, :, ::-1], rows), abs=1e-4)


def test_imitation_brings_the_student_to_the_teachers_opinion(frames, plan):
    _, lessons, student, records = learn(frames, plan)
    assert records[-1]["loss"] < 0.8 * records[0]["loss"]
    said = predict_logits(student, frames, lessons.rows)
    assert np.corrcoef(said, lessons.logits[0])[0, 1] > 0.5


def test_the_seed_fixes_what_is_learnt(frames, plan):
    short = plan.model_copy(update={"epochs": 2})
    one, same, other = (learn(frames, short, seed)[2].state_dict() for seed in (3, 3, 4))
    assert all(torch.equal(tensor, same[name]) for name, tensor in one.items())
    assert not all(torch.equal(tensor, other[name]) for name, tensor in one.items())
