"""The models of a soup, each read when it is asked for, so that memory does not grow with their number."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor

from schemas import Lake
from zoo.locate import Place
from zoo.population import Weights
from zoo.stacking import read_weights

Known = TypeVar("Known")


class Members(Sequence[Weights]):
    """Weights of models, floating-point numbers in float32, whatever they are stored in; nothing of them is held.

    Args:
        lake: Where they are.
        places: Where each lies, as `zoo.locate.locate` says.
    """

    def __init__(self, lake: Lake, places: Sequence[Place]) -> None:
        self.lake, self.places = lake, places

    def __len__(self) -> int:
        return len(self.places)

    def __getitem__(self, index: Any) -> Any:
        """Read one."""
        return single(read_weights(self.lake, self.places[index]))

    def stored(self) -> Iterator[Weights]:
        """Read one after the other, in the types that they are stored in."""
        return (read_weights(self.lake, place) for place in self.places)

    @property
    def types(self) -> dict[str, torch.dtype]:
        """What each tensor of the first one is stored in."""
        return {name: tensor.dtype for name, tensor in read_weights(self.lake, self.places[0]).items()}


@dataclass(frozen=True)
class Changed(Sequence[Weights], Generic[Known]):
    """Weights of models, each made when it is asked for of its index and what is known of it, as its own weights."""

    models: Sequence[Known]
    change: Callable[[int, Known], Weights]

    def __len__(self) -> int:
        return len(self.models)

    def __getitem__(self, index: Any) -> Any:
        return self.change(index, self.models[index])


def single(weights: Mapping[str, Tensor]) -> Weights:
    """Weights in the type of the samples that they are run on, whatever they are stored in."""
    return {name: tensor.float() if tensor.is_floating_point() else tensor for name, tensor in weights.items()}
