"""Clips to draw, and the plan of an archive of them."""

from dataclasses import dataclass

import numpy as np

from pageflip.base.errors import ConfigError


@dataclass(frozen=True)
class Clip:
    """A few frames of one book under one label; with the ranges, it determines everything that is drawn.

    Attributes:
        label: "flip" or "notflip".
        video: four digits, counted separately under each label.
        book: name of the book.
        seed: of the clip.
        book_seed: of the book.
        frames: number of frames.
        width: of the pictures in pixels.
        height: of the pictures in pixels.
        fps: frames per second of the recording that the clip stands for.
        skipped: frame numbers that are left out, as in recordings with dropped frames.
    """

    label: str
    video: str
    book: str
    seed: int
    book_seed: int
    frames: int
    width: int
    height: int
    fps: int = 30
    skipped: tuple[int, ...] = ()

    @property
    def numbers(self) -> tuple[int, ...]:
        """Frame numbers from 1, in order."""
        last = self.frames + len(self.skipped)
        return tuple(number for number in range(1, last + 1) if number not in self.skipped)


def plan_clips(
    *,
    seed: int,
    books: int,
    clips_per_book: int,
    frames_per_clip: int,
    width: int = 1080,
    height: int = 1920,
    fps: int = 30,
) -> list[Clip]:
    """Plan the clips of an archive: `clips_per_book` for each book, half of them flips (rounded up).

    Raises:
        ConfigError: a number is out of its range.
    """
    check_numbers(
        seed=(seed, 0, 2**63 - 1),
        books=(books, 1, 9999),
        clips_per_book=(clips_per_book, 2, 9999),
        frames_per_clip=(frames_per_clip, 2, 9999),
        fps=(fps, 1, 240),
    )
    check_size(width, height)
    flips = (clips_per_book + 1) // 2
    if books * flips > 9999:
        raise ConfigError(
            f"{books} books of {clips_per_book} clips need {books * flips} video numbers under one label",
            "plan at most 9999 clips a label: video numbers have four digits.",
        )
    counts = {"flip": flips, "notflip": clips_per_book - flips}
    return [
        _plan_clip(seed, label, number, (number - 1) // count, frames_per_clip, (width, height, fps))
        for label, count in counts.items()
        for number in range(1, books * count + 1)
    ]


def _plan_clip(seed: int, label: str, number: int, book: int, frames: int, form: tuple[int, int, int]) -> Clip:
    """Return one clip of a plan; the second clip of each label lacks two frame numbers."""
    gap = 2 + frames // 3
    width, height, fps = form
    return Clip(
        label=label,
        video=f"{number:04d}",
        book=f"book-{book + 1:02d}",
        seed=derive_seed(seed, 1 if label == "flip" else 2, number),
        book_seed=derive_seed(seed, 0, book),
        frames=frames,
        width=width,
        height=height,
        fps=fps,
        skipped=(gap, gap + 1) if number == 2 else (),
    )


def derive_seed(*parts: int) -> int:
    """Return a 64-bit seed that depends on all parts."""
    return int(np.random.SeedSequence(parts).generate_state(1, np.uint64)[0])


def check_numbers(**ranges: tuple[int, int, int]) -> None:
    """Check (value, lowest, highest) of each name.

    Raises:
        ConfigError: a value is not an integer in its range.
    """
    for name, (value, lowest, highest) in ranges.items():
        if isinstance(value, bool) or not isinstance(value, int | np.integer) or not lowest <= value <= highest:
            raise ConfigError(f"{name} is {value!r}", f"give a whole number from {lowest} to {highest}.")


def check_size(width: int, height: int) -> None:
    """Check that pictures of this size can be drawn.

    Raises:
        ConfigError: a side is not in 64 to 4096 or odd, or the picture is not portrait.
    """
    check_numbers(width=(width, 64, 4096), height=(height, 64, 4096))
    if width % 2 or height % 2:
        raise ConfigError(f"the picture size {width}x{height} is odd", "give an even width and height.")
    if not 1.2 <= height / width <= 2.6:
        raise ConfigError(
            f"the picture size {width}x{height} is not that of a phone held upright",
            "give a height of 1.2 to 2.6 widths.",
        )
