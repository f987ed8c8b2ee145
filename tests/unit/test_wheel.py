"""The wheel: its files, its metadata, and the lock files that belong to it (see cli/test_base_install.py)."""

import re
import tomllib
import zipfile
from email.message import Message
from email.parser import Parser
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from wheel_factory import build_wheel

ROOT = Path(__file__).parents[2]
BASE = {
    "av", "filelock", "numpy", "onnxruntime", "opencv-python-headless", "pillow", "pydantic", "pyyaml", "rich", "typer",
}  # fmt: skip
LOCK_FILES = sorted((ROOT / "requirements").glob("*.txt"))


def pins(lock_file: Path) -> dict[str, str]:
    """Return the version of each distribution that is pinned for this machine."""
    lines = re.findall(r"^(\S+==.*?) \\$", lock_file.read_text(encoding="utf-8"), re.MULTILINE)
    requirements = [Requirement(line) for line in lines]
    return {
        canonicalize_name(one.name): str(one.specifier).removeprefix("==")
        for one in requirements
        if one.marker is None or one.marker.evaluate()
    }


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of this source tree."""
    return build_wheel(tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def metadata(wheel: Path) -> Message:
    with zipfile.ZipFile(wheel) as archive:
        name = next(name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        return Parser().parsestr(archive.read(name).decode("utf-8"))


def test_the_wheel_holds_every_file_of_the_package_and_nothing_else(wheel):
    with zipfile.ZipFile(wheel) as archive:
        packed = {name for name in archive.namelist() if ".dist-info/" not in name}
    files = [path for path in (ROOT / "pageflip").rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    assert packed == {path.relative_to(ROOT).as_posix() for path in files}


def test_the_wheel_asks_for_what_prediction_needs_and_names_its_extras(metadata):
    requirements = [Requirement(line) for line in metadata.get_all("Requires-Dist")]
    assert {one.name for one in requirements if one.marker is None} == BASE
    assert set(metadata.get_all("Provides-Extra")) == {"registry", "train"}
    assert metadata["Requires-Python"] == ">=3.11"


def test_every_pin_has_a_hash_and_no_lock_file_names_an_index():
    for lock_file in LOCK_FILES:
        text = lock_file.read_text(encoding="utf-8")
        blocks = re.findall(r"^\S+==.*\n(?:    .*\n?)+", text, re.MULTILINE)
        assert len(blocks) == len(re.findall(r"^\S", text, re.MULTILINE)) > 0, lock_file
        assert all("--hash=sha256:" in block for block in blocks), lock_file
        assert "://" not in text, lock_file


def test_the_pins_lie_in_the_ranges_of_the_metadata(metadata):
    pinned = pins(ROOT / "requirements" / "pipeline.txt")
    for requirement in map(Requirement, metadata.get_all("Requires-Dist")):
        if requirement.name != "pageflip":
            assert requirement.specifier.contains(pinned[canonicalize_name(requirement.name)]), requirement


@pytest.mark.parametrize("name", ["base", "dev", "mlflow-server"])
def test_environments_that_work_together_pin_the_same_versions(name):
    pipeline, other = pins(ROOT / "requirements" / "pipeline.txt"), pins(ROOT / "requirements" / f"{name}.txt")
    shared = pipeline.keys() & other.keys()
    assert shared
    assert {key: other[key] for key in shared} == {key: pipeline[key] for key in shared}


def test_every_group_of_development_dependencies_has_its_lock_file():
    groups = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["dependency-groups"]
    assert {path.stem for path in LOCK_FILES} == {*groups, "base", "orchestrator", "pipeline"}


def test_the_program_in_the_task_image_is_that_of_the_wheel():
    module, function = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["scripts"][
        "pageflip"
    ].split(":")
    dockerfile = (ROOT / "docker" / "task.Dockerfile").read_text(encoding="utf-8")
    assert f"from {module} import {function}\\n" in dockerfile
