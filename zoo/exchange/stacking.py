"""Stacks weights that come member by member into shards of the weight store, without holding more than a few."""

from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from schemas.weights import WeightStore
from zoo.exchange.foreign import Block
from zoo.population import Weights
from zoo.task import fingerprint

SHARD_BYTES = 2**28
HELD_BYTES = 2**30
NOT_PARAMETERS = ("running_mean", "running_var", "num_batches_tracked")

Kind = tuple[tuple[str, str, tuple[int, ...]], ...]
"""Names, types and shapes of a model's tensors."""


@dataclass(frozen=True)
class Placed:
    """A checkpoint that lies in a shard."""

    member: int
    epoch: int
    shard: str
    row: int
    sha256: str


@dataclass
class Pile:
    """Members of one kind at one epoch on their way to a shard."""

    members: list[int] = field(default_factory=list)
    parts: list[Weights] = field(default_factory=list)
    bytes: int = 0


class Stacks:
    """Writes shards below a folder; members whose tensors agree in names, types and shapes are a group."""

    def __init__(self, folder: Path, shard_bytes: int = SHARD_BYTES, held_bytes: int = HELD_BYTES) -> None:
        self.store = WeightStore(folder)
        self.shard_bytes, self.held_bytes = shard_bytes, held_bytes
        self.groups: dict[Kind, str] = {}
        self.group_of: dict[int, str] = {}
        self.parameters: dict[int, int] = {}
        self.starts: dict[int, str] = {}
        """Fingerprints of the weights before any training, where they are there."""
        self.not_finite: dict[int, int] = {}
        """The first epoch at which a member's weights are not finite."""
        self.placed: list[Placed] = []
        self._piles: dict[tuple[str, int], Pile] = defaultdict(Pile)
        self._shards: dict[tuple[str, int], int] = defaultdict(int)

    def add(self, block: Block) -> None:
        """Take weights of some members at one epoch."""
        kind = _kind(block.tensors)
        group = self.groups.setdefault(kind, f"g{len(self.groups)}")
        count = sum(
            torch.Size(shape).numel() for name, _, shape in kind if name.rpartition(".")[2] not in NOT_PARAMETERS
        )
        for member in block.members:
            self.group_of[member], self.parameters[member] = group, count
        self._examine(block)
        pile = self._piles[group, block.epoch]
        pile.members += block.members
        pile.parts.append(block.tensors)
        pile.bytes += sum(tensor.nbytes for tensor in block.tensors.values())
        if pile.bytes >= self.shard_bytes:
            self._write(group, block.epoch)
        while sum(pile.bytes for pile in self._piles.values()) > self.held_bytes:
            self._write(*max(self._piles, key=lambda key: self._piles[key].bytes))

    def finish(self) -> list[Placed]:
        """Write what is left; says where every checkpoint lies."""
        for group, epoch in sorted(self._piles):
            self._write(group, epoch)
        return self.placed

    def _write(self, group: str, epoch: int) -> None:
        pile = self._piles.pop((group, epoch))
        number = self._shards[group, epoch]
        self._shards[group, epoch] += 1
        shard = f"{group}-e{epoch}.safetensors" if number == 0 else f"{group}-e{epoch}-{number}.safetensors"
        digest = self.store.write(shard, _joined(pile.parts))
        self.placed += [Placed(member, epoch, shard, row, digest) for row, member in enumerate(pile.members)]

    def _examine(self, block: Block) -> None:
        """Note whose weights are not finite, and what members start from."""
        finite = torch.ones(len(block.members), dtype=torch.bool)
        for tensor in block.tensors.values():
            if tensor.is_floating_point() and tensor.dtype.itemsize > 1:
                sound = tensor.isfinite()
                finite &= sound.flatten(1).all(dim=1) if sound.ndim > 1 else sound
        for member, is_finite in zip(block.members, finite.tolist(), strict=True):
            if not is_finite:
                self.not_finite[member] = min(block.epoch, self.not_finite.get(member, block.epoch))
        if block.epoch == 0 and all(tensor.dtype in PLAIN for tensor in block.tensors.values()):
            for row, member in enumerate(block.members):
                self.starts[member] = fingerprint({name: tensor[row] for name, tensor in block.tensors.items()})


PLAIN = {torch.float64, torch.float32, torch.float16, torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8}


def _kind(tensors: Weights) -> Kind:
    return tuple((name, str(tensors[name].dtype), tuple(tensors[name].shape[1:])) for name in sorted(tensors))


def _joined(parts: list[Weights]) -> Weights:
    return parts[0] if len(parts) == 1 else {name: _rows([part[name] for part in parts]) for name in parts[0]}


def _rows(parts: list[Tensor]) -> Tensor:
    """torch.cat over raw bytes where it does not know the type."""
    dtype = parts[0].dtype
    if dtype.itemsize == 1:
        return torch.cat([part.contiguous().view(torch.uint8) for part in parts]).view(dtype)
    return torch.cat(parts)
