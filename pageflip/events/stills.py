"""Page stills: of each rest between flips the frame that shows the pages best, and none twice.

Candidates are frames of a rest, away from its flips. Each is measured on the tiles of the full-size picture that hold
print (bright, with fine detail in most candidates):

    sharpness   spread of the Laplacian (Pech-Pacheco et al., 2000), as a share of the rest's best
    covered     share of tiles that differ from what most candidates show there, or hold more skin: a hand over the text
    clipped     share of pixels so bright that print is lost
    motion      change of brightness to the neighbouring candidates

A hand that lies still through a whole rest cannot be told this way unless its colour gives it away. Rests that show the
same pages (after an aborted lift, or turned back) share one still, the better one. Pages are compared tile by tile; a
tile that looks the same before and after most flips (the desk, the hand that holds the book) says nothing about pages.
"""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from pageflip.events.flip import Flip
from pageflip.params.scoring import Stills

TILES = 20  # along the longer side of the picture
SMALL_TILE = 36  # pixels of a tile in the picture that pages are compared on
SEARCH = 10  # pixels that pages may have moved there
PAPER_SHARE = 0.6  # a tile this bright beside the brightest ones is paper
PRINT_SHARE = 0.25  # a tile with that much detail beside the richest ones holds print
DIFFERS = 0.12  # of the paper's brightness: something else is there
SKIN_CR_CB = ((133, 178), (77, 127))  # of Cr and Cb (Chai and Ngan, "Face segmentation using skin color", 1999)
CLIPPED = 250
LEAST_OWN = 0.5  # what two frames of a rest agree by at least, or a hand moved
FLAT = 3.0  # grey levels: a tile with less structure says nothing about which page it is
STATIC_SHARE = 0.7  # a tile that agrees in so many neighbouring rests is no part of a page
STATIC_AFTER = 3  # comparisons of it, before which nobody knows


@dataclass(frozen=True)
class Rest:
    """A stretch without a flip: its first and last frame, and the frames to look at."""

    first: int
    last: int
    candidates: tuple[int, ...]


@dataclass(frozen=True)
class Picture:
    """A candidate at its full size: uint8 [height, width, 3] RGB, and its content as a file with that suffix."""

    index: int
    rgb: np.ndarray
    suffix: str
    encode: Callable[[], bytes]


@dataclass(frozen=True)
class Measures:
    """A picture's tiles, float32 [rows, columns] each, and a small grey picture to compare pages on, uint8."""

    detail: np.ndarray
    brightness: np.ndarray
    clipped: np.ndarray
    skin: np.ndarray
    small: np.ndarray


@dataclass(frozen=True)
class _Look:
    """The pages of a rest as a small picture, and how the two halves of the rest agree, which noise and blur lower."""

    small: np.ndarray
    own: np.ndarray | None


@dataclass(frozen=True)
class Still:
    """A kept frame: its index and time, the rest it stands for, how it was judged, and the picture as JPEG or file.

    Attributes:
        sharpness, covered, clipped, motion: see the module; shares.
        score: the product that candidates are ranked by.
        looked_at: number of candidates. `rests` is 1, or more when later rests showed the same pages.
        file: name of the picture in the folder of stills, full size.
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
        """Why this frame, in words."""
        return (
            f"best of {self.looked_at} frames: sharpness {self.sharpness:.0%} of the sharpest, "
            f"{self.covered:.0%} of the print covered, {self.clipped:.0%} too bright, motion {self.motion:.1%}, "
            f"probability of flip {self.probability:.2f}"
        )


def find_rests(flips: Sequence[Flip], probabilities: np.ndarray, times_s: np.ndarray, plan: Stills) -> list[Rest]:
    """The rests before, between and after flips, with at most `plan.candidates` readable frames each to look at."""
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
    step = float(np.median(np.diff(times_s))) if len(times_s) > 1 else 1.0
    return float(times_s[known[-1]] - times_s[known[0]]) + step + 1e-9


def pick_stills(
    rests: Sequence[Rest],
    pictures: Iterator[Picture],
    probabilities: np.ndarray,
    times_s: Sequence[float | None],
    plan: Stills,
    folder: Path,
) -> list[Still]:
    """Choose a still for each rest, write it into `folder`, and drop those that show the same pages as an earlier one.

    Only one rest's candidates, as files, and the small pictures of `plan.compared` stills are in memory at a time.

    Args:
        pictures: all candidates, by frame; frames that cannot be read may be missing.
        probabilities, times_s: of all frames; time None where there is no clock.
    """
    stills: list[Still] = []
    album = _Album(plan)
    for rest in _looked_at(rests, pictures):
        still, look, content = _best(*rest, probabilities, times_s, plan)
        position = album.find(look)
        if position is None:
            album.add(len(stills), look)
            stills.append(still)
            (folder / still.file).write_bytes(content)
            continue
        kept, rests_of = stills[position], stills[position].rests + 1
        if still.score > kept.score:
            (folder / kept.file).unlink()
            (folder / still.file).write_bytes(content)
            album.replace(position, look)
            kept = still
        stills[position] = replace(kept, rests=rests_of)
    return sorted(stills, key=lambda still: still.index)


class _Album:
    """The last stills, to know pages again by, and which tiles of the recording are static."""

    def __init__(self, plan: Stills) -> None:
        self._plan = plan
        self._seen: deque[tuple[int, _Look]] = deque(maxlen=plan.compared)
        self._last: _Look | None = None
        self._agreed = self._compared = np.zeros((0, 0))

    def find(self, look: _Look) -> int | None:
        """The position of the still that shows the same pages, if there is one; takes note of what is static."""
        static = self._static(look)
        self._note(look)
        return next((place for place, other in self._seen if _same_pages(other, look, static, self._plan)), None)

    def add(self, position: int, look: _Look) -> None:
        self._seen.append((position, look))

    def replace(self, position: int, look: _Look) -> None:
        self._seen = deque(
            [(place, look if place == position else old) for place, old in self._seen], self._seen.maxlen
        )

    def _static(self, look: _Look) -> np.ndarray:
        shape = _tiles_of(look.small)
        if self._compared.shape != shape:  # the first rest, or pictures of another shape
            self._agreed, self._compared, self._last = np.zeros(shape), np.zeros(shape), None
        return (self._compared >= STATIC_AFTER) & (self._agreed >= STATIC_SHARE * self._compared)

    def _note(self, look: _Look) -> None:
        if self._last is not None:
            found = agreement(self._last.small, look.small)
            self._agreed += np.nan_to_num(found) >= self._plan.same_correlation
            self._compared += np.isfinite(found)
        self._last = look


def _look_of(small: Sequence[np.ndarray]) -> _Look:
    """The median of a rest's candidates has less noise than any of them, and no hand that passes by."""
    middle = len(small) // 2
    own = agreement(_median(small[:middle]), _median(small[middle:])) if middle else None
    return _Look(_median(small), own)


