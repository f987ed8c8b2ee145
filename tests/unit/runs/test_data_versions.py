"""Which version of the raw frames a run reads, and which overrides it may have."""

import json

import pytest
import yaml

from pageflip.base import storage
from pageflip.base.errors import ConfigError
from pageflip.runs import data_versions, run_store

OLD, NEW, OWN = ("1" * 32 + ".dir", "2" * 32 + ".dir", "3" * 32 + ".dir")


def pointer(version: str) -> str:
    return yaml.safe_dump({"outs": [{"md5": version, "path": "raw"}]})


def version_of(content: str) -> str:
    return yaml.safe_load(content)["outs"][0]["md5"]


@pytest.fixture
def store(tmp_path):
    """A run store with two published versions."""
    url = str(tmp_path / "runs")
    for version in (OLD, NEW):
        storage.write_bytes(f"{url}/.data/versions/{version}.dvc", pointer(version).encode())
    storage.write_bytes(f"{url}/.data/newest.dvc", pointer(NEW).encode())
    return url


@pytest.fixture
def project(tmp_path):
    """A project that tracks a version of its own."""
    folder = tmp_path / "project"
    (folder / "data").mkdir(parents=True)
    (folder / "data" / "raw.dvc").write_text(pointer(OWN))
    return folder


@pytest.mark.parametrize(("wanted", "found"), [(None, OWN), ("published", NEW), (OLD, OLD), (NEW, NEW), (OWN, OWN)])
def test_a_run_reads_the_version_it_asks_for_or_the_projects_own(project, store, wanted, found):
    assert version_of(data_versions.find_version(project, store, wanted)) == found


def test_without_a_version_of_its_own_a_project_reads_the_newest_that_was_published(tmp_path, store):
    assert version_of(data_versions.find_version(tmp_path, store, None)) == NEW


def test_where_nothing_was_published_the_projects_own_version_is_read(project, tmp_path):
    assert version_of(data_versions.find_version(project, str(tmp_path / "empty"), "published")) == OWN


@pytest.mark.parametrize("wanted", ["4" * 32 + ".dir", "../../newest", "newest"])
def test_an_unknown_version_is_refused(project, store, wanted):
    with pytest.raises(ConfigError, match="there is no published data version"):
        data_versions.find_version(project, store, wanted)


def test_without_any_version_it_says_how_to_make_one(tmp_path):
    with pytest.raises(ConfigError, match="pageflip synthesize"):
        data_versions.find_version(tmp_path, str(tmp_path / "runs"), "published")


def test_a_version_that_was_tampered_with_is_refused(project, store):
    storage.write_bytes(f"{store}/.data/versions/{OLD}.dvc", pointer(NEW).encode())
    with pytest.raises(ConfigError, match="holds the version 2222"):
        data_versions.find_version(project, store, OLD)


def test_the_first_stage_of_a_run_fixes_its_overrides_for_all(project, store, params_file):
    (project / "params.yaml").write_text(params_file.read_text())
    before = yaml.safe_load(params_file.read_text())
    first = run_store.RunStore(store, "r", run_store.RunOverrides(("train.seed=99", "train.models=[cnn]"), OLD))
    inputs = first.inputs(project)
    params = yaml.safe_load(inputs["params"])
    assert (params["train"]["seed"], params["train"]["models"]) == (99, ["cnn"])
    params["train"] |= {key: before["train"][key] for key in ("seed", "models")}
    assert params == before
    assert version_of(inputs["raw_dvc"]) == OLD
    assert run_store.RunStore(store, "r", run_store.RunOverrides(("train.seed=5",))).inputs(project) == inputs
    assert json.loads(storage.read_bytes(f"{store}/r/inputs.json")) == inputs


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("train.sed=9", "sets no key of params.yaml"),
        ("train.seed", "sets no key of params.yaml"),
        ("train.seed.deeper=1", "sets no key of params.yaml"),
        ("train.seed=soon", "train.seed"),
        ("train.seed=[", "value that is not YAML"),
        ("train.models=[]", "train.models"),
    ],
)
def test_an_override_that_params_yaml_does_not_know_is_refused(project, store, params_file, setting, message):
    (project / "params.yaml").write_text(params_file.read_text())
    with pytest.raises(ConfigError, match=message):
        run_store.RunStore(store, "r", run_store.RunOverrides((setting,))).inputs(project)
