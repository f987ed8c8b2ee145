"""What an upload is: its kind, when it is settled, and how a change is noticed."""

import os
from dataclasses import replace
from pathlib import Path

from pageflip.scoring import uploads
from uploads_factory import DARK, picture


def test_uploads_are_videos_pictures_and_folders_and_no_hidden_or_temporary_names(drop: Path) -> None:
    for name in ("a.MP4", "b.mov", "c.JPEG", "d.png", "e.txt", ".hidden.mp4", "f.mp4.part", "g.tmp", "h.crdownload"):
        (drop / name).write_bytes(b"x")
    picture(drop / "pages" / "1.jpg", DARK)
    (drop / ".incoming").mkdir()
    (drop / "empty").mkdir()
    kinds = {upload.name: upload.kind for upload in uploads.find_uploads(str(drop))}
    assert kinds == {
        "a.MP4": "video",
        "b.mov": "video",
        "c.JPEG": "image",
        "d.png": "image",
        "e.txt": "unknown",
        "pages": "sequence",
        "empty": "sequence",
    }


def test_an_upload_is_settled_some_time_after_its_last_file(drop: Path) -> None:
    picture(drop / "pages" / "1.jpg", DARK)
    os.utime(drop / "pages" / "1.jpg", (0, 0))  # unpacking sets old times on files that have only just come
    (upload,) = uploads.find_uploads(str(drop))
    assert not uploads.is_settled(upload, 2, now=upload.changed + 1.5)
    assert uploads.is_settled(upload, 2, now=upload.changed + 2.5)
    assert uploads.is_settled(upload, 2, now=upload.changed - 3600)  # the store's clock is ahead


def test_a_folder_still_being_filled_is_not_settled_even_by_a_hidden_part(drop: Path) -> None:
    picture(drop / "pages" / "1.jpg", DARK)
    (drop / "pages" / ".2.jpg.part").write_bytes(b"x")
    (upload,) = uploads.find_uploads(str(drop))
    assert upload.changed >= (drop / "pages" / ".2.jpg.part").stat().st_ctime
    assert [file.name for file in upload.files] == ["1.jpg"]


def test_frames_stand_in_natural_order(drop: Path) -> None:
    names = ["frame10.jpg", "frame2.jpg", "frame1.jpg", "frame²3.jpg", "sub/frame1.jpg"]
    for name in names:
        picture(drop / "pages" / name, DARK)
    (upload,) = uploads.find_uploads(str(drop))
    assert [file.name for file in upload.files][:3] == ["frame1.jpg", "frame2.jpg", "frame10.jpg"]


def test_the_fingerprint_of_a_folder_changes_with_its_files(drop: Path) -> None:
    picture(drop / "pages" / "1.jpg", DARK)
    (before,) = uploads.find_uploads(str(drop))
    picture(drop / "pages" / "2.jpg", DARK)
    (after,) = uploads.find_uploads(str(drop))
    assert before.fingerprint != after.fingerprint
    assert uploads.look_again(after.url, after.kind) == replace(
        after, changed=uploads.look_again(after.url, after.kind).changed
    )
