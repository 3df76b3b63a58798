"""A dataset of sixty small images and a recipe on it, which several test files build for real."""

from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from schemas import Lake
from zoo.building import build
from zoo.recipe import Recipe, parse_recipe

START = datetime(2024, 2, 29, 12, tzinfo=UTC)
CLOCKS = ("created_at", "first_seen", "last_seen")

RECIPE = """
name = "tiny"
architecture = "{architecture}"
dataset = "npz:{dataset}"
epochs = {epochs}
checkpoint_epochs = [0, 1]
{settings}

[grid]
width = {width}
batch_size = {batch_size}
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
    batch_size: str = "[4, 8]",
    learning_rate: str = "0.05",
    settings: str = "",
) -> Recipe:
    """A recipe of groups of two members or more, on images in `folder`, which are written if they are not there."""
    dataset = folder / "images.npz"
    if not dataset.exists():
        write_images(dataset)
    grid = {"width": width, "batch_size": batch_size, "learning_rate": learning_rate}
    text = RECIPE.format(architecture=architecture, dataset=dataset, epochs=epochs, settings=settings, **grid)
    return parse_recipe(text.encode(), "tiny.toml")


def built(lake: Lake, recipe: Recipe, workers: int = 2) -> str:
    """Build at a fixed time; gives the population_id."""
    return build(lake, recipe, device="cpu", workers=workers, clock=lambda: START)


def rows(lake: Lake) -> dict[str, list[tuple[object, ...]]]:
    """Every row that a build writes, but for the times of day."""
    tables = ("population", "model", "member", "training", "checkpoint", "lineage")
    frames = {table: lake.sql(f"FROM {table} ORDER BY ALL") for table in tables}
    return {table: frame.drop(CLOCKS, strict=False).rows() for table, frame in frames.items()}


def files(lake: Lake) -> dict[str, tuple[int, int]]:
    """Inode and time of every file below weights/: what is written anew has others."""
    found = [path for path in lake.weights.folder.rglob("*") if path.is_file()]
    return {str(path): (path.stat().st_ino, path.stat().st_mtime_ns) for path in found}
