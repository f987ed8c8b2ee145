"""Production of day-zero and its compact network, and the integrity of the committed files."""

import json
import re
import shutil
import tomllib
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from pageflip.base.errors import ConfigError, DataError
from pageflip.base.files import sha256_of
from pageflip.evaluation.calibration import apply_temperature
from pageflip.frames.pack import open_pack
from pageflip.frames.pixels import resize_frame
from pageflip.inference import cards, day_zero
from pageflip.networks import build, predict
from pageflip.params.all import Params, load_params
from pageflip.params.sections import Shares
from pageflip.pretraining import compact_network, drawn
from pageflip.pretraining import day_zero as pretraining_day_zero
from pageflip.synthetic.ranges import Ranges, load_synthesize

ROOT = Path(__file__).parents[3]


def tiny(params_file, **changes):
    """The project's parameters with a section `day_zero` of seconds."""
    content = yaml.safe_load(params_file.read_text())
    section = content["day_zero"]
    section |= {"books": 6, "clips_per_book": 2, "frames_per_clip": 2, "width": 72, "height": 128}
    section |= {"prepare": {"width": 32, "height": 56}, "shares": {"train": 0.6, "val": 0.2, "test": 0.2}}
    section["network"] |= {"stages": 2, "last": 8, "frozen": 0, "initial": "none"}
    section["fit"] |= {"epochs": 2, "patience": 2, "batch_size": 4, "accelerator": "cpu"}
    section["compact"]["network"]["channels"] = [4, 8]
    section["compact"]["imitation"] |= {"epochs": 2, "batch_size": 4}
    section["compact"]["fit"] |= {"epochs": 2, "batch_size": 4, "accelerator": "cpu"}
    content["evaluate"]["bootstrap_samples"] = 50
    for key, value in changes.items():
        section[key] |= value
    return Params.model_validate(content)


@pytest.fixture(scope="module", autouse=True)
def renderer():
    """One version of the renderer throughout."""
    digest = drawn.renderer_digest()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(drawn, "renderer_digest", lambda: digest)
        yield


@pytest.fixture(scope="module")
def made(params_file, tmp_path_factory):
    """The folders of work and of the model, and the card that was returned."""
    place = tmp_path_factory.mktemp("day-zero")
    card = pretraining_day_zero.make_day_zero(
        tiny(params_file), Ranges(), work=place / "work", out=place / "weights", workers=1
    )
    return place / "work", place / "weights", card


def timeless(card):
    """A card without what was measured in milliseconds."""
    files = {name: {key: row[key] for key in row if key != "latency_ms"} for name, row in card["files"].items()}
    return card | {"files": files}


def test_model_weights_and_card_are_written_and_agree(made):
    _, out, card = made
    offered = ["day-zero.int8.onnx"] if card["files"]["int8"]["offered"] else []
    names = ["day-zero.json", "day-zero.onnx", "day-zero.safetensors"]
    assert sorted(path.name for path in out.iterdir()) == sorted(names + offered)
    assert cards.read_card(out) == json.loads(json.dumps(card))
    assert card["onnx_sha256"] == sha256_of(out / "day-zero.onnx")
    assert card["weights_sha256"] == sha256_of(out / "day-zero.safetensors")
    predictor = day_zero.load_day_zero(out)
    assert (predictor.width, predictor.height, predictor.threshold) == (32, 56, card["threshold"])
    assert predictor.predict(np.zeros((3, 56, 32, 3), np.uint8)).shape == (3,)


def test_the_card_says_what_the_model_was_made_from(made, params_file):
    _, _, card = made
    assert (card["command"], card["seed"]) == ("python -m tasks.day_zero", 20000)
    assert card["params"] == json.loads(tiny(params_file).day_zero.model_dump_json(exclude={"compact"}))
    assert card["data"]["parts"] == {
        "train": {"books": 4, "clips": 8, "frames": 16, "flips": 8},
        "val": {"books": 1, "clips": 2, "frames": 4, "flips": 2},
        "test": {"books": 1, "clips": 2, "frames": 4, "flips": 2},
    }
    assert all(
        re.fullmatch(r"[0-9a-f]{64}", card["data"][f"{name}_sha256"]) for name in ("frames", "ranges", "renderer")
    )
    assert {"torch", "onnxruntime", "python"} <= set(card["environment"])
    assert {"f1", "f1_low", "f1_high", "roc_auc", "n", "n_groups"} <= set(card["test"])
    assert card["test"]["n"] == card["val"]["n"] == 4
    assert card["parity_error"] < 1e-3
    assert "imagenet" not in card["licences"]  # which this one did not begin from


