"""What is where at time t: clips, their plans, and the script of pages, hands, phone and light that each follows.

Times are in frames, so that a clip looks the same whatever its frame rate says; lengths are in picture widths.
"""

from dataclasses import dataclass

import numpy as np

from pageflip.errors import ConfigError
from pageflip.synthetic.geometry import lift_of, project, sheet
from pageflip.synthetic.looks import Look, book_look, clip_look

FIRST_LIFT, LAST_LIFT = (0.07, 0.955)  # progress of a flip between which the lift is visible for every book


@dataclass(frozen=True)
class Clip:
    """The description of one clip: a few frames of one book under one label. Everything drawn follows from it.

    `video` has four digits and counts separately under each label; `frames` is the number of frames and `skipped` the
    frame numbers that are left out, as in recordings with dropped frames.
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
        """The frame numbers, from 1, in order."""
        last = self.frames + len(self.skipped)
        return tuple(number for number in range(1, last + 1) if number not in self.skipped)


@dataclass(frozen=True)
class Flip:
    """One page's motion: progress goes from `begin` to `end` in `duration` frames, with a pause on the way."""

    start: float
    duration: float
    begin: float = 0.0
    end: float = 1.0
    power: float = 1.0
    ease: float = 1.0
    pause: tuple[float, float] = (0.5, 0.0)
    skew: float = 0.0

    def progress(self, t: float) -> float:
        """How far the page is at time t: 0 lies on the right, 1 on the left."""
        x = min(max((t - self.start) / self.duration, 0.0), 1.0)
        at, length = self.pause
        x = (min(x, at) + max(x - at - length, 0.0)) / (1 - length)
        x = x**self.power
        x = (1 - self.ease) * x + self.ease * x * x * (3 - 2 * x)
        return self.begin + (self.end - self.begin) * x


@dataclass(frozen=True)
class Stop:
    """A place on a hand's way. `edge` puts it on the page's outer edge at that progress, -1 wherever the edge is."""

    time: float
    x: float = 0.0
    y: float = 0.0
    edge: float | None = None
    along: float = 0.0


@dataclass(frozen=True)
class HandWay:
    """One hand: the stops it goes by, where its elbow is, how it is shaped, and how much it trembles."""

    stops: tuple[Stop, ...]
    elbow: tuple[float, float]
    shape: str
    tremble: float = 0.0


@dataclass(frozen=True)
class Script:
    """All that moves in a recording. `opened` is the number of the spread that lies open at the start."""

    look: Look
    seed: int
    opened: int
    flips: tuple[Flip, ...]
    right: HandWay
    left: HandWay
    shake: float
    nudges: tuple[tuple[float, float, float], ...]
    lights: tuple[tuple[float, float, float], ...]
    exposure_share: float


@dataclass(frozen=True)
class HandPose:
    """A hand in the picture: fingertip, elbow, and how much larger it looks for being nearer."""

    tip: tuple[float, float]
    elbow: tuple[float, float]
    scale: float


