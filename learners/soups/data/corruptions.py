"""Corrupted images: test data that comes from somewhere else than the training data."""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, interpolate

from schemas.errors import UsageError
from zoo.population import Samples
from zoo.randomness import generator

SEVERITIES = (1, 2, 3, 4, 5)

Corrupt = Callable[[Tensor, int, torch.Generator], Tensor]


def _noise(x: Tensor, severity: int, source: torch.Generator) -> Tensor:
    return x + 0.08 * severity * torch.randn(x.shape, generator=source)


def _blur(x: Tensor, severity: int, source: torch.Generator) -> Tensor:
    for _ in range(severity):
        x = avg_pool2d(x, 3, stride=1, padding=1, count_include_pad=False)
    return x


def _contrast(x: Tensor, severity: int, source: torch.Generator) -> Tensor:
    mean = x.mean(dim=(1, 2, 3), keepdim=True)
    return mean + (x - mean) * (1 - 0.16 * severity)


def _brightness(x: Tensor, severity: int, source: torch.Generator) -> Tensor:
    return x + 0.1 * severity


def _occlusion(x: Tensor, severity: int, source: torch.Generator) -> Tensor:
    height, width = x.shape[-2:]
    side = [max(1, round(length * 0.12 * severity)) for length in (height, width)]
    top = torch.randint(height - side[0] + 1, (len(x), 1, 1, 1), generator=source)
    left = torch.randint(width - side[1] + 1, (len(x), 1, 1, 1), generator=source)
    rows, columns = torch.arange(height)[:, None], torch.arange(width)[None]
    covered = (rows >= top) & (rows < top + side[0]) & (columns >= left) & (columns < left + side[1])
    return x.masked_fill(covered, 0.5)


def _pixelate(x: Tensor, severity: int, source: torch.Generator) -> Tensor:
    height, width = x.shape[-2:]
    small = [max(2, round(side * (1 - 0.15 * severity))) for side in (height, width)]
    return interpolate(interpolate(x, size=small, mode="area"), size=(height, width), mode="nearest")


CORRUPTIONS: dict[str, Corrupt] = {
    "blur": _blur,
    "brightness": _brightness,
    "contrast": _contrast,
    "noise": _noise,
    "occlusion": _occlusion,
    "pixelate": _pixelate,
}


def corrupted(samples: Samples, kind: str, severity: int = 3, seed: int = 0) -> Samples:
    """Corrupt images `[n, channels, height, width]` of values 0 to 1; the classes stay.

    Kinds and the five severities are after Hendrycks and Dietterich 2019 (https://arxiv.org/abs/1903.12261), made for
    images of any size; their parameters are our own.

    Args:
        samples: The images.
        kind: A name in `CORRUPTIONS`.
        severity: From 1 to 5.
        seed: What is drawn hangs on it.

    Raises:
        UsageError: There is no such kind or severity, or these are no images.
    """
    if kind not in CORRUPTIONS:
        raise UsageError(f"corruption {kind!r} is unknown; choose one of: {', '.join(CORRUPTIONS)}")
    if severity not in SEVERITIES:
        raise UsageError(f"severity = {severity}: expected a whole number from 1 to 5")
    if samples.x.ndim != 4 or not samples.x.is_floating_point():
        raise UsageError(f"only images can be corrupted; samples of shape {list(samples.x.shape[1:])} are none")
    x = CORRUPTIONS[kind](samples.x, severity, generator(f"corruption {kind}", seed, severity))
    return Samples(x.clamp(0, 1), samples.y)
