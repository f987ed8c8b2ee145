"""Writes the scripts of recordings: which sheet moves when, what both hands do meanwhile, how phone and light waver."""

from dataclasses import dataclass, replace

import numpy as np

from pageflip.synthetic.book.geometry import Bend, book_to_world, lying_page, raised_share
from pageflip.synthetic.ranges import Pair, Ranges
from pageflip.synthetic.stage.clips import Clip, derive_seed
from pageflip.synthetic.stage.looks import Look, book_look, clip_look
from pageflip.synthetic.stage.motion import Flip, HandWay, Script, Stop, material_point

CLEAR_SHARE = 0.08  # of a sheet is clearly raised where a clip begins and ends: what nobody would argue about
OVER_AT = 0.42  # progress at which a sheet stands upright and shows its other face
_NEAR = 0.025  # height of a fingertip over the paper it touches


@dataclass(frozen=True)
class _Stage:
    """What the parts of a script are written with: `hand` is 1 when the right hand turns the pages, else -1."""

    rng: np.random.Generator
    look: Look
    ranges: Ranges
    hand: int
    elbow: tuple[float, float]

    @property
    def aspect(self) -> float:
        return self.look.phone.aspect

    @property
    def low(self) -> bool:
        """Whether the arm comes from below, not from the side."""
        return self.elbow[1] > self.aspect + 0.2

    def off(self, time: float, **details) -> Stop:
        """Out of the picture, on the side of the elbow."""
        x, y = self.elbow
        place = (x, self.aspect + 0.3, 0.1) if self.low else (0.5 + self.hand * 0.95, min(y, self.aspect * 0.9), 0.1)
        return Stop(time, place, **details)

    def on_page(self, s: float, v: float, side: int, height: float = _NEAR) -> tuple[float, float, float]:
        """A place on the lying page of a side, by its shares of the page; s may be beyond the outer edge."""
        points = lying_page(self.look.lying, side)
        width, tall = self.look.lying.page
        edge = points[0, int(np.argmin(np.abs(np.linspace(0, 1, points.shape[1]) ** 1.2 - min(s, 1.0))))]
        point = book_to_world(
            self.look.lying, np.array([edge[0] + side * max(s - 1, 0) * width, v * tall, edge[2] + height])
        )
        return tuple(float(value) for value in point)


def clip_script(clip: Clip, ranges: Ranges) -> Script:
    """The script of a clip; a sheet is in the air in every frame of a flip clip, and in none of the others."""
    rng = np.random.default_rng([clip.seed, 13])
    look = clip_look(book_look(clip.book_seed, clip.height / clip.width, ranges), clip.seed, ranges)
    count = clip.frames + len(clip.skipped)
    opened = int(rng.integers(3, 60))
    if clip.label == "flip":
        backward = rng.random() < ranges.flips.backward
        stage = _stage(rng, look, ranges, backward)
        flip, step = _clip_flip(stage, -1 if backward else 1, count)
        flips, turning = (flip,), _turning_hand(stage, flip)
    else:
        stage = _stage(rng, look, ranges, rng.random() < ranges.flips.backward)
        step = max(float(rng.uniform(0.8, 3.0)), 12 / count)
        flips, turning = (), _idle_hand(stage, (count - 1) * step)
    pinning = _pinning_hand(stage, flips, (count - 1) * step)
    return _finish(stage, clip.seed, opened, step, flips, (turning, pinning), (count - 1) * step)


