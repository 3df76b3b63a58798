"""Records a step on a GPU once, as a CUDA graph, and plays it again: one launch instead of hundreds.

Not measured and not run on a GPU yet.
"""

from collections.abc import Callable

import torch
from torch import Tensor

Values = dict[str, Tensor]
WARM_UP = 3
"""Runs before recording, in which libraries choose their kernels and take their memory."""


class Recorded:
    """A function of tensors whose shapes recur, as `Stacked.advance`; one recording for each set of shapes.

    A recording reads from and writes to places of its own. So what it is given is copied there, and what
    it gives is copied from there, before it is played for other members.
    """

    def __init__(self, function: Callable[[Values, Tensor], Values]) -> None:
        self.function = function
        self.recordings: dict[tuple[torch.Size, ...], _Recording] = {}

    def __call__(self, values: Values, corrections: Tensor) -> Values:
        """Give what the function gives."""
        shapes = tuple(tensor.shape for tensor in values.values())
        if shapes not in self.recordings:
            self.recordings[shapes] = _Recording(self.function, values, corrections)
        return self.recordings[shapes].play(values, corrections)


class _Recording:
    def __init__(self, function: Callable[[Values, Tensor], Values], values: Values, corrections: Tensor) -> None:
        self.values = {name: tensor.clone() for name, tensor in values.items()}
        self.corrections = corrections.clone()
        self.graph = torch.cuda.CUDAGraph()
        aside = torch.cuda.Stream()  # type: ignore[no-untyped-call] # torch does not type it
        aside.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(aside):
            for _ in range(WARM_UP):
                function(self.values, self.corrections)
        torch.cuda.current_stream().wait_stream(aside)
        with torch.cuda.graph(self.graph):
            self.taken = function(self.values, self.corrections)

    def play(self, values: Values, corrections: Tensor) -> Values:
        for name, tensor in self.values.items():
            tensor.copy_(values[name])
        self.corrections.copy_(corrections)
        self.graph.replay()
        return {name: tensor.clone() for name, tensor in self.taken.items()}
