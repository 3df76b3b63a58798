"""What a merge method is: a pure function of the tensors of one name, with its formula, source, settings and needs."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from math import inf
from typing import Annotated, Any, TypeVar, get_args, get_origin, get_type_hints

import torch
from torch import Tensor

from schemas.errors import UsageError

NEEDS = {
    "parent": "the model that the ingredients were fine-tuned from",
    "fishers": "a diagonal Fisher information of each ingredient",
    "grams": "Gram matrices of the inputs of each ingredient's linear layers",
}
Function = TypeVar("Function", bound=Callable[..., Tensor])
METHODS: dict[str, "Method"] = {}
"""Every method by its name; importing `learners.soups.methods` fills it."""


@dataclass(frozen=True)
class Setting:
    """What a setting of a method means, and which values it may have.

    Attributes:
        what: In words.
        least: Smallest value; None for any.
        most: Largest value; None for any.
        choices: The words that are allowed, for a setting that is a word.
    """

    what: str
    least: float | None = None
    most: float | None = None
    choices: tuple[str, ...] = ()


Weights = Annotated[Sequence[float] | None, Setting("a number for each ingredient; without it all count alike")]
Consensus = Annotated[bool, Setting("whether values whose sign the weighted majority does not share are left out")]
Normalize = Annotated[bool, Setting("whether the sum is divided by the sum of the weights")]
Scale = Annotated[float, Setting("factor of the merged task vector")]


@dataclass(frozen=True)
class Parameter:
    """One setting of a method: its name, its default, its type, and what it means."""

    name: str
    default: Any
    kind: type
    setting: Setting
    each: bool
    """Whether it is a list with a value for each ingredient."""


@dataclass(frozen=True)
class Method:
    """A registered merge method; calling it merges the tensors of one name.

    Attributes:
        name: What commands and recipes call it.
        formula: The merged tensor in terms of the ingredients' tensors.
        paper: Where it was published.
        merge: The function: ingredients' tensors first, then what it needs, then its settings.
        parameters: Its settings with their defaults.
        needs: Names in `NEEDS`.
        seeded: Whether it draws random numbers, so that it takes a `generator`.
        ordered: Whether the order of the ingredients matters.
        of_one_run: Whether they have to be the checkpoints of one run, in the order of its epochs.
        least: Fewest ingredients; one only where the parent takes part, since one model's mean is that model.
        most: Most ingredients; None for any number.
        elementwise: Whether each value hangs on nothing but the values at its place, so that a tensor can be merged
            piece by piece.
    """

    name: str
    formula: str
    paper: str
    merge: Callable[..., Tensor]
    parameters: tuple[Parameter, ...]
    needs: tuple[str, ...]
    seeded: bool
    ordered: bool
    of_one_run: bool
    least: int
    most: int | None
    elementwise: bool
    summary: str = field(default="")

    def __call__(self, tensors: Sequence[Tensor], **arguments: Any) -> Tensor:
        """Merge the tensors of one name; `arguments` are what the method needs and its settings."""
        return self.merge(tensors, **arguments)

    def checked(self, settings: Mapping[str, Any], ingredients: int) -> dict[str, Any]:
        """Complete settings by the defaults.

        Raises:
            UsageError: A setting is unknown, of the wrong type or out of its range, or there are too few or too many
                ingredients for this method.
        """
        if ingredients < self.least or (self.most is not None and ingredients > self.most):
            given = "1 is" if ingredients == 1 else f"{ingredients} are"
            help = "more" if ingredients < self.least else "fewer"
            raise UsageError(f"{self.name} takes {self._span()}, and {given} given; select {help}")
        known = {parameter.name: parameter for parameter in self.parameters}
        for name in settings:
            if name not in known:
                raise UsageError(f"{name}: {self.name} has no such setting; it has: {', '.join(known) or 'none'}")
        chosen = {name: _checked(self, known[name], value, ingredients) for name, value in settings.items()}
        complete = {name: parameter.default for name, parameter in known.items()} | chosen
        self._try(complete, ingredients)
        return complete

    def _span(self) -> str:
        """How many models it takes, in words."""
        models = "1 model" if self.least == 1 else f"{self.least} models"
        parent = " beside the parent" if "parent" in self.needs else ""
        return f"{'exactly' if self.least == self.most else 'at least'} {models}{parent}"

    def _try(self, settings: Mapping[str, Any], ingredients: int) -> None:
        """Merge something tiny, so that settings that do not fit together are found before anything is read."""
        tiny = [torch.eye(2, dtype=torch.float64) * (number + 1) for number in range(ingredients)]
        needed: dict[str, Any] = {need: tiny for need in self.needs if need != "parent"}
        if "parent" in self.needs:
            needed["parent"] = torch.zeros(2, 2, dtype=torch.float64)
        if self.seeded:
            needed["generator"] = torch.Generator().manual_seed(0)
        self.merge(tiny, **needed, **settings)


def method(
    *,
    formula: str,
    paper: str,
    least: int = 2,
    most: int | None = None,
    ordered: bool = False,
    of_one_run: bool = False,
    elementwise: bool = False,
) -> Callable[[Function], Function]:
    """Register a function `merge(tensors, ...)` as a method of the function's name.

    What the method needs and its settings are read from the function's signature: `parent`, `fishers` and `grams`
    are needs, `generator` makes it seeded, and everything after `*` with a `Setting` is a setting.
    """

    def register(function: Function) -> Function:
        hints = get_type_hints(function, include_extras=True)
        arguments = inspect.signature(function).parameters
        parameters = [
            _parameter(name, argument.default, hints[name])
            for name, argument in arguments.items()
            if argument.kind is argument.KEYWORD_ONLY and name != "generator"
        ]
        made = Method(
            name=function.__name__,
            formula=formula,
            paper=paper,
            merge=function,
            parameters=tuple(parameters),
            needs=tuple(need for need in NEEDS if need in arguments),
            seeded="generator" in arguments,
            ordered=ordered or of_one_run,
            of_one_run=of_one_run,
            least=least,
            most=most,
            elementwise=elementwise,
            summary=(function.__doc__ or "").strip().splitlines()[0],
        )
        METHODS[made.name] = made
        return function

    return register


def method_named(name: str) -> Method:
    """Give the method of a name; raise UsageError with the choices if there is none."""
    if name not in METHODS:
        raise UsageError(f"method {name!r} is unknown; choose one of: {', '.join(sorted(METHODS))}")
    return METHODS[name]


def _parameter(name: str, default: Any, hint: Any) -> Parameter:
    kind, setting = get_args(hint)[:2]
    each = get_origin(kind) is not None
    return Parameter(name, default, float if each else kind, setting, each)


def _checked(owner: Method, parameter: Parameter, value: Any, ingredients: int) -> Any:
    if not parameter.each:
        return _one(owner, parameter, value)
    if value is None:
        return None
    if isinstance(value, str) or not isinstance(value, Sequence) or len(value) != ingredients:
        raise UsageError(f"{parameter.name} = {value!r}: expected {ingredients} numbers, one for each ingredient")
    return [_one(owner, parameter, each) for each in value]


def _one(owner: Method, parameter: Parameter, value: Any) -> Any:
    setting, where = parameter.setting, f"{parameter.name} = {value!r}"
    if parameter.kind is bool and not isinstance(value, bool):
        raise UsageError(f"{where}: expected true or false ({setting.what})")
    if setting.choices and value not in setting.choices:
        raise UsageError(f"{where}: choose one of: {', '.join(setting.choices)} ({setting.what})")
    if parameter.kind not in (int, float):
        return value
    whole = parameter.kind is int
    if isinstance(value, bool) or not isinstance(value, int if whole else (int, float)) or not abs(value) < inf:
        raise UsageError(
            f"{where}: {owner.name} expects a {'whole number' if whole else 'number that is finite'} ({setting.what})"
        )
    least, most = setting.least, setting.most
    if (least is not None and value < least) or (most is not None and value > most):
        span = f"at least {least:g}" if most is None else f"from {least:g} to {most:g}"
        raise UsageError(f"{where}: expected {span} ({setting.what})")
    return value if whole else float(value)
