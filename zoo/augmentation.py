"""Augments images on their device, each member's in its own way: random crop, flip and rotation."""

from collections.abc import Sequence
from math import pi

import torch
from torch import Tensor
from torch.nn.functional import affine_grid, grid_sample

from zoo.randomness import uniforms

AUGMENTATIONS = ("crop", "flip", "rotation")
PADDING = 4
"""Pixels by which a crop may be off to each side."""
DEGREES = 20
DRAWS = 4


def augment(x: Tensor, names: Sequence[str], keys: Tensor) -> Tensor:
    """Augment the images of a batch, anew for each image.

    `crop` moves an image by up to 4 pixels to each side, `flip` mirrors every second one left to
    right, `rotation` turns it by up to 20 degrees; pixels from outside are 0, and values are those of
    the nearest pixel, as torchvision's RandomCrop(padding=4), RandomHorizontalFlip and
    RandomRotation(20) do.

    Args:
        x: Images `[N, n, channels, height, width]`, floating point.
        names: Which of `AUGMENTATIONS`.
        keys: A whole number for each member `[N]`, int64: all that is random hangs on it.

    Returns:
        Images of the same shape.
    """
    members, samples, channels, height, width = x.shape
    draws = uniforms(keys, samples * DRAWS).view(members * samples, DRAWS).to(x.dtype)
    inverse = inverse_maps(draws, names, height, width)
    images = x.reshape(members * samples, channels, height, width)
    grid = affine_grid(inverse, list(images.shape), align_corners=False)
    return grid_sample(images, grid, mode="nearest", align_corners=False).view(x.shape)


def inverse_maps(draws: Tensor, names: Sequence[str], height: int, width: int) -> Tensor:
    """Turn uniform numbers `[n, 4]` into the affine maps `[n, 2, 3]` from new places to old ones.

    Places go from -1 to 1 over the image in each direction, as in `torch.nn.functional.affine_grid`.
    """
    angle = (2 * draws[:, 0] - 1) * DEGREES * pi / 180 if "rotation" in names else torch.zeros_like(draws[:, 0])
    mirrored = torch.where(draws[:, 1] < 0.5, -1.0, 1.0) if "flip" in names else torch.ones_like(angle)
    shift = (draws[:, 2:] * (2 * PADDING + 1)).floor() - PADDING if "crop" in names else torch.zeros_like(draws[:, 2:])
    right, down = shift[:, 0] * 2 / width, shift[:, 1] * 2 / height
    cosine, sine, ratio = angle.cos(), angle.sin(), height / width
    first = torch.stack([mirrored * cosine, mirrored * sine * ratio, mirrored * right], dim=1)
    second = torch.stack([-sine / ratio, cosine, down], dim=1)
    return torch.stack([first, second], dim=1)
