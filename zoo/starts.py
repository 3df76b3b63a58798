"""Sees that fine-tunes can start from their parents before these are trained: their weights have to be of one shape."""

from itertools import product
from pathlib import Path

from torch import nn

from schemas.errors import UsageError
from zoo.datasets import Dataset, facts, load_dataset
from zoo.group import Group
from zoo.recipe import Recipe
from zoo.results import read_population

Samples = tuple[tuple[int, ...], int]
"""Shape of a sample, and the number of classes."""


def check_starts(recipe: Recipe, dataset: Dataset, weights: Path) -> None:
    """See that each group of a recipe has the shapes of the groups of its parent that it starts from.

    Raises:
        UsageError: The parent has another architecture, or is trained on samples of another shape or other classes.
    """
    parent = recipe.ancestor
    if parent is None:
        return
    own: Samples = (dataset.input_shape, dataset.classes)
    others = own if parent.dataset == recipe.dataset else _samples_of(parent, weights)
    for group, elder in product(_different(recipe), _different(parent)):
        if (group.width, group.depth) != (elder.width, elder.depth):
            continue
        wanted, found = _shapes(group.skeleton(*own)), _shapes(elder.skeleton(*others))
        if wanted != found:
            raise UsageError(
                f"recipe {recipe.name}: its parent {recipe.parent} has other shapes, {_difference(wanted, found)} "
                f"({parent.architecture} on {parent.dataset}, here {recipe.architecture} on {recipe.dataset}); "
                "both need the same architecture, shape of samples and number of classes"
            )


def _different(recipe: Recipe) -> list[Group]:
    """Groups of a recipe whose networks differ."""
    found = {(group.width, group.depth, group.activation, group.dropout): group for group in recipe.groups()}
    return list(found.values())


def _samples_of(recipe: Recipe, weights: Path) -> Samples:
    """From what was built, from what is known of a dataset, or by reading it, whichever comes first."""
    if built := read_population(weights, recipe.population_id):
        return tuple(built.input_shape), built.classes
    if known := facts(recipe.dataset):
        return known[:2]
    dataset = load_dataset(recipe.dataset, recipe.split_seed)
    return dataset.input_shape, dataset.classes


def _shapes(module: nn.Module) -> dict[str, tuple[int, ...]]:
    return {name: tuple(tensor.shape) for name, tensor in module.state_dict().items()}


def _difference(wanted: dict[str, tuple[int, ...]], found: dict[str, tuple[int, ...]]) -> str:
    name = min(name for name in wanted.keys() | found.keys() if wanted.get(name) != found.get(name))
    there, here = (str(list(each[name])) if name in each else "missing" for each in (found, wanted))
    return f"{name} is {there} there and {here} here"
