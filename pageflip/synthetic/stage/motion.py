"""Motion: where sheets, hands, phone and light are at time t, computed from a script without randomness.

Times are in frames of the recording, lengths in picture widths.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from pageflip.synthetic.book.geometry import ARC, Bend, book_to_world, lying_page, sheet, sheet_lift
from pageflip.synthetic.primitives import Triple, smoothstep, triple
from pageflip.synthetic.stage.looks import Look


@dataclass(frozen=True)
class FlipMotion:
    """Motion of one sheet, or of two together.

    Before the first and after the last point of its path it stays there, until the recording's next flip begins.

    Attributes:
        path: (time, progress) points; progress is 0 where the sheet was lifted, 1 on the other side.
        ease: from constant speed (0) to smoothstep (1) between points.
        bend: how the sheet bends.
        leaves: 1, or 2 when two sheets go together.
        lag: progress by which the second sheet follows.
    """

    path: tuple[tuple[float, float], ...]
    ease: float
    bend: Bend
    leaves: int = 1
    lag: float = 0.0

    @property
    def start(self) -> float:
        """Time of the first point."""
        return self.path[0][0]

    @property
    def end(self) -> float:
        """Time of the last point."""
        return self.path[-1][0]

    @property
    def aborted(self) -> bool:
        """True if the sheet ends where it began."""
        return self.path[-1][1] < self.path[0][1] + 0.5 and max(u for _, u in self.path) > self.path[-1][1] + 0.02

    def progress(self, t: float) -> float:
        """Return the progress at time t."""
        times = [time for time, _ in self.path]
        after = next((i for i, time in enumerate(times) if time > t), len(times))
        if after in (0, len(times)):
            return self.path[min(after, len(times) - 1)][1]
        (t0, u0), (t1, u1) = self.path[after - 1], self.path[after]
        x = (t - t0) / (t1 - t0)
        return u0 + (u1 - u0) * ((1 - self.ease) * x + self.ease * x * x * (3 - 2 * x))


@dataclass(frozen=True)
class Waypoint:
    """A point of a hand's path: a place in world axes, or a point of the moving sheet.

    Attributes:
        time: when the hand is there.
        place: in world axes; used where `s` is negative.
        s: position on the sheet from the spine, as a share of its width.
        v: position along the spine, as a share of the height from its middle.
        shape: of the hand from here to the next waypoint.
        layer: from here to the next waypoint: "over" everything, "under" the sheet in the air, in a "grip" around it,
            or "tucked" below a lying page.
    """

    time: float
    place: Triple = (0.0, 0.0, 0.0)
    s: float = -1.0
    v: float = 0.0
    shape: str = "rest"
    layer: str = "over"


@dataclass(frozen=True)
class HandPath:
    """Path of one hand.

    Attributes:
        stops: waypoints in order of time.
        elbow: in the picture.
        tremble: amplitude of the tremor.
        thumb_on_top: whether the thumb is above the page that the hand holds.
    """

    stops: tuple[Waypoint, ...]
    elbow: tuple[float, float]
    tremble: float = 0.0
    thumb_on_top: bool = True


@dataclass(frozen=True)
class Script:
    """All motion in a recording.

    Attributes:
        look: what does not move.
        seed: of shake and noise.
        opened: number of the spread that lies open at the start.
        step: time between two frames.
        flips: in order of time.
        turning: path of the hand that turns pages.
        pinning: path of the other hand.
        exposure: time that the shutter is open.
        shake: amplitude of the camera shake.
        wave: height of the swelling of the lying pages (left, right).
        nudges: (time, dx, dy) of bumps against the phone.
        lights: (time, length, factor) of changes of the light.
        focus: (time, blur) of focus searches.
    """

    look: Look
    seed: int
    opened: int
    step: float
    flips: tuple[FlipMotion, ...]
    turning: HandPath
    pinning: HandPath
    exposure: float
    shake: float
    wave: tuple[float, float] = (0.0, 0.0)
    nudges: tuple[tuple[float, float, float], ...] = ()
    lights: tuple[tuple[float, float, float], ...] = ()
    focus: tuple[tuple[float, float], ...] = ()


@dataclass(frozen=True)
class HandPose:
    """A hand at one moment: its tip in world axes, its elbow in the picture, shape and layer."""

    tip: Triple
    elbow: tuple[float, float]
    shape: str
    layer: str
    thumb_on_top: bool


@dataclass(frozen=True)
class SceneState:
    """Everything at one moment; `flip` is the one with sheets in the air, None when all pages lie flat."""

    spread: int
    flip: FlipMotion | None
    progress: float
    lift: float
    turning: HandPose
    pinning: HandPose
    shift: tuple[float, float]
    roll: float
    gain: float
    blur: float

    @property
    def sheets(self) -> list[tuple[FlipMotion, float]]:
        """Motion and progress of each sheet in the air."""
        if self.flip is None:
            return []
        lags = (0.0, self.flip.lag)[: self.flip.leaves]
        return [(self.flip, max(self.progress - lag, 0.0)) for lag in lags]

    @property
    def pages(self) -> tuple[int, int] | None:
        """Numbers of the open pages (left, right); None while a sheet is in the air."""
        return (2 * self.spread, 2 * self.spread + 1) if self.flip is None else None


def state_at(script: Script, t: float) -> SceneState:
    """Return the state at time t."""
    spread, flip, progress, lift = _moving_sheet(script, t)
    return SceneState(
        spread=spread,
        flip=flip,
        progress=progress,
        lift=lift,
        turning=_hand_at(script, script.turning, t, flip, progress),
        pinning=_hand_at(script, script.pinning, t, flip, progress),
        shift=_shake(script, t),
        roll=script.shake * 0.35 * float(np.sin(0.21 * t + script.seed % 7)),
        gain=_gain(script, t),
        blur=_blur(script, t),
    )


def hand_poses(script: Script, step: float = 1.0) -> Iterator[tuple[HandPose, HandPose]]:
    """Yield turning and pinning hand every `step`, from the first to the last waypoint of either."""
    last = max(path.stops[-1].time for path in (script.turning, script.pinning))
    for t in np.arange(0.0, max(last, 0.0) + step, step).tolist():
        _, flip, progress, _ = _moving_sheet(script, t)
        yield (
            _hand_at(script, script.turning, t, flip, progress),
            _hand_at(script, script.pinning, t, flip, progress),
        )


def _moving_sheet(script: Script, t: float) -> tuple[int, FlipMotion | None, float, float]:
    """Return the last open spread, the flip whose sheet is in the air or None, its progress and its lift."""
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
    """Return the side on which a handled sheet lies when none is in the air: it lands before the hand lets go."""
    side = script.flips[0].bend.side if script.flips else 1
    for flip in script.flips:
        side = -flip.bend.side if t > flip.start and flip.progress(t) > 0.5 else flip.bend.side
        if t <= flip.end:
            break
    return side


def point_on_sheet(
    look: Look, flip: FlipMotion | None, progress: float, s: float, v: float, side: int = 1
) -> np.ndarray:
    """Return a point of the sheet, or of the lying page on `side`, in world axes; float64 [3]."""
    points = sheet(look.lying, flip.bend, progress) if flip else lying_page(look.lying, side)
    rows, columns = points.shape[:2]
    row = float(np.clip(v + 0.5, 0, 1)) * (rows - 1)
    column = float(np.interp(s, ARC, np.arange(columns)))
    i, j = min(int(row), rows - 2), min(int(column), columns - 2)
    a, b = row - i, column - j
    one = points[i, j] * (1 - b) + points[i, j + 1] * b
    two = points[i + 1, j] * (1 - b) + points[i + 1, j + 1] * b
    return book_to_world(look.lying, one * (1 - a) + two * a)


def _hand_at(script: Script, path: HandPath, t: float, flip: FlipMotion | None, progress: float) -> HandPose:
    stops, (x, y) = path.stops, path.elbow
    after = next((i for i, stop in enumerate(stops) if stop.time > t), len(stops))
    one, two = stops[max(after - 1, 0)], stops[min(after, len(stops) - 1)]
    share = smoothstep((t - one.time) / (two.time - one.time)) if 0 < after < len(stops) else 0.0
    side = flip.bend.side if flip else _side_of_sheet(script, t)
    first, second = (
        np.asarray(stop.place) if stop.s < 0 else point_on_sheet(script.look, flip, progress, stop.s, stop.v, side)
        for stop in (one, two)
    )
    tremor = path.tremble * np.sin([1.9 * t + script.seed % 5, 1.3 * t + script.seed % 11, 0.0])
    tip = triple(first + (second - first) * share + tremor)
    elbow = (x + 0.35 * (tip[0] - 0.6), y + 0.35 * (tip[1] - script.look.lying.spine[1]))
    layer = one.layer if flip or one.layer == "over" else "tucked"  # what was below a sheet is below its page
    return HandPose(tip, elbow, one.shape, layer, path.thumb_on_top)


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
    """Return the blur of sensor and focus searches, in pixels of a picture 1080 wide."""
    return script.look.sensor.blur + sum(blur * float(np.exp(-(((t - at) / 5) ** 2))) for at, blur in script.focus)
