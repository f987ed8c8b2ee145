"""A failed or killed writer leaves what was there before."""

import hashlib

import pytest

from pageflip.base.files import folder_in_one_piece, sha256_of, temporary_folder, write_json, write_text


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_new_folder_appears_when_the_block_ends(tmp_path):
    out = tmp_path / "deep" / "out"
    with folder_in_one_piece(out) as folder:
        (folder / "file").write_text("new")
        assert not out.exists()
    assert (out / "file").read_text() == "new"
    assert names(tmp_path / "deep") == ["out"]
    assert out.stat().st_mode & 0o777 == 0o755


def test_a_new_folder_takes_the_place_of_the_old_one_with_all_it_held(tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (out / "old").write_text("old")
    with folder_in_one_piece(out) as folder:
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
        with folder_in_one_piece(out) as folder:
            (folder / "new").write_text("half")
            raise error("in the middle")

    with pytest.raises(error, match="in the middle"):
        write_half()
    assert (out / "old").read_text() == "old"
    assert names(out) == ["old"]
    assert names(tmp_path) == ["out"]


def test_a_failing_block_leaves_nothing_where_nothing_was(tmp_path):
    with pytest.raises(RuntimeError, match="stop"), folder_in_one_piece(tmp_path / "out"):
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
    with pytest.raises(OSError, match="new"), folder_in_one_piece(out) as folder:
        folder.rmdir()  # what a tidy-up job on a full disk might do
    assert (out / "old").exists()
