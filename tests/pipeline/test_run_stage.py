"""Stages as an orchestrator runs them: each in a clean workspace, nothing between them but remote and run store."""

import json
import shutil
import sqlite3

import pytest
import yaml

from pipeline.conftest import call, make_project, tiny_params, write_params

STAGES = ["prepare", "validate", "split", "train@cnn", "evaluate@cnn", "report@cnn", "register", "promote"]
PER_PLACE = {"reports/validation/docs", "reports/promotion.json"}  # carry the time of the check; the version number


def run_stage(folder, stage, run="r1", expect=0, **environment):
    return call(folder, "python", "-m", "tasks.run_stage", stage, "--run", run, expect=expect, **environment)


def hashes(stages: dict) -> dict:
    outs = [out for entry in stages.values() for out in entry["outs"]]
    return {out["path"]: out["md5"] for out in outs if out["path"] not in PER_PLACE}


@pytest.fixture(scope="module")
def chained(tmp_path_factory, reproduced):
    """A project whose stages ran one by one, from the same frames as `reproduced`, in a place of its own."""
    folder = make_project(tmp_path_factory.mktemp("chained") / "project")
    outputs = {stage: run_stage(folder, stage).stdout for stage in STAGES}
    return folder, outputs


def entries(folder, run="r1") -> dict:
    lock = folder / ".pageflip" / "runs" / run / "lock"
    return {file.name.removesuffix(".json"): json.loads(file.read_text()) for file in lock.iterdir()}


def test_the_stages_of_a_run_hand_on_their_results_through_remote_and_run_store_alone(chained):
    folder, outputs = chained
    assert all("computed in" in output.splitlines()[-1] for output in outputs.values())
    assert sorted(entries(folder)) == sorted(STAGES)
    assert not (folder / "data" / "frames").exists()
    assert not (folder / "dvc.lock").exists()
    assert not list((folder / ".pageflip" / "work").iterdir())


def test_the_runner_and_dvc_repro_give_the_same_hashes_for_the_same_inputs(chained, reproduced):
    lock = yaml.safe_load((reproduced / "dvc.lock").read_text())["stages"]
    assert hashes(entries(chained[0])) == hashes(lock)


def test_an_unchanged_stage_is_restored_even_in_another_run_with_an_empty_cache(chained):
    folder, _ = chained
    shutil.rmtree(folder / ".pageflip" / "cache")
    for stage in ("prepare", "validate"):
        assert "unchanged, restored in" in run_stage(folder, stage, run="r2").stdout
    assert entries(folder, "r2") == {stage: entries(folder)[stage] for stage in ("prepare", "validate")}


def test_a_run_keeps_the_parameters_it_began_with(chained):
    folder, _ = chained
    run_stage(folder, "prepare", run="r3")
    params = tiny_params()
    write_params(folder, params | {"split": params["split"] | {"seed": 99}})
    run_stage(folder, "validate", run="r3")
    run_stage(folder, "split", run="r3")
    write_params(folder, params)
    assert entries(folder, "r3")["split"] == entries(folder)["split"]


def test_register_runs_again_where_the_registry_has_lost_the_version(chained):
    folder, _ = chained
    lost = folder / ".pageflip" / "mlflow.db"
    kept = lost.with_suffix(".kept")
    shutil.copy(lost, kept)
    with sqlite3.connect(lost) as database:
        for table in ("model_version_tags", "registered_model_aliases", "model_versions"):
            database.execute(f"delete from {table}")
    for stage in ("prepare", "validate", "split", "train@cnn", "evaluate@cnn"):
        assert "unchanged, restored in" in run_stage(folder, stage, run="r4").stdout
    done = run_stage(folder, "register", run="r4")
    assert "its results outside DVC are gone" in done.stderr
    assert "version 1, alias candidate" in done.stdout
    shutil.move(kept, lost)


def test_a_stage_without_its_upstream_is_refused_with_what_to_run_first(chained):
    error = run_stage(chained[0], "split", run="r5", expect=78).stderr
    assert "stage split needs prepare, which has not run" in error
    assert "Traceback" not in error


def test_an_unknown_stage_is_refused_with_the_known_ones(chained):
    assert "use one of evaluate@cnn, prepare" in run_stage(chained[0], "trian", expect=78).stderr


def test_a_run_name_that_is_no_plain_name_is_refused(chained):
    assert "is not a plain name" in run_stage(chained[0], "prepare", run="../up", expect=78).stderr


def test_a_failing_stage_passes_on_its_exit_code_and_its_reports_are_kept(chained):
    folder, _ = chained
    params = tiny_params()
    params["validate"]["min_width"] = 500
    write_params(folder, params)
    run_stage(folder, "prepare", run="r6")
    error = run_stage(folder, "validate", run="r6", expect=65).stderr
    write_params(folder, tiny_params())
    assert "stage validate failed; its reports are kept at" in error
    assert "Traceback" not in error
    kept = folder / ".pageflip" / "runs" / "r6" / "failed" / "validate" / "validation" / "result.json"
    assert not json.loads(kept.read_text())["success"]
    assert "validate" not in entries(folder, "r6")


def test_without_a_data_version_the_command_that_makes_one_is_named(fresh):
    (fresh / "data" / "raw.dvc").unlink()
    error = run_stage(fresh, "prepare", run="new", expect=78).stderr
    assert "run `pageflip synthesize` or `pageflip import`" in error


def test_data_that_was_never_pushed_is_named(fresh):
    for place in ("remote", "cache"):
        shutil.rmtree(fresh / ".pageflip" / place)
    error = run_stage(fresh, "prepare", run="new", expect=69).stderr
    assert "data/raw cannot be pulled from the DVC remote" in error
    assert "dvc push" in error


def test_a_command_that_ends_well_without_its_output_is_a_failure_that_leaves_nothing(fresh):
    text = (fresh / "dvc.yaml").read_text()
    (fresh / "dvc.yaml").write_text(text.replace("--raw data/raw --out data/frames", "--raw data/raw --out data/other"))
    error = run_stage(fresh, "prepare", run="new", expect=1).stderr
    assert "stage prepare failed" in error
    assert not (fresh / ".pageflip" / "runs" / "new" / "lock").exists()


def test_a_relative_run_store_is_taken_from_where_the_command_runs(fresh):
    run_stage(fresh, "prepare", run="new", PAGEFLIP_STORE="elsewhere")
    assert (fresh / "elsewhere" / "new" / "lock" / "prepare.json").exists()
