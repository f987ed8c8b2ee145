"""A failed or killed writer leaves what was there before."""

import hashlib
import subprocess
import sys

import filelock
import pytest

from pageflip.base.errors import DataError
from pageflip.base.files import (
    atomic_folder,
    lock_file,
    read_json,
    sha256_of,
    temporary_folder,
    write_json,
    write_text,
)


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_new_folder_appears_when_the_block_ends(tmp_path):
    out = tmp_path / "deep" / "out"
    with atomic_folder(out) as folder:
        (folder / "file").write_text("new")
        assert not out.exists()
    assert (out / "file").read_text() == "new"
    assert names(tmp_path / "deep") == ["out"]
    assert out.stat().st_mode & 0o777 == 0o755


def test_a_new_folder_takes_the_place_of_the_old_one_with_all_it_held(tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (out / "old").write_text("old")
    with atomic_folder(out) as folder:
        (folder / "new").write_text("new")
        assert names(out) == ["old"]
    assert names(out) == ["new"]
    assert names(tmp_path) == ["out"]


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_a_failing_block_leaves_the_old_folder_and_no_rest(tmp_path, error):
    out = tmp_path / "out"
    out.mkdir()
    (out / "old").write_text("old")

    def write_half():
        with atomic_folder(out) as folder:
            (folder / "new").write_text("half")
            raise error("in the middle")

    with pytest.raises(error, match="in the middle"):
        write_half()
    assert (out / "old").read_text() == "old"
    assert names(out) == ["old"]
    assert names(tmp_path) == ["out"]


def test_a_failing_block_leaves_nothing_where_nothing_was(tmp_path):
    with pytest.raises(RuntimeError, match="stop"), atomic_folder(tmp_path / "out"):
        raise RuntimeError("stop")
    assert names(tmp_path) == []


def test_text_takes_the_place_of_the_old_text(tmp_path):
    path = tmp_path / "deep" / "file.txt"
    write_text(path, "old")
    write_text(path, "neu: ä")
    assert path.read_text(encoding="utf-8") == "neu: ä"
    assert names(path.parent) == ["file.txt"]


def test_text_that_cannot_be_written_leaves_the_old_text(tmp_path):
    path = tmp_path / "file.txt"
    write_text(path, "old")
    with pytest.raises(UnicodeEncodeError, match="surrogates"):
        write_text(path, "\ud800")
    assert path.read_text() == "old"
    assert names(tmp_path) == ["file.txt"]


def test_equal_contents_are_equal_bytes_of_json(tmp_path):
    write_json(tmp_path / "one.json", {"b": 1, "a": [1.5, None]})
    write_json(tmp_path / "two.json", {"a": [1.5, None], "b": 1})
    assert (tmp_path / "one.json").read_bytes() == (tmp_path / "two.json").read_bytes()
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "one.json", {"a": float("nan")})
    assert (tmp_path / "one.json").read_bytes() == (tmp_path / "two.json").read_bytes()


def test_json_is_read_as_it_was_written(tmp_path):
    write_json(tmp_path / "file.json", {"ä": [1.5, None]})
    assert read_json(tmp_path / "file.json") == {"ä": [1.5, None]}
    with pytest.raises(FileNotFoundError, match=r"other\.json"):
        read_json(tmp_path / "other.json")


@pytest.mark.parametrize("content", [b'{"a": ', b"\xff\xfe"])
def test_a_file_that_is_not_json_is_named(tmp_path, content):
    (tmp_path / "file.json").write_bytes(content)
    with pytest.raises(DataError, match=r"file\.json is not valid JSON"):
        read_json(tmp_path / "file.json")


def test_only_its_owner_may_read_a_private_file(tmp_path):
    write_json(tmp_path / "private.json", {}, private=True)
    write_json(tmp_path / "public.json", {})
    modes = [(tmp_path / f"{name}.json").stat().st_mode & 0o777 for name in ("private", "public")]
    assert modes == [0o600, 0o644]


def test_a_lock_is_held_by_one_and_ends_with_its_process(tmp_path):
    path = tmp_path / "lock"
    program = "import sys, pathlib, time; from pageflip.base.files import lock_file\n"
    program += "with lock_file(pathlib.Path(sys.argv[1])): print('held', flush=True); time.sleep(60)"
    with subprocess.Popen([sys.executable, "-c", program, str(path)], stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout.readline() == "held\n"
        with pytest.raises(filelock.Timeout, match="lock"), lock_file(path):
            pass
        other.kill()
    with lock_file(path):
        assert path.exists()
    assert not path.exists()


def test_the_digest_is_that_of_the_bytes(tmp_path):
    (tmp_path / "file").write_bytes(b"x" * 300_000)
    assert sha256_of(tmp_path / "file") == hashlib.sha256(b"x" * 300_000).hexdigest()


def test_a_leftover_of_a_killed_process_is_removed_and_a_folder_in_use_is_not(tmp_path):
    (tmp_path / "work.left").mkdir()
    with temporary_folder(tmp_path, "work.") as one, temporary_folder(tmp_path, "work.") as two:
        assert sorted(tmp_path.iterdir()) == sorted([one, two])
    assert not list(tmp_path.iterdir())


def test_the_old_folder_comes_back_when_the_new_one_cannot_take_its_place(tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (out / "old").touch()
    with pytest.raises(OSError, match="new"), atomic_folder(out) as folder:
        folder.rmdir()  # what a tidy-up job on a full disk might do
    assert (out / "old").exists()
