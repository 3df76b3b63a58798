"""A dataset of sixty small images and a recipe on it, which several test files build for real."""

from pathlib import Path

import numpy as np

from zoo.recipe import Recipe, parse_recipe

RECIPE = """
name = "tiny"
architecture = "{architecture}"
dataset = "npz:{dataset}"
epochs = {epochs}
checkpoint_epochs = [0, 1]
{settings}

[grid]
width = {width}
batch_size = [4, 8]
seeds = 2
learning_rate = {learning_rate}
"""


def write_images(path: Path, samples: int = 60, side: int = 8, seed: int = 0) -> Path:
    """Write images of three classes, told apart by their brightness, as an .npz file."""
    source = np.random.default_rng(seed)
    y = np.arange(samples) % 3
    x = source.integers(0, 80, (samples, side, side)) + 80 * y[:, None, None]
    np.savez(path, x=x.astype(np.uint8), y=y)
    return path


def tiny_recipe(
    folder: Path,
    *,
    architecture: str = "mlp",
    epochs: int = 3,
    width: str = "[3, 4]",
    learning_rate: str = "0.05",
    settings: str = "",
) -> Recipe:
    """A recipe of groups of two members or more, on images in `folder`, which are written if they are not there."""
    dataset = folder / "images.npz"
    if not dataset.exists():
        write_images(dataset)
    values = {"architecture": architecture, "epochs": epochs, "width": width, "learning_rate": learning_rate}
    return parse_recipe(RECIPE.format(dataset=dataset, settings=settings, **values).encode(), "tiny.toml")
