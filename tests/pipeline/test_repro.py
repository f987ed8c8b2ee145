"""`dvc repro` on a laptop: all stages, on real parts, on a tiny set."""

import json

import pandas as pd
import yaml

from pageflip.frames.pack import open_pack
from pipeline.conftest import call, tiny_params, write_params

STAGES = ["prepare", "validate", "split", "train@cnn", "evaluate@cnn", "report@cnn", "register", "promote"]


def test_dvc_repro_runs_every_stage_and_leaves_what_each_promises(reproduced):
    frames, index = open_pack(reproduced / "data" / "frames")
    assert frames.shape == (96, 96, 54, 3)
    assert index["decodable"].all()
    assert json.loads((reproduced / "reports/validation/result.json").read_text())["success"]
    assert (reproduced / "reports/validation/docs/index.html").exists()
    assignment = pd.read_parquet(reproduced / "data/split/assignment.parquet")
    assert set(assignment["part"]) == {"train", "val", "test"}
    assert not json.loads((reproduced / "data/split/leaks.json").read_text())["leaks"]
    promotion = json.loads((reproduced / "reports/promotion.json").read_text())
    assert promotion["promoted"]
    assert promotion["aliases"] == ["candidate", "champion"]
    assert "there was no champion" in promotion["reason"]
    report = (reproduced / "reports/report/cnn/report.html").read_text()
    assert "<svg" in report


def test_a_second_repro_finds_nothing_to_do(reproduced):
    output = call(reproduced, "dvc", "repro").stdout
    assert "Data and pipelines are up to date." in output
    assert "Running stage" not in output


def test_dvc_finds_only_promote_changed_after_an_edit_of_its_gate(reproduced):
    gate = reproduced / "pageflip" / "registry" / "gate.py"
    content = gate.read_bytes()
    gate.write_bytes(content + b"# edited\n")
    try:
        changed = json.loads(call(reproduced, "dvc", "status", "--json").stdout)
    finally:
        gate.write_bytes(content)
    assert changed == {"promote": [{"changed deps": {"pageflip/registry/gate.py": "modified"}}]}


def test_dvc_reads_the_metrics_and_plots(reproduced):
    shown = json.loads(call(reproduced, "dvc", "metrics", "show", "--json").stdout)
    (values,) = [entry["data"] for entry in shown[""]["data"].values()]
    assert 0 <= values["f1_low"] <= values["f1"] <= values["f1_high"] <= 1
    details = json.loads((reproduced / "reports/evaluation/cnn/details.json").read_text())
    assert values["n"] == sum(details["confusion"].values())
    table = call(reproduced, "dvc", "metrics", "show", "--md").stdout.splitlines()
    assert max(map(len, table)) < 150
    plots = json.loads(call(reproduced, "dvc", "plots", "show", "--json").stdout)
    assert len(plots["data"]) == 4
    assert not plots.get("errors")


def test_the_lock_file_names_every_stage_with_hashes(reproduced):
    lock = yaml.safe_load((reproduced / "dvc.lock").read_text())
    assert sorted(lock["stages"]) == sorted(STAGES)


def test_an_unknown_parameter_stops_a_stage_with_a_hint_and_no_traceback(fresh):
    params = tiny_params()
    params["prepare"]["widht"] = params["prepare"].pop("width")
    write_params(fresh, params)
    command = ["python", "-m", "tasks.prepare", "--raw", "data/raw", "--out", "data/other"]
    error = call(fresh, *command, expect=78).stderr
    assert "unknown key prepare.widht (did you mean width?)" in error
    assert "missing key prepare.width" in error
    assert "Traceback" not in error
    assert not (fresh / "data" / "other").exists()


def test_a_breach_of_the_checks_stops_the_pipeline_with_a_table_of_what_failed(fresh):
    params = tiny_params()
    params["validate"]["min_width"] = 500
    write_params(fresh, params)
    done = call(fresh, "dvc", "repro", expect=255)
    assert "frames are at least 500 pixels wide" in done.stdout
    assert "96 of 96" in done.stdout
    assert "images/training/flip/" in done.stdout
    assert "Running stage 'split'" not in done.stdout


def test_the_served_model_answers_for_jpegs_on_the_command_line(reproduced):
    picture = next((reproduced / "data/raw/images/training/flip").iterdir())
    output = call(reproduced, "pageflip", "predict", str(picture), "--format", "json").stdout
    (prediction,) = json.loads(output)
    assert prediction["label"] in ("flip", "notflip")
    assert 0 <= prediction["probability"] <= 1


def test_evaluate_measures_the_champion_on_a_labelled_folder(reproduced):
    command = ["pageflip", "evaluate", "--data", "data/raw", "--books", "data/raw/books.csv", "--format", "json"]
    result = json.loads(call(reproduced, *command).stdout)
    assert {"f1", "precision", "recall", "roc_auc", "threshold", "n", "model"} <= set(result)
    assert result["n"] == 96
    assert len(result["books"]) == 3


def test_lineage_leads_from_the_champion_to_data_split_stages_and_params(reproduced):
    facts = json.loads(call(reproduced, "pageflip", "lineage", "champion", "--format", "json").stdout)
    raw = yaml.safe_load((reproduced / "data/raw.dvc").read_text())["outs"][0]["md5"]
    assert facts["data_version"] == raw
    assert facts["aliases"] == ["candidate", "champion"]
    assert facts["params"]["seed"] == "7"
    lock = yaml.safe_load((reproduced / "dvc.lock").read_text())["stages"]
    for stage in ("prepare", "split", "train@cnn", "evaluate@cnn"):
        assert facts["stages"][stage] == {out["path"]: out["md5"] for out in lock[stage]["outs"]}