def video_script(seed: int, book: int, flips: int, aspect: float, fps: int, ranges: Ranges) -> tuple[Script, int]:
    """The script of one book with `flips` flips and rests between, and how many frames it lasts."""
    rng = np.random.default_rng([seed, book, 14])
    look = clip_look(book_look(derive_seed(seed, 0, book), aspect, ranges), derive_seed(seed, 3, book), ranges)
    stage = _stage(rng, look, ranges, False)
    slow = fps / 30
    moves, stops, t = [], [], slow * _draw(rng, ranges.flips.rest)
    for _ in range(flips):
        bend = _bend(stage, -1 if rng.random() < ranges.flips.backward and len(moves) > 1 else 1)
        length = slow * _draw(rng, ranges.flips.duration)
        path = _aborted_path(rng, t, length) if rng.random() < ranges.flips.aborted else _whole_path(stage, t, length)
        flip = Flip(path, float(rng.uniform(0.4, 1)), bend, *_leaves(stage))
        stops += _handling(stage, flip, slow)
        moves.append(flip)
        t = max(flip.end, stops[-1].time) + slow * _draw(rng, ranges.flips.rest)
    total = int(np.ceil(t))
    turning = HandWay(tuple(stops) or (stage.off(0.0),), stage.elbow, 0.002, bool(rng.random() < 0.6))
    pinning = _pinning_hand(stage, tuple(moves), total)
    script = _finish(stage, derive_seed(seed, 4, book), 3, 1.0, tuple(moves), (turning, pinning), total)
    return script, total


def _stage(rng: np.random.Generator, look: Look, ranges: Ranges, backward: bool) -> _Stage:
    """Pages are turned by the hand on their side; a page turned back now and then by the hand that reaches across."""
    hand = -1 if backward and rng.random() < 0.7 else 1
    aspect = look.phone.aspect
    low = rng.random() < 0.3
    x, y = (
        (rng.uniform(0.75, 1.15), aspect + rng.uniform(0.4, 0.8))
        if low
        else (
            rng.uniform(1.4, 1.8),
            aspect * rng.uniform(0.35, 0.85),
        )
    )
    return _Stage(rng, look, ranges, hand, (float(0.5 + hand * (x - 0.5)), float(y)))


def _finish(stage: _Stage, seed: int, opened: int, step: float, flips: tuple, hands: tuple, total: float) -> Script:
    """Add how phone, light, focus and the lying pages behave."""
    rng, ranges = stage.rng, stage.ranges
    nudges = lights = focus = ()
    if rng.random() < ranges.camera.nudge:
        nudges = ((float(rng.uniform(0, max(total, 1))), float(rng.normal(0, 0.02)), float(rng.normal(0, 0.02))),)
    if rng.random() < ranges.light.drift:
        lights = (
            (float(rng.uniform(0, max(total, 1))), float(rng.uniform(2, 15)), float(np.exp(rng.normal(0, 0.15)))),
        )
    if rng.random() < ranges.camera.defocus * 0.5:
        focus = ((float(rng.uniform(0, max(total, 1))), float(rng.uniform(1, 5))),)
    wave = tuple(float(rng.uniform(0.004, 0.03)) if rng.random() < ranges.book.wavy else 0.0 for _ in range(2))
    return Script(
        look=stage.look,
        seed=seed,
        opened=opened,
        step=step,
        flips=flips,
        turning=hands[0],
        pinning=hands[1],
        exposure=_draw(rng, ranges.camera.exposure),
        shake=_draw(rng, ranges.camera.shake),
        wave=wave,
        nudges=nudges,
        lights=lights,
        focus=focus,
    )


def _bend(stage: _Stage, side: int) -> Bend:
    rng, flips = stage.rng, stage.ranges.flips
    corner = np.deg2rad(_draw(rng, flips.corner)) * (1 if rng.random() < 0.6 else -1)
    return Bend(
        corner=float(corner if rng.random() < 0.8 else 0.0),
        lean=float(rng.normal(0, 0.07)),
        stiffness=_draw(rng, flips.stiffness),
        lead=float(rng.uniform(-0.2, 1.4)),
        side=side,
    )


def _leaves(stage: _Stage) -> tuple[int, float]:
    if stage.rng.random() < stage.ranges.flips.two_sheets:
        return 2, float(stage.rng.uniform(0.02, 0.12))
    return 1, 0.0


