"""Augmentation of batches of frames on their device.

The transforms come in the order in which a camera applies them: geometry (`_transform`), occlusion (`_occlude`), light
(`_illuminate`), lens and scaling (`_blur`, `_sharpen`, `_downscale`), sensor and colour (`_develop`). They map float32
[N, 3, height, width] in 0..1 to the same, and draw one random number per frame from a generator on the batch's device.
A transform of strength 0 draws nothing, and so does not change the random numbers of the others.
"""

import math

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from pageflip.networks.layers import scale_pixels
from pageflip.params.training import Augment

# shares of the frames that a transform changes: many real frames are clean
LIGHT_SHARE, BLUR_SHARE, DOWNSCALE_SHARE, OCCLUSION_SHARE = 0.5, 0.4, 0.25, 0.3
LIGHTS, ELLIPSES = 2, 2  # in a frame that is changed
LUMA = (0.299, 0.587, 0.114)
BYTE_STD = math.sqrt((256**2 - 1) / 12)


def augment_frames(frames: Tensor, strengths: Augment, generator: Generator) -> Tensor:
    """Augment each frame on its own: uint8 [N, height, width, 3] to float32 [N, 3, height, width] in 0..1.

    Exposure, contrast, gamma and white balance vary strongly: they do not depend on the label, but correlate with it in
    any small set of clips. Mirroring stands for books that are read from right to left.
    """
    batch = scale_pixels(frames)
    for transform in (_transform, _occlude, _illuminate, _blur, _sharpen, _downscale, _develop):
        batch = transform(batch, strengths, generator)
    return batch


def _rand(generator: Generator, *shape: int) -> Tensor:
    return torch.rand(shape, generator=generator, device=generator.device)


def _uniform(count: int, strength: float, generator: Generator, channels: int = 1) -> Tensor:
    """Draw numbers [count, channels, 1, 1] in -strength..strength."""
    return (_rand(generator, count, channels, 1, 1) * 2 - 1) * strength


def _choose(count: int, share: float, generator: Generator) -> Tensor:
    """Draw the positions of the frames that are changed, each with probability `share`."""
    return (_rand(generator, count) < share).nonzero().flatten()


def _replace(batch: Tensor, rows: Tensor, part: Tensor) -> Tensor:
    """Replace the frames in `rows` in place, which is safe since `_transform` made a copy."""
    batch[rows] = part
    return batch


def _pixel_grid(batch: Tensor) -> tuple[Tensor, Tensor]:
    """Return x [1, 1, 1, width] and y [1, 1, height, 1] of the pixels' centres, in frame widths."""
    _, _, height, width = batch.shape
    xs = (torch.arange(width, device=batch.device) + 0.5) / width
    ys = (torch.arange(height, device=batch.device) + 0.5) / width
    return xs.view(1, 1, 1, -1), ys.view(1, 1, -1, 1)


def _transform(batch: Tensor, strengths: Augment, generator: Generator) -> Tensor:
    """Shift, zoom, rotate, mirror, shear and tilt, in one resampling."""
    count, _, height, width = batch.shape
    angle = _uniform(count, math.radians(strengths.rotate), generator).flatten()
    nearer = strengths.zoom_in / 2
    zoom = torch.exp(_uniform(count, strengths.zoom + nearer, generator) - nearer).flatten()
    shift = _uniform(count, 2 * strengths.shift, generator, channels=2).view(count, 2)  # grid coordinates span 2
    flip = torch.ones(count, device=batch.device)
    if strengths.mirror:
        flip -= 2 * (_rand(generator, count) < 0.5).float()
    cos, sin, ratio = torch.cos(angle) * zoom, torch.sin(angle) * zoom, height / width
    rows = [flip * cos, -sin * ratio, shift[:, 0], flip * sin / ratio, cos, shift[:, 1]]
    affine = torch.stack(rows, dim=1).view(count, 2, 3)
    if strengths.shear or strengths.stretch:
        shear = _uniform(count, strengths.shear, generator).flatten() * ratio  # grid y is in half heights
        stretch = torch.exp(_uniform(count, strengths.stretch, generator)).flatten()
        first = affine[:, :, 0] * stretch[:, None]
        affine = torch.stack([first, affine[:, :, 1] + first * shear[:, None], affine[:, :, 2]], dim=2)
    tilt = _uniform(count, strengths.perspective, generator, channels=2) if strengths.perspective else None
    grid = _sampling_grid(affine, tilt, height, width)
    # reflect once at the frame's edges; grid_sample's own reflection takes longer than the rest of this function
    grid.add_(1).abs_().sub_(2).abs_().neg_().add_(1)
    return F.grid_sample(batch, grid, mode="bilinear", padding_mode="border", align_corners=False)


