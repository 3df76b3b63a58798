"""Residual networks for small images: torchvision's layers and names behind a 3 x 3 stem."""

from collections.abc import Callable
from math import gcd

from torch import Tensor, nn
from torch.nn.functional import relu

BLOCKS = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3)}
MOST_GROUPS = 32

Norm = Callable[[int], nn.Module]


def group_norm(channels: int) -> nn.GroupNorm:
    """Group normalisation (Wu and He, 2018) in 32 groups, or as many below that as leave each two channels or more.

    A group of one channel would be nothing but its shift where a map is a single pixel.
    """
    groups = gcd(MOST_GROUPS, channels)
    return nn.GroupNorm(groups if groups < channels else max(1, channels // 2), channels)


class BasicBlock(nn.Module):
    """Two 3 x 3 convolutions and the way around them."""

    expansion = 1

    def __init__(self, inputs: int, channels: int, stride: int, norm: Norm) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, channels, kernel_size=3, stride=stride, padding=1, bias=False)
        self.bn1 = norm(channels)
        self.conv2 = nn.Conv2d(channels, channels, kernel_size=3, padding=1, bias=False)
        self.bn2 = norm(channels)
        self.downsample = _shortcut(inputs, channels, stride, norm)

    def forward(self, x: Tensor) -> Tensor:
        """Map `[n, inputs, height, width]` to `[n, channels, height / stride, width / stride]`."""
        maps = relu(self.bn1(self.conv1(x)))
        maps = self.bn2(self.conv2(maps))
        return relu(maps + self.downsample(x))


class Bottleneck(nn.Module):
    """A 3 x 3 convolution between two of 1 x 1, and the way around them; the stride is the middle one's."""

    expansion = 4

    def __init__(self, inputs: int, channels: int, stride: int, norm: Norm) -> None:
        super().__init__()
        outputs = self.expansion * channels
        self.conv1 = nn.Conv2d(inputs, channels, kernel_size=1, bias=False)
        self.bn1 = norm(channels)
        self.conv2 = nn.Conv2d(channels, channels, kernel_size=3, stride=stride, padding=1, bias=False)
        self.bn2 = norm(channels)
        self.conv3 = nn.Conv2d(channels, outputs, kernel_size=1, bias=False)
        self.bn3 = norm(outputs)
        self.downsample = _shortcut(inputs, outputs, stride, norm)

    def forward(self, x: Tensor) -> Tensor:
        """Map `[n, inputs, height, width]` to `[n, 4 channels, height / stride, width / stride]`."""
        maps = relu(self.bn1(self.conv1(x)))
        maps = relu(self.bn2(self.conv2(maps)))
        maps = self.bn3(self.conv3(maps))
        return relu(maps + self.downsample(x))


class ResNet(nn.Module):
    """A residual network (He et al., 2016) of four stages of 1, 2, 4 and 8 times `width` channels.

    It is torchvision's network (version 1.5 for 50 layers) but for its stem, one 3 x 3 convolution
    of stride 1 without pooling, as small images need it. At width 64 it has torchvision's number of
    parameters, less those that a 7 x 7 stem has more.
    """

    layers: int
    block: type[BasicBlock] | type[Bottleneck] = BasicBlock
    norm: Norm = nn.BatchNorm2d

    def __init__(self, input_shape: tuple[int, ...], classes: int, width: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(input_shape[0], width, kernel_size=3, padding=1, bias=False)
        self.bn1 = type(self).norm(width)
        stages = [(width << stage, blocks, min(stage, 1) + 1) for stage, blocks in enumerate(BLOCKS[self.layers])]
        inputs = width
        for number, (channels, blocks, stride) in enumerate(stages, start=1):
            self.add_module(f"layer{number}", self._stage(inputs, channels, blocks, stride))
            inputs = channels * self.block.expansion
        self.fc = nn.Linear(inputs, classes)

    def _stage(self, inputs: int, channels: int, blocks: int, stride: int) -> nn.Sequential:
        outputs, norm = channels * self.block.expansion, type(self).norm
        first = self.block(inputs, channels, stride, norm)
        return nn.Sequential(first, *(self.block(outputs, channels, 1, norm) for _ in range(blocks - 1)))

    def forward(self, x: Tensor) -> Tensor:
        """Map images `[n, channels, height, width]` to logits `[n, classes]`."""
        maps = relu(self.bn1(self.conv1(x)))
        for number in range(1, 5):
            maps = self.get_submodule(f"layer{number}")(maps)
        logits: Tensor = self.fc(maps.mean(dim=(2, 3)))
        return logits


class ResNet18(ResNet):
    """18 layers with batch normalisation."""

    layers = 18


class ResNet34(ResNet):
    """34 layers with batch normalisation."""

    layers = 34


class ResNet50(ResNet):
    """50 layers with batch normalisation."""

    layers = 50
    block = Bottleneck


class ResNet18GroupNorm(ResNet18):
    """18 layers with group normalisation."""

    norm = staticmethod(group_norm)


class ResNet34GroupNorm(ResNet34):
    """34 layers with group normalisation."""

    norm = staticmethod(group_norm)


class ResNet50GroupNorm(ResNet50):
    """50 layers with group normalisation."""

    norm = staticmethod(group_norm)


def _shortcut(inputs: int, outputs: int, stride: int, norm: Norm) -> nn.Module:
    """What the input goes through on its way around a block: nothing, or a 1 x 1 convolution where shapes change."""
    if stride == 1 and inputs == outputs:
        return nn.Identity()
    return nn.Sequential(nn.Conv2d(inputs, outputs, kernel_size=1, stride=stride, bias=False), norm(outputs))
