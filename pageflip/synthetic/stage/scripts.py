"""Samples the scripts of recordings: which sheet moves when, what both hands do, how phone and light drift."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from pageflip.synthetic.book.geometry import ARC, Bend, book_to_world, lying_page, raised_share
from pageflip.synthetic.primitives import Triple, triple
from pageflip.synthetic.ranges import Ranges, sample
from pageflip.synthetic.stage.clips import Clip, derive_seed
from pageflip.synthetic.stage.looks import Look, book_look, clip_look
from pageflip.synthetic.stage.motion import FlipMotion, HandPath, Script, Waypoint, point_on_sheet

# Share of a sheet that is clearly raised (`raised_share`) in the first and the last frame of a flip clip, so that no
# frame has a label that cannot be seen.
CLEAR_SHARE = 0.08
UPRIGHT = 0.42  # progress at which a sheet stands upright and shows its other face
_FINGER_HEIGHT = 0.025  # height of a fingertip above the paper that it touches

_Path = tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class _Context:
    """Inputs of the sampling of a script; `hand` is 1 when the right hand turns the pages, else -1."""

    rng: np.random.Generator
    look: Look
    ranges: Ranges
    hand: int
    elbow: tuple[float, float]

    @property
    def aspect(self) -> float:
        return self.look.phone.aspect

    @property
    def from_below(self) -> bool:
        """True if the arm comes from below the picture, not from the side."""
        return self.elbow[1] > self.aspect + 0.2

    def outside(self, time: float, shape: str = "rest") -> Waypoint:
        """Return a waypoint outside the picture, on the side of the elbow."""
        x, y = self.elbow
        if self.from_below:
            return Waypoint(time, (x, self.aspect + 0.3, 0.1), shape=shape)
        return Waypoint(time, (0.5 + self.hand * 0.95, min(y, self.aspect * 0.9), 0.1), shape=shape)

    def on_page(self, s: float, v: float, side: int, height: float = _FINGER_HEIGHT) -> Triple:
        """Return a place on the lying page of a side, at shares of its width (s, may exceed 1) and height (v)."""
        width, tall = self.look.lying.page
        edge = lying_page(self.look.lying, side)[0, int(np.argmin(np.abs(ARC - min(s, 1.0))))]
        place = np.array([edge[0] + side * max(s - 1, 0) * width, v * tall, edge[2] + height])
        return triple(book_to_world(self.look.lying, place))


def clip_script(clip: Clip, ranges: Ranges) -> Script:
    """Sample the script of a clip: a sheet is in the air in every frame of a flip clip, and in none of the others."""
    rng = np.random.default_rng([clip.seed, 13])
    look = clip_look(book_look(clip.book_seed, clip.height / clip.width, ranges), clip.seed, ranges)
    count = clip.frames + len(clip.skipped)
    opened = int(rng.integers(3, 60))
    backward = rng.random() < ranges.flips.backward
    context = _make_context(rng, look, ranges, backward)
    flips: tuple[FlipMotion, ...] = ()
    if clip.label == "flip":
        flip, step = _clip_flip(context, -1 if backward else 1, count)
        flips, turning = (flip,), _turning_hand(context, flip)
    else:
        step = max(rng.uniform(0.8, 3.0), 12 / count)
        turning = _idle_hand(context, (count - 1) * step)
    duration = (count - 1) * step
    pinning = _pinning_hand(context, flips, duration)
    return _finish(context, clip.seed, opened, step, flips, (turning, pinning), duration)


def video_script(seed: int, book: int, flips: int, aspect: float, fps: int, ranges: Ranges) -> tuple[Script, int]:
    """Sample the script of a video of one book with `flips` flips; return it with its number of frames."""
    rng = np.random.default_rng([seed, book, 14])
    look = clip_look(book_look(derive_seed(seed, 0, book), aspect, ranges), derive_seed(seed, 3, book), ranges)
    context = _make_context(rng, look, ranges, backward=False)
    pace = fps / 30
    motions: list[FlipMotion] = []
    waypoints: list[Waypoint] = []
    t = pace * sample(rng, ranges.flips.rest)
    for _ in range(flips):
        bend = _sample_bend(context, -1 if rng.random() < ranges.flips.backward and len(motions) > 1 else 1)
        length = pace * sample(rng, ranges.flips.duration)
        aborted = rng.random() < ranges.flips.aborted
        path = _aborted_path(rng, t, length) if aborted else _whole_path(context, t, length)
        flip = FlipMotion(path, rng.uniform(0.4, 1), bend, *_sample_leaves(context))
        waypoints += _handle_sheet(context, flip, pace)
        motions.append(flip)
        t = max(flip.end, waypoints[-1].time) + pace * sample(rng, ranges.flips.rest)
    total = int(np.ceil(t))
    turning = HandPath(tuple(waypoints) or (context.outside(0.0),), context.elbow, 0.002, rng.random() < 0.6)
    pinning = _pinning_hand(context, tuple(motions), total)
    script = _finish(context, derive_seed(seed, 4, book), 3, 1.0, tuple(motions), (turning, pinning), total)
    return script, total


def _make_context(rng: np.random.Generator, look: Look, ranges: Ranges, backward: bool) -> _Context:
    """Choose the turning hand, which for a backward flip is mostly the left one, and where its arm comes from."""
    hand = -1 if backward and rng.random() < 0.7 else 1
    aspect = look.phone.aspect
    if rng.random() < 0.3:
        x, y = rng.uniform(0.75, 1.15), aspect + rng.uniform(0.4, 0.8)
    else:
        x, y = rng.uniform(1.4, 1.8), aspect * rng.uniform(0.35, 0.85)
    return _Context(rng, look, ranges, hand, (0.5 + hand * (x - 0.5), y))


def _finish(
    context: _Context,
    seed: int,
    opened: int,
    step: float,
    flips: tuple[FlipMotion, ...],
    hands: tuple[HandPath, HandPath],
    duration: float,
) -> Script:
    """Add phone, light, focus and the waviness of the lying pages."""
    rng, ranges = context.rng, context.ranges
    later: dict[str, Any] = {}
    if rng.random() < ranges.camera.nudge:
        later["nudges"] = ((rng.uniform(0, max(duration, 1)), rng.normal(0, 0.02), rng.normal(0, 0.02)),)
    if rng.random() < ranges.light.drift:
        later["lights"] = ((rng.uniform(0, max(duration, 1)), rng.uniform(2, 15), float(np.exp(rng.normal(0, 0.15)))),)
    if rng.random() < ranges.camera.defocus * 0.5:
        later["focus"] = ((rng.uniform(0, max(duration, 1)), rng.uniform(1, 5)),)
    left, right = (rng.uniform(0.004, 0.03) if rng.random() < ranges.book.wavy else 0.0 for _ in range(2))
    return Script(
        look=context.look,
        seed=seed,
        opened=opened,
        step=step,
        flips=flips,
        turning=hands[0],
        pinning=hands[1],
        exposure=sample(rng, ranges.camera.exposure),
        shake=sample(rng, ranges.camera.shake),
        wave=(left, right),
        **later,
    )


def _sample_bend(context: _Context, side: int) -> Bend:
    rng, flips = context.rng, context.ranges.flips
    corner = float(np.deg2rad(sample(rng, flips.corner))) * (1 if rng.random() < 0.6 else -1)
    return Bend(
        corner=corner if rng.random() < 0.8 else 0.0,
        lean=rng.normal(0, 0.07),
        stiffness=sample(rng, flips.stiffness),
        lead=rng.uniform(-0.2, 1.4),
        side=side,
    )


def _sample_leaves(context: _Context) -> tuple[int, float]:
    if context.rng.random() < context.ranges.flips.two_sheets:
        return 2, context.rng.uniform(0.02, 0.12)
    return 1, 0.0


def visible_progress(look: Look, bend: Bend) -> tuple[float, float]:
    """Return the first and the last progress, in steps of 0.005, at which a sheet is clearly off the pages."""
    steps = np.arange(0.005, 1.0, 0.005)
    first = next(float(u) for u in steps if raised_share(look.lying, bend, float(u)) >= CLEAR_SHARE)
    last = next(float(u) for u in steps[::-1] if raised_share(look.lying, bend, float(u)) >= CLEAR_SHARE)
    return first, last


def _clip_flip(context: _Context, side: int, count: int) -> tuple[FlipMotion, float]:
    """Sample the flip of a clip, or the part of one that it shows; return it with the time between frames."""
    rng, flips = context.rng, context.ranges.flips
    kind = _choose(rng, flips.clip.table())
    bend, duration = _sample_bend(context, side), sample(rng, flips.duration)
    first, last = visible_progress(context.look, bend)
    points: list[tuple[float, float]]
    if kind == "whole":
        points, share = [(0, first), (1, last)], 1.0
        if rng.random() < flips.pause:
            at, length = rng.uniform(0.2, 0.7), rng.uniform(0.1, 0.3)
            points = [(0, first), (at, first + at * (last - first)), (at + length, first + at * (last - first) + 0.02)]
            points.append((1 + length, last))
    elif kind == "lift":
        points, share = [(0, first), (1, first + rng.uniform(0.03, 0.3))], 1.0
    elif kind == "begin":
        points, share = [(0, first), (1, rng.uniform(0.3, 0.65))], 0.6
    elif kind == "middle":
        points, share = [(0, rng.uniform(0.12, 0.4)), (1, rng.uniform(0.5, 0.85))], 0.5
    elif kind == "landing":
        points, share = [(0, rng.uniform(0.45, 0.85)), (1, last)], 0.5
    elif kind == "aborted":
        points, share = [(0, first), (rng.uniform(0.35, 0.65), rng.uniform(0.06, 0.5)), (1, first)], 1.0
    else:
        at = rng.uniform(0.05, 0.92)
        points, share = [(0, at), (0.5, at + rng.uniform(0.005, 0.04)), (1, at + rng.uniform(0, 0.02))], 0.8
    step = max(duration * share / count, 1.0 if rng.random() < 0.5 else 0.5)
    scale = step * (count - 1) / points[-1][0]
    path = tuple((float(time * scale), float(np.clip(u, first, last))) for time, u in points)
    leaves, lag = _sample_leaves(context)
    return FlipMotion(path, rng.uniform(0.1, 1), bend, leaves, lag), step


def _whole_path(context: _Context, start: float, length: float) -> _Path:
    rng = context.rng
    if rng.random() >= context.ranges.flips.pause:
        return ((start, 0.0), (start + length, 1.0))
    at, rest = rng.uniform(0.15, 0.7), rng.uniform(0.15, 0.5) * length
    middle = start + at * length
    return ((start, 0.0), (middle, at), (middle + rest, at + 0.01), (start + length + rest, 1.0))


def _aborted_path(rng: np.random.Generator, start: float, length: float) -> _Path:
    return ((start, 0.0), (start + 0.5 * length, rng.uniform(0.12, 0.45)), (start + length, 0.0))


def _time_of(flip: FlipMotion, progress: float) -> float:
    """Return when the sheet first reaches `progress`, to a hundredth of the flip; its end if it does not."""
    for t in np.linspace(flip.start, flip.end, 101):
        if flip.progress(float(t)) >= progress:
            return float(t)
    return flip.end


def _turning_hand(context: _Context, flip: FlipMotion) -> HandPath:
    """Sample the hand of a flip clip: it moves the sheet and lets go, is out of the picture, or is elsewhere."""
    rng = context.rng
    thumb_on_top = rng.random() < 0.6
    if rng.random() < context.ranges.flips.hidden_hand:
        if rng.random() < 0.5:
            return HandPath((context.outside(0.0),), context.elbow)
        path = _idle_hand(context, flip.end)  # as if wind lifted the page
        return replace(path, stops=tuple(replace(stop, layer="over") for stop in path.stops))
    waypoints = _hold_sheet(context, flip)
    if not waypoints:
        s, v, height = rng.uniform(0.1, 1.1), rng.uniform(-0.4, 0.5), rng.uniform(0.03, 0.25)
        place = context.on_page(s, v, flip.bend.side, height)
        shape = _choose(rng, {"rest": 1, "reach": 1, "pinch": 1})
        waypoints = [Waypoint(0.0, place, shape=shape), context.outside(flip.end * rng.uniform(0.3, 1.2) + 2)]
    return HandPath(tuple(waypoints), context.elbow, 0.002, thumb_on_top)


def _hold_sheet(context: _Context, flip: FlipMotion) -> list[Waypoint]:
    """Sample the waypoints from where the flip begins to where the hand lets go; empty if it has let go before."""
    rng, bend = context.rng, flip.bend
    release = rng.uniform(0.35, 0.97)
    if flip.path[0][1] > release:
        return []
    v = np.sign(bend.corner) * rng.uniform(0.15, 0.5) if bend.corner else rng.uniform(-0.4, 0.45)
    released = _time_of(flip, release) if not flip.aborted and release < flip.path[-1][1] else flip.end
    if rng.random() < 0.6:
        shape = _choose(rng, {"pinch": 3, "curl": 1, "rest": 1})
        held = Waypoint(flip.start, s=rng.uniform(0.9, 1.0), v=float(v), shape=shape, layer="grip")
        waypoints = [held, replace(held, time=released)]
    else:
        shape = _choose(rng, {"reach": 3, "rest": 1, "spread": 1, "point": 0.5})
        held = Waypoint(flip.start, s=rng.uniform(0.5, 0.98), v=float(v * 0.8), shape=shape)
        times = sorted({flip.start, min(max(_time_of(flip, UPRIGHT), flip.start), released), released})
        layers = ["under" if flip.progress(time + 1e-6) < UPRIGHT else "over" for time in times]
        waypoints = [replace(held, time=time, layer=layer) for time, layer in zip(times, layers, strict=True)]
    place = triple(point_on_sheet(context.look, flip, flip.progress(released), held.s, held.v))
    gone = released + rng.uniform(6, 16)
    # a hand below a sheet that has not passed it leaves below it
    layer = "over" if flip.progress(released) > UPRIGHT else "under"
    leaving = Waypoint(released + 0.01, place, shape=shape, layer=layer)
    return [*waypoints, leaving, context.outside(gone)]


def _handle_sheet(context: _Context, flip: FlipMotion, pace: float) -> list[Waypoint]:
    """Sample a hand that turns a page of a video: it comes, rests at the edge, turns the page, and leaves."""
    rng = context.rng
    held = _hold_sheet(context, flip)
    first = held[0]
    come = flip.start - pace * rng.uniform(4, 14)
    place = context.on_page(first.s, first.v, flip.bend.side)
    arrive = flip.start - pace * rng.uniform(0.5, 4)
    layer = "tucked" if first.layer == "grip" else "over"
    waypoints = [context.outside(come - pace * 8, first.shape), Waypoint(arrive, place, shape=first.shape, layer=layer)]
    return [waypoint for waypoint in [*waypoints, *held] if waypoint.time >= 0]


def _idle_hand(context: _Context, duration: float) -> HandPath:
    """Sample a hand that does not lift a page; most of what it does looks like the beginning or end of a flip."""
    rng, side = context.rng, context.hand
    kind = _choose(rng, context.ranges.hands.still.table())
    duration = max(duration, 1.0)
    corner = rng.choice([-1, 1]) * rng.uniform(0.1, 0.5)
    edge = context.on_page(rng.uniform(0.8, 1.04), corner, side)
    places = [
        context.on_page(rng.uniform(0.05, 1.0), rng.uniform(-0.45, 0.5), side, rng.uniform(0.02, 0.12))
        for _ in range(4)
    ]
    begin, end = np.sort(rng.uniform(0, duration, 2)).tolist()
    layer = "tucked" if rng.random() < 0.4 else "over"
    if layer == "tucked" and context.from_below:  # such an arm reaches under the lower edge, not the outer one
        edge = context.on_page(rng.uniform(0.6, 1.0), rng.uniform(0.46, 0.5), side)
    waypoints: list[Waypoint]
    if kind == "enter":
        waypoints = [context.outside(begin - 3), Waypoint(end, edge, layer=layer)]
    elif kind == "leave":
        start = edge if rng.random() < 0.6 else places[0]
        waypoints = [Waypoint(0.0, start), Waypoint(begin, start), context.outside(end + 2)]
    elif kind == "rest":
        near = context.on_page(rng.uniform(0.8, 1.04), corner + rng.uniform(-0.06, 0.06), side)
        near = edge if context.from_below else near
        last = near if rng.random() < 0.5 else edge
        waypoints = [Waypoint(0.0, edge, layer=layer), Waypoint(duration, last, layer=layer)]
    elif kind in ("under", "hold"):
        s = rng.uniform(0.9, 0.99) if kind == "under" else rng.uniform(0.96, 1.05)
        place = context.on_page(s, corner, side)
        if context.from_below:
            place = context.on_page(s - 0.1, rng.uniform(0.46, 0.5), side)
        waypoints = [Waypoint(0.0, place, layer="tucked"), Waypoint(duration, place, layer="tucked")]
    elif kind == "point":
        waypoints = [Waypoint(duration * i / 3, place) for i, place in enumerate(places)]
    elif kind == "smooth":
        times = np.linspace(0, duration, 4).tolist()
        waypoints = [Waypoint(time, place) for time, place in zip(times, places, strict=True)]
    elif kind == "sweep":
        turn, reach = rng.uniform(0.2, 0.8) * duration, rng.uniform(4, 12)
        across = context.on_page(rng.uniform(0.0, 0.7), rng.uniform(-0.4, 0.5), side, rng.uniform(0.05, 0.3))
        waypoints = [context.outside(turn - reach), Waypoint(turn, across), context.outside(turn + reach)]
    else:
        waypoints = [context.outside(0.0)]
    shape = _choose(rng, _SHAPES.get(kind, {"rest": 2, "pinch": 2, "reach": 2, "curl": 1, "spread": 1, "flat": 1}))
    stops = tuple(replace(waypoint, shape=shape) for waypoint in waypoints)
    return HandPath(stops, context.elbow, float(rng.choice([0.0, 0.002, 0.006])), rng.random() < 0.6)


_SHAPES: dict[str, dict[str, float]] = {
    "under": {"pinch": 3, "curl": 2, "rest": 1},
    "hold": {"curl": 2, "pinch": 2, "spread": 1, "rest": 1},
    "point": {"point": 4, "rest": 1},
    "smooth": {"flat": 3, "spread": 2, "reach": 1},
}


def _pinning_hand(context: _Context, flips: tuple[FlipMotion, ...], duration: float) -> HandPath:
    """Sample the other hand, which holds its page down and makes way for the sheet that comes."""
    rng, look, side = context.rng, context.look, -context.hand
    aspect = context.aspect
    if rng.random() >= context.ranges.hands.pinning:
        return HandPath((Waypoint(0.0, (0.5, aspect + 1.0, 0.0)),), (0.5, aspect + 1.6))
    kind = _choose(rng, {"low": 5, "edge": 2, "beside": 1})
    if kind == "low":
        s, v = rng.uniform(0.15, 0.85), rng.uniform(0.18, 0.5)
        elbow = (0.5 + side * rng.uniform(-0.1, 0.6), aspect + rng.uniform(0.3, 0.8))
        shape = _choose(rng, {"flat": 5, "spread": 2, "rest": 1, "reach": 1})
    elif kind == "edge":
        s, v = rng.uniform(0.8, 1.03), rng.uniform(-0.35, 0.48)
        elbow = (0.5 + side * rng.uniform(0.8, 1.2), aspect * rng.uniform(0.5, 1.1))
        shape = _choose(rng, {"pinch": 2, "curl": 2, "flat": 1, "spread": 1})
    else:
        s, v = rng.uniform(0.3, 1.1), rng.uniform(0.55, 0.7)
        elbow = (0.5 + side * rng.uniform(0, 0.6), aspect + rng.uniform(0.3, 0.8))
        shape = _choose(rng, {"flat": 1, "rest": 2})
    tucked = kind == "edge" and rng.random() < 0.5
    if tucked:
        elbow = (elbow[0], aspect * rng.uniform(0.4, 0.75))
    place = context.on_page(s, v, side, 0.015)
    there = Waypoint(0.0, place, shape=shape, layer="tucked" if tucked else "over")
    lower_edge = look.lying.spine[1] + look.lying.page[1] * 0.5
    away = replace(there, place=(place[0] + side * 0.08, max(place[1], lower_edge) + 0.12, 0.02))
    waypoints = [there]
    for flip in flips:
        if flip.path[-1][1] > 0.75 and flip.bend.side == context.hand and (len(flips) > 1 or rng.random() < 0.6):
            if flip.path[0][1] > 0.6:  # the sheet comes down when the clip begins: the hand has made way before
                waypoints = [away]
            else:
                waypoints += [replace(there, time=_time_of(flip, 0.45)), replace(away, time=_time_of(flip, 0.8))]
            waypoints += [replace(away, time=flip.end + 2), replace(there, time=flip.end + 10)]
    if not flips and rng.random() < 0.25:
        begin, end = np.sort(rng.uniform(0, max(duration, 1.0), 2)).tolist()
        first, second = (there, away) if rng.random() < 0.5 else (away, there)
        waypoints = [replace(first, time=begin), replace(second, time=end + 1)]
    return HandPath(tuple(waypoints), elbow, 0.001, rng.random() < 0.7)


def _choose(rng: np.random.Generator, weights: Mapping[str, float]) -> str:
    values = np.array(list(weights.values()), float)
    return str(rng.choice(list(weights), p=values / values.sum()))
