"""A model as a hub's catalogue describes it, before it becomes rows."""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

from miners.evaluations import number
from miners.fields import LARGEST, moment

MILLION = 1_000_000
SHA256 = re.compile(r"[0-9a-fA-F]{64}")


class Lost(NamedTuple):
    """A record of a catalogue that cannot be stored: which one, and why."""

    subject: str
    reason: str


class PackageFile(NamedTuple):
    """A file of a model; its size in bytes and its SHA-256 where the hub says them."""

    path: str
    size: int | None = None
    sha256: str | None = None


class Score(NamedTuple):
    """A published result; `value_text` is the value as the source writes it, `evidence` the line that it is from."""

    task: str | None
    dataset: str | None
    config: str | None
    split: str | None
    metric: str
    value_text: str
    value: float | None
    source: str
    evidence: str | None = None


class Statement(NamedTuple):
    """Something said that has no column of its own."""

    name: str
    value: str
    number: float | None
    source: str
    evidence: str | None


@dataclass
class Package:
    """A model as a catalogue describes it. What the catalogue does not say stays None or empty.

    `name` is its `owner/name` or `name`, `records` how many records of the catalogue it is made of, and `card` its
    page as (path, bytes). `parameters_rounded_to` is what `parameters` is a multiple of, where the source has rounded
    it, None where it is exact. `parents` are models that it comes from, as (model_id, relation); `stored_bytes` is what
    the catalogue says of its size, where the files' sizes do not tell.
    """

    name: str
    hub_id: str | None = None
    task: str | None = None
    library: str | None = None
    architecture: str | None = None
    parameters: int | None = None
    parameters_rounded_to: int | None = None
    likes: int | None = None
    downloads_all_time: int | None = None
    stored_bytes: int | None = None
    private: bool | None = None
    gated: str | None = None
    created_at: datetime | None = None
    modified_at: datetime | None = None
    card: tuple[str, bytes] | None = None
    records: int = 1
    licenses: list[str] = field(default_factory=list)
    tags: list[tuple[str, str]] = field(default_factory=list)
    links: list[tuple[str, str, str]] = field(default_factory=list)
    files: list[PackageFile] = field(default_factory=list)
    scores: list[Score] = field(default_factory=list)
    statements: list[Statement] = field(default_factory=list)
    parents: list[tuple[str, str]] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    def tag(self, tags: Sequence[object], kind: str = "plain") -> None:
        """Add the texts among `tags`."""
        self.tags += [(tag.strip(), kind) for tag in tags if isinstance(tag, str) and tag.strip()]

    def link(self, kind: str, target: object, source: str = "listing") -> None:
        """Add a link, if `target` is a text. A source of `text` means the model's page.

        `known_as` links a name that the model goes by elsewhere, `<library or repository>#<name>`: models of several
        hubs that are known as the same are the same (see the table identity_kind).
        """
        if isinstance(target, str) and target.strip():
            self.links.append((kind, target.strip(), source))

    def add_file(self, path: object, size: object, sha256: object, source: str) -> None:
        """Add a file; a size in bytes and a SHA-256 that are none are noted as problems, as is a path."""
        if not isinstance(path, str) or not path.strip():
            self.problems.append(f"a file's path is {repr(path)[:80]} in {source}, expected text")
            return
        if size is not None and (type(size) is not int or not 0 <= size < 2**63):
            self.problems.append(f"the size of {path[:80]} is {repr(size)[:80]}, expected a whole number of 64 bits")
            size = None
        if sha256 is not None and not (isinstance(sha256, str) and SHA256.fullmatch(sha256)):
            self.problems.append(f"the hash of {path[:80]} is {repr(sha256)[:80]}, expected 64 hexadecimal digits")
            sha256 = None
        self.files.append(PackageFile(path, size, sha256.lower() if isinstance(sha256, str) else None))

    def say(self, name: str, value: object, source: str, evidence: str | None = None) -> None:
        """Add a statement, if there is a value; what is no text is stored as JSON."""
        if value is None or value == "" or value == [] or value == {}:
            return
        text = value.strip() if isinstance(value, str) else json.dumps(value, ensure_ascii=False, sort_keys=True)
        self.statements.append(Statement(name, text, number(value), source, evidence))

    def count_millions(self, millions: float, decimals: int) -> None:
        """Set the parameters, unless they are known, from a number of millions that is rounded to so many decimals."""
        if self.parameters is None and 0 <= millions < LARGEST / MILLION:
            self.parameters = round(millions * MILLION)
            self.parameters_rounded_to = MILLION // 10**decimals if decimals < 6 else None

    def take(self, name: str, kind: type[str] | type[int] | type[bool], value: object, source: str) -> None:
        """Set a field of this class from a value that may be missing; one of another type is noted as a problem."""
        if value is None or value == "":
            return
        if type(value) is kind and (kind is not int or abs(int(value)) < 2**63):
            setattr(self, name, value)
        else:
            expected = {str: "text", int: "a whole number of 64 bits", bool: "true or false"}[kind]
            self.problems.append(f"{name} is {repr(value)[:80]} in {source}, expected {expected}")

    def take_time(self, name: str, value: object, source: str) -> None:
        """Set a time of this class from a text like 2024-01-31T12:00:00.123Z, UTC where it does not say."""
        if value is None or value == "":
            return
        if time := moment(value if isinstance(value, str) else ""):
            setattr(self, name, time)
        else:
            self.problems.append(f"{name} is {repr(value)[:80]} in {source}, expected a time like 2024-01-31T12:00:00Z")
