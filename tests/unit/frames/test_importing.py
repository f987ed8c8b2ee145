"""Import: what is taken, what is refused by name, and that the raw folder is never left half-changed."""

import os
import signal
import stat
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from pageflip.base.errors import ConfigError, DataError, UnavailableError
from pageflip.frames import importing
from pageflip.frames.importing import Limits, import_frames
from pageflip.frames.names import frame_path
from pageflip.frames.raw_folder import list_frames, read_books

ONE = frame_path("training", "flip", "0001", 10)
TWIN = frame_path("training", "notflip", "0001", 10)  # the same file name under the other label
OTHER = frame_path("testing", "flip", "0001", 11)
SAMPLE = {ONE: b"one", TWIN: b"twin", OTHER: b"other"}
BOOKS = b"label,video_id,book\nflip,0001,book-01\n"


def _zip(path: Path, files: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", method) as file:
        for name, content in files.items():
            file.writestr(name, content)
    return path


def _folder(path: Path, files: dict[str, bytes]) -> Path:
    for name, content in files.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(content)
    return path


def _contents(folder: Path) -> dict[str, bytes]:
    return {file.relative_to(folder).as_posix(): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    return tmp_path / "data" / "raw"


@pytest.fixture(params=[_zip, _folder], ids=["zip", "folder"])
def make(request: pytest.FixtureRequest) -> Callable:
    return request.param


def _assert_refused(source: Path, raw: Path, match: str, **options: object) -> None:
    before = _contents(raw)
    with pytest.raises(DataError, match=match):
        import_frames(source, raw, **options)
    assert _contents(raw) == before
    assert [path.name for path in raw.parent.glob("*")] == (["raw"] if before else [])


def test_frames_and_books_arrive_as_they_are(make: Callable, tmp_path: Path, raw: Path) -> None:
    result = import_frames(make(tmp_path / "source.zip", {**SAMPLE, "books.csv": BOOKS}), raw)
    assert (result.frames, result.clips, result.bytes, result.skipped) == (3, 2, 12, 0)
    assert _contents(raw) == {**SAMPLE, "books.csv": BOOKS}
    assert [path.name for path in raw.parent.iterdir()] == ["raw"]


def test_one_wrapping_folder_is_taken_off(make: Callable, tmp_path: Path, raw: Path) -> None:
    wrapped = {f"MonReader/{name}": content for name, content in {**SAMPLE, "books.csv": BOOKS}.items()}
    import_frames(make(tmp_path / "source.zip", wrapped), raw)
    assert _contents(raw) == {**SAMPLE, "books.csv": BOOKS}


def test_folder_entries_of_a_zip_are_no_foreign_files(tmp_path: Path, raw: Path) -> None:
    import_frames(_zip(tmp_path / "a.zip", {"images/": b"", "images/training/": b"", **SAMPLE}), raw)
    assert len(list_frames(raw)) == 3


@pytest.mark.parametrize(
    "name",
    [
        "__MACOSX/images/training/flip/._0001_000000010.jpg",
        "images/.DS_Store",
        "images/training/flip/0001_10.jpg",
        "images/training/FLIP/0001_000000012.jpg",
        "images/training/flip/deep/0001_000000012.jpg",
        "other/books.csv",
        "readme.txt",
    ],
)
def test_a_foreign_file_is_refused_by_name(make: Callable, name: str, tmp_path: Path, raw: Path) -> None:
    _assert_refused(make(tmp_path / "source", {**SAMPLE, name: b"x"}), raw, match=f"{name!r} does not belong")
    wrapped = {f"Top/{key}": content for key, content in SAMPLE.items()}
    _assert_refused(make(tmp_path / "wrapped", {**wrapped, name: b"x"}), raw, match=f"{name!r} does not belong")


@pytest.mark.parametrize(
    "name",
    [
        "../" + ONE,
        "images/../../x.jpg",
        "/" + ONE,
        "C:/" + ONE,
        "images\\training\\flip\\0001_000000012.jpg",
        "..\\x.jpg",
        "images//training/flip/0001_000000012.jpg",
        "./" + ONE,
        "../",
        "images/training/flip/0001_000000012.jpg\0.txt",
    ],
)
def test_an_entry_that_climbs_out_is_refused(name: str, tmp_path: Path, raw: Path) -> None:
    source = tmp_path / "a.zip"
    stand_in = "N" * len(name)
    _zip(source, {**SAMPLE, stand_in: b"x" if not name.endswith("/") else b""})
    source.write_bytes(source.read_bytes().replace(stand_in.encode(), name.encode()))
    _assert_refused(source, raw, match="is not a plain relative path")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.zip", "data"]


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFIFO, stat.S_IFCHR, stat.S_IFDIR])
def test_a_link_or_special_entry_is_refused(kind: int, tmp_path: Path, raw: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as file:
        info = zipfile.ZipInfo(ONE)
        info.external_attr = (kind | 0o644) << 16
        file.writestr(info, "/etc/passwd")
    _assert_refused(tmp_path / "a.zip", raw, match=f"{ONE!r} is a link or a special file")


@pytest.mark.parametrize("make_special", [lambda path: path.symlink_to("/etc/passwd"), os.mkfifo])
def test_a_link_or_special_file_in_a_folder_is_refused(make_special: Callable, tmp_path: Path, raw: Path) -> None:
    source = _folder(tmp_path / "source", SAMPLE)
    make_special(source / "images/training/flip/0001_000000012.jpg")
    _assert_refused(source, raw, match="0001_000000012.jpg' below .* is a link or a special file")


def test_a_linked_subfolder_is_refused(tmp_path: Path, raw: Path) -> None:
    source = _folder(tmp_path / "source", SAMPLE)
    (source / "images" / "training" / "more").symlink_to(source)
    _assert_refused(source, raw, match="'images/training/more' below .* is a link")


def test_an_encrypted_entry_is_refused(tmp_path: Path, raw: Path) -> None:
    source = _zip(tmp_path / "a.zip", {ONE: b"one"})
    data = bytearray(source.read_bytes())
    data[data.index(b"PK\1\2") + 8] |= 1
    source.write_bytes(data)
    _assert_refused(source, raw, match=f"{ONE!r} is encrypted")


def test_an_unusual_compression_is_refused(tmp_path: Path, raw: Path) -> None:
    _assert_refused(_zip(tmp_path / "a.zip", SAMPLE, zipfile.ZIP_LZMA), raw, match="compression method 14")


def test_bombs_are_refused(make: Callable, tmp_path: Path, raw: Path) -> None:
    source = make(tmp_path / "source", {ONE: b"x" * 50, OTHER: b"y" * 60})
    _assert_refused(source, raw, match=f"{OTHER!r} .*60 bytes: it looks like a zip bomb", limits=Limits(entry_bytes=55))
    _assert_refused(source, raw, match="110 bytes, over 100: it looks like", limits=Limits(total_bytes=100))
    _assert_refused(source, raw, match="it looks like a zip bomb", limits=Limits(entries=1))


def test_a_bomb_of_zeros_is_refused_by_its_ratio(tmp_path: Path, raw: Path) -> None:
    source = _zip(tmp_path / "a.zip", {ONE: bytes(2 << 20)})
    _assert_refused(source, raw, match=f"{ONE!r} is compressed 10.. times")


def test_a_header_that_understates_the_size_is_refused(tmp_path: Path, raw: Path) -> None:
    source = _zip(tmp_path / "a.zip", {ONE: b"x" * 5000})
    source.write_bytes(source.read_bytes().replace((5000).to_bytes(4, "little"), (5).to_bytes(4, "little")))
    _assert_refused(source, raw, match=f"{ONE!r} is damaged")


def test_a_file_that_grows_beyond_the_limit_while_it_is_copied_is_refused(tmp_path: Path) -> None:
    endless = importing._Entry("name", 3, lambda: iter([b"123"] * 10))
    with pytest.raises(DataError, match="'name' goes on after 9 bytes"):
        importing._write(endless, tmp_path / "x", 9)


def test_duplicate_names_are_refused(tmp_path: Path, raw: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as file:
        file.writestr(ONE, b"one")
        with pytest.warns(UserWarning, match="Duplicate name"):
            file.writestr(ONE, b"two")
    _assert_refused(tmp_path / "a.zip", raw, match=f"{ONE!r} stands twice")
    folded = ONE.replace("images", "Images")
    _assert_refused(_zip(tmp_path / "b.zip", {ONE: b"1", folded: b"2"}), raw, match=f"{folded!r} stands twice")


def test_a_frame_in_training_and_testing_is_refused(make: Callable, tmp_path: Path, raw: Path) -> None:
    twice = ONE.replace("training", "testing")
    source = make(tmp_path / "source", {ONE: b"one", twice: b"one"})
    _assert_refused(source, raw, match="are the same frame")


def test_a_damaged_archive_is_refused(tmp_path: Path, raw: Path) -> None:
    whole = _zip(tmp_path / "a.zip", SAMPLE, zipfile.ZIP_STORED).read_bytes()
    (tmp_path / "cut.zip").write_bytes(whole[:-30])
    _assert_refused(tmp_path / "cut.zip", raw, match="cut.zip is not a zip file, or is cut short")
    (tmp_path / "bad.zip").write_bytes(whole.replace(b"other", b"Other"))
    _assert_refused(tmp_path / "bad.zip", raw, match=f"{OTHER!r} is damaged: Bad CRC-32")


def test_every_flipped_byte_ends_in_an_import_or_a_data_error(tmp_path: Path, raw: Path) -> None:
    whole = _zip(tmp_path / "a.zip", {ONE: b"one" * 20}).read_bytes()
    source = tmp_path / "bad.zip"
    for position in range(0, len(whole), 3):
        source.write_bytes(whole[:position] + bytes([whole[position] ^ 0xFF]) + whole[position + 1 :])
        try:
            import_frames(source, raw, replace=True)
        except DataError:
            continue
        assert _contents(raw) == {ONE: b"one" * 20}


def test_a_source_without_frames_is_refused(make: Callable, tmp_path: Path, raw: Path) -> None:
    (tmp_path / "empty").mkdir()
    _assert_refused(tmp_path / "empty", raw, match="holds no frames")
    _assert_refused(make(tmp_path / "source", {"books.csv": BOOKS}), raw, match="holds no frames")
    with pytest.raises(DataError, match="there is nothing at"):
        import_frames(tmp_path / "nowhere.zip", raw)


def test_books_that_contradict_themselves_are_refused(make: Callable, tmp_path: Path, raw: Path) -> None:
    for number, books in enumerate([BOOKS + b"flip,0001,book-02\n", b"a,b\n", b"label,video_id,book\n\xff\xfe,1,2\n"]):
        with pytest.raises(DataError, match=r"books\.csv"):
            import_frames(make(tmp_path / str(number), {**SAMPLE, "books.csv": books}), raw)
    assert not raw.exists()


def test_the_monreader_flag_refuses_every_other_file_first(tmp_path: Path, raw: Path) -> None:
    source = _zip(tmp_path / "a.zip", SAMPLE)
    with pytest.raises(DataError, match="the MonReader archive has 939921132"):
        import_frames(source, raw, monreader=True)
    with pytest.raises(DataError, match="it is not a file"):
        import_frames(_folder(tmp_path / "source", SAMPLE), raw, monreader=True)


def test_the_monreader_flag_compares_the_digest(tmp_path: Path, raw: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = _zip(tmp_path / "a.zip", SAMPLE)
    monkeypatch.setattr(importing, "MONREADER_BYTES", source.stat().st_size)
    with pytest.raises(DataError, match="expected 033dd76fa617"):
        import_frames(source, raw, monreader=True)
    assert not raw.exists()


def test_frames_are_never_overwritten_silently(make: Callable, tmp_path: Path, raw: Path) -> None:
    _folder(raw, {ONE: b"mine"})
    with pytest.raises(ConfigError, match=r"not empty(.|\n)*--merge(.|\n)*--replace"):
        import_frames(make(tmp_path / "source", SAMPLE), raw)
    with pytest.raises(ConfigError, match="both given"):
        import_frames(tmp_path / "source", raw, merge=True, replace=True)
    assert _contents(raw) == {ONE: b"mine"}


def test_replace_swaps(make: Callable, tmp_path: Path, raw: Path) -> None:
    _folder(raw, {ONE: b"mine", "books.csv": BOOKS})
    import_frames(make(tmp_path / "source", {OTHER: b"theirs"}), raw, replace=True)
    assert _contents(raw) == {OTHER: b"theirs"}
    assert [path.name for path in raw.parent.iterdir()] == ["raw"]


def test_merge_adds_new_frames_and_skips_identical_ones(make: Callable, tmp_path: Path, raw: Path) -> None:
    _folder(raw, {ONE: b"one"})
    result = import_frames(make(tmp_path / "source", SAMPLE), raw, merge=True)
    assert (result.frames, result.clips, result.bytes, result.skipped) == (2, 2, 9, 1)
    assert _contents(raw) == SAMPLE


@pytest.mark.parametrize("mine", [b"mine", b"o", b"one and more", b""])
def test_merge_refuses_a_frame_with_other_contents(make: Callable, mine: bytes, tmp_path: Path, raw: Path) -> None:
    _folder(raw, {ONE: mine})
    _assert_refused(make(tmp_path / "source", SAMPLE), raw, match=f"{ONE!r} is a frame that .* holds", merge=True)


def test_merge_unites_the_books(make: Callable, tmp_path: Path, raw: Path) -> None:
    _folder(raw, {ONE: b"one", "books.csv": BOOKS})
    more = b"label,video_id,book\nnotflip,0001,book-02\n"
    import_frames(make(tmp_path / "source", {**SAMPLE, "books.csv": more}), raw, merge=True)
    assert read_books(raw) == {("flip", "0001"): "book-01", ("notflip", "0001"): "book-02"}
    clash = make(tmp_path / "clash", {**SAMPLE, "books.csv": BOOKS.replace(b"book-01", b"book-09")})
    _assert_refused(clash, raw, match="puts flip/0001 into book-09; here it belongs to book-01", merge=True)


def test_a_source_inside_the_raw_folder_is_refused(tmp_path: Path, raw: Path) -> None:
    _folder(raw, SAMPLE)
    for source in (raw, raw / "images", raw.parent):
        with pytest.raises(ConfigError, match="lie inside one another"):
            import_frames(source, raw, replace=True)
    with pytest.raises(ConfigError, match="is not a folder"):
        import_frames(_zip(tmp_path / "a.zip", SAMPLE), raw / ONE)


def test_a_second_import_at_the_same_time_is_refused(tmp_path: Path, raw: Path) -> None:
    source = _zip(tmp_path / "a.zip", SAMPLE)
    raw.parent.mkdir()
    with importing._only_import(raw), pytest.raises(UnavailableError, match="another import"):
        import_frames(source, raw)
    import_frames(source, raw)


@pytest.mark.parametrize("present", [True, False])
def test_an_import_killed_in_the_middle_changes_nothing(present: bool, tmp_path: Path, raw: Path) -> None:
    if present:
        _folder(raw, {ONE: b"mine"})
    before = _contents(raw)
    pipe = "import sys, time, pathlib, pageflip.frames.importing as a\n" + (
        "plain = a._read_chunks\n"
        "def slow(path):\n    yield from plain(path)\n    print('staged', flush=True)\n    time.sleep(60)\n"
        "a._read_chunks = slow\n"
        "a.import_frames(pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]), replace=True)\n"
    )
    source = _folder(tmp_path / "source", SAMPLE)
    child = subprocess.Popen([sys.executable, "-c", pipe, source, raw], stdout=subprocess.PIPE, text=True)
    assert child.stdout.readline() == "staged\n"
    child.send_signal(signal.SIGKILL)
    child.communicate()
    assert _contents(raw) == before
    assert any(path.name == ".raw.import" for path in raw.parent.iterdir())
    import_frames(source, raw, replace=True)
    assert _contents(raw) == SAMPLE
    assert [path.name for path in raw.parent.iterdir()] == ["raw"]


def test_an_import_killed_between_the_two_renames_is_undone_by_the_next(tmp_path: Path, raw: Path) -> None:
    _folder(raw.parent / ".raw.import" / "old", {ONE: b"mine"})
    _folder(raw.parent / ".raw.import" / "new", SAMPLE)
    with pytest.raises(ConfigError, match="not empty"):
        import_frames(_zip(tmp_path / "a.zip", SAMPLE), raw)
    assert _contents(raw) == {ONE: b"mine"}
    assert [path.name for path in raw.parent.iterdir()] == ["raw"]


def test_a_failing_rename_puts_the_frames_back(tmp_path: Path, raw: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _folder(raw, {ONE: b"mine"})
    rename = os.rename

    def fail_into_raw(source: Path, target: Path) -> None:
        if source.name == "new":
            raise OSError("disk gone")
        rename(source, target)

    monkeypatch.setattr(os, "rename", fail_into_raw)
    with pytest.raises(UnavailableError, match="disk gone"):
        import_frames(_zip(tmp_path / "a.zip", SAMPLE), raw, replace=True)
    assert _contents(raw) == {ONE: b"mine"}


def test_places_that_cannot_be_used_are_named(tmp_path: Path, raw: Path) -> None:
    source = _zip(tmp_path / "a.zip", SAMPLE)
    for place in (source / "raw", Path("/proc/nowhere/raw")):
        with pytest.raises(ConfigError, match=f"{place} cannot be used: .*\n.*you may write to"):
            import_frames(source, place)
    loop = tmp_path / "loop"
    loop.symlink_to("loop")
    with pytest.raises((ConfigError, DataError), match="loop"):
        import_frames(loop, raw)


def test_a_source_that_may_not_be_read_is_named(
    make: Callable, tmp_path: Path, raw: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = make(tmp_path / "source", SAMPLE)

    def refuse(*_: object, **__: object) -> None:  # permissions do not stop root, whom tests may run as
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "scandir", refuse)
    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(ConfigError, match=f"{source} cannot be used: .*denied\n.*you may read"):
        import_frames(source, raw)
