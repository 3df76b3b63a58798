"""Turns a module into the list of operations that the kernel runs."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from itertools import accumulate

import torch
from torch import Tensor, fx, nn
from torch.nn import functional

from zoo.architectures.dropout import KeyedDropout
from zoo.backends.lanes.described import Activation, DescribedMap, DescribedOperation, What

ACTIVATIONS: dict[Callable[..., Tensor], Activation] = {
    functional.gelu: Activation.GELU,
    functional.relu: Activation.RELU,
    torch.sigmoid: Activation.SIGMOID,
    functional.silu: Activation.SILU,
    torch.tanh: Activation.TANH,
}
USUAL: tuple[dict[str, object], ...] = ({}, {"inplace": False})
IN_PLACE = (Activation.RELU, Activation.TANH, Activation.SIGMOID)
"""Those whose derivative can be told from their result. They are monotone, too, and so commute with pooling."""


class NotOffered(Exception):
    """The kernel has no operation for something; the text says for what."""


@dataclass(frozen=True)
class Map:
    """A tensor of one sample, the operation that wrote it, and the map whose memory it looks at."""

    shape: tuple[int, int, int]
    writer: What | None
    memory_of: int
    border: int = 0

    @property
    def values(self) -> int:
        """Values of a sample in memory, the border among them."""
        channels, height, width = self.shape
        return channels * (height + 2 * self.border) * (width + 2 * self.border)


@dataclass(frozen=True)
class Operation:
    """As `DescribedOperation`."""

    what: What
    reads: int
    writes: int
    beside: int = -1
    numbers: tuple[int, ...] = ()
    rate: float = 0.0


@dataclass
class Program:
    """A network as the kernel runs it: maps, the first of which is the sample and the last the logits."""

    maps: list[Map]
    operations: list[Operation] = field(default_factory=list)
    dropouts: list[str] = field(default_factory=list)
    """Names of the buffers that hold the keys of its dropouts, in their order."""

    def new(self, shape: tuple[int, int, int], writer: What) -> int:
        """Add a map with a memory of its own; gives its number."""
        self.maps.append(Map(shape, writer, len(self.maps)))
        return len(self.maps) - 1

    def described_maps(self) -> list[DescribedMap]:
        """The maps as C++ takes them."""
        return [DescribedMap(*each.shape, each.border, each.memory_of) for each in self.maps]

    def described_operations(self) -> list[DescribedOperation]:
        """The operations as C++ takes them; nobody wants the slopes of the sample."""
        described = []
        for each in self.operations:
            slopes = self.maps[each.reads].memory_of != 0
            numbers = (*each.numbers, *[0] * (5 - len(each.numbers)))
            described.append(
                DescribedOperation(each.what, each.reads, each.writes, each.beside, slopes, numbers, each.rate)
            )
        return described

    @property
    def values(self) -> int:
        """Values that a sample leaves in memory: what maps hold, and the slopes."""
        return sum(2 * each.values for number, each in enumerate(self.maps) if each.memory_of == number)


class _Tracer(fx.Tracer):
    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return isinstance(m, KeyedDropout) or super().is_leaf_module(m, module_qualified_name)


def lower(module: nn.Module, input_shape: tuple[int, ...]) -> Program:
    """Turn a module into a program.

    An activation that is monotone and stands before a max-pooling is moved behind it, where there is
    less to do; the result is the same.

    Args:
        module: Such as a `zoo.architectures.skeleton`.
        input_shape: Channels, height and width of a sample.

    Raises:
        NotOffered: The module does something that the kernel has no operation for.
    """
    if len(input_shape) != 3:
        raise NotOffered("samples that are no images")
    try:
        graph = _Tracer().trace(module)
    except Exception as error:
        raise NotOffered(f"a module whose course hangs on its values ({type(error).__name__})") from error
    return _Lowering(module, graph, input_shape).program


class _Lowering:
    """Goes through a graph from the input to the output."""

    def __init__(self, module: nn.Module, graph: fx.Graph, shape: tuple[int, ...]) -> None:
        self.module = module
        self.offsets = _offsets(module)
        channels, height, width = shape
        self.program = Program([Map((channels, height, width), None, 0)])
        self.at: dict[fx.Node, int] = {}
        self.waiting: dict[fx.Node, Activation] = {}
        for node in graph.nodes:
            if node.op == "placeholder":
                self.at[node] = 0
            elif node.op != "output":
                self.at[node] = self._operation(node, self._source(node))

    def _source(self, node: fx.Node) -> fx.Node:
        source = node.args[0] if node.args else None
        if not isinstance(source, fx.Node) or source not in self.at:
            raise NotOffered(f"{_name(node)} of what is no map")
        if len(source.users) > 1:
            raise NotOffered("a value that is used twice, as in residual networks")
        return source

    def _operation(self, node: fx.Node, source: fx.Node) -> int:
        if node.op == "call_module":
            return self._layer(str(node.target), source)
        if node.op == "call_method" and node.target == "flatten" and node.args[1:] == (1,):
            return self._flat(self.at[source])
        if node.op == "call_function" and len(node.args) == 1 and node.kwargs in USUAL:
            for function, kind in ACTIVATIONS.items():
                if node.target is function:
                    return self._activation(kind, node, self.at[source])
        raise NotOffered(_name(node))

    def _layer(self, name: str, source: fx.Node) -> int:
        layer, at = self.module.get_submodule(name), self.at[source]
        if isinstance(layer, nn.Identity) or (isinstance(layer, KeyedDropout) and layer.rate == 0):
            return at
        if isinstance(layer, KeyedDropout):
            self.program.dropouts.append(f"{name}.key")
            shape, number = self.program.maps[at].shape, len(self.program.dropouts) - 1
            return self._kept(What.DROPOUT, at, shape, (number,), layer.rate)
        if isinstance(layer, nn.MaxPool2d):
            return self._pooling(layer, source)
        if isinstance(layer, nn.Conv2d):
            return self._convolution(name, layer, at)
        if isinstance(layer, nn.Linear):
            if self.program.maps[at].shape[1:] != (1, 1):
                raise NotOffered("a linear layer on maps")
            return self._product(name, at, (layer.out_features, 1, 1), (1, 1, 0))
        raise NotOffered(type(layer).__name__)

    def _flat(self, at: int) -> int:
        channels, height, width = self.program.maps[at].shape
        if height == width == 1:
            return at
        flat = Map((channels * height * width, 1, 1), self.program.maps[at].writer, self.program.maps[at].memory_of)
        self.program.maps.append(flat)
        return len(self.program.maps) - 1

    def _activation(self, kind: Activation, node: fx.Node, at: int) -> int:
        if kind in IN_PLACE and all(self._is_pooling(user) for user in node.users):
            self.waiting[node] = kind
            return at
        return self._activated(kind, at)

    def _is_pooling(self, node: fx.Node) -> bool:
        return node.op == "call_module" and isinstance(self.module.get_submodule(str(node.target)), nn.MaxPool2d)

    def _activated(self, kind: Activation, at: int) -> int:
        found = self.program.maps[at]
        overwritten = kind in IN_PLACE and found.writer not in (None, What.ACTIVATION)
        to = at if overwritten else self.program.new(found.shape, What.ACTIVATION)
        self.program.operations.append(Operation(What.ACTIVATION, at, to, numbers=(kind,)))
        if overwritten:
            self.program.maps[at] = replace(found, writer=What.ACTIVATION)
        return to

    def _pooling(self, layer: nn.MaxPool2d, source: fx.Node) -> int:
        size = layer.kernel_size
        options = (layer.stride, layer.padding, layer.dilation, layer.ceil_mode)
        if not isinstance(size, int) or options != (size, 0, 1, False):
            raise NotOffered("pooling whose windows overlap, or that pads")
        channels, height, width = self.program.maps[self.at[source]].shape
        to = self._kept(What.POOLING, self.at[source], (channels, height // size, width // size), (size,))
        return self._activated(self.waiting[source], to) if source in self.waiting else to

    def _kept(
        self, what: What, at: int, shape: tuple[int, int, int], numbers: tuple[int, ...], rate: float = 0.0
    ) -> int:
        """An operation that keeps something beside its result."""
        beside, to = self.program.new(shape, what), self.program.new(shape, what)
        self.program.operations.append(Operation(what, at, to, beside, numbers, rate))
        return to

    def _convolution(self, name: str, layer: nn.Conv2d, at: int) -> int:
        kernel, stride, padding = layer.kernel_size[0], layer.stride[0], layer.padding[0]
        alike = [(size, size) for size in (kernel, stride, padding)]
        square = [layer.kernel_size, layer.stride, layer.padding] == alike and not isinstance(padding, str)
        if not square or layer.groups > 1 or layer.dilation != (1, 1) or layer.padding_mode != "zeros":
            raise NotOffered("a convolution that is grouped, dilated, not square or not padded with zeros")
        found = self.program.maps[at]
        if padding and found.memory_of != at:
            raise NotOffered("a padded convolution of a flattened map")
        self.program.maps[at] = replace(found, border=max(found.border, int(padding)))
        sides = [(side + 2 * int(padding) - kernel) // stride + 1 for side in found.shape[1:]]
        return self._product(name, at, (layer.out_channels, sides[0], sides[1]), (kernel, stride, int(padding)))

    def _product(self, name: str, at: int, shape: tuple[int, int, int], window: tuple[int, int, int]) -> int:
        to = self.program.new(shape, What.CONVOLUTION)
        numbers = (*window, self.offsets[f"{name}.weight"], self.offsets.get(f"{name}.bias", -1))
        self.program.operations.append(Operation(What.CONVOLUTION, at, to, numbers=numbers))
        return to


def _name(node: fx.Node) -> str:
    return str(getattr(node.target, "__name__", node.target))


def _offsets(module: nn.Module) -> dict[str, int]:
    """Where each parameter begins when all are written one after the other."""
    sizes = {name: parameter.numel() for name, parameter in module.named_parameters()}
    return dict(zip(sizes, accumulate([0, *sizes.values()]), strict=False))
