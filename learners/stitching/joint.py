"""The joint: the layer between the front of one network and the end of another."""

from math import sqrt

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, linear

from learners.stitching.form import Form, from_rows, laid_out, lay_out


class Joint(nn.Module):
    """An affine map of the channels, the same at every place: a 1 x 1 convolution of maps, a linear layer of others.

    y = (W + U D) x + b

    U D, of rank `rank`, is there for training alone: while W stays as least squares gave it, training moves the
    joint by a matrix of low rank (as LoRA does, Hu et al., 2022). U starts at zero. A new joint maps all to zero;
    `free` says which of them are trained.

    Args:
        source: What the front ends in.
        target: What the end begins with.
        rank: Rank of the update; 0 for none.

    Raises:
        UsageError: The source cannot be laid out as the target, see `learners.stitching.form.laid_out`.
    """

    def __init__(self, source: Form, target: Form, rank: int = 0) -> None:
        super().__init__()
        self.source, self.target, self.rank = source, target, rank
        inputs = laid_out(source, target)
        self.weight = nn.Parameter(torch.zeros(target.channels, inputs))
        self.bias = nn.Parameter(torch.zeros(target.channels))
        if rank:
            self.up = nn.Parameter(torch.zeros(target.channels, rank))
            self.down = nn.Parameter(torch.zeros(rank, inputs))

    def forward(self, x: Tensor) -> Tensor:
        """Map values of the source's form to the target's."""
        weight = self.weight + self.up @ self.down if self.rank else self.weight
        if self.source.kind == self.target.kind == "maps" and self.source.sides == self.target.sides:
            return conv2d(x, weight[:, :, None, None], self.bias)
        return from_rows(linear(lay_out(x, self.source, self.target), weight, self.bias), self.target)

    def free(self) -> None:
        """Let everything be trained, but W where there is an update of it."""
        self.requires_grad_(True)
        self.weight.requires_grad_(not self.rank)

    @torch.no_grad()
    def set(self, weight: Tensor, bias: Tensor) -> None:
        """Take over W `[outputs, inputs]` and b `[outputs]`."""
        self.weight.copy_(weight)
        self.bias.copy_(bias)

    @torch.no_grad()
    def draw(self, generator: torch.Generator) -> None:
        """Draw W and b as torch's linear layers are, and D, from a generator on the CPU."""
        bound = 1 / sqrt(self.weight.shape[1])
        for parameter in (self.weight, self.bias, *([self.down] if self.rank else [])):
            parameter.copy_(torch.empty(parameter.shape).uniform_(-bound, bound, generator=generator))
