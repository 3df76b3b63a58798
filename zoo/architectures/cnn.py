"""The small convolutional network of the model-zoo literature: three convolutions, two linear layers."""

from torch import Tensor, nn

from schemas.errors import UsageError
from zoo.architectures.activations import activation_named
from zoo.architectures.dropout import KeyedDropout

SMALLEST_SIDE = 2


class CNN(nn.Module):
    """Three convolutions of `width`, 3/4 `width` and 1/2 `width` channels, two linear layers, tanh.

    At width 8 and 1 x 28 x 28 inputs these are the 2,464 parameters of "Predicting Neural Network
    Accuracy from Weights" (Unterthiner et al., 2020) and "Model Zoos" (Schürholt et al., 2022):
    channels 8, 6, 4, kernels 5, 5, 2, pooling by 2 after the first two, 20 hidden units. Units with tanh
    cannot die, so that networks of two channels train as surely as wide ones; `activation` names another.
    `dropout` follows the two pooled layers and the hidden one.

    Small images would be eaten up by those kernels. So a map whose shorter side is below 12 is
    convolved with kernel 3 and padding 1, which keeps its size, and a map below 8 is not pooled.
    Both 28 x 28 and 8 x 8 images thereby reach the linear layers as maps of 3 x 3.
    """

    def __init__(
        self,
        input_shape: tuple[int, ...],
        classes: int,
        width: int,
        *,
        activation: str = "tanh",
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        channels, *sides = input_shape
        if min(sides) < SMALLEST_SIDE:
            raise UsageError(
                f"the cnn needs images of at least {SMALLEST_SIDE} x {SMALLEST_SIDE}, "
                f"these are {sides[0]} x {sides[1]}; take the mlp"
            )
        first, second, third = width, _share(width, 3, 4), _share(width, 1, 2)
        self.conv1, sides = _convolution(channels, first, sides)
        self.pool1, sides = _pooling(sides)
        self.conv2, sides = _convolution(first, second, sides)
        self.pool2, sides = _pooling(sides)
        self.conv3 = nn.Conv2d(second, third, kernel_size=2)
        features = third * (sides[0] - 1) * (sides[1] - 1)
        self.linear1 = nn.Linear(features, _share(width, 5, 2))
        self.linear2 = nn.Linear(_share(width, 5, 2), classes)
        self.activation = activation_named(activation)
        self.dropout1, self.dropout2, self.dropout3 = (KeyedDropout(dropout) for _ in range(3))

    def forward(self, x: Tensor) -> Tensor:
        """Map images `[n, channels, height, width]` to logits `[n, classes]`."""
        maps = self.dropout1(self.pool1(self.activation(self.conv1(x))))
        maps = self.dropout2(self.pool2(self.activation(self.conv2(maps))))
        maps = self.activation(self.conv3(maps))
        hidden = self.dropout3(self.activation(self.linear1(maps.flatten(1))))
        logits: Tensor = self.linear2(hidden)
        return logits


def _share(width: int, numerator: int, denominator: int) -> int:
    """Round a share of the width to a whole number of channels, half up; never below one."""
    return (2 * numerator * width + denominator) // (2 * denominator)


def _convolution(inputs: int, outputs: int, sides: list[int]) -> tuple[nn.Conv2d, list[int]]:
    if min(sides) >= 12:
        return nn.Conv2d(inputs, outputs, kernel_size=5), [side - 4 for side in sides]
    return nn.Conv2d(inputs, outputs, kernel_size=3, padding=1), sides


def _pooling(sides: list[int]) -> tuple[nn.Module, list[int]]:
    if min(sides) >= 8:
        return nn.MaxPool2d(2), [side // 2 for side in sides]
    return nn.Identity(), sides
