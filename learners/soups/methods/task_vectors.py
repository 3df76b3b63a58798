"""Adds up the differences between models and their parent, as all merges of task vectors do."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any, get_type_hints

import torch
from torch import Tensor

from learners.soups.methods.method import Consensus, Normalize, Scale, Weights, method
from learners.soups.methods.pieces import pieces

NO_WEIGHT = 1e-8
"""Weights that sum to less than this are not divided by."""

Sparsify = Callable[..., Tensor]
"""What is done to a task vector before it is added: values are left out, others may grow. Its settings are keywords."""


def task_vectors(
    *, formula: str, paper: str, consensus: bool | None, normalize: bool
) -> Callable[[Sparsify], Callable[..., Tensor]]:
    """Register a merge of task vectors, given by what it does to each of them.

    The method has the settings of the function, and those that all merges of task vectors share: `weights`,
    `consensus`, `normalize` and `scale`. Where the function takes a `generator`, so does the method.

    Args:
        formula: As in `method`.
        paper: As in `method`.
        consensus: Default of this setting; None for a method that has consensus always.
        normalize: Default of this setting.
    """
    usual: dict[str, tuple[Any, Any]] = {"weights": (Weights, None)}
    last: dict[str, tuple[Any, Any]] = {"consensus": (Consensus, consensus)} if consensus is not None else {}
    last |= {"normalize": (Normalize, normalize), "scale": (Scale, 1.0)}

    def register(sparsify: Sparsify) -> Callable[..., Tensor]:
        own = inspect.signature(sparsify).parameters
        settings = [name for name in own if name != "delta"]

        def merge(tensors: Sequence[Tensor], parent: Tensor, **given: Any) -> Tensor:
            chosen = {name: given.pop(name) for name in settings if name in given}
            options = {"consensus": True} | {name: default for name, (_, default) in (usual | last).items()} | given
            return merged(
                tensors,
                parent,
                options.pop("weights"),
                lambda delta: sparsify(delta, **chosen),
                generator=chosen.get("generator"),
                **options,
            )

        hints = get_type_hints(sparsify, include_extras=True)
        parameters = [
            *inspect.signature(_positional).parameters.values(),
            *_keywords(usual),
            *(own[name].replace(annotation=hints[name]) for name in settings),
            *_keywords(last),
        ]
        merge.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined] # what inspect looks at first
        merge.__annotations__ = {each.name: each.annotation for each in parameters}
        merge.__name__, merge.__qualname__, merge.__doc__ = sparsify.__name__, sparsify.__name__, sparsify.__doc__
        merge.__module__ = sparsify.__module__
        return method(formula=formula, paper=paper, least=1)(merge)

    return register


def _keywords(settings: Mapping[str, tuple[Any, Any]]) -> list[inspect.Parameter]:
    kind = inspect.Parameter.KEYWORD_ONLY
    return [inspect.Parameter(name, kind, default=usual, annotation=hint) for name, (hint, usual) in settings.items()]


def _positional(tensors: Sequence[Tensor], parent: Tensor) -> None:
    """What every merge of task vectors is given."""


def weights_of(tensors: Sequence[Tensor], weights: Sequence[float] | None) -> list[float]:
    """The weights, or ones."""
    return [1.0] * len(tensors) if weights is None else list(weights)


def merged(
    tensors: Sequence[Tensor],
    parent: Tensor,
    weights: Sequence[float] | None,
    sparsify: Sparsify,
    *,
    consensus: bool,
    normalize: bool,
    scale: float,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Give parent + scale * (sum of weighted sparse task vectors), one task vector in memory at a time.

    With consensus the ingredients are read twice: for the signs, and for the sum of what has them.

    Args:
        tensors: One a model.
        parent: What they are compared with.
        weights: A number for each task vector.
        sparsify: What each goes through.
        consensus: Leave out values of the sign that the weighted majority of the sum does not have (TIES).
        normalize: Divide by the sum of the weights that count at each place.
        scale: Factor of the sum.
        generator: What `sparsify` draws from; it draws the same each time that the ingredients are read.
    """
    begun = None if generator is None else generator.get_state()
    shares = weights_of(tensors, weights)

    def read(use: Callable[[Tensor, float], None]) -> None:
        if generator is not None and begun is not None:
            generator.set_state(begun)
        for number, weight in enumerate(shares):
            use(sparsify(tensors[number] - parent), weight)  # held by nobody, so that it is gone before the next

    total = torch.zeros(parent.shape, dtype=parent.dtype)

    def add(delta: Tensor, weight: float) -> None:
        total.add_(delta, alpha=weight)

    read(add)
    if consensus:
        _keep_agreed(read, total, normalize)
    elif normalize and abs(sum(shares)) > NO_WEIGHT:
        total.div_(sum(shares))
    return total.mul_(scale).add_(parent)


def _keep_agreed(read: Callable[[Callable[[Tensor, float], None]], None], total: Tensor, normalize: bool) -> None:
    """Put in place of the weighted sum that of the values which have its sign."""
    positive = total >= 0
    total.zero_()
    divisor = torch.zeros_like(total) if normalize else None

    def add(delta: Tensor, weight: float) -> None:
        for value, sign, into, *count in pieces(delta, positive, total, *([] if divisor is None else [divisor])):
            agrees = ((value.mul_(weight) > 0) == sign) & (value != 0)
            into.add_(value.mul_(agrees))
            for weights in count:
                weights.add_(agrees, alpha=weight)

    read(add)
    if divisor is not None:
        total.div_(divisor.masked_fill_(divisor == 0, 1.0))
