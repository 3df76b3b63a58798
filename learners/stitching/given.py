"""What a caller says of models that the lake does not know how to run: how they are built, and their data."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256

import torch
from torch import Tensor, nn

from learners.stitching.chain import Chain
from learners.stitching.cuts import trace
from schemas.errors import UsageError
from zoo.datasets import Dataset
from zoo.describe import Description


@dataclass(frozen=True, eq=False)
class Given:
    """Candidates: a model is built like the one whose tensors have the names and shapes of the model's.

    Attributes:
        descriptions: Networks of the zoo's architectures.
        architectures: Other networks; their values do not count.
        data: What the models were trained on; needed for architectures, and otherwise that of the description.
        blocks: For architectures: the name of the part whose children are the blocks, see `learners.stitching.cuts`.
    """

    descriptions: tuple[Description, ...] = ()
    architectures: tuple[nn.Module, ...] = ()
    data: Dataset | None = None
    blocks: str | None = None

    def __post_init__(self) -> None:
        if self.architectures and self.data is None:
            raise UsageError("an architecture needs the data that its models are stitched on; give data, too")
        if self.blocks is not None and not self.architectures:
            raise UsageError(f"blocks = {self.blocks!r} is a part of a given architecture; give architecture, too")

    @cached_property
    def _chains(self) -> list[tuple[dict[str, tuple[int, ...]], Chain, Description | None]]:
        built = [(each.skeleton(), None, each) for each in self.descriptions]
        others = [(module.eval(), self.blocks, None) for module in self.architectures]
        return [(_shapes(module.state_dict()), trace(module, blocks), kind) for module, blocks, kind in built + others]

    def chain(self, model_id: str, weights: Mapping[str, Tensor]) -> tuple[Chain, Description | None]:
        """The candidate that a model is built like, with its description if it is one of the zoo's.

        Raises:
            UsageError: There is none; the message names a tensor that differs from the first candidate's.
        """
        own = _shapes(weights)
        for shapes, chain, description in self._chains:
            if shapes == own:
                return chain, description
        expected = self._chains[0][0]
        name = next(name for name in sorted(own.keys() | expected) if own.get(name) != expected.get(name))
        raise UsageError(
            f"{model_id} is built like none of what was given: {name} is {_said(own, name)} in it, and "
            f"{_said(expected, name)} in the first that was given"
        )

    @cached_property
    def digest(self) -> str:
        """What tells architectures and data from others: a hash of what is computed, and of the data."""
        text = [segment.code for _, chain, _ in self._chains for segment in chain.segments]
        text += [repr(self.architectures), repr(self.descriptions), repr([shapes for shapes, _, _ in self._chains])]
        found = sha256(repr(text).encode())
        for part in (self.data.train, self.data.validation, self.data.test) if self.data else ():
            found.update(part.x.contiguous().cpu().numpy().tobytes())
            found.update(part.y.to(torch.int64).cpu().numpy().tobytes())
        return found.hexdigest()[:16]


def given_by(
    description: Description | Sequence[Description],
    architecture: nn.Module | Sequence[nn.Module],
    data: Dataset | None,
    blocks: str | None = None,
) -> Given | None:
    """Put together what a caller gave; None where that is nothing; errors as of `Given`."""
    descriptions = (description,) if isinstance(description, Description) else tuple(description)
    alone = isinstance(architecture, nn.Module)
    architectures = (architecture,) if alone else tuple(architecture)  # type: ignore[arg-type] # a sequence by now
    if not descriptions and not architectures and data is None and blocks is None:
        return None
    if not descriptions and not architectures:
        raise UsageError("data needs a description or an architecture of the models beside it; give one, too")
    return Given(descriptions, architectures, data, blocks)  # type: ignore[arg-type] # modules all of them


def _shapes(tensors: Mapping[str, Tensor]) -> dict[str, tuple[int, ...]]:
    return {name: tuple(tensor.shape) for name, tensor in tensors.items()}


def _said(shapes: Mapping[str, tuple[int, ...]], name: str) -> str:
    return str(list(shapes[name])) if name in shapes else "absent"
