"""One network among many: a chain that may be shared with others, and weights of its own."""

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

from learners.stitching.chain import Chain
from learners.stitching.form import Form, form_of


@dataclass(frozen=True)
class Network:
    """A network that can be cut. Networks of the same architecture and shapes may share a chain."""

    chain: Chain
    weights: Mapping[str, Tensor] | None = None
    """Its weights and buffers; without them the chain's own."""
    name: str = "a network"
    """What messages call it."""

    @property
    def blocks(self) -> int:
        """How many blocks it has."""
        return self.chain.blocks

    def activations(self, x: Tensor) -> list[Tensor]:
        """What there is at every cut, from one pass."""
        return self.chain.activations(x, self.weights)

    def run(self, x: Tensor, start: int | None = None, stop: int | None = None) -> Tensor:
        """Run from one cut to another, as `Chain.run`."""
        return self.chain.run(x, start, stop, self.weights)

    def forms(self, x: Tensor) -> list[Form]:
        """The form of what there is at every cut, found with some samples; errors as of `form_of`."""
        return [form_of(values) for values in self.activations(x)]