def visible_progress(look: Look, bend: Bend) -> tuple[float, float]:
    """The first and the last progress, to half a hundredth, at which a sheet is clearly off the pages."""
    steps = np.arange(0.005, 1.0, 0.005)
    first = next(float(u) for u in steps if raised_share(look.lying, bend, float(u)) >= CLEAR_SHARE)
    last = next(float(u) for u in steps[::-1] if raised_share(look.lying, bend, float(u)) >= CLEAR_SHARE)
    return first, last


def _clip_flip(stage: _Stage, side: int, count: int) -> tuple[Flip, float]:
    """A flip, or the part of one that the clip shows, and the time between its frames."""
    rng, flips = stage.rng, stage.ranges.flips
    kind = _choose(rng, flips.clip.table())
    bend, duration = _bend(stage, side), _draw(rng, flips.duration)
    first, last = visible_progress(stage.look, bend)
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
    total = step * (count - 1)
    scale = total / points[-1][0]
    path = tuple((float(time * scale), float(np.clip(u, first, last))) for time, u in points)
    leaves, lag = _leaves(stage)
    return Flip(path, float(rng.uniform(0.1, 1)), bend, leaves, lag), step


def _whole_path(stage: _Stage, start: float, length: float) -> tuple:
    rng = stage.rng
    if rng.random() >= stage.ranges.flips.pause:
        return ((start, 0.0), (start + length, 1.0))
    at, rest = rng.uniform(0.15, 0.7), rng.uniform(0.15, 0.5) * length
    middle = start + at * length
    return (
        (start, 0.0),
        (float(middle), float(at)),
        (float(middle + rest), float(at + 0.01)),
        (float(start + length + rest), 1.0),
    )


def _aborted_path(rng: np.random.Generator, start: float, length: float) -> tuple:
    return (
        (start, 0.0),
        (float(start + 0.5 * length), float(rng.uniform(0.12, 0.45))),
        (float(start + length), 0.0),
    )


def _time_of(flip: Flip, progress: float) -> float:
    """The first time (to a hundredth of the flip) at which the sheet has come to `progress`, or its end."""
    for t in np.linspace(flip.start, flip.end, 101):
        if flip.progress(float(t)) >= progress:
            return float(t)
    return flip.end


def _turning_hand(stage: _Stage, flip: Flip) -> HandWay:
    """The hand of a flip clip: it holds or pushes the sheet until it lets go; or it is out of sight, or elsewhere."""
    rng = stage.rng
    thumb_on_top = bool(rng.random() < 0.6)
    if rng.random() < stage.ranges.flips.hidden_hand:
        if rng.random() < 0.5:
            return HandWay((stage.off(0.0),), stage.elbow)
        way = _idle_hand(stage, flip.end)  # a page that the air, or nobody, lifts while the hand does something else
        return replace(way, stops=tuple(replace(stop, layer="over") for stop in way.stops))
    stops = _hold(stage, flip)
    if not stops:  # let go already
        place = stage.on_page(rng.uniform(0.1, 1.1), rng.uniform(-0.4, 0.5), flip.bend.side, rng.uniform(0.03, 0.25))
        shape = _choose(rng, {"rest": 1, "reach": 1, "pinch": 1})
        stops = [Stop(0.0, place, shape=shape, layer="over"), stage.off(flip.end * rng.uniform(0.3, 1.2) + 2)]
    return HandWay(tuple(stops), stage.elbow, 0.002, thumb_on_top)


