"""Batches for training: the same from wherever they come."""

import numpy as np
import pytest
import torch

from pageflip.params.all import load_params
from pageflip.training import batches, loop
from pageflip.training.batches import (
    DevicePrefetcher,
    DeviceRows,
    EpochShuffle,
    TrainingData,
    fits_on_device,
    make_loader,
)
from pageflip.training.loop import train_network
from pageflip.training.recipe import TrainingRecipe

CPU = torch.device("cpu")


@pytest.fixture
def frames():
    return np.random.default_rng(0).integers(0, 255, (24, 56, 32, 3), dtype=np.uint8)


def loaded(frames, part, *, resident, epoch=0, device=CPU):
    sampler = EpochShuffle(len(part[0]), seed=3)
    sampler.set_epoch(epoch)
    return list(make_loader(frames, part, batch_size=4, device=device, resident=resident, sampler=sampler))


def equal(one, two):
    return len(one) == len(two) and all(
        torch.equal(first, second) for pair in zip(one, two, strict=True) for first, second in zip(*pair, strict=True)
    )


def test_frames_that_stay_on_the_device_come_in_the_same_batches_bit_for_bit(frames, monkeypatch):
    monkeypatch.setattr(batches, "CHUNK", 4)
    part = np.array([20, 3, 4, 9, 0, 23, 11, 15, 6]), np.linspace(0, 1, 9)
    for epoch in (0, 1):
        from_map, from_device = (loaded(frames, part, resident=resident, epoch=epoch) for resident in (False, True))
        assert equal(from_map, from_device)
        assert [len(targets) for _, targets in from_map] == [4, 4, 1]
    assert not equal(from_map, loaded(frames, part, resident=False))


def test_a_training_ends_the_same_whether_frames_stay_on_the_device_or_not(frames, params_file, tmp_path, monkeypatch):
    params = load_params(params_file).train
    part = np.arange(24), (np.arange(24) % 2).astype(np.uint8)

    def run(folder):
        fit = params.fit.model_copy(update={"epochs": 2, "batch_size": 8, "accelerator": "cpu"})
        recipe = TrainingRecipe("cnn", {"channels": (4, 8), "dropout": 0.2}, fit, params.augment, seed=1)
        data, checkpoints = TrainingData(frames, part, part), str(tmp_path / folder)
        network, history = train_network(data, recipe, checkpoints=checkpoints, on_epoch=lambda record: None)
        return network.state_dict(), history

    state, history = run("map")
    copies = []
    monkeypatch.setattr(loop, "fits_on_device", lambda *_: True)
    monkeypatch.setattr(batches, "DeviceRows", lambda *arguments: copies.append(DeviceRows(*arguments)) or copies[-1])
    again, same = run("device")
    assert len(copies) == 2
    assert history == same
    assert all(torch.equal(tensor, again[name]) for name, tensor in state.items())


def test_nothing_stays_on_a_cpu_as_on_a_device(frames):
    assert not fits_on_device(frames, 24, 0.9, CPU)


def test_frames_stay_on_a_gpu_within_their_share_of_its_free_memory(frames, monkeypatch):
    size = frames.nbytes
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (2 * size, 100 * size))
    gpu = torch.device("cuda", 0)
    assert fits_on_device(frames, 24, 0.5, gpu)
    assert not fits_on_device(frames, 24, 0.49, gpu)
    assert not fits_on_device(frames, 1, 0, gpu)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="CUDA finds no GPU")
def test_batches_that_are_prefetched_to_a_gpu_are_the_same(frames):
    gpu = torch.device("cuda", 0)
    part = np.arange(24), np.linspace(0, 1, 24)
    assert isinstance(make_loader(frames, part, batch_size=4, device=gpu, resident=False), DevicePrefetcher)
    ahead, resident = (loaded(frames, part, resident=resident, device=gpu) for resident in (False, True))
    assert equal(ahead, resident)
    assert equal([(one.cpu(), two.cpu()) for one, two in ahead], loaded(frames, part, resident=False))
