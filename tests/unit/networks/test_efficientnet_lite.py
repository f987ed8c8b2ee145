"""EfficientNet-Lite0: shape, freezing, padding, and the loading of published weights."""

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from pageflip.base.errors import ConfigError, DataError
from pageflip.networks.efficientnet_lite import EfficientNetLite0, _same_padding, published_names


def make(stages=2, frozen=0, last=0, seed=0):
    torch.manual_seed(seed)
    return EfficientNetLite0(stages=stages, frozen=frozen, dropout=0.2, last=last)


def publish(network):
    """The network's weights under their published names, and one that the cut network does not have."""
    state = network.state_dict()
    renamed = {there: state[here].clone() for here, there in published_names(network).items()}
    return renamed | {"_fc.bias": torch.zeros(1000)}


@pytest.mark.parametrize("last", [0, 8])
def test_it_gives_one_logit_a_frame_at_any_size(last):
    network = make(stages=7, last=last).eval()
    for shape in ((2, 3, 64, 36), (1, 3, 33, 65)):
        assert network(torch.rand(shape)).shape == (shape[0],)


def test_the_whole_body_has_the_published_number_of_weights():
    body = make(stages=7)
    count = sum(p.numel() for name, p in body.named_parameters() if not name.startswith("head."))
    assert count == 4_652_008 - 1281 * 1000 - 1280 * 320 - 2 * 1280  # less classifier and last convolution


def test_frozen_stages_keep_weights_and_running_statistics():
    network = make(stages=3, frozen=2).train()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    optimizer = torch.optim.SGD([p for p in network.parameters() if p.requires_grad], lr=0.1)
    network(torch.rand(4, 3, 32, 32)).sum().backward()
    optimizer.step()
    changed = {name for name, tensor in network.state_dict().items() if not torch.equal(tensor, before[name])}
    assert changed
    assert all(name.startswith(("stages.2", "head")) for name in changed)


def test_padding_is_that_of_tensorflow():
    assert [_same_padding(size, 3, 2) for size in (8, 7)] == [(0, 1), (1, 1)]
    assert [_same_padding(size, 5, 2) for size in (8, 7)] == [(1, 2), (2, 2)]


def test_exposure_and_white_balance_do_not_change_the_logit():
    network = make().eval()
    frames = torch.rand(2, 3, 48, 27) * 0.5
    colours = torch.tensor([0.7, 0.9, 0.8]).view(1, 3, 1, 1)
    assert torch.allclose(network(frames), network(frames * colours + 0.1), atol=0.1)


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
def test_published_weights_fill_stem_and_stages_and_leave_the_head(tmp_path, suffix):
    source, network = make(stages=3, seed=1), make(stages=2, seed=2)
    path = tmp_path / f"weights{suffix}"
    (save_file if suffix == ".safetensors" else torch.save)(publish(source), path)
    head = network.head[1].weight.clone()
    network.load_weights(path)
    assert torch.equal(network.stages[1][0].expand.convolution.weight, source.stages[1][0].expand.convolution.weight)
    assert torch.equal(network.head[1].weight, head)


def test_its_own_names_are_read_too(tmp_path):
    source, network = make(seed=1), make(seed=2)
    save_file(source.state_dict(), tmp_path / "weights.safetensors")
    network.load_weights(tmp_path / "weights.safetensors")
    assert torch.equal(network.stem.convolution.weight, source.stem.convolution.weight)


def test_all_of_its_own_weights_are_read_where_they_fit(tmp_path):
    source = make(stages=2, last=8, seed=1)
    save_file(source.state_dict(), tmp_path / "weights.safetensors")
    same, other = make(stages=2, last=8, seed=2), make(stages=2, last=4, seed=3)
    fresh = other.head[1].weight.clone()
    for network in (same, other):
        network.load_weights(tmp_path / "weights.safetensors")
    assert all(torch.equal(tensor, same.state_dict()[name]) for name, tensor in source.state_dict().items())
    assert torch.equal(other.stem.convolution.weight, source.stem.convolution.weight)
    assert torch.equal(other.head[1].weight, fresh)


def test_weights_that_do_not_fit_are_refused(tmp_path):
    torch.save(publish(make(stages=1)), tmp_path / "short.pth")
    with pytest.raises(DataError, match=r"does not fit .* _blocks\.1\._expand_conv\.weight"):
        make(stages=2).load_weights(tmp_path / "short.pth")


@pytest.mark.parametrize("name", ["w.safetensors", "w.pth"])
def test_a_broken_file_is_refused(tmp_path, name):
    (tmp_path / name).write_bytes(b"broken")
    with pytest.raises(DataError, match="cannot be read as a file of weights"):
        make().load_weights(tmp_path / name)


def test_a_file_of_something_else_is_refused(tmp_path):
    torch.save([1, 2], tmp_path / "w.pth")
    with pytest.raises(DataError, match="holds a list"):
        make().load_weights(tmp_path / "w.pth")


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ConfigError, match="there is no weight file"):
        make().load_weights(tmp_path / "w.pth")


@pytest.mark.parametrize(("stages", "frozen"), [(0, 0), (8, 0), (3, 4), (3, -1)])
def test_impossible_cuts_are_refused(stages, frozen):
    with pytest.raises(ConfigError, match="is "):
        make(stages=stages, frozen=frozen)


def test_norms_keep_the_published_epsilon():
    assert {module.eps for module in make().modules() if isinstance(module, nn.BatchNorm2d)} == {1e-3}
