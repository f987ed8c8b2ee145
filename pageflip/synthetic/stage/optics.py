"""Light, lens and sensor: from an evenly lit picture to the picture that a phone saves."""

import cv2
import numpy as np

from pageflip.synthetic.book.geometry import ARC, normals
from pageflip.synthetic.stage.looks import Light, Look, Sensor

LIGHT_UNIT = 80.0  # value of the light map that leaves a colour unchanged
_NOISE_MARGIN = 64


def light_map(look: Look, wide: int, tall: int) -> np.ndarray:
    """Return the light on the desk, uint8 [tall, wide, 3]; `LIGHT_UNIT` leaves a colour unchanged."""
    light, w, h = look.light, max(wide // 4, 16), max(tall // 4, 16)
    aspect = h / w
    rows, columns = np.mgrid[0:h, 0:w].astype(np.float32) / w
    field = 1 + light.slope[0] * (columns - 0.5) + light.slope[1] * (rows - aspect / 2)
    radius = ((columns - 0.5) ** 2 + (rows - aspect / 2) ** 2) / (0.25 + aspect**2 / 4)
    field *= 1 - light.vignette * radius
    for polygons, gain, softness in (
        (light.patches, light.patch_gain, light.softness),
        (light.shadows, light.shadow_gain, light.softness * 2 + 0.02),
    ):
        if polygons:
            mask = np.zeros((h, w), np.uint8)
            for polygon in polygons:
                cv2.fillPoly(mask, [(np.asarray(polygon) * w).astype(np.int32)], 255)
            share = cv2.GaussianBlur(mask, (0, 0), max(softness * w, 0.6)).astype(np.float32) / 255
            field *= 1 + (gain - 1) * share
    tinted = field[..., None] * np.asarray(light.tint, np.float32) * LIGHT_UNIT
    return cv2.resize(np.clip(tinted, 0, 255).astype(np.uint8), (wide, tall), interpolation=cv2.INTER_LINEAR)


def paper_shading(light: Light, points: np.ndarray, side: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the brightness of both faces of a mesh relative to level paper; float32 [rows, columns] each.

    `side` is 1 where the mesh's columns run to the right when it lies, -1 where they run to the left.
    """
    facing = normals(points) * side @ np.asarray(light.direction)
    gutter = 1 - 0.3 * np.exp(-ARC / 0.05)  # near the spine the other page hides part of the sky
    faces = []
    for cosine in (facing, -facing):
        direct = np.where(cosine > 0, cosine, -cosine * light.through)
        shading = light.ambient + (1 - light.ambient) * direct / light.direction[2]
        faces.append((np.clip(shading, 0.1, 1.4) * gutter).astype(np.float32))
    return faces[0], faces[1]


def noise_tile(seed: int, noise: float, width: int, height: int) -> np.ndarray:
    """Return sensor noise, int8 [h, w, 3], somewhat larger than the picture, to be cropped at random for each frame."""
    rng = np.random.default_rng([seed, 42])
    shape = (height + _NOISE_MARGIN, width + _NOISE_MARGIN)
    tile = rng.standard_normal((min(shape[0], 512), min(shape[1], 512)), np.float32) * noise
    grey = np.tile(cv2.GaussianBlur(tile, (0, 0), 0.6) * 1.6, (shape[0] // 512 + 1, shape[1] // 512 + 1))
    grey = grey[: shape[0], : shape[1]]
    coarse = rng.standard_normal((shape[0] // 4, shape[1] // 4, 3), np.float32) * (noise * 0.4)
    colour = cv2.resize(coarse, shape[::-1], interpolation=cv2.INTER_LINEAR)
    return np.clip(grey[..., None] + colour, -60, 60).astype(np.int8)


def crop_noise(noise: np.ndarray, rng: np.random.Generator, width: int, height: int) -> np.ndarray:
    """Return the noise of one frame, int8 [height, width, 3]."""
    y, x = (int(v) for v in rng.integers(0, _NOISE_MARGIN, 2))
    return noise[y : y + height, x : x + width]


def _tone_curve(sensor: Sensor) -> np.ndarray:
    """Return the camera's S-shaped tone curve as a table, uint8 [256]."""
    x = np.linspace(0, 1, 256)
    k = 3.2 * (sensor.contrast - 0.82)
    curve = 1 / (1 + np.exp(-k * 2 * (x - 0.5)))
    low, high = curve[0], curve[-1]
    curve = (curve - low) / (high - low)
    share = np.clip((sensor.contrast - 0.85) / 0.5, 0, 0.8)
    return np.clip(((1 - share) * x + share * curve) * 255, 0, 255).astype(np.uint8)


def _saturation_matrix(sensor: Sensor) -> np.ndarray:
    """Return the matrix, float32 [3, 3], that scales saturation and keeps luminance (Rec. 601)."""
    luma = np.array([0.299, 0.587, 0.114], np.float32)
    return sensor.saturation * np.eye(3, dtype=np.float32) + (1 - sensor.saturation) * luma[None, :]


def photograph(picture: np.ndarray, sensor: Sensor, blur: float, noise: np.ndarray) -> np.ndarray:
    """Apply lens blur (pixels) or sharpening, saturation, tone curve, noise and JPEG compression; uint8 [h, w, 3]."""
    scale = picture.shape[1] / 1080
    if blur * scale > 0.35:
        picture = cv2.GaussianBlur(picture, (0, 0), blur * scale)
    elif sensor.sharpen > 0.15:
        soft = cv2.GaussianBlur(picture, (0, 0), max(1.4 * scale, 0.5))
        picture = cv2.addWeighted(picture, 1 + sensor.sharpen, soft, -sensor.sharpen, 0)
    picture = cv2.LUT(cv2.transform(picture, _saturation_matrix(sensor)), _tone_curve(sensor))
    picture = cv2.add(picture, noise, dtype=cv2.CV_8U)
    if sensor.quality:
        jpeg = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, sensor.quality])[1]
        picture = np.asarray(cv2.imdecode(jpeg, cv2.IMREAD_COLOR))
    return picture
