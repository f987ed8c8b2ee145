"""`pageflip benchmark-protocols` on a tiny set: real trainings, one table, and no training twice."""

import json
import shutil
import sys
from contextlib import nullcontext

import pandas as pd
import pytest
import yaml

from frames_factory import make_raw
from pageflip.base.console import run_main
from pageflip.base.errors import ConfigError, DataError
from pageflip.cli.app import app
from pageflip.evaluation import protocol_training
from pageflip.evaluation.formatting import format_score
from pageflip.evaluation.protocol_benchmark import benchmark_protocols
from pageflip.evaluation.protocol_training import FoldProgress
from pageflip.evaluation.temporal_refinement import refine_clips
from pageflip.events.temporal import load_temporal
from pageflip.frames.pack import open_pack
from pageflip.inference.cards import PRETRAINED
from pageflip.params.all import load_params

TEMPORAL = load_temporal(PRETRAINED)


@pytest.fixture(scope="module")
def tiny_params(params_file, tmp_path_factory):
    """The project's params with a tiny network, frames and folds."""
    content = yaml.safe_load(params_file.read_text())
    content["prepare"] = {"width": 27, "height": 48}
    content["train"]["networks"]["cnn"] = {"channels": [4, 8], "dropout": 0.1}
    content["train"]["fit"] |= {"epochs": 1, "accelerator": "cpu"}
    content["protocols"]["folds"] = 2
    content["evaluate"]["bootstrap_samples"] = 50
    path = tmp_path_factory.mktemp("params") / "params.yaml"
    path.write_text(yaml.safe_dump(content))
    return path


@pytest.fixture(scope="module")
def measured(packed, tiny_params, tmp_path_factory):
    """The folder and the result of one run of all protocols."""
    out = tmp_path_factory.mktemp("protocols")
    params = load_params(tiny_params)
    return out, benchmark_protocols(
        packed[0], out, model="cnn", params=params, temporal=TEMPORAL, protocols=params.protocols.run
    )


def refuse_training(*args, **kwargs):
    raise AssertionError("a finished fold was trained again")


def test_all_protocols_are_measured_and_only_the_supplied_folders_are_called_leaky(measured):
    out, result = measured
    entries = {entry["name"]: entry for entry in result["protocols"]}
    assert list(entries) == ["clip-disjoint", "leave-one-book-out", "later-frames", "supplied (leaky)"]
    assert [entry["leaky"] for entry in entries.values()] == [False, False, False, True]
    assert [len(entry["folds"]) for entry in entries.values()] == [2, 3, 1, 1]
    assert entries["clip-disjoint"]["n"] == entries["leave-one-book-out"]["n"] == 60
    assert entries["leave-one-book-out"]["n_groups"] == 3
    assert entries["leave-one-book-out"]["seen"] == {"clip": 0, "book": 0, "near_duplicate": 0}
    assert entries["clip-disjoint"]["seen"]["clip"] == 0
    assert entries["later-frames"]["seen"]["clip"] == entries["supplied (leaky)"]["seen"]["clip"] == 1
    for entry in entries.values():
        assert 0 <= entry["f1_low"] <= entry["f1_high"] <= 1
    assert json.loads((out / "cnn" / "protocols.json").read_text()) == json.loads(json.dumps(result))
    assert not (out / "cnn" / "checkpoints").exists()


def test_the_f1_of_a_protocol_is_that_of_all_test_frames_at_once(measured):
    out, result = measured
    tables = [pd.read_parquet(path) for path in sorted(out.glob("cnn/folds/*/predictions.parquet"))]
    by_group = [table for table in tables if set(table["group"]) <= {"book-1", "book-2", "book-3"}]
    pooled = pd.concat(by_group)
    entry = next(entry for entry in result["protocols"] if entry["name"] == "leave-one-book-out")
    hits = (pooled["called"] & (pooled["target"] == 1)).sum()
    assert entry["f1"] == pytest.approx(2 * hits / (pooled["called"].sum() + (pooled["target"] == 1).sum()))
    assert sorted(pooled["row"]) == list(range(60))


def test_each_protocol_also_tells_what_its_test_frames_are_with_their_neighbours(measured):
    out, result = measured
    pack, index = open_pack(out / "frames")
    folds = {path.parent: json.loads(path.read_text()) for path in out.glob("cnn/folds/*/fold.json")}
    for entry in result["protocols"]:
        hits = called = 0
        for fold in entry["folds"]:
            told = {key: fold[key] for key in fold if key not in ("name", "seed")}
            folder = next(folder for folder, facts in folds.items() if facts == told)
            table = pd.read_parquet(folder / "predictions.parquet")
            table = table.assign(frame=index["frame"].to_numpy()[table["row"]])
            flips = refine_clips(table, pack, fold["threshold"], TEMPORAL) >= 0.5
            hits, called = hits + int((flips & (table["target"] == 1)).sum()), called + int(flips.sum())
        assert entry["in_sequence"]["f1"] == pytest.approx(2 * hits / (called + entry["n_flip"]))
        assert f"{format_score(entry['in_sequence']['f1'])} (" in (out / "cnn" / "protocols.md").read_text()


def test_the_markdown_page_says_leaky_wherever_it_names_the_supplied_folders(measured):
    text = (measured[0] / "cnn" / "protocols.md").read_text()
    assert "| supplied (leaky) |" in text
    assert text.count("supplied") == text.count("supplied (leaky)")
    assert "## leave-one-book-out" in text


