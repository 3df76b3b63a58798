"""Gathers the models of a selection that are to be stitched, and refuses what cannot be before anything is done."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

import torch
from torch import Tensor

from learners.stitching.chain import Chain
from learners.stitching.cuts import trace
from learners.stitching.form import Form
from learners.stitching.given import Given
from learners.stitching.network import Network
from schemas import DataError, Lake, UsageError
from zoo.contents import content_of
from zoo.datasets import Dataset, load_dataset
from zoo.describe import Description, describe_all
from zoo.load import read_weights
from zoo.locate import locate, selection

SHARED = ("dataset", "split_seed", "input_shape", "classes")
LOOKED_AT = 64  # samples that each model is tried on


STITCHABLE = "SELECT model_id FROM product WHERE method = 'stitchable' AND model_id IN (SELECT unnest($ids))"


@dataclass(frozen=True)
class Selected:
    """The models of a selection, as networks that can be cut, with the data that all of them were trained on."""

    ids: tuple[str, ...]
    epochs: tuple[int | None, ...]
    """The checkpoint of each; None for the final one."""
    descriptions: tuple[Description | None, ...]
    """None for what is built like an architecture that was given, which has no other description."""
    networks: tuple[Network, ...]
    forms: tuple[tuple[Form, ...], ...]
    """For each the form of what there is at every cut."""
    dataset: Dataset
    contents: tuple[str, ...]
    """A hash of each one's weights."""
    given: str | None = None
    """A hash of the architectures and data that were given, if some were."""

    def architecture(self, number: int) -> str:
        """What a model is called that is built like it: an architecture of the zoo, or the class of one given."""
        description = self.descriptions[number]
        return self.networks[number].chain.architecture if description is None else description.architecture

    def __len__(self) -> int:
        return len(self.ids)


def gather(
    lake: Lake, sql: str, device: torch.device, dtype: torch.dtype = torch.float32, *, given: Given | None = None
) -> Selected:
    """Select models and load them.

    Args:
        lake: Where they are.
        sql: Any query that returns `model_id`, and `epoch` if not the final checkpoint is meant.
        device: Where they are to run.
        dtype: What they are to compute in.
        given: How models are built of which the lake does not know it.

    Raises:
        UsageError: Fewer than two models, one of them twice, no classifiers, or models of different data; or one that
            cannot be cut, or of which nobody knows how it is built. The message names them.
        DataError: A model's weights are not those of its architecture, or its values are not finite.
    """
    rows = selection(lake, sql, {})
    ids: list[str] = rows["model_id"].to_list()
    epochs: list[int | None] = rows["epoch"].to_list() if "epoch" in rows.columns else [None] * len(ids)
    _check_selection(ids, epochs)
    _refuse_stitchable(lake, ids)
    places = locate(lake, ids, epochs)
    known = _descriptions(lake, ids, given)
    _check_alike(ids, [known.get(model_id) for model_id in ids], given)
    chains: dict[Description, Chain] = {}
    networks, descriptions, contents = [], [], []
    for name, model_id, place in zip(_names(ids, epochs), ids, places, strict=True):
        stored = read_weights(lake, place)
        contents.append(content_of(stored))
        weights = {key: _moved(tensor, device, dtype) for key, tensor in stored.items()}
        kind = known.get(model_id)
        if kind is not None:
            chain = chains[kind] = chains.get(kind) or trace(kind.skeleton())
        elif given is not None:
            chain, kind = given.chain(model_id, weights)
        networks.append(Network(chain, weights, name))
        descriptions.append(kind)
    _check_alike(ids, descriptions, given)
    dataset = _dataset(descriptions, given)
    if given is not None:
        _check_samples(ids, descriptions, dataset)
    sample = dataset.train.to(device, dtype).x[:LOOKED_AT]
    forms = tuple(_tried(network, sample) for network in networks)
    digest = given.digest if given is not None else None
    return Selected(
        tuple(ids), tuple(epochs), tuple(descriptions), tuple(networks), forms, dataset, tuple(contents), digest
    )


def _refuse_stitchable(lake: Lake, ids: Sequence[str]) -> None:
    for model_id in lake.sql(STITCHABLE, ids=list(ids))["model_id"]:
        raise UsageError(
            f"{model_id} is a stitchable network, which is many networks in one; leave it out, e.g. "
            "WHERE architecture <> 'stitchable'"
        )


def _descriptions(lake: Lake, ids: Sequence[str], given: Given | None) -> dict[str, Description]:
    """How models are built of which the lake knows it; all of them, if nothing else was given."""
    if given is None:
        try:
            found = dict(zip(ids, describe_all(lake, ids), strict=True))
        except UsageError as error:
            raise UsageError(f"{error}; or say it with description (--description)") from error
    else:
        found = {}
        for model_id in ids:
            with suppress(UsageError):
                found[model_id] = describe_all(lake, [model_id])[0]
    return {model_id: each.model_copy(update={"init": None}) for model_id, each in found.items()}


def _dataset(descriptions: Sequence[Description | None], given: Given | None) -> Dataset:
    if given is not None and given.data is not None:
        return given.data
    first = next(each for each in descriptions if each is not None)
    return load_dataset(first.dataset, first.split_seed)


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


def _check_alike(ids: Sequence[str], descriptions: Sequence[Description | None], given: Given | None) -> None:
    known = [(model_id, each) for model_id, each in zip(ids, descriptions, strict=True) if each is not None]
    data = given.data if given is not None else None
    for model_id, description in known:
        if description.architecture == "pinn":
            raise UsageError(f"{model_id} is a pinn: stitches are judged by accuracy, which it does not have")
        first, like = known[0] if data is None else ("the given data", data)
        for field in SHARED if data is None else ("input_shape", "classes"):
            mine, theirs = getattr(like, field), getattr(description, field)
            if mine != theirs:
                what = field.replace("_", " ")
                raise UsageError(
                    f"these cannot be stitched: {first} has {what} {mine}, {model_id} has {what} {theirs}; "
                    f"select one {what}"
                )


def _check_samples(ids: Sequence[str], descriptions: Sequence[Description | None], data: Dataset) -> None:
    for model_id, description in zip(ids, descriptions, strict=True):
        if description is not None and tuple(description.input_shape) != tuple(data.input_shape):
            raise UsageError(
                f"{model_id} is described as a network for samples of shape {list(description.input_shape)}, and those "
                f"of {data.name} have shape {list(data.input_shape)}"
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
