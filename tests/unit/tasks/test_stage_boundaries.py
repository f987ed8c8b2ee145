"""Stage boundaries: which stages run again when a module is edited, so that no edit retrains for nothing."""

import re
from pathlib import Path

import pytest
import yaml

from pageflip.params.all import Params
from tasks.stage_deps import EXEMPT

ROOT = Path(__file__).parents[3]
STAGES = yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
SECTIONS = {field.alias or name: field.annotation for name, field in Params.model_fields.items()}
del SECTIONS["synthesize"]  # a plain dict, which no stage reads


def stages_that_depend_on(*files):
    """The stages that run again when one of the files is edited; each must exist."""
    assert all((ROOT / file).is_file() for file in files)
    return {stage for stage, entry in STAGES.items() if set(files) & set(entry["deps"])}


def sections_in_params(stage):
    return {key.partition(".")[0] for key in STAGES[stage]["params"]}


def test_the_alias_journal_and_the_promotion_gate_rerun_at_most_register_and_promote():
    assert stages_that_depend_on("pageflip/registry/journal.py", "pageflip/registry/aliases.py") == {
        "register",
        "promote",
    }
    assert stages_that_depend_on("pageflip/registry/gate.py", "pageflip/registry/promotion.py") == {"promote"}


def test_a_template_or_a_chart_reruns_the_report_alone():
    templates = [path.relative_to(ROOT).as_posix() for path in ROOT.glob("pageflip/reports/templates/evaluation*.j2")]
    assert templates
    code = [f"pageflip/reports/{name}.py" for name in ("charts", "evaluation_charts", "evidence", "page")]
    assert stages_that_depend_on("pageflip/evaluation/activation_maps.py", *code, *templates) == {"report"}


def test_no_stage_depends_on_the_report():
    (out,) = STAGES["report"]["outs"]
    assert not [dep for entry in STAGES.values() for dep in entry["deps"] if dep in out or out in dep]


def test_the_onnx_predictor_reruns_what_predicts_with_onnx_and_not_the_training():
    assert stages_that_depend_on("pageflip/inference/predictor.py") == {"register", "promote"}


def test_mlflow_calls_rerun_no_training_and_no_evaluation():
    for file in ("client", "tracking", "versions", "loading", "registration"):
        assert stages_that_depend_on(f"pageflip/registry/{file}.py") <= {"register", "promote"}


def test_the_decoding_and_the_packing_of_images_rerun_prepare_and_no_training():
    for name in ("pack_building", "parallel", "raw_folder"):
        assert stages_that_depend_on(f"pageflip/frames/{name}.py") == {"prepare"}
    assert not stages_that_depend_on("pageflip/frames/pixels.py") & {"validate", "split", "train"}


def test_the_algorithm_of_the_split_reruns_the_split_alone():
    assert stages_that_depend_on("pageflip/frames/splitting.py") == {"split"}


@pytest.mark.parametrize("section", SECTIONS)
def test_the_schema_of_a_section_reruns_the_stages_that_read_the_section(section):
    readers = {stage for stage in STAGES if section in sections_in_params(stage)}
    module = SECTIONS[section].__module__.replace(".", "/") + ".py"
    assert stages_that_depend_on(module) == readers


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_lists_the_sections_that_its_task_reads(stage):
    text = (ROOT / "tasks" / f"{stage}.py").read_text(encoding="utf-8")
    assert sections_in_params(stage) == set(re.findall(r'load_section\([^,]+, "(\w+)"', text))


def test_the_model_of_the_whole_params_file_is_no_dependency():
    assert stages_that_depend_on("pageflip/params/all.py") == set()


def test_console_and_storage_rerun_nothing_and_every_exemption_has_its_reason():
    assert {"pageflip/base/console.py", "pageflip/base/storage.py"} <= set(EXEMPT)
    assert stages_that_depend_on(*EXEMPT) == set()
    assert all(EXEMPT.values())