def test_a_second_run_trains_nothing_and_gives_the_same_bytes(measured, packed, tiny_params, monkeypatch):
    out, _ = measured
    before = (out / "cnn" / "protocols.json").read_bytes()
    monkeypatch.setattr(protocol_training.loop, "train_network", refuse_training)
    params = load_params(tiny_params)
    benchmark_protocols(packed[0], out, model="cnn", params=params, temporal=TEMPORAL, protocols=["supplied"])
    assert (out / "cnn" / "protocols.json").read_bytes() == before


def test_a_killed_run_goes_on_with_the_fold_that_it_was_killed_in(packed, tiny_params, tmp_path, monkeypatch):
    params, real, begun = load_params(tiny_params), protocol_training.loop.train_network, []

    def die_in_the_second(*args, checkpoints, **kwargs):
        begun.append(checkpoints)
        if len(begun) == 2:
            raise KeyboardInterrupt
        return real(*args, checkpoints=checkpoints, **kwargs)

    monkeypatch.setattr(protocol_training.loop, "train_network", die_in_the_second)
    for expected in (pytest.raises(KeyboardInterrupt), nullcontext()):
        with expected:
            benchmark_protocols(
                packed[0], tmp_path, model="cnn", params=params, temporal=TEMPORAL, protocols=["clip-disjoint"]
            )
    assert len(begun) == 3
    assert begun[1] == begun[2] != begun[0]


@pytest.mark.parametrize("change", ["params", "frames", "code"])
def test_a_fold_of_other_params_frames_or_code_is_not_taken_for_finished(
    change, measured, packed, tiny_params, monkeypatch, tmp_path
):
    raw, params, out = packed[0], load_params(tiny_params), shutil.copytree(measured[0], tmp_path / "out")
    if change == "params":
        augment = params.train.augment.model_copy(update={"noise": 0.5})
        params = params.model_copy(update={"train": params.train.model_copy(update={"augment": augment})})
    elif change == "frames":
        raw = make_raw(tmp_path / "raw", seed=1)
    else:
        another = tmp_path / "another.py"
        another.touch()
        files = [*protocol_training.training_checkpoints.training_code(), another]
        monkeypatch.setattr(protocol_training.training_checkpoints, "training_code", lambda: files)
    monkeypatch.setattr(protocol_training.loop, "train_network", refuse_training)
    with pytest.raises(AssertionError, match="trained again"):
        benchmark_protocols(raw, out, model="cnn", params=params, temporal=TEMPORAL, protocols=["supplied"])


def test_without_books_that_protocol_is_refused_and_the_others_go_on(
    packed, tiny_params, tmp_path, monkeypatch, capsys
):
    raw = shutil.copytree(packed[0], tmp_path / "raw")
    (raw / "books.csv").unlink()
    arguments = ["--data", raw, "--out", tmp_path / "out", "--params", tiny_params, "--model", "cnn", "--epochs", "1"]
    arguments += ["--protocol", "leave-one-book-out", "--protocol", "supplied"]
    monkeypatch.setattr(sys, "argv", ["pageflip", "benchmark-protocols", *map(str, arguments)])
    with pytest.raises(SystemExit, match="0"):
        run_main(app)
    printed = capsys.readouterr()
    assert "leave-one-book-out is left out: the book of 12 clips is unknown" in printed.err
    assert "put a books.csv" in printed.err
    assert "supplied (leaky)" in printed.out
    result = json.loads((tmp_path / "out/cnn/protocols.json").read_text())
    assert [entry["name"] for entry in result["protocols"]] == ["supplied (leaky)"]
    assert [entry["name"] for entry in result["refused"]] == ["leave-one-book-out"]
    params = load_params(tiny_params)
    with pytest.raises(DataError, match="the book of 12 clips is unknown"):
        benchmark_protocols(
            raw, tmp_path / "out", model="cnn", params=params, temporal=TEMPORAL, protocols=["leave-one-book-out"]
        )


def test_unknown_names_are_refused_before_anything_is_decoded(packed, tiny_params, tmp_path):
    params = load_params(tiny_params)
    with pytest.raises(ConfigError, match=r"no protocol 'random'\n.*known are clip-disjoint"):
        benchmark_protocols(packed[0], tmp_path, model="cnn", params=params, temporal=TEMPORAL, protocols=["random"])
    with pytest.raises(ConfigError, match=r"no network 'vit'\n.*known are .*cnn"):
        benchmark_protocols(packed[0], tmp_path, model="vit", params=params, temporal=TEMPORAL, protocols=["supplied"])
    assert list(tmp_path.iterdir()) == []


def test_progress_estimates_the_time_left_from_the_frames_trained_on(monkeypatch, capsys):
    now = [0.0]
    monkeypatch.setattr(protocol_training.time, "monotonic", lambda: now[0])
    progress = FoldProgress([200, 400])
    progress.start("[1/2] one")
    now[0] = 10.0
    progress.epoch({"epoch": 0, "val_f1": 0.5}, 100)
    now[0] = 11.0
    progress.epoch({"epoch": 1, "val_f1": 0.5}, 100)
    progress.finish("F1 0.600")
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "[1/2] one: starts"
    assert lines[1] == "[1/2] one: epoch 1, val F1 0.500; about 50 s left"
    assert lines[2] == "[1/2] one: F1 0.600; about 22 s left"
