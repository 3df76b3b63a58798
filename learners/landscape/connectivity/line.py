"""The straight line between the models of many pairs."""

from collections.abc import Mapping

from torch import Tensor

from learners.landscape.connectivity.path import Path
from zoo.population import Weights


def line(first: Mapping[str, Tensor], second: Mapping[str, Tensor]) -> Path:
    """(1 - t) first + t second, parameters `[pairs, ...]`."""

    def at(place: float) -> Weights:
        return {name: (1 - place) * tensor + place * second[name] for name, tensor in first.items()}

    return at
