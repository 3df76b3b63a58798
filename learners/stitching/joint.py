"""The joint: the layer between the front of one network and the end of another."""

from math import sqrt

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, linear

from learners.stitching.form import Form, from_rows, laid_out, lay_out


class Joint(nn.Module):
    """An affine map of the channels, the same at every place: a 1 x 1 convolution of maps, a linear layer of others.

    y = (W + U D) x + b

    U D, of rank `rank`, is there for training alone, from `free` to `fold`: while W stays as least squares gave it,
    training moves the joint by a matrix of low rank (as LoRA does, Hu et al., 2022). U starts at zero, D at random.
    Before and afterwards a joint is W and b, whatever its rank. A new joint maps all to zero.

    Args:
        source: What the front ends in.
        target: What the end begins with.
        rank: Rank of the update, at most that of W; 0 for none.

    Raises:
        UsageError: The source cannot be laid out as the target, see `learners.stitching.form.laid_out`.
    """

    up: nn.Parameter | None
    down: nn.Parameter | None

    def __init__(self, source: Form, target: Form, rank: int = 0) -> None:
        super().__init__()
        self.source, self.target, self.rank = source, target, rank
        inputs = laid_out(source, target)
        self.weight = nn.Parameter(torch.zeros(target.channels, inputs))
        self.bias = nn.Parameter(torch.zeros(target.channels))
        self.register_parameter("up", None)
        self.register_parameter("down", None)

    def forward(self, x: Tensor) -> Tensor:
        """Map values of the source's form to the target's."""
        weight = self._moved()
        if self.source.kind == self.target.kind == "maps" and self.source.sides == self.target.sides:
            return conv2d(x, weight[:, :, None, None], self.bias)
        return from_rows(linear(lay_out(x, self.source, self.target), weight, self.bias), self.target)

    def _moved(self) -> Tensor:
        return self.weight if self.up is None or self.down is None else self.weight + self.up @ self.down

    def free(self, generator: torch.Generator) -> None:
        """Let everything be trained, but W where there is an update of it, whose D is drawn on the CPU."""
        self.requires_grad_(True)
        if self.rank:
            (outputs, inputs), rank = self.weight.shape, min(self.rank, *self.weight.shape)
            self.up = nn.Parameter(self.weight.detach().new_zeros(outputs, rank))
            self.down = nn.Parameter(self.weight.detach().new_zeros(rank, inputs))
            _draw(self.down, inputs, generator)
            self.weight.requires_grad_(False)

    @torch.no_grad()
    def fold(self) -> None:
        """Take the update into W, so that the joint costs what one without an update does."""
        self.set(self._moved().clone(), self.bias.clone())

    @torch.no_grad()
    def set(self, weight: Tensor, bias: Tensor) -> None:
        """Take over W `[outputs, inputs]` and b `[outputs]`, without an update."""
        self.weight.copy_(weight)
        self.bias.copy_(bias)
        self.up = self.down = None

    def draw(self, generator: torch.Generator) -> None:
        """Draw W and b as torch's linear layers are, from a generator on the CPU."""
        for parameter in (self.weight, self.bias):
            _draw(parameter, self.weight.shape[1], generator)


@torch.no_grad()
def _draw(parameter: Tensor, inputs: int, generator: torch.Generator) -> None:
    bound = 1 / sqrt(inputs)
    parameter.copy_(torch.empty(parameter.shape).uniform_(-bound, bound, generator=generator))