def test_frames_that_are_complete_are_used_again_and_give_the_same_model(made, params_file, tmp_path, caplog):
    caplog.set_level("INFO", "pageflip")
    work, _, card = made
    again = pretraining_day_zero.make_day_zero(
        tiny(params_file), Ranges(), work=work, out=tmp_path / "again", workers=1
    )
    assert "reusing the frames" in caplog.text
    assert timeless(again) == timeless(card)
    assert not list((work / "checkpoints").iterdir())


def test_the_same_files_are_derived_from_weights_and_frames_without_training(made, params_file, tmp_path, caplog):
    caplog.set_level("INFO", "pageflip")
    work, out, card = made
    shutil.copytree(out, tmp_path / "weights")
    (tmp_path / "weights" / "day-zero.onnx").unlink()
    again = pretraining_day_zero.remake_from_weights(tiny(params_file), work=work, out=tmp_path / "weights")
    assert timeless(again) == timeless(card)
    assert sha256_of(tmp_path / "weights" / "day-zero.onnx") == card["onnx_sha256"]
    assert "epoch" not in caplog.text


def test_weights_are_judged_on_the_frames_of_their_training_only(made, params_file, tmp_path):
    _, out, _ = made
    with pytest.raises(DataError, match=r"were trained on \([0-9a-f]{12}\) are not in(.*\n.*)--work"):
        pretraining_day_zero.remake_from_weights(tiny(params_file), work=tmp_path, out=out)


def test_other_parameters_of_the_drawing_are_other_frames(made, params_file, tmp_path):
    work, _, _ = made
    before = set(work.iterdir())
    plan = tiny(params_file).day_zero.model_copy(update={"seed": 8})
    drawn.draw_frames(plan, Ranges(), "renderer", work, 1)
    assert len(set(work.iterdir()) - before) == 2  # drawn and packed


def die(*_):
    raise RuntimeError("killed")


def test_a_killed_attempt_goes_on_to_the_same_model(made, params_file, tmp_path, caplog, monkeypatch):
    caplog.set_level("INFO", "pageflip")
    work, _, card = made
    shutil.copytree(work, tmp_path / "work")
    export = pretraining_day_zero.export_model
    monkeypatch.setattr(pretraining_day_zero, "export_model", die)
    with pytest.raises(RuntimeError, match="killed"):
        pretraining_day_zero.make_day_zero(
            tiny(params_file), Ranges(), work=tmp_path / "work", out=tmp_path / "out", workers=1
        )
    monkeypatch.setattr(pretraining_day_zero, "export_model", export)
    assert not (tmp_path / "out").exists()
    caplog.clear()
    again = pretraining_day_zero.make_day_zero(
        tiny(params_file), Ranges(), work=tmp_path / "work", out=tmp_path / "out", workers=1
    )
    assert "resuming from the checkpoint" in caplog.text
    assert "epoch 0" not in caplog.text
    assert again["weights_sha256"] == card["weights_sha256"]


def test_a_network_that_is_too_large_is_refused_before_anything_is_drawn(params_file, tmp_path):
    params = tiny(params_file, network={"stages": 7, "last": 128})
    with pytest.raises(ConfigError, match=r"weights are 1\d\.\d MB, allowed are 6 MB(.*\n.*)stages"):
        pretraining_day_zero.make_day_zero(params, Ranges(), work=tmp_path / "work", out=tmp_path / "out")
    assert not list(tmp_path.iterdir())