def _sampling_grid(affine: Tensor, tilt: Tensor | None, height: int, width: int) -> Tensor:
    """Return where each pixel is sampled, [N, height, width, 2] in -1..1.

    Args:
        affine: matrices [N, 2, 3], as torch's affine_grid takes them.
        tilt: perspective [N, 2, 1, 1]: by which share the depth changes from the centre to the edge, applied first.
        height: of the frames, in pixels.
        width: of the frames, in pixels.
    """
    count, device = len(affine), affine.device
    xs = (torch.arange(width, device=device) * 2 + 1) / width - 1
    ys = (torch.arange(height, device=device) * 2 + 1) / height - 1
    grid = torch.empty((count, height, width, 2), device=device)
    depth = 1 if tilt is None else 1 + tilt[:, 0] * xs[None, None] + tilt[:, 1] * ys[None, :, None]
    for axis in range(2):  # sums of a row and a column cost less than a matrix product per pixel
        across, along, offset = affine[:, axis, :1] * xs, affine[:, axis, 1:2] * ys, affine[:, axis, 2:]
        if tilt is None:
            torch.add(across[:, None, :], (along + offset)[:, :, None], out=grid[..., axis])
        else:
            torch.add((across[:, None, :] + along[:, :, None]).div_(depth), offset[:, :, None], out=grid[..., axis])
    return grid


def _occlude(batch: Tensor, strengths: Augment, generator: Generator) -> Tensor:
    """Cover some frames with ellipses of one colour, half of them skin-coloured."""
    if not strengths.occlusion:
        return batch
    rows = _choose(len(batch), OCCLUSION_SHARE, generator)
    xs, ys = _pixel_grid(batch)
    part, count = batch[rows], len(rows)
    for _ in range(ELLIPSES):
        x, y = _rand(generator, count, 1, 1, 1), _rand(generator, count, 1, 1, 1) * batch.shape[2] / batch.shape[3]
        angle = _rand(generator, count, 1, 1, 1) * math.pi
        size = strengths.occlusion * (0.2 + 0.8 * _rand(generator, count, 2, 1, 1))
        along = (xs - x) * angle.cos() + (ys - y) * angle.sin()
        across = (ys - y) * angle.cos() - (xs - x) * angle.sin()
        mask = torch.sigmoid((1 - (along / size[:, :1]) ** 2 - (across / size[:, 1:]) ** 2) * 8)
        part = part + mask * (_occlusion_colours(count, generator) - part)
    return _replace(batch, rows, part)


def _occlusion_colours(count: int, generator: Generator) -> Tensor:
    """Draw colours [count, 3, 1, 1], half of them of skin."""
    colour = _rand(generator, count, 3, 1, 1)
    red = 0.35 + 0.6 * colour[:, :1]
    skin = torch.cat([red, red * (0.62 + 0.2 * colour[:, 1:2]), red * (0.45 + 0.3 * colour[:, 2:])], dim=1)
    return torch.where(_rand(generator, count, 1, 1, 1) < 0.5, skin, colour)


def _illuminate(batch: Tensor, strengths: Augment, generator: Generator) -> Tensor:
    """Add a linear light gradient, and patches of light and bands of shadow to some frames."""
    if not strengths.light_gradient and not strengths.light:
        return batch
    count, _, height, width = batch.shape
    xs, ys = _pixel_grid(batch)
    if strengths.light_gradient:
        slope = _uniform(count, strengths.light_gradient, generator, channels=2)
        batch = batch * torch.exp(slope[:, :1] * (xs - 0.5) + slope[:, 1:] * (ys - 0.5 * height / width))
    if strengths.light:
        rows = _choose(count, LIGHT_SHARE, generator)
        log_gain = torch.zeros((len(rows), 1, height, width), device=batch.device)
        for _ in range(LIGHTS):
            mask = _quadrangles(len(rows), xs, ys, height / width, generator)
            log_gain += mask * _uniform(len(rows), strengths.light, generator)
        batch = _replace(batch, rows, batch[rows] * torch.exp(log_gain))
    return batch


