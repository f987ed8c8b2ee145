"""Every stage depends on the code it runs: an edit of a library module must not leave stale outputs behind."""

import ast
from pathlib import Path

import pytest
import yaml

from pageflip.params.registry import Promote

ROOT = Path(__file__).parents[2]
STAGES = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
CANNOT_CHANGE_AN_OUTPUT = {
    "pageflip/__init__.py": "holds the release's number, which no stage writes",
    "pageflip/base/console.py": "how a program ends",
    "pageflip/base/full_disk.py": "what a full disk is called",
    "pageflip/base/errors.py": "what a failure says; a failed stage has no outputs",
    "pageflip/base/progress.py": "what is shown while a stage runs",
    "pageflip/base/settings.py": "where stores and servers are, not what is in them",
    "tasks/__init__.py": "empty",
}


def file_of(module: str) -> str | None:
    """A project module's file, relative to the root; None for other modules and for names inside a module."""
    path = Path(*module.split("."))
    for candidate in (path.with_suffix(".py"), path / "__init__.py"):
        if path.parts[0] in ("pageflip", "tasks") and (ROOT / candidate).is_file():
            return candidate.as_posix()
    return None


def imports_of(file: str) -> set[str]:
    """Files of the project modules that a file imports, inside functions too."""
    names = set()
    for node in ast.walk(ast.parse((ROOT / file).read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file} imports relatively; this test does not follow that"
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return {found for name in names if (found := file_of(name))}


def closure(file: str) -> set[str]:
    """The file and all project files it imports, however far away."""
    known: set[str] = set()
    waiting = [file]
    while waiting:
        current = waiting.pop()
        if current not in known:
            known.add(current)
            waiting += imports_of(current)
    return known


def test_imports_are_followed_through_modules_and_into_functions():
    found = closure("tasks/register.py")
    assert {
        "tasks/register.py",
        "pageflip/registry/client.py",
        "pageflip/registry/pyfunc.py",
        "pageflip/frames/pixels.py",
    } <= found
    assert "pageflip/cli/app.py" not in found


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_depends_on_every_module_it_imports(stage):
    needed = closure(f"tasks/{stage}.py") - set(CANNOT_CHANGE_AN_OUTPUT)
    listed = {dep for dep in STAGES[stage]["deps"] if dep.startswith(("pageflip/", "tasks/")) and dep.endswith(".py")}
    assert sorted(needed - listed) == [], f"add these to the deps of {stage} in dvc.yaml"
    assert sorted(listed - needed) == [], f"take these out of the deps of {stage} in dvc.yaml"


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_runs_the_module_of_its_name_and_its_deps_exist(stage):
    assert f"python -m tasks.{stage} " in STAGES[stage]["cmd"]
    for dep in STAGES[stage]["deps"]:
        if dep.startswith(("pageflip/", "tasks/")):
            assert (ROOT / dep).is_file(), dep


def test_promote_depends_on_all_its_parameters_but_on_who_approves():
    listed = {key for key in STAGES["promote"]["params"] if key.startswith("promote")}
    assert listed == {f"promote.{key}" for key in Promote.model_fields if key != "approval"}


def test_evaluation_depends_on_its_templates():
    templates = {path.relative_to(ROOT).as_posix() for path in ROOT.glob("pageflip/reports/templates/evaluation*.j2")}
    assert templates == {dep for dep in STAGES["evaluate"]["deps"] if dep.endswith(".j2")}


def test_each_exemption_is_a_module_that_exists():
    assert all((ROOT / file).is_file() for file in CANNOT_CHANGE_AN_OUTPUT)