def test_an_onnx_file_that_is_too_large_is_not_written(made, params_file, tmp_path, monkeypatch):
    work, _, _ = made
    monkeypatch.setattr(pretraining_day_zero, "MAX_BYTES", 50_000)
    monkeypatch.setattr(pretraining_day_zero, "check_size", lambda network: None)
    with pytest.raises(DataError, match=r"the ONNX file is 0\.\d MB"):
        pretraining_day_zero.make_day_zero(tiny(params_file), Ranges(), work=work, out=tmp_path / "out", workers=1)
    assert not (tmp_path / "out").exists()


def test_books_stand_on_one_side_each_and_all_parts_have_some():
    index = pd.DataFrame({"book": [f"b{number // 3}" for number in range(60)]})
    for name in ("label", "video", "frame", "clip"):
        index[name] = "x"
    table = drawn.split_books(index, Shares(train=0.7, val=0.2, test=0.1), seed=1)
    assert (table.groupby("book")["part"].nunique() == 1).all()
    assert table.drop_duplicates("book")["part"].value_counts().to_dict() == {"train": 14, "val": 4, "test": 2}
    assert (drawn.split_books(index, Shares(train=0.7, val=0.2, test=0.1), seed=1)["part"] == table["part"]).all()
    with pytest.raises(ConfigError, match="2 books are too few for three parts"):
        drawn.split_books(index[:6], Shares(train=0.7, val=0.2, test=0.1), seed=1)


@pytest.fixture
def copied(made, tmp_path):
    folder = tmp_path / "weights"
    shutil.copytree(made[1], folder)
    return folder


@pytest.mark.parametrize("name", [cards.MODEL_FILE, cards.WEIGHTS_FILE])
def test_a_file_that_was_changed_or_lost_is_refused(copied, name):
    content = bytearray((copied / name).read_bytes())
    content[-1] ^= 1
    (copied / name).write_bytes(bytes(content))
    with pytest.raises(DataError, match=rf"{name} has the SHA-256 .*, its card names"):
        cards.checked_file(name, copied)
    (copied / name).unlink()
    with pytest.raises(DataError, match="it is missing"):
        cards.checked_file(name, copied)
    if name == cards.MODEL_FILE:
        with pytest.raises(DataError, match="it is missing"):
            day_zero.load_day_zero(copied)


def test_without_a_card_there_is_no_model(copied):
    (copied / cards.CARD_FILE).unlink()
    with pytest.raises(DataError, match=r"there is no model day-zero in(.*\n.*)make day-zero"):
        day_zero.load_day_zero(copied)


def test_its_version_is_a_name_too_and_another_version_is_refused(copied):
    version = day_zero.load_day_zero(copied).version
    assert re.fullmatch(r"day-zero-[0-9a-f]{12}", version)
    assert day_zero.load_day_zero(copied, version).version == version
    with pytest.raises(ConfigError, match=f"the model day-zero-000000000000 is not here, but {version}"):
        day_zero.load_day_zero(copied, "day-zero-000000000000")


def test_the_committed_model_is_whole_small_and_packaged():
    card = cards.read_card(cards.PRETRAINED)
    model = cards.checked_file(cards.MODEL_FILE, cards.PRETRAINED)
    assert model.stat().st_size == card["onnx_bytes"] <= 6_000_000
    assert day_zero.load_day_zero(cards.PRETRAINED).threshold == card["threshold"]
    cards.checked_file(cards.WEIGHTS_FILE, cards.PRETRAINED)
    packaged = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]["pageflip"]
    found = {file.name for pattern in packaged for file in (ROOT / "pageflip").glob(pattern)}
    assert {cards.MODEL_FILE, cards.WEIGHTS_FILE, cards.CARD_FILE} <= found


def test_the_model_is_evaluated_on_real_frames(made, packed):
    line = pretraining_day_zero.evaluate_on_real(packed[0], made[1])
    assert re.match(r"day-zero: 60 real frames: F1 0\.\d+, ROC AUC", line)


