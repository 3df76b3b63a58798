"""Mined models and their repositories as a miner leaves them in a lake, for tests of what is done with them."""

from collections.abc import Callable
from pathlib import Path

import polars as pl
import torch
from safetensors.torch import save_file

from schemas import Lake
from zoo.population import Weights


def equal(first: Weights, second: Weights) -> bool:
    """Whether two models have the same names and values."""
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


def add_model(lake: Lake, model_id: str, location: Path | None, **columns: object) -> None:
    """A mined model as a miner leaves it."""
    hub, _, path = model_id.partition(":")
    owner, _, name = path.partition("/")
    row = {"model_id": model_id, "hub": hub, "owner": owner, "name": name, "sha": None}
    place = None if location is None else str(location)
    with lake.write() as transaction:
        transaction.append("model", pl.DataFrame([row | {"location": place} | columns]))


def repository(folder: Path, weights: Weights, file: str = "model.safetensors") -> Path:
    """Write weights as a file of a repository; gives the repository's folder."""
    (folder / file).parent.mkdir(parents=True, exist_ok=True)
    save_file(weights, folder / file)
    return folder


class Bomb:
    """Would run code if anybody unpickled it."""

    def __init__(self, place: Path) -> None:
        self.place = place

    def __reduce__(self) -> tuple[Callable[[Path], None], tuple[Path]]:
        return Path.touch, (self.place,)
