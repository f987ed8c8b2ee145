"""Storage on local folders; tests/services/test_storage_s3.py holds S3 to the same behaviour."""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from pageflip.base import storage
from pageflip.base.errors import ConfigError, UnavailableError


@pytest.fixture(params=["plain", "file"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return str(tmp_path / "store") if request.param == "plain" else f"file://{tmp_path}/store"


def _prepare(folder: Path, marker: str = "one") -> Path:
    (folder / "sub").mkdir(parents=True)
    (folder / "sub" / "page.html").write_text("page " + marker)
    (folder / "done.json").write_text(marker)
    return folder


def test_an_address_that_is_no_store_is_refused() -> None:
    for url in ("ftp://somewhere/x", "s3://", "file://host/x"):
        with pytest.raises(ConfigError, match="is no address of a store"):
            storage.list_files(url)


def test_a_written_file_is_listed_and_read_back(place: str) -> None:
    storage.write_bytes(storage.join(place, "a/b.txt"), b"first")
    before = storage.list_files(place)[0]
    storage.write_bytes(storage.join(place, "a/b.txt"), b"again")
    after = storage.list_files(place)[0]
    assert (after.name, after.size, storage.read_bytes(after.url)) == ("a/b.txt", 5, b"again")
    assert before.fingerprint != after.fingerprint
    assert storage.read_many([after.url, after.url]) == [b"again", b"again"]


def test_a_place_where_nothing_was_written_lists_as_empty(place: str) -> None:
    assert storage.list_files(place) == []
    assert storage.list_entries(place) == []
    assert not storage.folder_exists(place)
    assert not storage.exists(storage.join(place, "x"))


def test_entries_are_files_and_folders_with_empty_ones_among_them(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "folder" / "deep").mkdir(parents=True)
    (tmp_path / "folder" / "deep" / "x.jpg").write_bytes(b"x")
    (tmp_path / "film.mp4").write_bytes(b"y")
    found = {entry.name: entry for entry in storage.list_entries(str(tmp_path))}
    assert {name: entry.is_folder for name, entry in found.items()} == {
        "empty": True,
        "film.mp4": False,
        "folder": True,
    }
    assert found["empty"].files == ()
    assert [(file.name, Path(file.url).exists()) for file in found["folder"].files] == [("deep/x.jpg", True)]


def test_listing_ends_where_a_link_leads_back(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "x").write_bytes(b"x")
    (tmp_path / "a" / "loop").symlink_to(tmp_path)
    assert [file.name for file in storage.list_files(str(tmp_path))] == ["a/x"]


def test_what_cannot_be_read_below_is_listed_with_the_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "fine").write_bytes(b"x")
    (tmp_path / "loop.mp4").symlink_to("loop.mp4")
    (tmp_path / "lost+found").mkdir()
    (tmp_path / "closed").mkdir()
    (tmp_path / "folder" / "closed").mkdir(parents=True)
    scan = os.scandir

    def refuse(folder: Path) -> object:  # permissions do not stop root, whom tests may run as
        if Path(folder).name == "closed":
            raise PermissionError(13, "Permission denied", str(folder))
        return scan(folder)

    monkeypatch.setattr(os, "scandir", refuse)
    found = {entry.name: entry for entry in storage.list_entries(str(tmp_path))}
    assert {name: entry.is_folder for name, entry in found.items()} == {
        "fine": False,
        "loop.mp4": False,
        "closed": True,
        "folder": True,
    }
    assert found["fine"].files[0].error == ""
    assert "symbolic links" in found["loop.mp4"].files[0].error
    for name, inside in (("closed", "closed"), ("folder", "closed")):
        assert [(file.name, file.error) for file in found[name].files] == [(inside, "Permission denied")]
        assert storage.list_files(str(tmp_path / name), tolerant=True) == list(found[name].files)
    assert storage.look_up(str(tmp_path / "loop.mp4"), tolerant=True) == found["loop.mp4"].files[0]
    with pytest.raises(UnavailableError, match="Permission denied"):
        storage.list_files(str(tmp_path / "closed"))


def test_the_fingerprint_changes_though_size_and_modification_time_stay(tmp_path: Path) -> None:
    file = tmp_path / "x"
    file.write_bytes(b"1")
    os.utime(file, ns=(10**18, 10**18))
    before = storage.list_files(str(tmp_path))[0].fingerprint
    file.write_bytes(b"2")
    os.utime(file, ns=(10**18, 10**18))
    assert storage.list_files(str(tmp_path))[0].fingerprint != before


def test_create_leaves_what_is_there(place: str) -> None:
    url = storage.join(place, "plan.json")
    assert storage.create_bytes(url, b"first")
    assert not storage.create_bytes(url, b"second")
    assert storage.read_bytes(url) == b"first"


def test_of_many_creators_at_once_one_wins(place: str) -> None:
    url = storage.join(place, "plan.json")
    with ThreadPoolExecutor(8) as pool:
        won = list(pool.map(lambda number: storage.create_bytes(url, str(number).encode()), range(32)))
    assert won.count(True) == 1
    assert storage.read_bytes(url) == str(won.index(True)).encode()
    assert [file.name for file in storage.list_files(place)] == ["plan.json"]


def test_a_failed_download_leaves_no_file(place: str, tmp_path: Path) -> None:
    target = tmp_path / "there" / "x"
    with pytest.raises(FileNotFoundError, match="x"):
        storage.download(storage.join(place, "x"), target)
    assert list(target.parent.iterdir()) == []
    storage.write_bytes(storage.join(place, "x"), b"12")
    storage.download(storage.join(place, "x"), target)
    assert target.read_bytes() == b"12"


def test_a_folder_is_published_once(place: str, tmp_path: Path) -> None:
    url = storage.join(place, "results/1")
    with storage.staging_folder(url) as staging:
        assert storage.publish_folder(_prepare(staging / "it", "one"), url, "done.json")
    with storage.staging_folder(url) as staging:
        assert not storage.publish_folder(_prepare(staging / "it", "two"), url, "done.json")
    assert storage.read_bytes(storage.join(url, "sub/page.html")) == b"page one"
    assert [file.name for file in storage.list_files(place)] == ["results/1/done.json", "results/1/sub/page.html"]
    assert [path.name for path in (tmp_path / "store" / "results").iterdir()] == ["1"]


def test_of_many_publishers_at_once_one_wins(place: str) -> None:
    url = storage.join(place, "results/1")

    def publish(number: int) -> bool:
        with storage.staging_folder(url) as staging:
            return storage.publish_folder(_prepare(staging / "it", str(number)), url, "done.json")

    with ThreadPoolExecutor(8) as pool:
        won = list(pool.map(publish, range(24)))
    assert won.count(True) == 1
    assert storage.read_bytes(storage.join(url, "sub/page.html")) == f"page {won.index(True)}".encode()


def test_a_folder_without_its_marker_is_replaced_as_a_whole(place: str, tmp_path: Path) -> None:
    url = storage.join(place, "1")
    storage.write_bytes(storage.join(url, "half.bin"), b"half")
    assert storage.publish_folder(_prepare(tmp_path / "prepared"), url, "done.json")
    assert [file.name for file in storage.list_files(url)] == ["done.json", "sub/page.html"]


def test_what_a_killed_process_left_is_neither_listed_nor_kept(tmp_path: Path) -> None:
    leftover = tmp_path / (storage.TEMPORARY + "dead")
    leftover.mkdir()
    (leftover / "x").write_bytes(b"x")
    assert storage.list_entries(str(tmp_path)) == []
    os.utime(leftover, (0, 0))
    with storage.staging_folder(str(tmp_path / "new")):
        assert not leftover.exists()


def test_deleting_is_repeatable(place: str) -> None:
    url = storage.join(place, "x")
    storage.write_bytes(url, b"x")
    found = storage.look_up(url)
    assert found == storage.list_files(place)[0]
    storage.delete(url)
    storage.delete(url)
    assert storage.look_up(url) is None


@pytest.mark.parametrize("write", [storage.write_bytes, storage.create_bytes])
def test_a_place_that_cannot_be_written_is_named_with_the_remedy(write: Callable, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(UnavailableError, match=r"/file cannot be made: .*\n.*check the address"):
        write(str(tmp_path / "file" / "x"), b"x")
    with pytest.raises(UnavailableError, match="is a file"):
        storage.list_files(str(tmp_path / "file"))


def test_a_bucket_whose_server_is_away_is_named_with_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    with pytest.raises(UnavailableError, match=r"s3://bucket/x: .*127\.0\.0\.1:9.*\n.*AWS_ENDPOINT_URL"):
        storage.list_files("s3://bucket/x")
