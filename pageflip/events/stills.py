"""Page stills: the frame of each rest between flips that shows the pages best, and each opening only once.

Candidates are frames of a rest, away from its flips. Each is measured on those tiles of the full-size picture that
hold print (bright, with fine detail in most candidates):

    sharpness   standard deviation of the Laplacian (Pech-Pacheco et al., 2000), relative to the sharpest candidate
    covered     share of tiles that differ from the median of the candidates, or show more skin: a hand over the text
    clipped     share of overexposed pixels
    motion      change of brightness to the neighbouring candidates

A hand that lies still through a whole rest is recognised only by its colour. Rests that show the same pages (after an
aborted lift, or turned back) share one still, the better one. Pages are compared tile by tile; a tile that looks the
same before and after most flips (the desk, the hand that holds the book) does not count.
"""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from pageflip.events.clock import frame_step_s
from pageflip.events.flip import Flip
from pageflip.params.scoring import Stills

TILES = 20  # along the longer side of the picture
SMALL_TILE = 36  # pixels of a tile in the picture that pages are compared on
SEARCH = 10  # pixels that pages may have moved there
PAPER_SHARE = 0.6  # brightness of paper, relative to the brightest tiles
PRINT_SHARE = 0.25  # detail of print, relative to the richest tiles
DIFFERS = 0.12  # change of brightness, relative to paper, that means an occlusion
SKIN_CR_CB = ((133, 178), (77, 127))  # of Cr and Cb (Chai and Ngan, "Face segmentation using skin color", 1999)
CLIPPED = 250  # grey level of overexposure
MIN_SELF_AGREEMENT = 0.5  # of the halves of a rest; less means that a hand moved
FLAT = 3.0  # grey levels: tiles with a lower standard deviation cannot be compared
STATIC_SHARE = 0.7  # a tile that agrees in this share of neighbouring rests is no part of a page
STATIC_AFTER = 3  # comparisons before a tile can be static


@dataclass(frozen=True)
class Rest:
    """Stretch without a flip: its first and last frame, and the candidates for its still."""

    first: int
    last: int
    candidates: tuple[int, ...]


@dataclass(frozen=True)
class Picture:
    """Candidate at full size, uint8 [height, width, 3] RGB; `encode` returns a file of that suffix."""

    index: int
    rgb: np.ndarray
    suffix: str
    encode: Callable[[], bytes]


@dataclass(frozen=True)
class Measures:
    """Tiles of a picture, float32 [rows, columns] each, and a small grey picture for comparing pages, uint8."""

    detail: np.ndarray
    brightness: np.ndarray
    clipped: np.ndarray
    skin: np.ndarray
    small: np.ndarray


@dataclass(frozen=True)
class _Candidate:
    index: int
    measures: Measures
    suffix: str
    content: bytes


@dataclass(frozen=True)
class _PageView:
    """Pages of a rest as a small picture, and the agreement of the rest's two halves, which noise and blur lower."""

    small: np.ndarray
    self_agreement: np.ndarray | None


@dataclass(frozen=True)
class Still:
    """Chosen frame of a rest.

    Attributes:
        index, time_s: position in the recording, and time in seconds; None without a clock.
        first, last: frames of the rest.
        score: product that candidates are ranked by.
        sharpness, covered, clipped, motion: see the module; shares.
        probability: of `flip`.
        looked_at: number of candidates.
        rests: number of rests that show these pages.
        file: name of the full-size picture in the folder of stills.
    """

    index: int
    time_s: float | None
    first: int
    last: int
    score: float
    sharpness: float
    covered: float
    clipped: float
    motion: float
    probability: float
    looked_at: int
    rests: int
    file: str

    @property
    def reason(self) -> str:
        """Why this frame was chosen, for people."""
        return (
            f"best of {self.looked_at} frames: sharpness {self.sharpness:.0%} of the sharpest, "
            f"{self.covered:.0%} of the print covered, {self.clipped:.0%} too bright, motion {self.motion:.1%}, "
            f"probability of flip {self.probability:.2f}"
        )


