"""params.yaml: what is in it is checked key by key."""

import copy
import re

import pytest
import yaml

from pageflip.base.errors import ConfigError
from pageflip.params.all import load_params
from pageflip.params.load import load_section
from pageflip.params.prepare import Prepare
from pageflip.params.split import Split
from pageflip.params.training import FitChanges


@pytest.fixture
def change(params_file, tmp_path):
    """Write params.yaml with one key changed (or taken out when the value is missing)."""

    def write(key, *value):
        content = copy.deepcopy(yaml.safe_load(params_file.read_text()))
        *parents, last = key.split(".")
        section = content
        for name in parents:
            section = section[name]
        if value:
            section[last] = value[0]
        else:
            del section[last]
        path = tmp_path / "params.yaml"
        path.write_text(yaml.safe_dump(content))
        return path

    return write


def test_the_projects_own_params_are_valid(params_file):
    params = load_params(params_file)
    assert set(type(params).model_fields) == {
        *("synthesize", "prepare", "validate_", "split", "train", "evaluate", "register_", "promote", "score_uploads"),
        *("protocols", "day_zero", "events", "stills"),
    }
    assert params.train.models[0] in dict(params.train.networks)


def test_params_cannot_be_changed_after_reading(params_file):
    with pytest.raises(ValueError, match="frozen"):
        load_params(params_file).prepare.width = 3


@pytest.mark.parametrize(
    ("key", "near"),
    [
        ("train.fit.epohcs", " (did you mean epochs?)"),
        ("validat", " (did you mean validate?)"),
        ("split.shares.tset", " (did you mean test?)"),
        ("prepare.something", ""),
    ],
)
def test_an_unknown_key_is_named_with_the_nearest_known_one(change, key, near):
    with pytest.raises(ConfigError, match=re.escape(f"unknown key {key}{near}\n")):
        load_params(change(key, 3))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("train.fit.keep_initial", "initial_weight_share"),
        ("train.networks.cnn.fit.ema", "ema_decay"),
        ("day_zero.compact.fit.body_learning_rate", "body_learning_rate_share"),
        ("day_zero.augment.patches", "occlusion"),
        ("events.temporal.other_share", "compact_network_share"),
    ],
)
def test_a_renamed_key_is_refused_with_its_new_name(change, old, new):
    new = ".".join([*old.split(".")[:-1], new])
    with pytest.raises(ConfigError, match=re.escape(f"{old} has been renamed: write {new}")):
        load_params(change(old, 0.5))


@pytest.mark.parametrize("key", ["train.seed", "split.shares.val", "promote", "validate.brightness"])
def test_a_missing_key_is_named(change, key):
    with pytest.raises(ConfigError, match=f"missing key {key}"):
        load_params(change(key))


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("train.fit.epochs", 0),
        ("train.fit.learning_rate", 0),
        ("train.fit.learning_rate", float("inf")),
        ("train.networks.cnn.dropout", 1.0),
        ("train.networks.cnn.channels", []),
        ("prepare.width", 4),
        ("validate.min_decodable_share", 1.5),
        ("split.seed", -1),
        ("promote.min_f1", float("nan")),
        ("promote.max_latency_ms", -1),
    ],
)
def test_a_value_out_of_range_is_named_with_the_value(change, key, value):
    with pytest.raises(ConfigError, match=rf"{key} = .*: "):
        load_params(change(key, value))


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("train.fit.epochs", "many"),
        ("train.fit.epochs", 2.5),
        ("train.fit", [1, 2]),
        ("split.unit", "frame"),
        ("promote.approval", "maybe"),
        ("train.models.0", "resnet"),
        ("validate.brightness", "bright"),
    ],
)
def test_a_value_of_the_wrong_kind_is_named(change, key, value):
    path = change("train.models", [value]) if key == "train.models.0" else change(key, value)
    with pytest.raises(ConfigError, match=f"{key} = "):
        load_params(path)


