"""How torch's operations relate the dimensions of what goes in to those of what comes out."""

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from torch import Tensor

from learners.soups.alignment.axes import Axis, Dimension, fix, leaves, regroup, split, unify


class Labels(Protocol):
    """The dimensions of tensors that have been met."""

    def get(self, tensor: Tensor) -> list[Dimension]:
        """Dimensions of a tensor; of one that nobody has named the order is fixed."""

    def put(self, tensor: Tensor, dimensions: list[Dimension]) -> None:
        """Name the dimensions of a tensor."""


Rule = Callable[[Labels, tuple[Any, ...], Any], None]
"""Reads the labels of an operation's arguments and writes those of its result."""


def fixed_axes(sizes: Sequence[int]) -> list[Dimension]:
    """New dimensions whose order matters."""
    return [[Axis(size, fixed=True)] if size > 1 else [] for size in sizes]


def _tensors(arguments: Sequence[Any]) -> list[Tensor]:
    found = []
    for argument in arguments:
        if isinstance(argument, Tensor):
            found.append(argument)
        elif isinstance(argument, list | tuple):
            found += _tensors(argument)
    return found


def pointwise(labels: Labels, arguments: tuple[Any, ...], out: Any) -> None:
    """Each value of the result hangs on the values at its place: dimensions of equal size are the same."""
    result: list[Dimension | None] = [None] * out.ndim
    for tensor in _tensors(arguments):
        dimensions = labels.get(tensor)
        for back in range(1, len(dimensions) + 1):
            if tensor.shape[-back] == 1:
                continue
            known = result[-back]
            if known is None:
                result[-back] = dimensions[-back]
            else:
                unify(known, dimensions[-back])
    labels.put(out, [dimension if dimension is not None else [] for dimension in result])


def unchanged(labels: Labels, arguments: tuple[Any, ...], out: Any) -> None:
    """The result has the dimensions of the first argument."""
    labels.put(out, labels.get(arguments[0]))


def reshaped(labels: Labels, arguments: tuple[Any, ...], out: Any) -> None:
    """The same values in another shape: factors are joined and cut."""
    dimensions = labels.get(arguments[0])
    found = regroup(dimensions, out.shape)
    if found is None:
        for dimension in dimensions:
            fix(dimension)
        found = fixed_axes(out.shape)
    labels.put(out, found)


def permuted(labels: Labels, arguments: tuple[Any, ...], out: Any) -> None:
    """Dimensions in another order."""
    dimensions = labels.get(arguments[0])
    labels.put(out, [dimensions[axis] for axis in arguments[1]])


def transposed(labels: Labels, arguments: tuple[Any, ...], out: Any) -> None:
    """Two dimensions change places; of `t` and `numpy_T` all are turned around."""
    dimensions = list(labels.get(arguments[0]))
    if len(arguments) < 3:
        dimensions.reverse()
    else:
        first, second = arguments[1], arguments[2]
        dimensions[first], dimensions[second] = dimensions[second], dimensions[first]
    labels.put(out, dimensions)


def expanded(labels: Labels, arguments: tuple[Any, ...], out: Any) -> None:
    """A single place is repeated: all places of the new dimension are alike, so that it may have any order."""
    tensor, dimensions = arguments[0], labels.get(arguments[0])
    result: list[Dimension] = []
    for place, places in enumerate(out.shape):
        old = place - (out.ndim - tensor.ndim)
        kept = old >= 0 and tensor.shape[old] == places
        result.append(dimensions[old] if kept else [Axis(places)])
    labels.put(out, result)


def unsqueezed(labels: Labels, arguments: tuple[Any, ...], out: Any) -> None:
    """A dimension of one place is added."""
    dimensions = list(labels.get(arguments[0]))
    dimensions.insert(arguments[1] % out.ndim, [])
    labels.put(out, dimensions)


def squeezed(labels: Labels, arguments: tuple[Any, ...], out: Any) -> None:
    """Dimensions of one place are dropped."""
    tensor = arguments[0]
    which = range(tensor.ndim) if len(arguments) < 2 else _list(arguments[1])
    dropped = {axis % tensor.ndim for axis in which if tensor.shape[axis] == 1}
    labels.put(out, [each for axis, each in enumerate(labels.get(tensor)) if axis not in dropped])


def selected(labels: Labels, arguments: tuple[Any, ...], out: Any) -> None:
    """One place of a dimension is taken: its order is fixed."""
    dimensions = list(labels.get(arguments[0]))
    fix(dimensions.pop(arguments[1] if len(arguments) > 1 else 0))
    labels.put(out, dimensions)


def parted(labels: Labels, arguments: tuple[Any, ...], out: Any) -> None:
    """A dimension is cut into pieces (slice, split, unbind): its order is fixed, unless all of it is taken."""
    tensor, dimensions = arguments[0], labels.get(arguments[0])
    pieces = [out] if isinstance(out, Tensor) else list(out)
    for piece in pieces:
        gone = tensor.ndim - piece.ndim
        own = list(dimensions)
        if gone:
            own.pop(arguments[1] if len(arguments) > 1 else 0)
        for axis, places in enumerate(piece.shape):
            if not gone and places != tensor.shape[axis]:
                fix(dimensions[axis])
                own[axis] = fixed_axes([places])[0]
        labels.put(piece, own)
    if pieces and tensor.ndim > pieces[0].ndim:
        fix(dimensions[arguments[1] if len(arguments) > 1 else 0])