def find_rests(flips: Sequence[Flip], probabilities: np.ndarray, times_s: np.ndarray, plan: Stills) -> list[Rest]:
    """Return the rests before, between and after flips, with at most `plan.candidates` readable candidates each."""
    starts, ends = [0, *(flip.end_index + 1 for flip in flips)], [flip.start_index for flip in flips]
    rests = []
    for first, after in zip(starts, [*ends, len(times_s)], strict=True):
        known = first + np.flatnonzero(np.isfinite(probabilities[first:after]))
        if not len(known) or _length(times_s, known) < plan.shortest_s:
            continue
        low = times_s[known[0]] + (plan.margin_s if first else 0)
        high = times_s[known[-1]] - (plan.margin_s if after < len(times_s) else 0)
        inner = known[(times_s[known] >= low - 1e-6) & (times_s[known] <= high + 1e-6)]
        if not len(inner):
            inner = known[len(known) // 2 : len(known) // 2 + 1]
        chosen = inner[np.unique(np.linspace(0, len(inner) - 1, min(plan.candidates, len(inner))).round().astype(int))]
        rests.append(Rest(int(known[0]), int(known[-1]), tuple(chosen.tolist())))
    return rests


def _length(times_s: np.ndarray, known: np.ndarray) -> float:
    return float(times_s[known[-1]] - times_s[known[0]]) + frame_step_s(times_s) + 1e-9


def pick_stills(
    rests: Sequence[Rest],
    pictures: Iterator[Picture],
    probabilities: np.ndarray,
    times_s: Sequence[float | None],
    plan: Stills,
    folder: Path,
) -> list[Still]:
    """Write a still for each rest into `folder`; of those with the same pages keep the best.

    Memory holds the encoded candidates of one rest, and small pictures of `plan.compared` stills.

    Args:
        rests: see `find_rests`.
        pictures: all candidates, by frame; unreadable ones may be missing.
        probabilities: of all frames.
        times_s: of all frames; None without a clock.
        plan: how stills are chosen.
        folder: an empty folder.
    """
    stills: list[Still] = []
    album = _Album(plan)
    for rest in _measure_rests(rests, pictures):
        still, view, content = _choose(*rest, probabilities, times_s)
        position = album.find(view)
        if position is None:
            album.add(len(stills), view)
            stills.append(still)
            (folder / still.file).write_bytes(content)
            continue
        kept, count = stills[position], stills[position].rests + 1
        if still.score > kept.score:
            (folder / kept.file).unlink()
            (folder / still.file).write_bytes(content)
            album.replace(position, view)
            kept = still
        stills[position] = replace(kept, rests=count)
    return sorted(stills, key=lambda still: still.index)


class _Album:
    """Views of the last stills, for recognising pages, and statistics of static tiles."""

    def __init__(self, plan: Stills) -> None:
        self._plan = plan
        self._seen: deque[tuple[int, _PageView]] = deque(maxlen=plan.compared)
        self._last: _PageView | None = None
        self._agreed = self._compared = np.zeros((0, 0))

    def find(self, view: _PageView) -> int | None:
        """Return the position of a still with the same pages; update the statistics of static tiles."""
        static = self._static_tiles(view)
        self._update(view)
        return next((place for place, other in self._seen if _same_pages(other, view, static, self._plan)), None)

    def add(self, position: int, view: _PageView) -> None:
        self._seen.append((position, view))

    def replace(self, position: int, view: _PageView) -> None:
        self._seen = deque(
            [(place, view if place == position else old) for place, old in self._seen], self._seen.maxlen
        )

    def _static_tiles(self, view: _PageView) -> np.ndarray:
        shape = _tile_shape(view.small)
        if self._compared.shape != shape:  # the first rest, or pictures of another shape
            self._agreed, self._compared, self._last = np.zeros(shape), np.zeros(shape), None
        return (self._compared >= STATIC_AFTER) & (self._agreed >= STATIC_SHARE * self._compared)

    def _update(self, view: _PageView) -> None:
        if self._last is not None:
            found = agreement(self._last.small, view.small)
            self._agreed += np.nan_to_num(found) >= self._plan.same_correlation
            self._compared += np.isfinite(found)
        self._last = view


def _page_view(small: Sequence[np.ndarray]) -> _PageView:
    """Take the median of a rest's candidates: it has less noise than any of them, and no hand that passes by."""
    middle = len(small) // 2
    halves = agreement(_median(small[:middle]), _median(small[middle:])) if middle else None
    return _PageView(_median(small), halves)


def _median(small: Sequence[np.ndarray]) -> np.ndarray:
    return np.median(np.stack(small), axis=0).astype(np.uint8)


def _measure_rests(rests: Sequence[Rest], pictures: Iterator[Picture]) -> Iterator[tuple[Rest, list[_Candidate]]]:
    """Yield each rest with its candidates; leave out those of another shape than the first."""
    pictures = iter(pictures)
    pending = next(pictures, None)
    for rest in rests:
        candidates: list[_Candidate] = []
        while pending is not None and pending.index <= rest.last:
            measures = measure_picture(pending.rgb)
            if not candidates or measures.small.shape == candidates[0].measures.small.shape:
                candidates.append(_Candidate(pending.index, measures, pending.suffix, pending.encode()))
            pending = next(pictures, None)
        if candidates:
            yield rest, candidates


def _choose(
    rest: Rest, candidates: list[_Candidate], probabilities: np.ndarray, times_s: Sequence[float | None]
) -> tuple[Still, _PageView, bytes]:
    measures = [candidate.measures for candidate in candidates]
    scores = rate_candidates(measures, probabilities[[candidate.index for candidate in candidates]])
    best = int(np.argmax(scores["score"]))
    chosen = candidates[best]
    still = Still(
        index=chosen.index,
        time_s=times_s[chosen.index],
        first=rest.first,
        last=rest.last,
        looked_at=len(candidates),
        rests=1,
        file=f"{chosen.index:06d}{chosen.suffix}",
        **{name: round(float(values[best]), 4) for name, values in scores.items()},
    )
    return still, _page_view([one.small for one in measures]), chosen.content


def measure_picture(rgb: np.ndarray) -> Measures:
    """Measure a picture, uint8 [height, width, 3] RGB, at its full size."""
    import cv2

    height, width = rgb.shape[:2]
    side = max(height, width) / TILES
    shape = max(1, round(width / side)), max(1, round(height / side))
    grey = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)
    detail = cv2.Laplacian(grey, cv2.CV_16S).astype(np.float32)
    small = cv2.resize(rgb, (shape[0] * SMALL_TILE, shape[1] * SMALL_TILE), interpolation=cv2.INTER_AREA)
    chroma = cv2.cvtColor(small, cv2.COLOR_RGB2YCrCb)
    (cr_low, cr_high), (cb_low, cb_high) = SKIN_CR_CB
    skin = cv2.inRange(chroma, (40, cr_low, cb_low), (255, cr_high, cb_high)).astype(np.float32) / 255

    def tiles(values: np.ndarray) -> np.ndarray:
        return cv2.resize(values, shape, interpolation=cv2.INTER_AREA)

    return Measures(
        detail=tiles(detail * detail),
        brightness=tiles(grey.astype(np.float32)),
        clipped=tiles((grey >= CLIPPED).astype(np.float32)),
        skin=tiles(skin),
        small=cv2.cvtColor(small, cv2.COLOR_RGB2GRAY),
    )


