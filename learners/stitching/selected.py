"""Gathers the models of a selection that are to be stitched, and refuses what cannot be before anything is done."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from learners.stitching.chain import Chain
from learners.stitching.cuts import trace
from learners.stitching.form import Form
from learners.stitching.network import Network
from schemas import DataError, Lake, UsageError
from zoo.datasets import Dataset, load_dataset
from zoo.describe import Description, describe_all
from zoo.load import read_weights
from zoo.locate import locate, selection

SHARED = ("dataset", "split_seed", "input_shape", "classes")
LOOKED_AT = 64  # samples that each model is tried on


@dataclass(frozen=True)
class Selected:
    """The models of a selection, as networks that can be cut, with the data that all of them were trained on."""

    ids: tuple[str, ...]
    epochs: tuple[int | None, ...]
    """The checkpoint of each; None for the final one."""
    descriptions: tuple[Description, ...]
    networks: tuple[Network, ...]
    forms: tuple[tuple[Form, ...], ...]
    """For each the form of what there is at every cut."""
    dataset: Dataset

    def __len__(self) -> int:
        return len(self.ids)


def gather(lake: Lake, sql: str, device: torch.device, dtype: torch.dtype = torch.float32) -> Selected:
    """Select models and load them.

    Args:
        lake: Where they are.
        sql: Any query that returns `model_id`, and `epoch` if not the final checkpoint is meant.
        device: Where they are to run.
        dtype: What they are to compute in.

    Raises:
        UsageError: Fewer than two models, one of them twice, no classifiers, or models of different data; or one that
            cannot be cut. The message names them.
        DataError: A model's weights are not those of its architecture, or its values are not finite.
    """
    rows = selection(lake, sql, {})
    ids: list[str] = rows["model_id"].to_list()
    epochs: list[int | None] = rows["epoch"].to_list() if "epoch" in rows.columns else [None] * len(ids)
    _check_selection(ids, epochs)
    places = locate(lake, ids, epochs)
    descriptions = describe_all(lake, ids)
    _check_alike(ids, descriptions)
    dataset = load_dataset(descriptions[0].dataset, descriptions[0].split_seed)
    sample = dataset.train.to(device, dtype).x[:LOOKED_AT]
    chains: dict[Description, Chain] = {}
    networks = []
    for name, place, description in zip(_names(ids, epochs), places, descriptions, strict=True):
        kind = description.model_copy(update={"init": None})
        if kind not in chains:
            chains[kind] = trace(kind.skeleton())
        weights = {key: _moved(tensor, device, dtype) for key, tensor in read_weights(lake, place).items()}
        networks.append(Network(chains[kind], weights, name))
    forms = tuple(_tried(network, sample) for network in networks)
    return Selected(tuple(ids), tuple(epochs), tuple(descriptions), tuple(networks), forms, dataset)


def _check_selection(ids: Sequence[str], epochs: Sequence[int | None]) -> None:
    if len(ids) < 2:
        raise UsageError("stitching needs at least two models, and the query selects one; widen its condition")
    names = _names(ids, epochs)
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice:
        raise UsageError(f"{twice} is selected twice; add DISTINCT to the query")


def _names(ids: Sequence[str], epochs: Sequence[int | None]) -> list[str]:
    pairs = zip(ids, epochs, strict=True)
    return [model_id if epoch is None else f"{model_id} (epoch {epoch})" for model_id, epoch in pairs]


def _check_alike(ids: Sequence[str], descriptions: Sequence[Description]) -> None:
    first = descriptions[0]
    for model_id, description in zip(ids, descriptions, strict=True):
        if description.architecture == "pinn":
            raise UsageError(f"{model_id} is a pinn: stitches are judged by accuracy, which it does not have")
        for field in SHARED:
            mine, theirs = getattr(first, field), getattr(description, field)
            if mine != theirs:
                what = field.replace("_", " ")
                raise UsageError(
                    f"these cannot be stitched: {ids[0]} has {what} {mine}, {model_id} has {what} {theirs}; "
                    f"select one {what}"
                )


def _moved(tensor: Tensor, device: torch.device, dtype: torch.dtype) -> Tensor:
    return tensor.to(device, dtype) if tensor.is_floating_point() else tensor.to(device)


@torch.no_grad()
def _tried(network: Network, sample: Tensor) -> tuple[Form, ...]:
    """Run a network on some samples; gives its forms."""
    try:
        forms = tuple(network.forms(sample))
        outputs = network.run(sample)
    except RuntimeError as error:
        raise DataError(f"the weights of {network.name} are not those of its architecture: {error}") from error
    if not outputs.isfinite().all():
        raise DataError(f"{network.name} gives values that are not finite; leave it out, e.g. WHERE state = 'trained'")
    return forms