def joined(labels: Labels, arguments: tuple[Any, ...], out: Any) -> None:
    """Tensors side by side: the dimension along which they lie is fixed, the others are the same."""
    tensors = arguments[0]
    along = (arguments[1] if len(arguments) > 1 else 0) % out.ndim
    stacked = tensors[0].ndim < out.ndim
    first = list(labels.get(tensors[0]))
    for tensor in tensors:
        for axis, dimension in enumerate(labels.get(tensor)):
            if axis == along and not stacked:
                fix(dimension)
            else:
                unify(first[axis], dimension)
    if stacked:
        first.insert(along, [])
    first[along] = fixed_axes([out.shape[along]])[0]
    labels.put(out, first)


def reduced(labels: Labels, arguments: tuple[Any, ...], out: Any) -> None:
    """Dimensions are summed or averaged over, in which any order gives the same."""
    tensor = arguments[0]
    axes = _list(arguments[1]) if len(arguments) > 1 and arguments[1] not in (None, []) else range(tensor.ndim)
    gone = {axis % tensor.ndim for axis in axes}
    dimensions = labels.get(tensor)
    kept = out.ndim == tensor.ndim
    labels.put(out, [[] if axis in gone else each for axis, each in enumerate(dimensions) if kept or axis not in gone])


def multiplied(labels: Labels, arguments: tuple[Any, ...], out: Any) -> None:
    """Matrices (mm, bmm, and with a sum first addmm, baddbmm): the inner dimensions are the same."""
    *added, first, second = _tensors(arguments)
    one, other = labels.get(first), labels.get(second)
    unify(one[-1], other[-2])
    result = [one[-2], other[-1]]
    if first.ndim == 3:
        unify(one[0], other[0])
        result.insert(0, one[0])
    labels.put(out, result)
    if added:
        pointwise(labels, (*added, out), out)


def convolved(labels: Labels, arguments: tuple[Any, ...], out: Any) -> None:
    """Channels in are those of the weights, channels out their first dimension; places are fixed."""
    x, weight, bias = arguments[:3]
    groups = arguments[8]
    channels, inside = labels.get(x)[1], labels.get(weight)
    for dimension in (*labels.get(x)[2:], *inside[2:]):
        fix(dimension)
    outputs = inside[0]
    if arguments[6] or (groups != 1 and not weight.shape[0] == weight.shape[1] * groups == groups):
        for dimension in (channels, *inside[:2]):  # transposed, or in groups of several channels
            fix(dimension)
        outputs = fixed_axes([out.shape[1]])[0]
    elif groups == 1:
        unify(channels, inside[1])
    else:
        unify(channels, outputs)
    if bias is not None:
        unify(outputs, labels.get(bias)[0])
    labels.put(out, [labels.get(x)[0], outputs, *fixed_axes(out.shape[2:])])


def pooled(labels: Labels, arguments: tuple[Any, ...], out: Any) -> None:
    """Channels stay, places are fixed."""
    result = out if isinstance(out, Tensor) else out[0]
    dimensions = labels.get(arguments[0])
    for dimension in dimensions[2:]:
        fix(dimension)
    labels.put(result, [*dimensions[:2], *fixed_axes(result.shape[2:])])


def embedded(labels: Labels, arguments: tuple[Any, ...], out: Any) -> None:
    """Rows are looked up: the order of the rows is fixed."""
    weight, indices = arguments[:2]
    rows, columns = labels.get(weight)
    fix(rows)
    labels.put(out, [*labels.get(indices), columns])


def layer_normalised(labels: Labels, arguments: tuple[Any, ...], out: Any) -> None:
    """Means over the last dimensions do not hang on their order; scale and shift have it too."""
    dimensions = labels.get(arguments[0])
    for vector in _tensors(arguments[2:4]):
        for mine, theirs in zip(dimensions[-vector.ndim :], labels.get(vector), strict=True):
            unify(mine, theirs)
    labels.put(out[0], dimensions)


def batch_normalised(labels: Labels, arguments: tuple[Any, ...], out: Any) -> None:
    """Scale, shift and running statistics have the order of the channels."""
    dimensions = labels.get(arguments[0])
    for vector in _tensors(arguments[1:5]):
        unify(dimensions[1], labels.get(vector)[0])
    labels.put(out if isinstance(out, Tensor) else out[0], dimensions)


def group_normalised(labels: Labels, arguments: tuple[Any, ...], out: Any) -> None:
    """Groups may change places, and channels within all groups alike."""
    groups, dimensions = arguments[6], labels.get(arguments[0])
    channels = leaves(dimensions[1])
    if len(channels) == 1 and groups not in (1, channels[0].size):
        split(channels[0], [groups, channels[0].size // groups])
    elif len(channels) > 1 and groups != 1 and channels[0].size != groups:
        fix(dimensions[1])
    for vector in _tensors(arguments[1:3]):
        unify(dimensions[1], labels.get(vector)[0])
    labels.put(out[0], dimensions)


def triangular(labels: Labels, arguments: tuple[Any, ...], out: Any) -> None:
    """What is kept of a matrix hangs on rows and columns."""
    dimensions = labels.get(arguments[0])
    for dimension in dimensions[-2:]:
        fix(dimension)
    labels.put(out, dimensions)


def _list(value: Any) -> list[int]:
    return [value] if isinstance(value, int) else list(value)