@dataclass(frozen=True)
class Pose:
    """Everything at one moment. `progress` is None when all pages lie flat, and `lift` 0 then."""

    spread: int
    progress: float | None
    skew: float
    lift: float
    right: HandPose
    left: HandPose
    shift: tuple[float, float]
    tilt: float
    gain: float


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
    """Describe the clips of an archive: `clips_per_book` for each book, half of them flips (the odd one too).

    Raises:
        ConfigError: a number is out of its range.
    """
    check_numbers(
        seed=(seed, 0, 2**63 - 1),
        books=(books, 1, 999),
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
        _describe(seed, label, number, (number - 1) // count, frames_per_clip, (width, height, fps))
        for label, count in counts.items()
        for number in range(1, books * count + 1)
    ]


def _describe(seed: int, label: str, number: int, book: int, frames: int, form: tuple[int, int, int]) -> Clip:
    """One clip of a plan; the second one under each label misses two frame numbers."""
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
    """A 64-bit seed that depends on all the parts, whatever their order of magnitude."""
    return int(np.random.SeedSequence(parts).generate_state(1, np.uint64)[0])


def check_numbers(**ranges: tuple[int, int, int]) -> None:
    """Refuse a (value, lowest, highest) whose value is not an integer in that range.

    Raises:
        ConfigError: names the first such value.
    """
    for name, (value, lowest, highest) in ranges.items():
        if isinstance(value, bool) or not isinstance(value, int | np.integer) or not lowest <= value <= highest:
            raise ConfigError(f"{name} is {value!r}", f"give a whole number from {lowest} to {highest}.")


def check_size(width: int, height: int) -> None:
    """Refuse picture sizes that cannot be drawn.

    Raises:
        ConfigError: out of 64 to 4096, odd, or not portrait.
    """
    check_numbers(width=(width, 64, 4096), height=(height, 64, 4096))
    if width % 2 or height % 2:
        raise ConfigError(f"the picture size {width}x{height} is odd", "give an even width and height.")
    if not 1.2 <= height / width <= 2.6:
        raise ConfigError(
            f"the picture size {width}x{height} is not that of a phone held upright",
            "give a height of 1.2 to 2.6 widths.",
        )


def clip_script(clip: Clip) -> Script:
    """The script of a clip; the page is in the air in every frame of a flip clip, and in none of the others."""
    rng = np.random.default_rng([clip.seed, 13])
    aspect = clip.height / clip.width
    look = clip_look(book_look(clip.book_seed, aspect), clip.seed)
    last = clip.frames + len(clip.skipped) - 1
    opened = int(rng.integers(3, 60))
    if clip.label == "flip":
        flip = _flip_of_clip(rng, last)
        flips, right = (flip,), _flipping_hand(rng, look, flip, last, aspect)
    else:
        flips, right = (), _idle_hand(rng, look, last, aspect)
    left = _pinning_hand(rng, look, flips, last, aspect)
    return Script(look, clip.seed, opened, flips, right, left, *_unrest(rng, last))


def video_script(seed: int, book: int, flips: int, aspect: float, fps: int) -> tuple[Script, int]:
    """The script of one book with `flips` flips and rests between, and how many frames it lasts."""
    rng = np.random.default_rng([seed, book, 14])
    look = clip_look(book_look(derive_seed(seed, 0, book), aspect), derive_seed(seed, 3, book))
    moves, stops, t = [], [_off(0.0, aspect)], fps * rng.uniform(0.5, 1.0)
    for _ in range(flips):
        move = _whole_flip(rng, t, fps * rng.uniform(0.6, 1.5))
        along = rng.uniform(-0.2, 0.4)
        release = rng.uniform(0.5, 0.9)
        gone = _time_of(move, release)
        stops += [
            _off(t - fps * 0.35, aspect),
            Stop(t - fps * 0.08, edge=-1, along=along),
            Stop(gone, edge=-1, along=along),
        ]
        stops += [Stop(gone + 0.01, edge=release, along=along), _off(gone + fps * 0.4, aspect)]
        moves.append(move)
        t = max(move.start + move.duration, gone + fps * 0.4) + fps * rng.uniform(0.5, 1.6)
    total = int(np.ceil(t))
    right = HandWay(tuple(stops), _elbow(rng, aspect), "grip", 0.002)
    left = _pinning_hand(rng, look, tuple(moves), total, aspect)
    script = Script(look, derive_seed(seed, 4, book), 3, tuple(moves), right, left, *_unrest(rng, total))
    return script, total


def pose_at(script: Script, t: float) -> Pose:
    """Everything at time t, in frames from the start."""
    look = script.look
    done = sum(1 for flip in script.flips if flip.end >= 1 and t >= flip.start + flip.duration)
    active = next((flip for flip in script.flips[done:] if t >= flip.start or flip.begin > 0), None)
    progress = active.progress(t) if active else 0.0
    skew = active.skew if active else 0.0
    lift = lift_of(look, progress, skew) if active else 0.0
    shown = progress if lift > 0 else None
    spread = script.opened + done + (1 if active and not lift and progress > 0.5 else 0)
    edge = progress if lift > 0 else 0.0
    return Pose(
        spread=spread,
        progress=shown,
        skew=skew,
        lift=lift,
        right=_hand_at(script, script.right, t, edge, skew),
        left=_hand_at(script, script.left, t, edge, skew),
        shift=_shake(script, t),
        tilt=script.shake * 0.35 * float(np.sin(0.21 * t + script.seed % 7)),
        gain=_gain(script, t),
    )


def _flip_of_clip(rng: np.random.Generator, last: int) -> Flip:
    """A flip, or a part of one, that lasts as long as the clip; a small part makes a slow and sharp lift."""
    kind = rng.choice(["whole", "begin", "middle", "end", "slow"], p=[0.4, 0.18, 0.12, 0.15, 0.15])
    begin, end = FIRST_LIFT, LAST_LIFT
    if kind == "begin":
        end = rng.uniform(0.35, 0.7)
    elif kind == "middle":
        begin, end = rng.uniform(0.15, 0.3), rng.uniform(0.6, 0.85)
    elif kind == "end":
        begin = rng.uniform(0.35, 0.65)
    elif kind == "slow":
        begin = rng.uniform(FIRST_LIFT, 0.35)
        end = begin + rng.uniform(0.06, 0.2)
    pause = (rng.uniform(0.2, 0.6), rng.uniform(0.15, 0.35)) if rng.random() < 0.3 else (0.5, 0.0)
    skew = rng.uniform(-0.28, 0.28)
    return Flip(0.0, max(last, 1), begin, end, rng.uniform(0.85, 1.35), rng.uniform(0.2, 1), pause, skew)


def _whole_flip(rng: np.random.Generator, start: float, duration: float) -> Flip:
    pause = (rng.uniform(0.2, 0.6), rng.uniform(0.15, 0.35)) if rng.random() < 0.25 else (0.5, 0.0)
    skew = rng.uniform(-0.28, 0.28)
    return Flip(start, duration, power=rng.uniform(0.85, 1.3), ease=rng.uniform(0.4, 1), pause=pause, skew=skew)


def _time_of(flip: Flip, progress: float) -> float:
    """The first time (to a hundredth of the flip) at which the page has come to `progress`."""
    for t in np.linspace(flip.start, flip.start + flip.duration, 101):
        if flip.progress(float(t)) >= progress:
            return float(t)
    return flip.start + flip.duration


def _off(time: float, aspect: float) -> Stop:
    return Stop(time, 1.3, 0.42 * aspect)


def _elbow(rng: np.random.Generator, aspect: float) -> tuple[float, float]:
    return rng.uniform(1.45, 1.75), aspect * rng.uniform(0.4, 0.72)


def _flipping_hand(rng: np.random.Generator, look: Look, flip: Flip, last: int, aspect: float) -> HandWay:
    """The hand that holds the page's edge until it lets go, or a page that goes by itself, the hand out of sight."""
    elbow = _elbow(rng, aspect)
    if rng.random() < 0.15:
        return HandWay((_off(0.0, aspect),), elbow, "grip")
    along = rng.uniform(-0.35, 0.42)
    release = rng.uniform(0.45, 0.95)
    gone = (
        _time_of(flip, release) if flip.begin < release < flip.end else (last + 99.0 if release >= flip.end else -1.0)
    )
    if gone < 0:
        resting = Stop(0.0, look.spine[0] + rng.uniform(0.1, 0.4), look.spine[1] + rng.uniform(-0.2, 0.4))
        return HandWay((resting, _off(last * rng.uniform(0.2, 1.0) + 2, aspect)), elbow, "grip", 0.002)
    stops = (Stop(0.0, edge=-1, along=along), Stop(gone, edge=-1, along=along))
    leave = (Stop(gone + 0.01, edge=release, along=along), _off(gone + max(last * rng.uniform(0.2, 0.5), 3), aspect))
    return HandWay(stops + leave, elbow, "grip", 0.003)


def _idle_hand(rng: np.random.Generator, look: Look, last: int, aspect: float) -> HandWay:
    """A hand that does anything but lift a page: most of it looks like the beginning or the end of a flip."""
    kind = rng.choice(["enter", "leave", "rest", "point", "sweep", "none"], p=[0.2, 0.2, 0.22, 0.13, 0.17, 0.08])
    elbow, along = _elbow(rng, aspect), rng.uniform(-0.45, 0.42)
    corner = Stop(0.0, edge=0.0, along=along)
    page = [
        (look.spine[0] + rng.uniform(-0.6, 0.9) * look.page[0], look.spine[1] + rng.uniform(-0.45, 0.5) * look.page[1])
        for _ in range(4)
    ]
    begin, end = np.sort(rng.uniform(0, last, 2)) if last > 2 else (0.0, float(last))
    if kind == "enter":
        stops = (_off(begin - 2, aspect), Stop(end, edge=0.0, along=along))
    elif kind == "leave":
        start = corner if rng.random() < 0.5 else Stop(0.0, *page[0])
        stops = (start, Stop(begin, start.x, start.y, start.edge, start.along), _off(end + 1, aspect))
    elif kind == "rest":
        stops = (corner, Stop(max(last, 1), edge=0.0, along=along + rng.uniform(-0.1, 0.1)))
    elif kind == "point":
        stops = tuple(Stop(max(last, 1) * i / 3, *place) for i, place in enumerate(page))
    elif kind == "sweep":
        turn = max(last * rng.uniform(0.3, 0.7), 1)
        reach = max(last * rng.uniform(0.15, 0.35), 1)
        stops = (_off(turn - reach, aspect), Stop(turn, *page[0]), _off(turn + reach, aspect))
    else:
        stops = (_off(0.0, aspect),)
    shape = "point" if kind == "point" and rng.random() < 0.7 else str(rng.choice(["grip", "flat"]))
    return HandWay(stops, elbow, shape, rng.choice([0.0, 0.002, 0.006]))


def _pinning_hand(rng: np.random.Generator, look: Look, flips: tuple[Flip, ...], last: int, aspect: float) -> HandWay:
    """The left hand, that holds the left page down from the lower edge and makes way for the page that comes."""
    x, y = (
        look.spine[0] - look.page[0] * rng.uniform(0.3, 0.7),
        look.spine[1] + look.page[1] * rng.uniform(0.22, 0.46),
    )
    elbow = (x + rng.uniform(-0.15, 0.3), aspect + rng.uniform(0.5, 0.8))
    away = (x - rng.uniform(0.02, 0.12), look.spine[1] + look.page[1] * 0.5 + rng.uniform(0.05, 0.15))
    kind = rng.choice(["pins", "moves", "none", "away"], p=[0.52, 0.3, 0.1, 0.08])
    if kind == "none":
        return HandWay((Stop(0.0, x, aspect + 0.6),), elbow, "flat")
    if kind == "away":
        return HandWay((Stop(0.0, *away),), elbow, "flat", 0.001)
    stops = [Stop(0.0, x, y)]
    for flip in flips:
        if flip.end >= 1 or (flip.end > 0.8 and kind == "moves"):
            stops += [Stop(_time_of(flip, 0.45), x, y), Stop(_time_of(flip, 0.85), *away)]
            if flip.end >= 1:
                over = flip.start + flip.duration
                stops += [Stop(over, *away), Stop(over + 9, x, y)]
    if not flips and kind == "moves":
        begin, end = np.sort(rng.uniform(0, max(last, 1), 2))
        there, back = ((x, y), away) if rng.random() < 0.5 else (away, (x, y))
        stops = [Stop(float(begin), *there), Stop(float(end) + 1, *back)]
    return HandWay(tuple(stops), elbow, "flat", 0.001)


def _unrest(rng: np.random.Generator, last: int) -> tuple:
    """Shake of the phone, nudges (time, dx, dy), changes of light (time, length, gain), and the shutter's share."""
    nudges = []
    if rng.random() < 0.35:
        nudges.append((rng.uniform(0, max(last, 1)), rng.normal(0, 0.015), rng.normal(0, 0.015)))
    lights = []
    if rng.random() < 0.45:
        lights.append((rng.uniform(0, max(last, 1)), rng.uniform(2, 15), rng.uniform(0.85, 1.15)))
    return (rng.uniform(0.0003, 0.003), tuple(nudges), tuple(lights), rng.uniform(0.25, 0.9))


def _hand_at(script: Script, way: HandWay, t: float, progress: float, skew: float) -> HandPose:
    stops = way.stops
    after = next((i for i, stop in enumerate(stops) if stop.time > t), len(stops))
    one, two = stops[max(after - 1, 0)], stops[min(after, len(stops) - 1)]
    share = (t - one.time) / (two.time - one.time) if 0 < after < len(stops) else 0.0
    share = share * share * (3 - 2 * share)
    (x1, y1, s1), (x2, y2, s2) = (_place(script.look, stop, progress, skew) for stop in (one, two))
    dx, dy = way.tremble * np.sin([1.9 * t + script.seed % 5, 1.3 * t + script.seed % 11])
    tip = (x1 + (x2 - x1) * share + dx, y1 + (y2 - y1) * share + dy)
    elbow = (way.elbow[0] + 0.3 * (tip[0] - 0.8), way.elbow[1] + 0.3 * (tip[1] - way.elbow[1]))
    return HandPose(tip, elbow if way is script.right else way.elbow, s1 + (s2 - s1) * share)


def _place(look: Look, stop: Stop, progress: float, skew: float) -> tuple[float, float, float]:
    if stop.edge is None:
        return stop.x, stop.y, 1.0
    at = progress if stop.edge < 0 else stop.edge
    points = sheet(look, at, skew)[0][:, -1]
    point = points[0] + (points[1] - points[0]) * (stop.along + 0.5)
    x, y = project(look, point)
    return float(x), float(y), 1 + 0.5 * float(point[2])


def _shake(script: Script, t: float) -> tuple[float, float]:
    phases = np.random.default_rng([script.seed, 15]).uniform(0, 2 * np.pi, (2, 3))
    waves = np.sin(np.array([0.31, 0.83, 2.1]) * t + phases) @ np.array([1.0, 0.5, 0.25]) * script.shake
    for at, dx, dy in script.nudges:
        bump = np.exp(-(((t - at) / 2.5) ** 2))
        waves = waves + bump * np.array([dx, dy])
    return float(waves[0]), float(waves[1])


def _gain(script: Script, t: float) -> float:
    gain = 1 + 0.01 * np.sin(0.4 * t + script.seed % 3)
    for at, length, factor in script.lights:
        gain *= 1 + (factor - 1) / (1 + np.exp(-4 * (t - at) / length))
    return float(gain)