def test_day_zero_draws_wider_than_the_sample_where_its_own_ranges_say_so(params_file):
    plan = load_params(params_file).day_zero
    sample, own = load_synthesize(params_file).ranges, pretraining_day_zero.day_zero_ranges(params_file, plan)
    assert own.book.page_width == tuple(plan.ranges["book"]["page_width"]) != sample.book.page_width
    assert own.book.thickness == sample.book.thickness
    assert own.flips == sample.flips
    wrong = plan.model_copy(update={"ranges": {"book": {"page_widht": [0.1, 0.2]}}})
    with pytest.raises(ConfigError, match=r"unknown key book\.page_widht \(did you mean page_width"):
        pretraining_day_zero.day_zero_ranges(params_file, wrong)


@pytest.fixture(scope="module")
def compact(made, params_file, tmp_path_factory):
    """The folders of work and of the models, and the card of the compact network's weights."""
    place = tmp_path_factory.mktemp("compact")
    shutil.copytree(made[0], place / "work")
    shutil.copytree(made[1], place / "weights")
    card = compact_network.make_compact(tiny(params_file), work=place / "work", out=place / "weights")
    return place / "work", place / "weights", card


def test_the_compact_network_gets_weights_and_a_card_beside_day_zero(compact, made):
    _, out, card = compact
    assert cards.read_compact_card(out) == card
    assert sha256_of(cards.compact_weights(out)) == card["weights_sha256"]
    assert (card["network"], card["seed"], card["command"]) == ("cnn", 20000, "python -m tasks.day_zero --network cnn")
    assert card["teacher"]["sha256"] == made[2]["weights_sha256"]
    assert card["test"]["n"] == card["val"]["n"] == 4
    assert cards.read_card(out) == cards.read_card(made[1])


def test_the_compact_network_reads_frames_as_its_weights_say(compact, packed):
    _, out, card = compact
    pack, _ = open_pack(packed[1])
    network = build.build_network("cnn", card["params"]["network"])
    network.load_weights(cards.compact_weights(out))
    predictor = compact_network.load(out)
    frames = np.stack([resize_frame(frame, card["width"], card["height"]) for frame in pack[:3]])
    expected = apply_temperature(predict.predict_logits(network, frames, np.arange(3)), 1.0)

    assert predictor.version == f"cnn-{card['weights_sha256'][:12]}"
    assert predictor.threshold == card["threshold"]
    assert predictor.predict(frames) == pytest.approx(expected, abs=1e-5)


def test_the_same_seed_gives_the_same_compact_network(compact, params_file, tmp_path):
    work, out, card = compact
    shutil.copytree(out, tmp_path / "weights")
    shutil.copytree(work, tmp_path / "work")
    (imitation,) = (tmp_path / "work").glob("imitation-*")
    learnt = sha256_of(imitation)
    imitation.unlink()
    again = compact_network.make_compact(tiny(params_file), work=tmp_path / "work", out=tmp_path / "weights")
    assert sha256_of(imitation) == learnt
    assert again == card


def test_day_zero_that_is_made_anew_leaves_the_compact_network_where_it_is(compact, params_file, tmp_path):
    work, out, card = compact
    shutil.copytree(out, tmp_path / "weights")
    pretraining_day_zero.remake_from_weights(tiny(params_file), work=work, out=tmp_path / "weights")
    assert cards.read_compact_card(tmp_path / "weights") == card
    cards.compact_weights(tmp_path / "weights")


def test_compact_weights_that_are_changed_or_missing_are_refused(compact, tmp_path):
    shutil.copytree(compact[1], tmp_path / "weights")
    with (tmp_path / "weights" / cards.COMPACT_WEIGHTS_FILE).open("ab") as file:
        file.write(b"x")
    with pytest.raises(DataError, match=r"has the SHA-256(.*\n.*)--network cnn"):
        cards.compact_weights(tmp_path / "weights")
    with pytest.raises(DataError, match=r"there are no day-zero weights of cnn"):
        cards.compact_weights(tmp_path)


def test_imitation_refuses_an_augmentation_that_moves_things(params_file):
    content = yaml.safe_load(params_file.read_text())
    content["day_zero"]["compact"]["imitation"]["augment"]["shift"] = 0.1
    with pytest.raises(ValueError, match=r"augment\.shift moves or covers"):
        Params.model_validate(content)
