"""What a caller says of models that the lake does not know how to run: how they are built, told by names and shapes."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from schemas import UsageError
from zoo.describe import Description
from zoo.mistakes import explained

Shapes = Mapping[str, tuple[int, ...]]
One = Description | Mapping[str, Any]
Given = One | Sequence[One]


def given_descriptions(given: Given) -> tuple[Description, ...]:
    """What was given, one or several, or their fields, without where they started: that is not for the caller to say.

    Raises:
        UsageError: Fields are none of a description.
    """
    several = (given,) if isinstance(given, Description | Mapping) else tuple(given)
    try:
        return tuple(Description.model_validate(each).model_copy(update={"init": None}) for each in several)
    except ValidationError as error:
        raise UsageError(f"description: {explained(error, Description)}") from error


def described_by(given: Iterable[Description], model_id: str, shapes: Shapes) -> Description | None:
    """The description whose network has tensors of these names and shapes; None where none was given.

    Raises:
        UsageError: None of them has; the message names a tensor that differs from the first one's.
    """
    first: Shapes | None = None
    for description in given:
        theirs = {name: tuple(tensor.shape) for name, tensor in description.skeleton().state_dict().items()}
        if theirs == shapes:
            return description
        first = first or theirs
    if first is None:
        return None
    name = next(name for name in sorted(shapes.keys() | first) if shapes.get(name) != first.get(name))
    raise UsageError(
        f"{model_id} is built like none of what was given: {name} is {_said(shapes, name)} in it, and "
        f"{_said(first, name)} in the first that was given (--description)"
    )


def _said(shapes: Shapes, name: str) -> str:
    return str(list(shapes[name])) if name in shapes else "absent"
