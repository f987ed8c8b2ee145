"""What a result says of the code, data and libraries it was made from."""

import subprocess

import pytest

from pageflip.base.provenance import UNKNOWN, data_version, environment, git_revision


@pytest.fixture
def repository(tmp_path, monkeypatch):
    monkeypatch.delenv("PAGEFLIP_GIT_REVISION", raising=False)
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    monkeypatch.chdir(tmp_path)

    def git(*arguments):
        identity = ("-c", "user.name=tester", "-c", "user.email=tester@localhost")
        return subprocess.run(["git", *identity, *arguments], check=True, capture_output=True, text=True).stdout.strip()

    git("init", "--quiet")
    (tmp_path / "file").write_text("one")
    git("add", "file")
    git("commit", "--quiet", "--message", "one")
    return git


def test_the_revision_is_gits_and_says_when_files_differ(repository, tmp_path):
    commit = repository("rev-parse", "HEAD")
    assert git_revision() == commit
    repository("tag", "v1")
    assert git_revision() == commit
    (tmp_path / "file").write_text("two")
    assert git_revision() == f"{commit}-dirty"


def test_a_given_revision_comes_first(repository, monkeypatch):
    monkeypatch.setenv("PAGEFLIP_GIT_REVISION", "abc")
    assert git_revision() == "abc"


def test_without_a_repository_the_revision_is_unknown(tmp_path, monkeypatch):
    monkeypatch.delenv("PAGEFLIP_GIT_REVISION", raising=False)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    monkeypatch.chdir(tmp_path)
    assert git_revision() == UNKNOWN
    monkeypatch.setenv("PATH", str(tmp_path))
    assert git_revision() == UNKNOWN


def test_the_data_version_is_dvcs_hash(tmp_path):
    (tmp_path / "data").mkdir()
    assert data_version(tmp_path) == UNKNOWN
    (tmp_path / "data" / "raw.dvc").write_text("outs:\n- md5: 0123abcd.dir\n  path: raw\n")
    assert data_version(tmp_path) == "0123abcd.dir"


@pytest.mark.parametrize("text", ["", "outs: []", "outs:\n- path: raw\n", "- 1", "a: ["])
def test_a_damaged_raw_dvc_is_unknown(tmp_path, text):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "raw.dvc").write_text(text)
    assert data_version(tmp_path) == UNKNOWN


def test_the_environment_names_releases():
    found = environment()
    assert {"python", "platform", "torch", "onnxruntime", "mlflow"} <= set(found)
    assert UNKNOWN not in found.values()