def _hold(stage: _Stage, flip: Flip) -> list[Stop]:
    """The stops at the sheet from where the flip begins to where the hand lets go and leaves."""
    rng, bend = stage.rng, flip.bend
    release = rng.uniform(0.35, 0.97)
    begin = flip.path[0][1]
    if begin > release:
        return []
    corner = np.sign(bend.corner) * rng.uniform(0.15, 0.5) if bend.corner else rng.uniform(-0.4, 0.45)
    leaves_at = _time_of(flip, release) if not flip.aborted and release < flip.path[-1][1] else flip.end
    if rng.random() < 0.6:
        shape = _choose(rng, {"pinch": 3, "curl": 1, "rest": 1})
        held = {"s": float(rng.uniform(0.9, 1.0)), "v": float(corner), "shape": shape}
        stops = [Stop(flip.start, layer="grip", **held), Stop(leaves_at, layer="grip", **held)]
    else:
        shape = _choose(rng, {"reach": 3, "rest": 1, "spread": 1, "point": 0.5})
        held = {"s": float(rng.uniform(0.5, 0.98)), "v": float(corner * 0.8), "shape": shape}
        times = sorted({flip.start, min(max(_time_of(flip, OVER_AT), flip.start), leaves_at), leaves_at})
        layers = ["under" if flip.progress(time + 1e-6) < OVER_AT else "over" for time in times]
        stops = [Stop(time, layer=layer, **held) for time, layer in zip(times, layers, strict=True)]
    at = material_point(stage.look, flip, flip.progress(leaves_at), held["s"], held["v"])
    gone = leaves_at + rng.uniform(6, 16)
    # a hand below a sheet that has not passed it by slips out below it
    layer = "over" if flip.progress(leaves_at) > OVER_AT else "under"
    return [
        *stops,
        Stop(leaves_at + 0.01, tuple(float(v) for v in at), shape=held["shape"], layer=layer),
        stage.off(float(gone)),
    ]


def _handling(stage: _Stage, flip: Flip, slow: float) -> list[Stop]:
    """In a video: the hand comes, rests at the edge, turns the page and leaves or stays near."""
    rng, side = stage.rng, flip.bend.side
    held = _hold(stage, flip)
    first = held[0]
    come = flip.start - slow * rng.uniform(4, 14)
    at = stage.on_page(first.s, first.v, side)
    arrive = flip.start - slow * rng.uniform(0.5, 4)
    stops = [
        stage.off(float(come - slow * 8), shape=first.shape),
        Stop(float(arrive), at, shape=first.shape, layer="tucked" if first.layer == "grip" else "over"),
    ]
    return [stop for stop in [*stops, *held] if stop.time >= 0]


def _idle_hand(stage: _Stage, total: float) -> HandWay:
    """A hand that does anything but lift a page: most of it looks like the beginning or the end of a flip."""
    rng, side = stage.rng, stage.hand
    kind = _choose(rng, stage.ranges.hands.still.table())
    total = max(total, 1.0)
    corner = rng.choice([-1, 1]) * rng.uniform(0.1, 0.5)
    edge = stage.on_page(float(rng.uniform(0.8, 1.04)), float(corner), side)
    places = [
        stage.on_page(
            float(rng.uniform(0.05, 1.0)), float(rng.uniform(-0.45, 0.5)), side, float(rng.uniform(0.02, 0.12))
        )
        for _ in range(4)
    ]
    begin, end = np.sort(rng.uniform(0, total, 2))
    tucked = "tucked" if rng.random() < 0.4 else "over"
    if tucked == "tucked" and stage.low:  # an arm from below reaches under the lower edge, not along the outer one
        edge = stage.on_page(float(rng.uniform(0.6, 1.0)), float(rng.uniform(0.46, 0.5)), side)
    if kind == "enter":
        stops = (stage.off(float(begin - 3)), Stop(float(end), edge, layer=tucked))
    elif kind == "leave":
        start = edge if rng.random() < 0.6 else places[0]
        stops = (Stop(0.0, start), Stop(float(begin), start), stage.off(float(end + 2)))
    elif kind == "rest":
        near = stage.on_page(float(rng.uniform(0.8, 1.04)), float(corner + rng.uniform(-0.06, 0.06)), side)
        near = edge if stage.low else near
        stops = (Stop(0.0, edge, layer=tucked), Stop(total, near if rng.random() < 0.5 else edge, layer=tucked))
    elif kind in ("under", "hold"):
        s = rng.uniform(0.9, 0.99) if kind == "under" else rng.uniform(0.96, 1.05)
        at = stage.on_page(float(s), float(corner), side)
        if stage.low:
            at = stage.on_page(float(s - 0.1), float(rng.uniform(0.46, 0.5)), side)
        stops = (Stop(0.0, at, layer="tucked"), Stop(total, at, layer="tucked"))
    elif kind == "point":
        stops = tuple(Stop(total * i / 3, place) for i, place in enumerate(places))
    elif kind == "smooth":
        times = np.linspace(0, total, 4)
        stops = tuple(Stop(float(time), place) for time, place in zip(times, places, strict=True))
    elif kind == "sweep":
        turn, reach = rng.uniform(0.2, 0.8) * total, rng.uniform(4, 12)
        across = stage.on_page(
            float(rng.uniform(0.0, 0.7)), float(rng.uniform(-0.4, 0.5)), side, rng.uniform(0.05, 0.3)
        )
        stops = (stage.off(float(turn - reach)), Stop(float(turn), across), stage.off(float(turn + reach)))
    else:
        stops = (stage.off(0.0),)
    shape = _choose(rng, _SHAPES.get(kind, {"rest": 2, "pinch": 2, "reach": 2, "curl": 1, "spread": 1, "flat": 1}))
    stops = tuple(replace(stop, shape=shape) for stop in stops)
    return HandWay(stops, stage.elbow, float(rng.choice([0.0, 0.002, 0.006])), bool(rng.random() < 0.6))


