"""How much goes through a network at once, so that memory stays modest, and what is done where it is short even so."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from schemas.errors import OutsideError

if TYPE_CHECKING:
    from collections.abc import Iterator

SAMPLES_AT_ONCE = 65_536
"""Samples times members, at most, however small the network is."""
BYTES_AT_ONCE = {"cpu": 256 << 20, "cuda": 4 << 30}
"""Bytes of activations that a forward pass may hold: a processor is shared by a worker a core."""
HELD = 4
"""What a pass without gradients holds, in inputs and outputs of its largest operation: 0.5 to 3.7 were measured."""
PROBES = (2, 3)
"""Samples that are sent through to find what one more of them takes."""
SHORT = ("can't allocate memory", "bad_alloc")
"""What torch says on a processor, where it has no error of its own for it."""

Found = TypeVar("Found")


@dataclass(frozen=True)
class Portion:
    """Members and samples that go through at once."""

    members: int
    samples: int

    def half(self) -> Portion:
        """Half as many samples, or members where there is one sample."""
        if self.samples > 1:
            return Portion(self.members, (self.samples + 1) // 2)
        return Portion((self.members + 1) // 2, 1)


@torch.no_grad()
def modest_portion(run: Callable[[Tensor], object], members: int, x: Tensor) -> Portion:
    """Choose how many of `members` and of the samples `x` `[n, ...]` go through a network at once.

    It hangs on the network, the samples and the kind of device alone, and not on what is free at the
    moment, so that a figure has the same bits each time.

    Args:
        run: Sends samples `[m, ...]` through one member.
        members: How many members there are.
        x: The samples.
    """
    budget = BYTES_AT_ONCE.get(x.device.type, BYTES_AT_ONCE["cpu"])
    try:
        each = max(1, HELD * bytes_a_sample(run, x))
    except (RuntimeError, MemoryError) as error:
        if is_short(error):
            return Portion(1, 1)
        raise
    together = max(1, min(members, budget // each))
    return Portion(together, max(1, min(SAMPLES_AT_ONCE // members, budget // (each * together))))


def bytes_a_sample(run: Callable[[Tensor], object], x: Tensor) -> int:
    """Bytes of inputs and outputs that a sample adds to the largest operation of a network; `x` is `[n, ...]`."""
    few, more = (_bytes(run, x[:count]) for count in PROBES)
    if len(x) < PROBES[-1] or len(few) != len(more):
        return -(-max(more, default=0) // min(len(x), PROBES[-1]))
    return max((after - before for before, after in zip(few, more, strict=True)), default=0)


def while_short(portion: Portion, work: Callable[[Portion], Found], what: str) -> Found:
    """Do work by portions; where there is no memory for one, do it again by half of it.

    Raises:
        OutsideError: There is none for one sample of one member either; `what` names the network.
    """
    while True:
        try:
            return work(portion)
        except (RuntimeError, MemoryError) as error:
            if not is_short(error):
                raise
            if portion == Portion(1, 1):
                raise OutsideError(f"one {what} does not fit in memory") from error
        portion = portion.half()
        torch.cuda.empty_cache()


def is_short(error: BaseException) -> bool:
    """Whether an error says that memory is short."""
    said = isinstance(error, RuntimeError) and any(words in str(error) for words in SHORT)
    return said or isinstance(error, torch.OutOfMemoryError | MemoryError)


def _bytes(run: Callable[[Tensor], object], x: Tensor) -> list[int]:
    counted = _Counted()
    with counted:
        run(x)
    return counted.sizes


class _Counted(TorchDispatchMode):
    """Notes for each operation the bytes that it reads and writes."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call] # torch does not type it
        self.sizes: list[int] = []

    def __torch_dispatch__(
        self, func: Callable[..., Any], types: object, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> object:
        written = func(*args, **(kwargs or {}))
        self.sizes.append(sum(tensor.nbytes for tensor in _tensors((args, kwargs, written))))
        return written


def _tensors(values: object) -> Iterator[Tensor]:
    return (leaf for leaf in tree_leaves(values) if isinstance(leaf, Tensor))