def rate_candidates(measured: Sequence[Measures], probabilities: np.ndarray) -> dict[str, np.ndarray]:
    """Return the measures of one rest's candidates, float [N] each, and the `score` that ranks them."""
    detail, brightness, clipped, skin = (
        np.stack([getattr(one, name) for one in measured]).reshape(len(measured), -1)
        for name in ("detail", "brightness", "clipped", "skin")
    )
    usual, paper = np.median(brightness, axis=0), float(np.quantile(np.median(brightness, axis=0), 0.95))
    rich = np.median(detail, axis=0)
    lit = usual >= PAPER_SHARE * paper
    page = lit & (rich >= PRINT_SHARE * np.quantile(rich[lit], 0.9))
    sharpness = np.sqrt(detail[:, page]).mean(axis=1)
    sharpness = sharpness / max(float(sharpness.max()), 1e-6)
    gain = np.median(brightness[:, page], axis=1, keepdims=True) / max(float(np.median(usual[page])), 1e-6)
    differs = np.abs(brightness[:, page] / np.maximum(gain, 1e-6) - usual[page]) > DIFFERS * paper
    covered = (differs | (skin[:, page] > skin[:, page].min(axis=0) + 0.5)).mean(axis=1)
    change = np.abs(np.diff(brightness[:, page], axis=0)).mean(axis=1) / max(paper, 1e-6)
    motion = np.maximum(np.append(change, 0), np.insert(change, 0, 0))
    too_bright = clipped[:, page].mean(axis=1)
    known = np.asarray(probabilities, np.float64)
    return {
        "sharpness": sharpness,
        "covered": covered,
        "clipped": too_bright,
        "motion": motion,
        "probability": known,
        "score": sharpness * (1 - covered) * (1 - too_bright) / (1 + 10 * motion) * np.sqrt(1 - np.clip(known, 0, 1)),
    }


