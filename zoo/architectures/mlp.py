"""A multilayer perceptron with two hidden layers."""

from math import prod

from torch import Tensor, nn
from torch.nn.functional import relu


class MLP(nn.Module):
    """Two hidden layers of `width` units each, with ReLU; a sample is flattened first."""

    def __init__(self, input_shape: tuple[int, int, int], classes: int, width: int) -> None:
        super().__init__()
        self.linear1 = nn.Linear(prod(input_shape), width)
        self.linear2 = nn.Linear(width, width)
        self.linear3 = nn.Linear(width, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Map samples `[n, channels, height, width]` to logits `[n, classes]`."""
        hidden = relu(self.linear1(x.flatten(1)))
        hidden = relu(self.linear2(hidden))
        logits: Tensor = self.linear3(hidden)
        return logits