def test_all_mistakes_are_told_at_once(params_file, tmp_path):
    content = yaml.safe_load(params_file.read_text())
    content["prepare"]["widht"] = content["prepare"].pop("width")
    (tmp_path / "p.yaml").write_text(yaml.safe_dump(content))
    with pytest.raises(ConfigError, match=r"missing key prepare\.width; unknown key prepare\.widht"):
        load_params(tmp_path / "p.yaml")


def test_shares_must_add_up_to_one(change):
    with pytest.raises(ConfigError, match=r"split\.shares = .* train \+ val \+ test is 1\.1, and must be 1"):
        load_params(change("split.shares.train", 0.7))


@pytest.mark.parametrize(
    ("value", "goals"), [("f1", {}), ({"precision": 0.95}, {"precision": 0.95}), ({"recall": 1}, {"recall": 1})]
)
def test_the_threshold_is_for_f1_or_a_wanted_precision_or_recall(change, value, goals):
    threshold = load_params(change("evaluate.threshold", value)).evaluate.threshold
    assert threshold.model_dump(exclude_none=True) == goals


@pytest.mark.parametrize("value", ["f2", {}, {"precision": 0.9, "recall": 0.9}, 0.5, None])
def test_another_goal_of_the_threshold_is_refused(change, value):
    with pytest.raises(ConfigError, match=r"evaluate\.threshold = .* must be f1, \{precision: SHARE\} or"):
        load_params(change("evaluate.threshold", value))


def test_a_mistake_in_a_change_of_the_shortcut_test_is_named(change):
    with pytest.raises(ConfigError, match=r"evaluate\.shortcuts\.changes\.odd\.blur = 3: "):
        load_params(change("evaluate.shortcuts.changes.odd", {"blur": 3}))
    with pytest.raises(ConfigError, match=r"unknown key evaluate\.shortcuts\.changes\.odd\.blurr"):
        load_params(change("evaluate.shortcuts.changes.odd", {"blurr": 0.01}))


def test_brightness_must_ascend(change):
    with pytest.raises(ConfigError, match=r"brightness is \[245\.0, 10\.0\], and must be \[lowest, highest\]"):
        load_params(change("validate.brightness", [245, 10]))


@pytest.mark.parametrize(("text", "message"), [("a: [", "is not valid YAML"), ("", "the content = None")])
def test_a_file_that_is_no_params_file_is_refused(tmp_path, text, message):
    (tmp_path / "p.yaml").write_text(text)
    with pytest.raises(ConfigError, match=message):
        load_params(tmp_path / "p.yaml")


def test_bytes_that_are_no_text_are_refused(tmp_path):
    (tmp_path / "p.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="is not valid YAML"):
        load_params(tmp_path / "p.yaml")


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"there is no .*nowhere\.yaml"):
        load_params(tmp_path / "nowhere.yaml")


def test_a_section_is_read_alone(change):
    path = change("train.fit.epohcs", 3)  # a mistake in another section
    assert load_section(path, "prepare", Prepare) == Prepare(width=108, height=192)


def test_a_mistake_in_a_section_is_named_by_its_key_in_the_file(change):
    with pytest.raises(ConfigError, match=r"unknown key split\.shares\.tset \(did you mean test\?\)"):
        load_section(change("split.shares.tset", 0.2), "split", Split)
    with pytest.raises(ConfigError, match=r"split\.shares\.test = 'few': "):
        load_section(change("split.shares.test", "few"), "split", Split)
    with pytest.raises(ConfigError, match=r"split = 'clip': "):
        load_section(change("split", "clip"), "split", Split)
    with pytest.raises(ConfigError, match="missing key split\n"):
        load_section(change("split"), "split", Split)


def test_a_network_says_what_it_wants_otherwise_than_the_training_loop_of_all(params_file):
    train = load_params(params_file).train
    fit = train.networks.efficientnet_lite0.fit.applied_to(train.fit)
    assert (fit.epochs, fit.learning_rate) == (8, 0.0003)
    assert fit.batch_size == train.fit.batch_size
    assert FitChanges().applied_to(train.fit) == train.fit
