"""What moves, and where it is at time t: sheets, hands, phone and light.

Times are in frames of the recording; lengths are in picture widths.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from pageflip.synthetic.book.geometry import Bend, book_to_world, lying_page, sheet, sheet_lift
from pageflip.synthetic.stage.looks import Look


@dataclass(frozen=True)
class Flip:
    """One sheet's motion: it goes by the (time, progress) points of `path`; 0 lies where it was lifted.

    `leaves` is 1, or 2 when two sheets go together, the second behind by `lag`. Before the first and after the last
    point it stays where that point has it, until the recording's next flip begins.
    """

    path: tuple[tuple[float, float], ...]
    ease: float
    bend: Bend
    leaves: int = 1
    lag: float = 0.0

    @property
    def start(self) -> float:
        """The time at which it begins to move."""
        return self.path[0][0]

    @property
    def end(self) -> float:
        """The time from which on it does not move."""
        return self.path[-1][0]

    @property
    def aborted(self) -> bool:
        """Whether the sheet ends where it began."""
        return self.path[-1][1] < self.path[0][1] + 0.5 and max(u for _, u in self.path) > self.path[-1][1] + 0.02

    def progress(self, t: float) -> float:
        """How far the sheet is at time t: 0 lies where it was lifted, 1 on the other side."""
        times = [time for time, _ in self.path]
        after = next((i for i, time in enumerate(times) if time > t), len(times))
        if after in (0, len(times)):
            return self.path[min(after, len(times) - 1)][1]
        (t0, u0), (t1, u1) = self.path[after - 1], self.path[after]
        x = (t - t0) / (t1 - t0)
        return u0 + (u1 - u0) * ((1 - self.ease) * x + self.ease * x * x * (3 - 2 * x))


@dataclass(frozen=True)
class Stop:
    """A place on a hand's way: a point of space, or with `s` >= 0 the moving sheet's material point (s from the spine
    and v along it, both as shares of the page). From here to the next stop the hand has `shape` and lies in `layer`:
    `over` all, `under` the sheet in the air, in a `grip` around it, or `tucked` below a page that lies."""

    time: float
    place: tuple[float, float, float] = (0.0, 0.0, 0.0)
    s: float = -1.0
    v: float = 0.0
    shape: str = "rest"
    layer: str = "over"


@dataclass(frozen=True)
class HandWay:
    """One hand: the stops it goes by, where its elbow is in the picture, and how much it trembles."""

    stops: tuple[Stop, ...]
    elbow: tuple[float, float]
    tremble: float = 0.0
    thumb_on_top: bool = True


@dataclass(frozen=True)
class Script:
    """All that moves in a recording. `opened` is the number of the spread that lies open at the start, `step` the time
    between two of its frames, `exposure` how long the shutter is open, `wave` the swelling of the lying pages (left,
    right), `nudges` (time, dx, dy), `lights` (time, length, factor), `focus` (time, blur)."""

    look: Look
    seed: int
    opened: int
    step: float
    flips: tuple[Flip, ...]
    turning: HandWay
    pinning: HandWay
    exposure: float
    shake: float
    wave: tuple[float, float] = (0.0, 0.0)
    nudges: tuple[tuple[float, float, float], ...] = ()
    lights: tuple[tuple[float, float, float], ...] = ()
    focus: tuple[tuple[float, float], ...] = ()


@dataclass(frozen=True)
class HandPose:
    """A hand at a moment: the point of space that its tip is at, its elbow in the picture, shape and layer."""

    tip: tuple[float, float, float]
    elbow: tuple[float, float]
    shape: str
    layer: str
    thumb_on_top: bool


@dataclass(frozen=True)
class Pose:
    """Everything at one moment. `flip` is the one whose sheets are in the air, None when all pages lie flat."""

    spread: int
    flip: Flip | None
    progress: float
    lift: float
    turning: HandPose
    pinning: HandPose
    shift: tuple[float, float]
    roll: float
    gain: float
    blur: float

    @property
    def sheets(self) -> tuple[float, ...]:
        """The progress of each sheet in the air."""
        if self.flip is None:
            return ()
        second = max(self.progress - self.flip.lag, 0.0)
        return (self.progress, second) if self.flip.leaves == 2 else (self.progress,)

    @property
    def pages(self) -> tuple[int, int] | None:
        """The numbers of the pages that lie open (left, right); None while a sheet is in the air."""
        return (2 * self.spread, 2 * self.spread + 1) if self.flip is None else None


def pose_at(script: Script, t: float) -> Pose:
    """Everything at time t, in frames of the recording from its start."""
    spread, active, progress, lift = _in_the_air(script, t)
    return Pose(
        spread=spread,
        flip=active,
        progress=progress,
        lift=lift,
        turning=_hand_at(script, script.turning, t, active, progress),
        pinning=_hand_at(script, script.pinning, t, active, progress),
        shift=_shake(script, t),
        roll=script.shake * 0.35 * float(np.sin(0.21 * t + script.seed % 7)),
        gain=_gain(script, t),
        blur=_blur(script, t),
    )


def hand_poses(script: Script, step: float = 1.0) -> Iterator[tuple[HandPose, HandPose]]:
    """The turning and the pinning hand every `step`, from the first to the last stop of either."""
    last = max(way.stops[-1].time for way in (script.turning, script.pinning))
    for t in np.arange(0.0, max(last, 0.0) + step, step):
        _, active, progress, _ = _in_the_air(script, float(t))
        yield tuple(_hand_at(script, way, float(t), active, progress) for way in (script.turning, script.pinning))


def _in_the_air(script: Script, t: float) -> tuple[int, Flip | None, float, float]:
    """The spread that lay open last, the flip whose sheet is in the air or None, its progress and its lift."""
    spread = script.opened
    for flip in script.flips:
        if t < flip.start and flip is not script.flips[0]:
            break
        u = flip.progress(t)
        lift = sheet_lift(script.look.lying, flip.bend, u)
        if lift > 0:
            return spread, flip, u, lift
        if u > 0.5:
            spread += flip.leaves * flip.bend.side
    return spread, None, 0.0, 0.0


def _side_of_sheet(script: Script, t: float) -> int:
    """Where the sheet lies that a hand handles while none is in the air: it lands before the hand lets go."""
    side = script.flips[0].bend.side if script.flips else 1
    for flip in script.flips:
        side = -flip.bend.side if t > flip.start and flip.progress(t) > 0.5 else flip.bend.side
        if t <= flip.end:
            break
    return side


def material_point(look: Look, flip: Flip | None, progress: float, s: float, v: float, side: int = 1) -> np.ndarray:
    """Where a point of the sheet (or of the lying page on `side`) is in space: float64 [3]."""
    points = sheet(look.lying, flip.bend, progress) if flip else lying_page(look.lying, side)
    rows, columns = points.shape[:2]
    row = float(np.clip(v + 0.5, 0, 1)) * (rows - 1)
    column = float(np.interp(s, np.linspace(0, 1, columns) ** 1.2, np.arange(columns)))
    i, j = min(int(row), rows - 2), min(int(column), columns - 2)
    a, b = row - i, column - j
    one = points[i, j] * (1 - b) + points[i, j + 1] * b
    two = points[i + 1, j] * (1 - b) + points[i + 1, j + 1] * b
    return book_to_world(look.lying, one * (1 - a) + two * a)


def _hand_at(script: Script, way: HandWay, t: float, flip: Flip | None, progress: float) -> HandPose:
    stops = way.stops
    after = next((i for i, stop in enumerate(stops) if stop.time > t), len(stops))
    one, two = stops[max(after - 1, 0)], stops[min(after, len(stops) - 1)]
    share = (t - one.time) / (two.time - one.time) if 0 < after < len(stops) else 0.0
    share = share * share * (3 - 2 * share)
    side = flip.bend.side if flip else _side_of_sheet(script, t)
    first, second = (
        np.asarray(stop.place)
        if stop.s < 0
        else material_point(script.look, flip if flip else None, progress, stop.s, stop.v, side)
        for stop in (one, two)
    )
    wave = way.tremble * np.sin([1.9 * t + script.seed % 5, 1.3 * t + script.seed % 11, 0.0])
    tip = first + (second - first) * share + wave
    elbow = (way.elbow[0] + 0.35 * (tip[0] - 0.6), way.elbow[1] + 0.35 * (tip[1] - script.look.lying.spine[1]))
    layer = one.layer if flip or one.layer == "over" else "tucked"  # what was below a sheet is below its page
    return HandPose(tuple(float(v) for v in tip), elbow, one.shape, layer, way.thumb_on_top)


def _shake(script: Script, t: float) -> tuple[float, float]:
    phases = np.random.default_rng([script.seed, 15]).uniform(0, 2 * np.pi, (2, 3))
    waves = np.sin(np.array([0.31, 0.83, 2.1]) * t + phases) @ np.array([1.0, 0.5, 0.25]) * script.shake
    for at, dx, dy in script.nudges:
        waves = waves + np.exp(-(((t - at) / 2.5) ** 2)) * np.array([dx, dy])
    return float(waves[0]), float(waves[1])


def _gain(script: Script, t: float) -> float:
    gain = 1 + 0.01 * np.sin(0.4 * t + script.seed % 3)
    for at, length, factor in script.lights:
        gain *= 1 + (factor - 1) / (1 + np.exp(-4 * np.clip((t - at) / length, -20, 20)))
    return float(gain)


def _blur(script: Script, t: float) -> float:
    """The blur of a phone that searches for its focus, in pixels of a picture 1080 wide, beside the look's own."""
    return script.look.sensor.blur + sum(blur * float(np.exp(-(((t - at) / 5) ** 2))) for at, blur in script.focus)