def _median(small: Sequence[np.ndarray]) -> np.ndarray:
    return np.median(np.stack(small), axis=0).astype(np.uint8)


def _looked_at(
    rests: Sequence[Rest], pictures: Iterator[Picture]
) -> Iterator[tuple[Rest, list[tuple[int, Measures, str, bytes]]]]:
    """Each rest with its candidates; those of another shape than its first are left out."""
    pictures = iter(pictures)
    pending = next(pictures, None)
    for rest in rests:
        looked: list[tuple[int, Measures, str, bytes]] = []
        while pending is not None and pending.index <= rest.last:
            measures = measure(pending.rgb)
            if not looked or measures.small.shape == looked[0][1].small.shape:
                looked.append((pending.index, measures, pending.suffix, pending.encode()))
            pending = next(pictures, None)
        if looked:
            yield rest, looked


def _best(
    rest: Rest,
    looked: list[tuple[int, Measures, str, bytes]],
    probabilities: np.ndarray,
    times_s: Sequence[float | None],
    plan: Stills,
) -> tuple[Still, _Look, bytes]:
    scores = judge([measures for _, measures, _, _ in looked], probabilities[[index for index, *_ in looked]])
    best = int(np.argmax(scores["score"]))
    index, _, suffix, content = looked[best]
    facts = {name: round(float(values[best]), 4) for name, values in scores.items()}
    look = _look_of([measures.small for _, measures, _, _ in looked])
    bounds = {"first": rest.first, "last": rest.last, "looked_at": len(looked), "rests": 1}
    return Still(index, times_s[index], **bounds, **facts, file=f"{index:06d}{suffix}"), look, content


def measure(rgb: np.ndarray) -> Measures:
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


def judge(measured: Sequence[Measures], probabilities: np.ndarray) -> dict[str, np.ndarray]:
    """Measures of the candidates of one rest, float [N] each, and `score`, by which they are ranked."""
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


def _same_pages(one: _Look, two: _Look, static: np.ndarray, plan: Stills) -> bool:
    """Whether two stills show the same pages, apart from hands."""
    if one.small.shape != two.small.shape:
        return False

    def share(found: np.ndarray | None) -> float:
        return 1.0 if found is None else agreeing_share(found, plan.same_correlation, static)

    expected = max((share(one.own) + share(two.own)) / 2, LEAST_OWN)
    return share(agreement(one.small, two.small)) >= plan.same_share * expected


def agreeing_share(found: np.ndarray, correlation: float, static: np.ndarray | None = None) -> float:
    """Share of the tiles that `agreement` compared, but for static ones, that agree; 0.0 when there are none."""
    counted = np.isfinite(found) if static is None else np.isfinite(found) & ~static
    return float((found[counted] >= correlation).mean()) if counted.any() else 0.0


def agreement(one: np.ndarray, two: np.ndarray) -> np.ndarray:
    """How well each tile of one picture is found near its place in the other: float [rows, columns].

    Shaking and a nudge of the phone move the pages by a few pixels: each tile is searched for around its place by
    normalised cross-correlation (Lewis, "Fast normalized cross-correlation", 1995). NaN where a tile is too dark for
    paper, or without structure.
    """
    import cv2

    first, second = _without_shading(one), _without_shading(two)
    padded = cv2.copyMakeBorder(second, SEARCH, SEARCH, SEARCH, SEARCH, cv2.BORDER_REFLECT)
    limits = [PAPER_SHARE * float(np.quantile(grey[::4, ::4], 0.95)) for grey in (one, two)]
    found = np.full(_tiles_of(one), np.nan)
    for row, column in np.ndindex(found.shape):
        y, x = row * SMALL_TILE, column * SMALL_TILE
        place = np.s_[y : y + SMALL_TILE, x : x + SMALL_TILE]
        paper = (np.median(grey[place]) >= limit for grey, limit in zip((one, two), limits, strict=True))
        if all(paper) and first[place].std() >= FLAT:
            around = padded[y : y + SMALL_TILE + 2 * SEARCH, x : x + SMALL_TILE + 2 * SEARCH]
            found[row, column] = cv2.matchTemplate(around, first[place], cv2.TM_CCOEFF_NORMED).max()
    return found


def _tiles_of(small: np.ndarray) -> tuple[int, int]:
    return small.shape[0] // SMALL_TILE, small.shape[1] // SMALL_TILE


def _without_shading(grey: np.ndarray) -> np.ndarray:
    import cv2

    values = grey.astype(np.float32)
    return values - cv2.GaussianBlur(values, (0, 0), SMALL_TILE / 4)
