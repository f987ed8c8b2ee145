"""Hands with forearm and sleeve, drawn once per clip and then only turned, scaled and moved.

The drawing's own axes: the middle fingertip is the origin, the forearm goes down (y), and the unit is a hand's length.
"""

import cv2
import numpy as np

from pageflip.synthetic.looks import Look

HAND = 1.15  # a hand's length in page widths
_LEFT, _RIGHT, _TOP, _BOTTOM = 0.62, 0.62, 0.08, 3.9
_FINGERS = {  # knuckle, middle joint, tip of each finger, thumb first; x to the right, for a left hand's back
    "flat": (
        ((0.17, 0.82), (0.28, 0.60), (0.27, 0.42)),
        ((0.14, 0.52), (0.14, 0.26), (0.12, 0.07)),
        ((0.04, 0.48), (0.02, 0.21), (0.00, 0.00)),
        ((-0.07, 0.50), (-0.10, 0.25), (-0.12, 0.06)),
        ((-0.16, 0.56), (-0.21, 0.37), (-0.24, 0.22)),
    ),
    "grip": (
        ((0.17, 0.80), (0.27, 0.50), (0.20, 0.20)),
        ((0.14, 0.48), (0.20, 0.22), (0.08, 0.06)),
        ((0.04, 0.45), (0.07, 0.19), (0.00, 0.02)),
        ((-0.07, 0.48), (-0.06, 0.24), (-0.10, 0.10)),
        ((-0.16, 0.54), (-0.17, 0.34), (-0.18, 0.22)),
    ),
    "point": (
        ((0.16, 0.80), (0.25, 0.62), (0.13, 0.50)),
        ((0.12, 0.48), (0.08, 0.22), (0.00, 0.00)),
        ((0.03, 0.46), (0.04, 0.34), (0.02, 0.42)),
        ((-0.07, 0.48), (-0.08, 0.36), (-0.09, 0.46)),
        ((-0.16, 0.54), (-0.18, 0.43), (-0.17, 0.52)),
    ),
}
_WIDTHS = (0.070, 0.056, 0.058, 0.054, 0.046)


def hand_sprite(look: Look, shape: str, size: int, mirrored: bool, seed: int) -> tuple[np.ndarray, tuple[float, float]]:
    """Draw a hand `size` pixels long.

    Returns:
        uint8 [h, w, 4], RGB already multiplied by alpha, and the (x, y) pixel of the middle fingertip.
    """
    rng = np.random.default_rng([seed, 31])
    height, width = int((_TOP + _BOTTOM) * size), int((_LEFT + _RIGHT) * size)
    image, alpha = (np.zeros((height, width, 3), np.float32), np.zeros((height, width), np.float32))
    skin = np.asarray(look.skin, np.float32)
    arm = [(-0.165, 0.95), (0.165, 0.95), (0.24, 1.6), (0.30, _BOTTOM), (-0.30, _BOTTOM), (-0.22, 1.6)]
    palm = [(-0.20, 0.54), (-0.10, 0.46), (0.05, 0.44), (0.18, 0.49), (0.22, 0.74), (0.17, 1.02), (-0.17, 1.02)]
    _paint(image, alpha, _polygon(arm, size, alpha.shape, 0.03), skin * 0.95, size * 0.2)
    fingers = list(zip(_FINGERS[shape], _WIDTHS, strict=True))
    for joints, thick in fingers[:1]:
        _paint(image, alpha, _capsule(joints, thick, size, alpha.shape), skin, size * thick)
    _paint(image, alpha, _polygon([*palm, (-0.23, 0.7)], size, alpha.shape, 0.05), skin, size * 0.2)
    for joints, thick in fingers[1:]:
        _paint(image, alpha, _capsule(joints, thick, size, alpha.shape), skin * rng.uniform(0.96, 1.05), size * thick)
    for joints, thick in fingers:
        _details(image, joints, thick, size, skin)
    _mottle(image, rng)
    _sleeve(image, alpha, look, rng, size)
    sprite = np.dstack([np.clip(image, 0, 255) * alpha[..., None], alpha * 255]).astype(np.uint8)
    tip = (_LEFT * size, _TOP * size)
    if mirrored:
        return np.ascontiguousarray(sprite[:, ::-1]), (width - tip[0], tip[1])
    return sprite, tip


def _pixels(points, size: int) -> np.ndarray:
    return ((np.asarray(points) + np.array([_LEFT, _TOP])) * size).astype(np.int32)


