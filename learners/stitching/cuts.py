"""Finds where a network can be cut in two: by tracing it, and looking for values through which everything passes.

A value is a bottleneck if whatever is computed after it depends on the samples through it alone. Bottlenecks
at the boundaries of blocks are cuts. Without a name for the blocks, they are found so: a layer is a module with
parameters of its own that the network's forward function calls (or an `nn.Sequential` in it), and what
normalises, activates or pools after a layer belongs to it. A layer that is made of layers is a block, whatever
stands around it; of the others the first is the stem and the last the head.
"""

from collections.abc import Iterator, Sequence
from itertools import pairwise

from torch import fx, nn
from torch.nn.modules.batchnorm import _NormBase

from learners.stitching.chain import Chain
from learners.stitching.modes import follow_layers, traced
from schemas.errors import UsageError

NORMS = (_NormBase, nn.GroupNorm, nn.LayerNorm, nn.RMSNorm)
RESHAPING = {"contiguous", "flatten", "movedim", "permute", "reshape", "squeeze", "transpose", "unsqueeze", "view"}


def trace(module: nn.Module, blocks: str | None = None) -> Chain:
    """Cut a network at the boundaries of its blocks.

    Args:
        module: The network; it may be a skeleton on the meta device. What its own forward function reads as
            `self.training` is read anew at every run, from the layers around. Where more than numbers hang on
            it, as with `if self.training:`, the cut network is the one of evaluation in training too.
        blocks: Name of the part of it, an `nn.Sequential` or the like, whose children are the blocks; the
            empty name is the network itself. Without it they are found.

    Raises:
        UsageError: The forward function cannot be traced, or there are no cuts, or something else than the
            boundary's value passes from before it to behind it; the message says what.
    """
    try:
        nodes = list(traced(module, lambda: _Tracer(blocks).trace(module)).nodes)
    except (fx.proxy.TraceError, TypeError, RuntimeError) as error:
        reason = str(error).partition("\n")[0]
        raise UsageError(f"a {type(module).__name__} cannot be traced, so it cannot be cut: {reason}") from error
    found = _between_layers(module, nodes) if blocks is None else _around(module, nodes, blocks)
    if not found:
        raise UsageError(
            f"a {type(module).__name__} has no cuts: expected at least two layers with a single value between them"
        )
    ends = [*(node for node, _ in found), nodes[-1].args[0]]
    starts = [next(node for node in nodes if node.op == "placeholder"), *ends[:-1]]
    segments = [_segment(module, nodes, start, end) for start, end in zip(starts, ends, strict=True)]
    return Chain(tuple(segments), tuple(name for _, name in found), type(module).__name__)


class _Tracer(fx.Tracer):
    """Looks into the network itself, into sequences, and into whatever the blocks lie in; a block stays whole."""

    def __init__(self, blocks: str | None) -> None:
        super().__init__()
        self.blocks = blocks

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        if self.blocks is None:
            return not isinstance(m, nn.Sequential)
        if module_qualified_name.rpartition(".")[0] == self.blocks:
            return True
        return not (self.blocks + ".").startswith(module_qualified_name + ".")


def _between_layers(module: nn.Module, nodes: Sequence[fx.Node]) -> list[tuple[fx.Node, str]]:
    """The last bottleneck between each two layers, but the first one behind a layer that is made of layers."""
    order = {node: number for number, node in enumerate(nodes)}
    layers = [node for node in nodes if node.op == "call_module" and _is_layer(module.get_submodule(str(node.target)))]
    bottlenecks = list(_bottlenecks(nodes))
    cuts = []
    for layer, following in pairwise([*layers, nodes[-1]]):
        between = [node for node in bottlenecks if order[layer] <= order[node] < order[following]]
        whole = any(True for _ in module.get_submodule(str(layer.target)).children())
        if between and (whole or following is not nodes[-1]):
            cuts.append((between[0] if whole else _before_reshaping(between), str(layer.target)))
    return cuts


def _is_layer(module: nn.Module) -> bool:
    return not isinstance(module, NORMS) and any(True for _ in module.parameters())


def _before_reshaping(values: Sequence[fx.Node]) -> fx.Node:
    """The last value that is no mere other shape of the one before it."""
    arithmetic = [node for node in values if _function(node) not in RESHAPING]
    return arithmetic[-1] if arithmetic else values[0]


def _function(node: fx.Node) -> str:
    return node.target if isinstance(node.target, str) else getattr(node.target, "__name__", "")


def _around(module: nn.Module, nodes: Sequence[fx.Node], blocks: str) -> list[tuple[fx.Node, str]]:
    """What goes into the first of the named blocks, unless it is the samples, and what comes out of each."""
    try:
        children = list(module.get_submodule(blocks).named_children())
    except AttributeError as error:
        parts = ", ".join(name for name, part in module.named_modules() if name and any(True for _ in part.children()))
        raise UsageError(f"a {type(module).__name__} has no part {blocks!r}; it has {parts or 'none'}") from error
    names = {f"{blocks}.{name}" if blocks else name for name, _ in children}
    calls = [node for node in nodes if node.op == "call_module" and node.target in names]
    if len(calls) < 2 or len({node.target for node in calls}) < len(calls):
        raise UsageError(f"{blocks!r} of a {type(module).__name__} is no sequence of blocks that are called once each")
    bottlenecks = set(_bottlenecks(nodes))
    first = calls[0].args[0]
    boundaries = [(node, str(node.target)) for node in calls]
    if isinstance(first, fx.Node) and first.op != "placeholder":
        boundaries.insert(0, (first, "before " + str(calls[0].target)))
    if boundaries[-1][0] is nodes[-1].args[0]:
        boundaries.pop()
    for node, name in boundaries:
        if node not in bottlenecks:
            raise UsageError(f"{name} is no place to cut: more than its value is used by what comes after it")
    return boundaries


def _bottlenecks(nodes: Sequence[fx.Node]) -> Iterator[fx.Node]:
    """The values through which everything passes that depends on the samples, without samples and outputs."""
    order = {node: number for number, node in enumerate(nodes)}
    depending: set[fx.Node] = set()
    needed_until = 0
    for number, node in enumerate(nodes[:-1]):
        if node.op != "placeholder" and not depending & set(node.all_input_nodes):
            continue
        if node.op != "placeholder" and needed_until <= number and node is not nodes[-1].args[0]:
            yield node
        depending.add(node)
        needed_until = max([needed_until, *(order[user] for user in node.users)])


def _segment(module: nn.Module, nodes: Sequence[fx.Node], start: fx.Node, end: fx.Node) -> fx.GraphModule:
    """The part of the graph from one value to another; what depends on no sample is computed where it is used."""
    graph = fx.Graph()
    copies = {start: graph.placeholder("x")}

    def copy(node: fx.Node) -> fx.Node:
        if node not in copies:
            for needed in node.all_input_nodes:
                copy(needed)
            copies[node] = graph.node_copy(node, copies.__getitem__)
        return copies[node]

    graph.output(copy(end))
    follow_layers(graph)
    return fx.GraphModule(module, graph)