def _same_pages(one: _PageView, two: _PageView, static: np.ndarray, plan: Stills) -> bool:
    """Decide whether two views show the same pages, apart from hands."""
    if one.small.shape != two.small.shape:
        return False

    def share(found: np.ndarray | None) -> float:
        return 1.0 if found is None else agreeing_share(found, plan.same_correlation, static)

    expected = max((share(one.self_agreement) + share(two.self_agreement)) / 2, MIN_SELF_AGREEMENT)
    return share(agreement(one.small, two.small)) >= plan.same_share * expected


def agreeing_share(found: np.ndarray, correlation: float, static: np.ndarray | None = None) -> float:
    """Return the share of compared, non-static tiles that agree; 0.0 if there are none."""
    counted = np.isfinite(found) if static is None else np.isfinite(found) & ~static
    return float((found[counted] >= correlation).mean()) if counted.any() else 0.0


def agreement(one: np.ndarray, two: np.ndarray) -> np.ndarray:
    """Return the correlation of each tile of one picture with the best match near it in the other: [rows, columns].

    Camera shake moves the pages by a few pixels: each tile is searched for around its place by normalised
    cross-correlation (Lewis, "Fast normalized cross-correlation", 1995). NaN where a tile is too dark for paper, or
    without structure.
    """
    import cv2

    first, second = _without_shading(one), _without_shading(two)
    padded = cv2.copyMakeBorder(second, SEARCH, SEARCH, SEARCH, SEARCH, cv2.BORDER_REFLECT)
    limits = [PAPER_SHARE * float(np.quantile(grey[::4, ::4], 0.95)) for grey in (one, two)]
    found = np.full(_tile_shape(one), np.nan)
    for row, column in np.ndindex(found.shape):
        y, x = row * SMALL_TILE, column * SMALL_TILE
        place = np.s_[y : y + SMALL_TILE, x : x + SMALL_TILE]
        paper = (np.median(grey[place]) >= limit for grey, limit in zip((one, two), limits, strict=True))
        if all(paper) and first[place].std() >= FLAT:
            around = padded[y : y + SMALL_TILE + 2 * SEARCH, x : x + SMALL_TILE + 2 * SEARCH]
            found[row, column] = cv2.matchTemplate(around, first[place], cv2.TM_CCOEFF_NORMED).max()
    return found


def _tile_shape(small: np.ndarray) -> tuple[int, int]:
    return small.shape[0] // SMALL_TILE, small.shape[1] // SMALL_TILE


def _without_shading(grey: np.ndarray) -> np.ndarray:
    import cv2

    values = grey.astype(np.float32)
    return values - cv2.GaussianBlur(values, (0, 0), SMALL_TILE / 4)