def _capsule(joints, thick: float, size: int, shape: tuple[int, int]) -> np.ndarray:
    mask = np.zeros(shape, np.uint8)
    line = _pixels(joints, size)
    inner = np.array([0.5, 0.25, 0.25]) @ np.asarray(joints)
    line = np.vstack([line[:1], _pixels([inner], size), line[1:]])
    cv2.polylines(mask, [line], False, 255, max(int(2 * thick * size), 2), cv2.LINE_AA)
    return mask


def _polygon(points, size: int, shape: tuple[int, int], rounding: float) -> np.ndarray:
    mask = np.zeros(shape, np.uint8)
    cv2.fillPoly(mask, [_pixels(points, size)], 255)
    mask = cv2.GaussianBlur(mask, (0, 0), max(rounding * size, 0.6))
    return np.clip((mask.astype(np.float32) - 96) * 4, 0, 255).astype(np.uint8)


def _paint(image: np.ndarray, alpha: np.ndarray, mask: np.ndarray, skin: np.ndarray, depth: float) -> None:
    """Lay one rounded part over the hand: it darkens and reddens to its rim, and shades what it lies on."""
    halo = cv2.GaussianBlur(mask, (0, 0), max(depth * 0.25, 0.8)).astype(np.float32)[..., None] / 255
    image *= 1 - 0.22 * halo
    inside = cv2.distanceTransform((mask > 127).astype(np.uint8), cv2.DIST_L2, 3)
    round_ = np.sqrt(np.clip(inside / max(depth, 1), 0, 1))[..., None]
    rim = skin * np.array([0.62, 0.47, 0.42], np.float32)
    colour = rim + (skin * 1.04 - rim) * (0.25 + 0.75 * round_)
    share = mask.astype(np.float32) / 255
    image += (colour - image) * share[..., None]
    np.maximum(alpha, share, out=alpha)


def _details(image: np.ndarray, joints, thick: float, size: int, skin: np.ndarray) -> None:
    """The nail, and the creases over the joint."""
    middle, tip = (np.asarray(joint) for joint in joints[1:])
    along = tip - middle
    angle = float(np.degrees(np.arctan2(along[1], along[0])))
    x, y = _pixels([tip + along * 0.04], size)[0]
    nail = np.clip(skin * np.array([1.05, 1.02, 1.06]) + 14, 0, 255).tolist()
    axes = (max(int(thick * size * 0.75), 1), max(int(thick * size * 0.55), 1))
    cv2.ellipse(image, (int(x), int(y)), axes, angle, 0, 360, nail, -1, cv2.LINE_AA)
    x, y = _pixels([middle], size)[0]
    across = (max(int(thick * size * 0.2), 1), max(int(thick * size * 0.7), 1))
    cv2.ellipse(image, (int(x), int(y)), across, angle, 0, 360, (skin * 0.82).tolist(), 1, cv2.LINE_AA)


def _mottle(image: np.ndarray, rng: np.random.Generator) -> None:
    height, width = image.shape[:2]
    cloud = cv2.resize(rng.normal(0, 1, (60, 20)).astype(np.float32), (width, height), interpolation=cv2.INTER_CUBIC)
    image *= (1 + cloud[..., None] * np.array([0.025, 0.035, 0.035], np.float32)).astype(np.float32)


def _sleeve(image: np.ndarray, alpha: np.ndarray, look: Look, rng: np.random.Generator, size: int) -> None:
    start = look.sleeve_start
    mask = _polygon([(-0.31, start), (0.31, start + 0.05), (0.42, _BOTTOM), (-0.42, _BOTTOM)], size, alpha.shape, 0.03)
    inside = cv2.distanceTransform((mask > 127).astype(np.uint8), cv2.DIST_L2, 3)
    shade = 0.6 + 0.4 * np.sqrt(np.clip(inside / (0.3 * size), 0, 1))
    folds = rng.normal(0, 0.10, (26, 3)).astype(np.float32)
    shade = shade * (1 + cv2.resize(folds, (alpha.shape[1], alpha.shape[0]), interpolation=cv2.INTER_CUBIC))
    share = mask.astype(np.float32)[..., None] / 255
    image += (np.asarray(look.sleeve, np.float32) * shade[..., None].astype(np.float32) - image) * share
    np.maximum(alpha, share[..., 0], out=alpha)