def _quadrangles(count: int, xs: Tensor, ys: Tensor, ratio: float, generator: Generator) -> Tensor:
    """Draw soft masks [count, 1, height, width] of one parallelogram each; long ones are bands."""

    def draw(low: float, high: float) -> Tensor:
        return low + (high - low) * _rand(generator, count, 1, 1, 1)

    angle, cross = draw(0, math.pi), draw(0.7, math.pi - 0.7)
    x, y = draw(0, 1), draw(0, ratio)
    softness = torch.exp(draw(math.log(0.004), math.log(0.08)))
    mask = torch.ones((), device=xs.device)
    for direction, half in ((angle, draw(0.05, 0.35)), (angle + cross, draw(0.1, 0.9))):
        distance = (xs - x) * torch.cos(direction) + (ys - y) * torch.sin(direction)
        mask = mask * torch.sigmoid((half - distance.abs()) / softness)
    return mask


def _blur(batch: Tensor, strengths: Augment, generator: Generator) -> Tensor:
    """Blur some frames with an anisotropic Gaussian: defocus, or motion in a random direction."""
    if not strengths.blur:
        return batch
    rows = _choose(len(batch), BLUR_SHARE, generator)
    widest = strengths.blur * batch.shape[3]  # pixels
    along = _rand(generator, len(rows), 1, 1) ** 2 * widest
    across = along * _rand(generator, len(rows), 1, 1)
    angle = _rand(generator, len(rows), 1, 1) * math.pi
    kernels = _gaussian(max(1, math.ceil(2 * widest)), along + 0.2, across + 0.2, angle)
    return _replace(batch, rows, _filter(batch[rows], kernels))


def _sharpen(batch: Tensor, strengths: Augment, generator: Generator) -> Tensor:
    """Sharpen some frames, as phone cameras do."""
    if not strengths.sharpen:
        return batch
    rows = _choose(len(batch), strengths.sharpen, generator)
    point = torch.zeros((3, 3), device=batch.device)
    point[1, 1] = 1
    kernels = point + _rand(generator, len(rows), 1, 1) * (point - 1 / 9)
    return _replace(batch, rows, _filter(batch[rows], kernels).clamp_(0, 1))


def _gaussian(radius: int, along: Tensor, across: Tensor, angle: Tensor) -> Tensor:
    """Return kernels [K, side, side] that sum to 1, for standard deviations in pixels and angles, [K, 1, 1]."""
    span = torch.arange(-radius, radius + 1, device=angle.device, dtype=torch.float32)
    ys, xs = torch.meshgrid(span, span, indexing="ij")
    u, v = xs * angle.cos() + ys * angle.sin(), ys * angle.cos() - xs * angle.sin()
    kernels = torch.exp(-0.5 * ((u / along) ** 2 + (v / across) ** 2))
    return kernels / kernels.sum(dim=(1, 2), keepdim=True)


def _filter(frames: Tensor, kernels: Tensor) -> Tensor:
    """Convolve each of the frames [K, 3, height, width] with its own kernel of [K, side, side]."""
    count, channels, height, width = frames.shape
    if not count:
        return frames
    radius = kernels.shape[-1] // 2
    flat = F.pad(frames, (radius,) * 4, mode="replicate").reshape(1, -1, height + 2 * radius, width + 2 * radius)
    weights = kernels.repeat_interleave(channels, dim=0)[:, None]
    return F.conv2d(flat, weights, groups=len(weights)).view(frames.shape)


def _downscale(batch: Tensor, strengths: Augment, generator: Generator) -> Tensor:
    """Downscale and upscale some frames, all by the same factor."""
    if not strengths.resolution:
        return batch
    rows = _choose(len(batch), DOWNSCALE_SHARE, generator)
    factor = 1 + strengths.resolution * float(_rand(generator))
    if not len(rows):
        return batch
    size = batch.shape[2:]
    small = F.interpolate(batch[rows], size=[max(1, round(side / factor)) for side in size], mode="area")
    return _replace(batch, rows, F.interpolate(small, size=size, mode="bilinear", align_corners=False))


