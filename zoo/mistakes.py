"""Says in one line what is wrong with a value that a person wrote, what is allowed, and what was likely meant."""

import difflib
from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import BaseModel, ValidationError

from schemas.errors import UsageError

LONGEST = 60
BOUNDS = {
    "greater_than": "more than {}",
    "greater_than_equal": "at least {}",
    "less_than": "less than {}",
    "less_than_equal": "at most {}",
}
"""What pydantic's kinds of mistakes mean, which name one limit each."""
KINDS = {
    "int_": "expected a whole number",
    "float_": "expected a number",
    "finite_number": "expected a finite number",
    "string_type": 'expected a text, in quotes as "this"',
    "bool_": "expected true or false",
    "tuple_type": "expected a list, as [1, 2]",
    "list_type": "expected a list, as [1, 2]",
}
"""What was expected, by the beginning of pydantic's kind of mistake."""


def expected_one_of(value: str, choices: Iterable[str]) -> str:
    """List the choices, and the one that was likely meant.

    >>> expected_one_of("sgdd", ["sgd", "adamw"])
    "expected one of: adamw, sgd; did you mean 'sgd'?"
    """
    ordered = sorted(choices)
    near = difflib.get_close_matches(value, ordered, n=1)
    return f"expected one of: {', '.join(ordered)}" + (f"; did you mean {near[0]!r}?" if near else "")


def check_model_ids(model_ids: Iterable[object]) -> None:
    """Raise UsageError, naming the first of these that is no text and so cannot name a model."""
    for model_id in model_ids:
        if not isinstance(model_id, str):
            raise UsageError(f"model_id {_shortened(model_id)}: expected a text such as 'huggingface:owner/name'")


def explained(error: ValidationError, model: type[BaseModel]) -> str:
    """Put the first mistake of a validation into one line; an unknown key comes before all others."""
    mistakes = error.errors(include_url=False)
    first: Mapping[str, Any] = min(mistakes, key=lambda mistake: mistake["type"] != "extra_forbidden")
    path = [part for part in first["loc"] if isinstance(part, str)]
    key = ".".join(path)
    if first["type"] == "extra_forbidden":
        return f"{key} is no key: {expected_one_of(path[-1], _keys(model, path[:-1]))}"
    if first["type"] == "missing":
        return f"{key} is missing"
    if first["type"] == "model_type":
        return f"{key} = {_shortened(first['input'])}: expected a table with keys: {', '.join(_keys(model, path))}"
    if first["type"] == "too_short":
        return f"{key} is empty: expected at least one value"
    message = what_was_expected(first)
    return f"{key} = {_shortened(first['input'])}: {message}" if key else message


def what_was_expected(mistake: Mapping[str, Any]) -> str:
    """What a value should have been, in words for people; those of our own checks as they are."""
    kind, context = str(mistake["type"]), mistake.get("ctx", {})
    if kind in BOUNDS:
        return f"expected {BOUNDS[kind].format(*(f'{limit}'.removesuffix('.0') for limit in context.values()))}"
    words = next((words for start, words in KINDS.items() if kind.startswith(start)), None)
    return words or str(mistake["msg"]).removeprefix("Value error, ").replace("Input should be", "expected")


def _keys(model: type[BaseModel], path: list[str]) -> list[str]:
    for name in path:
        inner = model.model_fields[name].annotation
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            model = inner
    return list(model.model_fields)


def _shortened(value: object) -> str:
    text = str(value).lower() if isinstance(value, bool) else repr(value)
    return text if len(text) <= LONGEST else text[: LONGEST - 4] + " ..."
