"""Every text that is published passes here: cards, their front matter and configurations, without e-mail addresses."""

import json
from collections.abc import Mapping
from typing import Any

import yaml

from zoo.publishing.emails import scrub


def front_matter(fields: Mapping[str, object]) -> str:
    """The front matter of a card, in YAML; fields without a value are left out."""
    said = {key: value for key, value in fields.items() if value}
    return yaml.safe_dump(without_addresses(said), sort_keys=False, allow_unicode=True)


def text_bytes(text: str) -> bytes:
    """A text as it is written."""
    return scrub(text).encode()


def json_bytes(value: object) -> bytes:
    """A value as JSON as it is written."""
    return json.dumps(without_addresses(value), indent=2).encode() + b"\n"


def without_addresses(value: Any) -> Any:
    """The same value with every text in it, names of fields too, without addresses."""
    if isinstance(value, str):
        return scrub(value)
    if isinstance(value, Mapping):
        return {without_addresses(key): without_addresses(each) for key, each in value.items()}
    return [without_addresses(each) for each in value] if isinstance(value, list | tuple) else value
