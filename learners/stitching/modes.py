"""Traces a network whose forward function reads `self.training`, so that the trace goes on reading it.

A trace holds what `self.training` was when it was made: `F.dropout(x, training=self.training)` would drop values in
every evaluation of a network that was cut while it was in training. So the network is traced in both modes, and
where only numbers and flags differ, both stay in the graph, chosen at every run by the mode of a layer of it.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from torch import fx, nn


def traced(module: nn.Module, trace: Callable[[], fx.Graph]) -> fx.Graph:
    """The graph of evaluation, in which what is otherwise in training hangs on the layers' mode.

    Where the graphs of both modes differ in more than values, it is that of evaluation alone.

    Args:
        module: What is traced; its mode is afterwards what it was.
        trace: Traces it in the mode that it is in.
    """
    with in_mode(module, training=False):
        graph = trace()
    with in_mode(module, training=True):
        other = trace()
    nodes, others = list(graph.nodes), list(other.nodes)
    if [(node.op, node.target) for node in nodes] == [(node.op, node.target) for node in others]:
        for node, twin in zip(nodes, others, strict=True):
            _join(graph, node, twin)
    return graph


@contextmanager
def in_mode(*modules: nn.Module, training: bool) -> Iterator[None]:
    """Let modules, and all in them, be in training or in evaluation; afterwards each is in the mode that it was in."""
    parts = [part for module in modules for part in module.modules()]
    modes = [part.training for part in parts]
    for part in parts:
        part.training = training
    try:
        yield
    finally:
        for part, mode in zip(parts, modes, strict=True):
            part.training = mode


def _join(graph: fx.Graph, node: fx.Node, twin: fx.Node) -> None:
    """Put a choice wherever an argument of the evaluation's node has another value in training's."""

    def joined(mine: Any, its: Any) -> Any:
        if isinstance(mine, fx.Node) or type(mine) is not type(its):
            return mine
        if isinstance(mine, tuple | list) and len(mine) == len(its):
            return type(mine)(joined(*pair) for pair in zip(mine, its, strict=True))
        if isinstance(mine, dict) and mine.keys() == its.keys():
            return {key: joined(value, its[key]) for key, value in mine.items()}
        if not isinstance(mine, bool | int | float) or mine == its:
            return mine
        with graph.inserting_before(node):
            mode = graph.get_attr("training")
            return graph.call_function(chosen, (mode, its, mine))

    node.args, node.kwargs = joined(node.args, twin.args), joined(node.kwargs, twin.kwargs)


def follow_layers(graph: fx.Graph) -> None:
    """Let a part of a traced graph be in the mode of its first layer, which its owner puts into training or not."""
    layer = next((str(node.target) for node in graph.nodes if node.op == "call_module"), None)
    for node in graph.nodes:
        if layer is not None and node.op == "get_attr" and node.target == "training":
            node.target = f"{layer}.training"


def chosen(is_training: bool, training: float, evaluation: float) -> float:
    """The value of an argument in the mode that a network is in."""
    return training if is_training else evaluation