def _develop(batch: Tensor, strengths: Augment, generator: Generator) -> Tensor:
    """Change exposure, white balance, contrast, gamma and colours, and add noise."""
    count = len(batch)
    gain = torch.exp(_uniform(count, strengths.brightness, generator))
    balance = torch.exp(_uniform(count, strengths.colour, generator, channels=3))
    contrast = torch.exp(_uniform(count, strengths.contrast, generator))
    gamma = torch.exp(_uniform(count, strengths.gamma, generator))
    mean = batch.mean(dim=(1, 2, 3), keepdim=True)
    # contrast about the mean, then gain and balance
    batch = batch.mul_(contrast * gain * balance).add_(mean * (1 - contrast) * gain * balance).clamp_(1e-4, 1)
    if strengths.gamma:
        batch = _apply_gamma(batch, gamma)
    if strengths.saturation or strengths.hue or strengths.grey:
        batch = _mix_colours(batch, _colour_matrices(count, strengths, generator))
    if strengths.channel_swap:
        rows = _choose(count, strengths.channel_swap, generator)
        order = _rand(generator, len(rows), 3).argsort(dim=1)
        batch = _replace(batch, rows, batch[rows[:, None], order])
    if strengths.noise:
        level = _rand(generator, count, 1, 1, 1) * strengths.noise
        batch = batch.addcmul_(level, _noise(batch.shape, generator))
    if strengths.chroma_noise:
        batch = batch + _chroma_noise(batch, strengths.chroma_noise, generator)
    return batch.clamp_(0, 1)


def _apply_gamma(batch: Tensor, gamma: Tensor) -> Tensor:
    """Approximate batch ** gamma in place, in half the time of a power.

    Lagrange's polynomial in log2(gamma) interpolates square root, identity and square: it is exact at 0.5, 1 and 2, and
    within 0.008 from 0.74 to 1.35.
    """
    power = torch.log2(gamma)
    root = batch.sqrt().mul_(power * (power - 1) / 2)
    curve = (batch * (power * (power + 1) / 2)).add_(1 - power.square())
    return batch.mul_(curve).add_(root)


def _noise(shape: torch.Size, generator: Generator) -> Tensor:
    """Draw uniform noise of mean 0 and standard deviation 1 from random bytes.

    It takes a tenth of the time of normal noise. A network computes weighted sums of many values, which are close to
    normal.
    """
    count = shape.numel()
    words = torch.empty(-(-count // 8), dtype=torch.int64, device=generator.device)
    values = words.random_(-(2**63), None, generator=generator).view(torch.int8)[:count].view(shape)
    return values.float().add_(0.5).mul_(1 / BYTE_STD)


def _mix_colours(batch: Tensor, matrices: Tensor) -> Tensor:
    """Multiply the colours of each frame by its own matrix of [N, 3, 3]."""
    columns = matrices[:, :, :, None, None].unbind(dim=2)
    mixed = batch[:, :1] * columns[0]
    for colour in (1, 2):
        mixed.addcmul_(batch[:, colour : colour + 1], columns[colour])
    return mixed


def _colour_matrices(count: int, strengths: Augment, generator: Generator) -> Tensor:
    """Draw matrices [count, 3, 3] over RGB that rotate hues about the grey axis and scale the saturation."""
    angle = _uniform(count, math.radians(strengths.hue), generator).view(count, 1, 1)
    scale = torch.exp(_uniform(count, strengths.saturation, generator)).view(count, 1, 1)
    scale = scale * (_rand(generator, count, 1, 1) >= strengths.grey)
    axis = torch.full((3, 3), 1 / 3, device=angle.device)
    cross = torch.tensor([[0, -1, 1], [1, 0, -1], [-1, 1, 0]], device=angle.device) / math.sqrt(3)
    turn = torch.eye(3, device=angle.device) * angle.cos() + axis * (1 - angle.cos()) + cross * angle.sin()
    luma = torch.tensor(LUMA, device=angle.device).expand(3, 3)
    return luma + scale * (turn - luma)


def _chroma_noise(batch: Tensor, strength: float, generator: Generator) -> Tensor:
    """Draw low-frequency colour noise, in blotches of a few pixels, as strong compression leaves it."""
    count, _, height, width = batch.shape
    level = _rand(generator, count, 1, 1, 1) ** 2 * strength
    size = (count, 3, max(1, height // 4), max(1, width // 4))
    small = torch.randn(size, generator=generator, device=batch.device)
    return level * F.interpolate(small, size=(height, width), mode="bilinear", align_corners=False)
