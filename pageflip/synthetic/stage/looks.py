"""Appearance of a book, the place it is recorded at, and its people: sampled per book, then varied per clip.

Lengths are in picture widths, x to the right, y down, from the picture's top left corner; colours are RGB 0..255.
"""

from dataclasses import dataclass, replace

import numpy as np

from pageflip.synthetic.book.geometry import BookHalf, Camera, OpenBook
from pageflip.synthetic.book.page_styles import PageStyle, page_style
from pageflip.synthetic.hands.styles import HandStyle, hand_style
from pageflip.synthetic.primitives import Colour, clip_colour, triple
from pageflip.synthetic.ranges import Ranges, sample
from pageflip.synthetic.stage.desks import DeskStyle, desk_style


@dataclass(frozen=True)
class Light:
    """Light on the scene.

    Attributes:
        direction: unit vector to the main light.
        slope: fall-off over the picture.
        tint: of the light, one factor per channel.
        vignette: strength of the vignetting.
        exposure: factor on the exposure that the phone chooses.
        ambient: brightness of paper that faces away from the main light.
        through: share of the light that a sheet transmits.
        glow: how far that light washes out the print of a sheet in the air.
        hardness: sharpness and strength of shadows.
        patches: polygons lit through a window.
        patch_gain: their brightness.
        shadows: polygons in the person's shadow.
        shadow_gain: their brightness.
        softness: width of the polygons' edges.
    """

    direction: tuple[float, float, float]
    slope: tuple[float, float]
    tint: Colour
    vignette: float
    exposure: float
    ambient: float
    through: float
    glow: float
    hardness: float
    patches: tuple[tuple[tuple[float, float], ...], ...]
    patch_gain: float
    shadows: tuple[tuple[tuple[float, float], ...], ...]
    shadow_gain: float
    softness: float


@dataclass(frozen=True)
class Sensor:
    """Lens and sensor of the phone.

    Attributes:
        metering: mean grey level that it exposes for.
        noise: standard deviation in grey levels.
        sharpen: strength of the sharpening.
        blur: of the lens, in pixels of a picture 1080 wide.
        contrast: of the tone curve.
        saturation: of the colours.
        quality: of a first JPEG compression, 0 for none.
    """

    metering: float
    noise: float
    sharpen: float
    blur: float
    contrast: float
    saturation: float
    quality: int


@dataclass(frozen=True)
class Look:
    """Everything that does not change during a clip."""

    book_seed: int
    lying: OpenBook
    phone: Camera
    cover: Colour
    cover_margin: float
    pages: PageStyle
    desk: DeskStyle
    hands: HandStyle
    hand_length: float
    light: Light
    sensor: Sensor
    mirrored: bool


def book_look(book_seed: int, aspect: float, ranges: Ranges) -> Look:
    """Sample the look of one book, for pictures whose height is `aspect` times their width."""
    rng = np.random.default_rng([book_seed, 11])
    book = ranges.book
    width = sample(rng, book.page_width)
    tall = min(width * sample(rng, book.page_ratio), aspect * 0.56)
    phone = _camera(rng, aspect, ranges)
    thickness, opened = sample(rng, book.thickness), rng.uniform(0.15, 0.85)
    halves = [
        BookHalf(thickness * share, sample(rng, book.bulge) * (0.5 + share), rng.uniform(0.07, 0.14))
        for share in (1 - opened, opened)
    ]
    return Look(
        book_seed=book_seed,
        lying=OpenBook(
            (width, tall),
            (sample(rng, book.spine_x), aspect * sample(rng, book.spine_y)),
            float(np.deg2rad(sample(rng, book.turn))),
            *halves,
        ),
        phone=phone,
        cover=_cover(rng),
        cover_margin=float(rng.uniform(0.005, 0.014) if rng.random() < book.hardcover else rng.uniform(0, 0.002)),
        pages=page_style(rng),
        desk=desk_style(rng, aspect),
        hands=hand_style(rng),
        hand_length=sample(rng, ranges.hands.length),
        light=_light(rng, aspect, ranges),
        sensor=_sensor(rng, ranges),
        mirrored=bool(rng.random() < book.mirrored),
    )


def clip_look(look: Look, clip_seed: int, ranges: Ranges) -> Look:
    """Return the book's look, varied as between recordings of it: positions of book and phone, exposure, light."""
    rng = np.random.default_rng([clip_seed, 12])
    light = _light(rng, look.phone.aspect, ranges) if rng.random() < 0.3 else look.light
    shift = rng.normal(0, 0.04, 2)
    patches = tuple(tuple((x + shift[0], y + shift[1]) for x, y in polygon) for polygon in light.patches)
    light = replace(
        light, exposure=light.exposure * float(rng.uniform(0.85, 1.12)), patches=patches if rng.random() < 0.85 else ()
    )
    spine = (look.lying.spine[0] + rng.normal(0, 0.015), look.lying.spine[1] + rng.normal(0, 0.025))
    lying = replace(
        look.lying,
        spine=(float(spine[0]), float(spine[1])),
        turn=look.lying.turn + float(rng.normal(0, 0.012)),
        right=_vary_arch(look.lying.right, rng),
        left=_vary_arch(look.lying.left, rng),
    )
    return replace(look, lying=lying, light=light)


