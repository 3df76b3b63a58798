"""Mined models and their repositories as a miner leaves them in a lake, for tests of what is done with them."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import polars as pl
import torch
from safetensors.torch import save_file

from schemas import Lake
from tests.tiny_population import write_images
from zoo.describe import Description
from zoo.initialise import initialise
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


def many_models(
    lake: Lake,
    folder: Path,
    width: int,
    count: int,
    dtype: torch.dtype = torch.float32,
    names: Sequence[str] = (),
    licences: Sequence[str] = (),
    silent: bool = False,
) -> Description:
    """Mined perceptrons near one, that say how they are run, unless they are silent."""
    folder.mkdir(exist_ok=True)
    write_images(folder / "images.npz")
    fields = {"width": width, "classes": 3, "input_shape": (1, 8, 8), "dataset": f"npz:{folder / 'images.npz'}"}
    description = Description.model_validate({"architecture": "mlp", "split_seed": 0, "depth": 2, **fields})
    base = initialise(description.skeleton(), torch.Generator().manual_seed(0))
    for number in range(count):
        source = torch.Generator().manual_seed(number)
        near = {name: t + 0.05 * torch.randn(t.shape, generator=source) for name, t in base.items()}
        place = repository(folder / str(number), {name: tensor.to(dtype) for name, tensor in near.items()})
        if not silent:
            (place / "config.json").write_text(json.dumps({"weightlake": description.model_dump()}))
        stated = {"license": licences[number]} if licences else {}
        add_model(lake, names[number] if names else f"local:{number}", place, **stated)
    return description


class Bomb:
    """Would run code if anybody unpickled it."""

    def __init__(self, place: Path) -> None:
        self.place = place

    def __reduce__(self) -> tuple[Callable[[Path], None], tuple[Path]]:
        return Path.touch, (self.place,)
