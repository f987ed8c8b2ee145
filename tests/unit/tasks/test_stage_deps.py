"""Every stage depends on the code it runs: an edit of a library module must not leave stale outputs behind."""

from pathlib import Path

import pytest
import yaml

from pageflip.params.promote import Promote
from tasks import stage_deps

ROOT = Path(__file__).parents[3]
TEXT = (ROOT / "dvc.yaml").read_text(encoding="utf-8")
STAGES = yaml.safe_load(TEXT)["stages"]


def test_the_code_dependencies_in_dvc_yaml_are_those_of_the_imports():
    assert stage_deps.rewrite(TEXT) == TEXT, "run `python -m tasks.stage_deps --write`"


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_runs_the_module_of_its_name_and_its_deps_exist(stage):
    assert f"python -m tasks.{stage} " in STAGES[stage]["cmd"]
    for dep in STAGES[stage]["deps"]:
        if dep.startswith(stage_deps.CODE):
            assert (ROOT / dep).is_file(), dep


def test_promote_depends_on_all_its_parameters_but_on_who_approves():
    listed = {key for key in STAGES["promote"]["params"] if key.startswith("promote")}
    assert listed == {f"promote.{key}" for key in Promote.model_fields if key != "approval"}


def test_each_exemption_and_each_data_file_exists():
    assert all((ROOT / file).is_file() for file in (*stage_deps.EXEMPT, *stage_deps.DATA_FILES))
    assert all(list(ROOT.glob(pattern)) for patterns in stage_deps.DATA_FILES.values() for pattern in patterns)
