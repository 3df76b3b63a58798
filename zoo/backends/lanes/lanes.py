"""Sixteen members side by side in the processor's vector registers, a whole step of each sixteen in C++."""

import ctypes
import weakref
from ctypes import byref, c_double, c_int, c_int64, c_void_p
from typing import ClassVar

import torch
from torch import Tensor

from schemas.errors import OutsideError
from zoo.augmentation import augment
from zoo.backends.assignment import AUGMENTATION, Assignment
from zoo.backends.backend import MEMORY, State
from zoo.backends.lanes.described import DescribedMap, DescribedOperation, Measurement, Rule, Step
from zoo.backends.lanes.library import library
from zoo.backends.lanes.lowering import Program, lower
from zoo.optimise import optimiser
from zoo.population import Samples, Weights, flatten, unflatten

LANES = 16
CACHE = 1 << 20
"""Bytes that the samples which go through at once may leave behind: about what a core's own cache holds."""


class Lanes:
    """Weights `[groups, parameters, 16]`: members are the innermost axis, so that sixteen fill a vector register.

    The number of channels then does not matter to the processor, which is what makes small
    convolutions slow otherwise. The last group is filled up with copies that nobody looks at.
    """

    name: ClassVar[str] = "lanes"
    metric = "accuracy"

    def __init__(self, assignment: Assignment) -> None:
        self.assignment, self.shapes = assignment, assignment.shapes
        group, sample = assignment.group, assignment.train.x[0]
        self.program = lower(assignment.learner, tuple(sample.shape))
        self.groups = -(-assignment.members // LANES)
        start = flatten({name: assignment.start[name] for name in self.shapes}).to(assignment.dtype)
        self.weights = self._inward(start)
        self.optimiser = optimiser(group.optimizer, group.momentum)
        self.memory = [torch.zeros_like(self.weights) for _ in range(self.optimiser.memories)]
        self.rates = self._filled(start.new_tensor([member.learning_rate for member in group.members]))
        self.decays = self._filled(start.new_tensor([member.weight_decay for member in group.members]))
        self.causes = torch.zeros(self.groups * LANES, dtype=torch.int64)
        self.wide = int(assignment.dtype == torch.float64)
        self.network = _network(self, self.program)

    @property
    def cause(self) -> Tensor:
        """As `Backend.cause`."""
        return self.causes[: self.assignment.members]

    def step(self, batch: Tensor, share: float, step: int) -> tuple[Tensor, Tensor]:
        """As `Backend.step`."""
        samples, index = self._inputs(batch, step)
        labels, rates = self.assignment.targets(batch).contiguous(), self.rates * share
        keys = [self._filled(self.assignment.keys(name, step)) for name in self.program.dropouts]
        loss = torch.empty(self.assignment.members, dtype=self.assignment.dtype)
        score = torch.empty(self.assignment.members, dtype=torch.float64)
        group = self.assignment.group
        given = Step(
            members=self.assignment.members,
            batch=batch.shape[1],
            sample_size=samples[0].numel(),
            dropouts=len(keys),
            rule=Rule[group.optimizer.upper()],
            weights=self.weights.data_ptr(),
            memory=(c_void_p * 2)(*(memory.data_ptr() for memory in self.memory)),
            loss=loss.data_ptr(),
            samples=samples.data_ptr(),
            rate=rates.data_ptr(),
            decay=self.decays.data_ptr(),
            index=index.data_ptr(),
            labels=labels.data_ptr(),
            keys=(c_void_p * max(1, len(keys)))(*(key.data_ptr() for key in keys)),
            momentum=group.momentum,
            corrections=(c_double * 2)(*self.optimiser.corrections(step)),
            score=score.data_ptr(),
            cause=self.causes.data_ptr(),
        )
        self._call("lanes_step", given)
        return loss, score

    def _inputs(self, batch: Tensor, step: int) -> tuple[Tensor, Tensor]:
        """Samples, and which of them each member meets `[N, b]`; those of the data themselves where it can be."""
        names, samples = self.assignment.group.augmentation, self.assignment.train.x
        if not names:
            return samples.contiguous(), batch.contiguous()
        augmented = augment(samples[batch], names, self.assignment.keys(AUGMENTATION, step))
        return augmented.flatten(0, 1).contiguous(), torch.arange(batch.numel()).view(batch.shape)

    def measure(self, samples: Samples) -> tuple[Tensor, Tensor]:
        """As `Backend.measure`."""
        x, y = samples.x.contiguous(), samples.y.contiguous()
        loss, score = (torch.empty(self.assignment.members, dtype=torch.float64) for _ in range(2))
        given = Measurement(
            members=self.assignment.members,
            count=len(samples),
            sample_size=x[0].numel(),
            weights=self.weights.data_ptr(),
            samples=x.data_ptr(),
            labels=y.data_ptr(),
            loss=loss.data_ptr(),
            score=score.data_ptr(),
        )
        self._call("lanes_measure", given)
        return loss / len(samples), score / len(samples)

    def population(self) -> Weights:
        """As `Backend.population`."""
        return unflatten(self._outward(self.weights), self.shapes)

    def state(self) -> State:
        """As `Backend.state`."""
        memory = {f"{MEMORY}{number}": self._outward(tensor) for number, tensor in enumerate(self.memory)}
        return {"weights": self._outward(self.weights), "cause": self.cause.clone()} | memory

    def restore(self, state: State) -> None:
        """As `Backend.restore`."""
        self.weights = self._inward(state["weights"])
        self.memory = [self._inward(state[f"{MEMORY}{number}"]) for number in range(len(self.memory))]
        self.causes = self._filled(state["cause"])

    def _call(self, name: str, given: ctypes.Structure) -> None:
        if getattr(library(), name)(c_int(self.wide), c_void_p(self.network), byref(given)):
            raise OutsideError(f"one group of {LANES} {self.assignment.group.architecture} does not fit in memory")

    def _filled(self, values: Tensor) -> Tensor:
        """Repeat the last of some values, one a member, until all lanes have one."""
        missing = self.groups * LANES - len(values)
        return torch.cat([values, values[-1:].expand(missing, *values.shape[1:])]).contiguous()

    def _inward(self, matrix: Tensor) -> Tensor:
        """Lay a matrix `[N, parameters]` out as `[groups, parameters, 16]`."""
        return self._filled(matrix).view(self.groups, LANES, -1).transpose(1, 2).contiguous()

    def _outward(self, laid_out: Tensor) -> Tensor:
        """Turn `_inward`'s layout back into a matrix (a copy)."""
        return laid_out.transpose(1, 2).reshape(self.groups * LANES, -1)[: self.assignment.members].clone()


def _network(owner: Lanes, program: Program) -> int:
    """Make the C++ network of a program; it goes when its owner does."""
    maps, operations = program.described_maps(), program.described_operations()
    parameters = sum(shape.numel() for shape in owner.shapes.values())
    width = LANES * owner.weights.element_size()
    chunk = max(1, min(owner.assignment.group.batch_size, CACHE // (program.values * width)))
    network: int = library().lanes_network(
        c_int(owner.wide),
        (DescribedMap * len(maps))(*maps),
        c_int64(len(maps)),
        (DescribedOperation * len(operations))(*operations),
        c_int64(len(operations)),
        c_int64(parameters),
        c_int64(chunk),
    )
    weakref.finalize(owner, library().lanes_forget, c_int(owner.wide), c_void_p(network))
    return network
