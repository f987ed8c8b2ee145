"""The training loop: what its parameters do, and that a run is the same however often it is killed."""

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from pageflip.base.errors import ConfigError
from pageflip.networks.build import build_network
from pageflip.params.all import load_params
from pageflip.training.batches import EpochShuffle, TrainingData
from pageflip.training.checkpoints import training_code
from pageflip.training.loop import train_network
from pageflip.training.recipe import TrainingRecipe

LITE = {"stages": 2, "last": 4, "frozen": 1, "dropout": 0.2, "initial": "none"}
RESNET = {"frozen": 2, "dropout": 0.2, "initial": "none"}
CNN = {"channels": (4, 8), "dropout": 0.2}
EVERYTHING = {"ema_decay": 0.8, "label_smoothing": 0.1, "body_learning_rate_share": 0.3, "head_epochs": 1}


@pytest.fixture
def train(params_file, tmp_path):
    """Train a tiny network on noise; return its state and history."""
    params = load_params(params_file).train
    frames = np.random.default_rng(0).integers(0, 255, (24, 56, 32, 3), dtype=np.uint8)
    part = np.arange(24), (np.arange(24) % 2).astype(np.uint8)

    def run(name="cnn", settings=CNN, *, folder="checkpoints", on_epoch=lambda record: None, **fit):
        fit = {"epochs": 3, "patience": 9, "batch_size": 8, "accelerator": "cpu"} | fit
        recipe = TrainingRecipe(name, settings, params.fit.model_copy(update=fit), params.augment, seed=1)
        data, checkpoints = TrainingData(frames, part, part), str(tmp_path / folder)
        network, history = train_network(data, recipe, checkpoints=checkpoints, on_epoch=on_epoch)
        return network.state_dict(), history

    return run


def same(one, two):
    return all(torch.equal(tensor, two[name]) for name, tensor in one.items())


def die_in(epoch):
    def on_epoch(record):
        if record["epoch"] == epoch:
            raise RuntimeError("killed")

    return on_epoch


@pytest.mark.parametrize(("name", "settings"), [("cnn", CNN), ("efficientnet_lite0", LITE), ("resnet18", RESNET)])
def test_a_killed_training_with_everything_on_ends_as_one_that_was_not(train, name, settings):
    whole, history = train(name, settings, folder="whole", **EVERYTHING)
    with pytest.raises(RuntimeError, match="killed"):
        train(name, settings, folder="killed", on_epoch=die_in(2), **EVERYTHING)
    seen = []
    killed, again = train(name, settings, folder="killed", on_epoch=lambda record: seen.append(record), **EVERYTHING)
    assert [record["epoch"] for record in seen] == [2]
    assert same(whole, killed)
    assert history == again


@pytest.mark.parametrize("name", EVERYTHING)
def test_each_parameter_that_is_off_changes_nothing_and_on_changes_the_weights(train, name):
    plain, _ = train(folder="plain")
    off, _ = train(folder="off", **{name: 1 if name == "body_learning_rate_share" else 0})
    on, _ = train(folder="on", **{name: EVERYTHING[name]})
    assert same(plain, off)
    assert not same(plain, on)


def test_a_body_at_rate_zero_stays_where_it_was(train):
    torch.manual_seed(1)
    before = build_network("efficientnet_lite0", LITE).state_dict()
    after, _ = train("efficientnet_lite0", LITE, body_learning_rate_share=0, weight_decay=0)
    moved = {name for name, tensor in after.items() if not torch.equal(tensor, before[name]) and "norm" not in name}
    assert moved
    assert all(name.startswith(("head.", "last.")) for name in moved)


def test_only_the_head_learns_in_the_epochs_of_its_own(train):
    torch.manual_seed(1)
    before = build_network("efficientnet_lite0", LITE).state_dict()

    def changed(state):
        return {name for name, tensor in state.items() if not torch.equal(tensor, before[name])}

    alone, _ = train("efficientnet_lite0", LITE, folder="alone", epochs=2, head_epochs=2)
    assert changed(alone)
    assert all(name.startswith(("head.", "last.")) for name in changed(alone))
    later, _ = train("efficientnet_lite0", LITE, folder="later", epochs=8, head_epochs=2, learning_rate=0.02)
    assert any(name.startswith("stages.1.") for name in changed(later))


def test_several_processes_share_an_epoch_and_none_sees_anothers_frames():
    shares = [list(EpochShuffle(11, seed=3, process=process, processes=3)) for process in range(3)]
    assert [len(share) for share in shares] == [3, 3, 3]
    assert len({row for share in shares for row in share}) == 9
    assert sorted(EpochShuffle(11, seed=3)) == list(range(11))


def test_frozen_parts_keep_weights_and_running_statistics(train):
    torch.manual_seed(1)
    before = build_network("efficientnet_lite0", LITE).state_dict()
    after, _ = train("efficientnet_lite0", LITE, ema_decay=0.5)
    changed = {name for name, tensor in after.items() if not torch.equal(tensor, before[name])}
    assert any(name.startswith("stages.1.") for name in changed)
    assert not [name for name in changed if name.startswith(("stem.", "stages.0."))]


def test_initial_weights_are_read_when_a_training_begins_and_not_when_it_goes_on(train, tmp_path):
    torch.manual_seed(9)
    source = build_network("efficientnet_lite0", LITE)
    path = tmp_path / "start.safetensors"
    save_file(source.state_dict(), path)
    settings = LITE | {"initial": str(path)}
    with pytest.raises(RuntimeError, match="killed"):
        train("efficientnet_lite0", settings, on_epoch=die_in(1))
    path.unlink()
    after, _ = train("efficientnet_lite0", settings)
    assert torch.equal(after["stem.convolution.weight"], source.stem.convolution.weight)


def test_a_share_of_the_initial_weights_is_kept_when_the_training_ends(train, tmp_path):
    torch.manual_seed(9)
    initial = build_network("cnn", CNN).state_dict()
    path = tmp_path / "initial.safetensors"
    save_file(initial, path)
    settings = CNN | {"initial": str(path)}
    trained, _ = train(settings=settings, folder="trained")
    kept, _ = train(settings=settings, folder="kept", initial_weight_share=0.25)
    for name, tensor in trained.items():
        if tensor.is_floating_point():
            assert torch.allclose(kept[name], torch.lerp(tensor, initial[name], 0.25)), name


@pytest.mark.parametrize("initial", ["none", "imagenet"])
def test_there_must_be_initial_weights_of_a_whole_network_to_keep_a_share_of(train, initial):
    with pytest.raises(ConfigError, match=f"initial_weight_share is 0.5, and initial: {initial} has no trained head"):
        train("efficientnet_lite0", LITE | {"initial": initial}, initial_weight_share=0.5)


def test_a_checkpoint_belongs_to_all_code_that_the_loop_imports_and_to_no_other():
    names = {f"{file.parent.name}/{file.stem}" for file in training_code()}
    assert {f"training/{name}" for name in ("loop", "module", "augmentation", "checkpoints", "recipe")} <= names
    assert {"networks/build", "networks/cnn", "networks/efficientnet_lite", "networks/initial_weights"} <= names
    assert not names & {"networks/onnx_export", "networks/predict", "training/distillation"}
