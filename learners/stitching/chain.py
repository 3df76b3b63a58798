"""A network cut into segments that run one after the other: what can be stitched to what other."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor, fx, nn
from torch.func import functional_call

from schemas.errors import UsageError


@dataclass(frozen=True)
class Chain:
    """A network of B blocks as B + 2 segments: a stem, the blocks, a head.

    Between them are the cuts, 0 to B: cut c is where c blocks have been passed. The segments share the
    layers of the network that they were traced from, so its weights, its mode and its device are theirs,
    and tensors are called by the names that they have in it.
    """

    segments: tuple[fx.GraphModule, ...]
    names: tuple[str, ...]
    """Name of each cut: the layer or block that comes before it."""
    architecture: str = ""
    """Class of the network."""

    @property
    def blocks(self) -> int:
        """How many blocks there are between the first and the last cut."""
        return len(self.names) - 1

    def cut(self, cut: int | str) -> int:
        """Give the number of a cut that is given by its number or its name; a negative one counts from the end.

        Raises:
            UsageError: There is no such cut.
        """
        if isinstance(cut, str) and cut in self.names:
            return self.names.index(cut)
        if isinstance(cut, int) and -len(self.names) <= cut < len(self.names):
            return cut % len(self.names)
        named = ", ".join(f"{number} ({name})" for number, name in enumerate(self.names))
        raise UsageError(f"there is no cut {cut!r}; this network has the cuts {named}")

    def run(
        self,
        x: Tensor,
        start: int | None = None,
        stop: int | None = None,
        weights: Mapping[str, Tensor] | None = None,
    ) -> Tensor:
        """Run from one cut to another.

        Args:
            x: The network's samples, or what there is at the cut `start`.
            start: Where to begin; without it at the samples.
            stop: Where to end; without it at the outputs.
            weights: Weights and buffers to run with instead of the network's own, whole or in part.
        """
        for segment in self.segments[_first(start) : _last(stop)]:
            x = _called(segment, x, weights)
        return x

    def activations(self, x: Tensor, weights: Mapping[str, Tensor] | None = None) -> list[Tensor]:
        """Run once, up to the last cut, and give what there is at every cut."""
        found = []
        for segment in self.segments[:-1]:
            x = _called(segment, x, weights)
            found.append(x)
        return found

    def layers(self, start: int | None = None, stop: int | None = None) -> list[nn.Module]:
        """The segments from one cut to another, as `run` takes them."""
        return list(self.segments[_first(start) : _last(stop)])


def _first(start: int | None) -> int:
    return 0 if start is None else start + 1


def _last(stop: int | None) -> int | None:
    return None if stop is None else stop + 1


def _called(segment: fx.GraphModule, x: Tensor, weights: Mapping[str, Tensor] | None) -> Tensor:
    if weights is None:
        result: Tensor = segment(x)
        return result
    own: Sequence[str] = [name for name, _ in (*segment.named_parameters(), *segment.named_buffers())]
    replaced: Tensor = functional_call(segment, {name: weights[name] for name in own if name in weights}, (x,))
    return replaced