def _vary_arch(half: BookHalf, rng: np.random.Generator) -> BookHalf:
    return replace(half, arch=half.arch * float(rng.uniform(0.7, 1.3)))


def _camera(rng: np.random.Generator, aspect: float, ranges: Ranges) -> Camera:
    camera = ranges.camera
    distance, tilt = sample(rng, camera.distance), np.deg2rad(sample(rng, camera.tilt))
    target = (0.5, aspect / 2)
    # a tilted phone stands nearer to the reader and looks away from them
    place = (0.5 + rng.normal(0, 0.06), aspect / 2 + distance * np.sin(tilt), distance * np.cos(tilt))
    return Camera(triple(place), target, float(np.deg2rad(sample(rng, camera.roll))), aspect)


def _light(rng: np.random.Generator, aspect: float, ranges: Ranges) -> Light:
    about, flat = rng.uniform(0, 2 * np.pi), rng.uniform(0.2, 0.75)
    strength, tone = sample(rng, ranges.light.falloff), sample(rng, ranges.light.warmth)
    shade = rng.random() < ranges.light.shadow
    return Light(
        direction=(float(np.cos(about) * flat), float(np.sin(about) * flat), float(np.sqrt(1 - flat**2))),
        slope=(float(np.cos(about) * strength), float(np.sin(about) * strength)),
        tint=(1 + tone, 1 + 0.25 * tone, 1 - tone),
        vignette=float(rng.uniform(0.02, 0.3)),
        exposure=sample(rng, ranges.light.exposure),
        ambient=sample(rng, ranges.light.ambient),
        through=float(rng.uniform(0.35, 0.8)),
        glow=sample(rng, ranges.light.glow),
        hardness=float(rng.uniform(0.15, 0.75)),
        patches=_patches(rng, aspect) if rng.random() < ranges.light.patches else (),
        patch_gain=float(rng.uniform(1.1, 1.7)),
        shadows=_shadows(rng, aspect) if shade else (),
        shadow_gain=float(rng.uniform(0.55, 0.9)),
        softness=float(np.exp(rng.uniform(np.log(0.004), np.log(0.06)))),
    )


def _patches(rng: np.random.Generator, aspect: float) -> tuple:
    """Sample parallelograms side by side, as the panes of a window throw them."""
    start = np.array([rng.uniform(-0.4, 0.8), aspect * rng.uniform(0.0, 0.7)])
    along = np.array([rng.uniform(0.15, 0.9), aspect * rng.uniform(-0.2, 0.35)])
    across = np.array([rng.uniform(-0.25, 0.3), aspect * rng.uniform(0.06, 0.3)])
    panes = []
    for pane in range(int(rng.integers(1, 4))):
        corner = start + across * 1.12 * pane
        corners = (corner, corner + along, corner + along + across, corner + across)
        panes.append(tuple((float(x), float(y)) for x, y in corners))
    return tuple(panes)


def _shadows(rng: np.random.Generator, aspect: float) -> tuple:
    """Sample the shadow of a head and shoulders that reaches in from below."""
    x, reach = rng.uniform(0.1, 0.9), aspect * rng.uniform(0.15, 0.55)
    wide = rng.uniform(0.25, 0.6)
    lean = rng.uniform(-0.3, 0.3)
    outline = [(-wide, 0.0), (-wide * 0.8, 0.55), (-0.35 * wide, 0.7), (-0.3 * wide, 0.95), (0.0, 1.05)]
    outline += [(0.3 * wide, 0.95), (0.35 * wide, 0.7), (wide * 0.8, 0.55), (wide, 0.0)]
    return (tuple((float(x + a + lean * b), float(aspect + 0.05 - reach * b)) for a, b in outline),)


def _sensor(rng: np.random.Generator, ranges: Ranges) -> Sensor:
    camera = ranges.camera
    return Sensor(
        metering=sample(rng, camera.metering),
        noise=sample(rng, camera.noise),
        sharpen=float(rng.uniform(0, 1.0)),
        blur=float(rng.uniform(1.0, 4.0)) if rng.random() < camera.defocus else 0.0,
        contrast=float(rng.uniform(0.9, 1.25)),
        saturation=float(rng.uniform(0.65, 1.35)),
        quality=int(rng.integers(25, 70)) if rng.random() < camera.recompressed else 0,
    )


def _cover(rng: np.random.Generator) -> Colour:
    """Sample the colour of a cover: mostly muted, sometimes saturated."""
    grey, colour = rng.uniform(20, 220), rng.normal(0, 1, 3)
    return clip_colour(grey + colour * rng.choice([8, 25, 60]), 8, 240)
