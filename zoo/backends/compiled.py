"""The whole step of all members (forward, backward, optimiser, masks) as one program that `torch.compile` makes."""

from collections.abc import Callable
from typing import ClassVar

import torch
from torch import Tensor

from zoo.backends.assignment import Assignment
from zoo.backends.recorded import Recorded
from zoo.backends.stacked import Values
from zoo.backends.vectorised import Vectorised

Take = Callable[[Values, Tensor], Values]


class Compiled(Vectorised):
    """Compiles the step for whole batches; the smaller one that ends an epoch is taken by `vmap` as it is.

    On a GPU the compiled step is recorded as a CUDA graph too, so that it is launched as one.
    """

    name: ClassVar[str] = "compiled"

    def __init__(self, assignment: Assignment) -> None:
        super().__init__(assignment)
        compiled: Take = torch.compile(super().take, dynamic=False)
        self.whole = Recorded(compiled) if assignment.device.type == "cuda" else compiled

    def take(self, values: Values, corrections: Tensor) -> Values:
        """As `Stacked.take`."""
        if values["batch"].shape[1] < self.assignment.group.batch_size:
            return super().take(values, corrections)
        return self.whole(values, corrections)
