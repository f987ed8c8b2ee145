"""Storage on a real S3 server (see conftest.py)."""

import os
import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from pageflip.base import storage
from pageflip.base.errors import UnavailableError

pytestmark = pytest.mark.usefixtures("s3_server")


@pytest.fixture
def place() -> str:
    return f"s3://{os.environ['PAGEFLIP_TEST_BUCKET']}/test {uuid.uuid4().hex}"


def _prepare(folder: Path, marker: str = "one") -> Path:
    (folder / "sub").mkdir(parents=True)
    (folder / "sub" / "page.html").write_text("page " + marker)
    (folder / "done.json").write_text(marker)
    return folder


def test_a_written_object_is_listed_and_read_back(place: str, tmp_path: Path) -> None:
    storage.write_bytes(storage.join(place, "a/b ä.txt"), b"first")
    before = storage.list_files(place)[0]
    storage.write_bytes(storage.join(place, "a/b ä.txt"), b"again")
    after = storage.list_files(place)[0]
    assert (after.name, after.size, storage.read_bytes(after.url)) == ("a/b ä.txt", 5, b"again")
    assert before.fingerprint != after.fingerprint
    storage.download(after.url, tmp_path / "x")
    assert (tmp_path / "x").read_bytes() == b"again"
    assert storage.read_many([after.url]) == [b"again"]
    storage.write_bytes(storage.join(place, "c"), b"")
    assert storage.read_many([storage.join(place, "c"), after.url]) == [b"", b"again"]


def test_a_prefix_where_nothing_was_written_lists_as_empty(place: str) -> None:
    assert storage.list_files(place) == []
    assert storage.list_entries(place) == []
    assert storage.folder_exists(place)
    assert not storage.exists(storage.join(place, "x"))
    with pytest.raises(FileNotFoundError, match="x"):
        storage.read_bytes(storage.join(place, "x"))


def test_entries_are_objects_and_prefixes(place: str) -> None:
    for name in ("film.mp4", "folder/deep/x.jpg", "folderish.mp4"):
        storage.write_bytes(storage.join(place, name), b"x")
    found = {entry.name: entry for entry in storage.list_entries(place)}
    assert {name: entry.is_folder for name, entry in found.items()} == {
        "film.mp4": False,
        "folder": True,
        "folderish.mp4": False,
    }
    assert [file.name for file in found["folder"].files] == ["deep/x.jpg"]
    assert [file.name for file in storage.list_files(storage.join(place, "folder"))] == ["deep/x.jpg"]


def test_a_large_object_comes_and_goes_in_parts(place: str, tmp_path: Path) -> None:
    local = tmp_path / "prepared"
    local.mkdir()
    (local / "done.json").write_text("{}")
    with (local / "film.mp4").open("wb") as file:
        for number in range(110):
            file.write(bytes([number]) * (1 << 20))
    assert storage.publish_folder(local, storage.join(place, "big"), "done.json")
    storage.download(storage.join(place, "big/film.mp4"), tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == (local / "film.mp4").read_bytes()


def test_of_many_creators_at_once_one_wins(place: str) -> None:
    url = storage.join(place, "plan.json")
    with ThreadPoolExecutor(8) as pool:
        won = list(pool.map(lambda number: storage.create_bytes(url, str(number).encode()), range(16)))
    assert won.count(True) == 1
    assert storage.read_bytes(url) == str(won.index(True)).encode()


def test_a_folder_is_published_once(place: str, tmp_path: Path) -> None:
    url = storage.join(place, "results/1")
    assert storage.publish_folder(_prepare(tmp_path / "one", "one"), url, "done.json")
    assert not storage.publish_folder(_prepare(tmp_path / "two", "two"), url, "done.json")
    assert storage.read_bytes(storage.join(url, "sub/page.html")) == b"page one"
    assert [file.name for file in storage.list_files(place)] == ["results/1/done.json", "results/1/sub/page.html"]


def test_a_folder_without_its_marker_is_completed(place: str, tmp_path: Path) -> None:
    url = storage.join(place, "1")
    storage.write_bytes(storage.join(url, "sub/page.html"), b"half")
    assert storage.publish_folder(_prepare(tmp_path / "prepared"), url, "done.json")
    assert storage.read_bytes(storage.join(url, "sub/page.html")) == b"page one"


def test_deleting_is_repeatable(place: str) -> None:
    url = storage.join(place, "x")
    storage.write_bytes(url, b"x")
    found = storage.look_up(url)
    assert found == storage.list_files(place)[0]
    storage.delete(url)
    storage.delete(url)
    assert storage.look_up(url) is None


def test_a_bucket_that_does_not_exist_is_named() -> None:
    for call in (storage.list_files, storage.list_entries, storage.folder_exists, storage.read_bytes, storage.exists):
        with pytest.raises(UnavailableError, match=r"s3://pageflip-no-such/x: the bucket does not exist"):
            call("s3://pageflip-no-such/x")


def test_refused_and_missing_credentials_are_told_apart(place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    import fsspec

    clear = fsspec.get_filesystem_class("s3").clear_instance_cache
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    clear()
    with pytest.raises(UnavailableError, match="refuses access"):
        storage.write_bytes(storage.join(place, "x"), b"x")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    clear()
    with pytest.raises(UnavailableError, match="no S3 credentials"):
        storage.list_files(place)
    clear()