_SHAPES = {
    "under": {"pinch": 3, "curl": 2, "rest": 1},
    "hold": {"curl": 2, "pinch": 2, "spread": 1, "rest": 1},
    "point": {"point": 4, "rest": 1},
    "smooth": {"flat": 3, "spread": 2, "reach": 1},
}


def _pinning_hand(stage: _Stage, flips: tuple[Flip, ...], total: float) -> HandWay:
    """The other hand, that holds its page down and makes way for the sheet that comes."""
    rng, look, side = stage.rng, stage.look, -stage.hand
    aspect = stage.aspect
    if rng.random() >= stage.ranges.hands.pinning:
        return HandWay((Stop(0.0, (0.5, aspect + 1.0, 0.0)),), (0.5, aspect + 1.6))
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
    at = stage.on_page(float(s), float(v), side, 0.015)
    away = (at[0] + side * 0.08, max(at[1], look.lying.spine[1] + look.lying.page[1] * 0.5) + 0.12, 0.02)
    details = {"shape": shape, "layer": "tucked" if tucked else "over"}
    stops = [Stop(0.0, at, **details)]
    for flip in flips:
        if flip.path[-1][1] > 0.75 and flip.bend.side == stage.hand and (len(flips) > 1 or rng.random() < 0.6):
            if flip.path[0][1] > 0.6:  # it has made way before the clip begins
                stops = [Stop(0.0, away, **details)]
            else:
                stops += [Stop(_time_of(flip, 0.45), at, **details), Stop(_time_of(flip, 0.8), away, **details)]
            stops += [Stop(flip.end + 2, away, **details), Stop(flip.end + 10, at, **details)]
    if not flips and rng.random() < 0.25:
        begin, end = np.sort(rng.uniform(0, max(total, 1.0), 2))
        there, back = (at, away) if rng.random() < 0.5 else (away, at)
        stops = [Stop(float(begin), there, **details), Stop(float(end) + 1, back, **details)]
    return HandWay(tuple(stops), (float(elbow[0]), float(elbow[1])), 0.001, bool(rng.random() < 0.7))


def _choose(rng: np.random.Generator, weights: dict[str, float]) -> str:
    names, values = list(weights), np.array(list(weights.values()), float)
    return str(rng.choice(names, p=values / values.sum()))


def _draw(rng: np.random.Generator, pair: Pair) -> float:
    return float(rng.uniform(*pair))
