"""Rules: which metrics, thresholds and order of questions turn measurements into phases; data, read from TOML."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from functools import cached_property
from hashlib import sha256
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from schemas.errors import UsageError
from zoo.mistakes import expected_one_of, what_was_expected

METRICS = ("train_loss", "train_error", "mode_connectivity", "cka", "log_hessian_trace")
UNKNOWN = "unknown"

Positive = Annotated[float, Field(gt=0)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Metric(_Strict):
    """How one metric is judged: by a threshold (low, high), or by a tolerance around zero (negative, zero, positive).

    `within` bounds what `calibration` finds in a population; `threshold` holds where a population is too small for
    that. `calibrated` names settings of the metric that a value has to be measured with, at the least, for all this to
    hold. `unit` is what distances to the threshold are counted in, `error` the standard error of a value that was
    measured once, `tie` the distance below which another metric decides; all three of the logarithm if `scale` is log.
    """

    threshold: float | None = None
    tolerance: Positive | None = None
    calibration: Literal["elbow", "otsu", "ceiling"] | None = None
    within: tuple[float, float] | None = None
    share: Annotated[float, Field(gt=0, le=1)] = 0.9
    quantile: Annotated[float, Field(gt=0, le=1)] = 0.9
    scale: Literal["linear", "log"] = "linear"
    unit: Positive = 1.0
    error: Annotated[float, Field(ge=0)] = 0.0
    tie: Annotated[float, Field(ge=0)] = 0.0
    calibrated: dict[str, float] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _says_one_thing(self) -> Self:
        ways = (self.tolerance is not None, self.threshold is not None or self.calibration is not None)
        if sum(ways) != 1:
            raise ValueError("expected either a tolerance, or a threshold or a calibration")
        return self

    @property
    def levels(self) -> tuple[str, ...]:
        """What a value can be."""
        return ("negative", "zero", "positive") if self.tolerance is not None else ("low", "high")


class Split(_Strict):
    """One question of the tree; each answer is a phase or the next question."""

    metric: str
    instead: str | None = None
    tie: str | None = None
    low: Branch | None = None
    high: Branch | None = None
    negative: Branch | None = None
    zero: Branch | None = None
    positive: Branch | None = None

    @property
    def branches(self) -> dict[str, Branch]:
        """The answers by level."""
        named = {name: getattr(self, name) for name in ("low", "high", "negative", "zero", "positive")}
        return {name: branch for name, branch in named.items() if branch is not None}

    @property
    def phases(self) -> list[str]:
        """Every phase that can still follow."""
        return list(dict.fromkeys(phase for branch in self.branches.values() for phase in phases_of(branch)))

    @property
    def metrics(self) -> list[str]:
        """Every metric that it or a question behind it asks for."""
        own = [name for name in (self.metric, self.instead, self.tie) if name is not None]
        behind = [name for branch in self.branches.values() if isinstance(branch, Split) for name in branch.metrics]
        return list(dict.fromkeys([*own, *behind]))

    def questions(self) -> Iterator[Split]:
        """It and all questions behind it."""
        yield self
        for branch in self.branches.values():
            if isinstance(branch, Split):
                yield from branch.questions()


Branch = Split | str
Split.model_rebuild()


def phases_of(branch: Branch) -> list[str]:
    """The phases that a branch leads to."""
    return [branch] if isinstance(branch, str) else branch.phases


class Rule(_Strict):
    """A rule: its name and version, its phases in order, how each metric is judged, and the tree of questions."""

    name: str
    version: int
    labels: tuple[str, ...]
    metrics: dict[str, Metric]
    tree: Split

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        for name in self.metrics:
            if name not in METRICS:
                raise ValueError(f"metrics.{name}: {expected_one_of(name, METRICS)}")
        for question in self.tree.questions():
            for name in filter(None, (question.metric, question.instead, question.tie)):
                if name not in self.metrics:
                    raise ValueError(f"tree: it asks for {name}, which has no [metrics.{name}]")
            levels = self.metrics[question.metric].levels
            if set(question.branches) != set(levels):
                found, expected = ", ".join(question.branches), ", ".join(levels)
                raise ValueError(f"tree: {question.metric} has the answers {found or 'none'}; expected {expected}")
        if set(self.tree.phases) != set(self.labels):
            raise ValueError(f"labels = {list(self.labels)}: the tree leads to {self.tree.phases}")
        return self

    @cached_property
    def sha256(self) -> str:
        """SHA-256 over the whole rule: what tells two rules of one name apart."""
        return sha256(self.model_dump_json().encode()).hexdigest()


def rule_names() -> list[str]:
    """Names of the rules that come with weightlake."""
    folder = files("learners").joinpath("landscape", "phases", "rules")
    return sorted(file.name.removesuffix(".toml") for file in folder.iterdir() if file.name.endswith(".toml"))


def load_rule(source: str | Path | Rule) -> Rule:
    """Read and check a rule: one that comes with weightlake by its name, or a TOML file.

    Raises:
        UsageError: There is no such rule, or something in it cannot be; the one line says what is allowed.
    """
    if isinstance(source, Rule):
        return source
    name = str(source)
    if isinstance(source, Path) or name.endswith(".toml"):
        try:
            content = Path(source).read_bytes()
        except OSError as error:
            raise UsageError(f"rule {name} cannot be read: {error.strerror}") from error
        return parse_rule(content, name)
    shipped = name.replace("_", "-")
    if shipped not in rule_names():
        raise UsageError(f"rule {name!r} is no .toml file: {expected_one_of(name, rule_names())}")
    folder = files("learners").joinpath("landscape", "phases", "rules")
    return parse_rule(folder.joinpath(f"{shipped}.toml").read_bytes(), f"{shipped}.toml")


def parse_rule(content: bytes, file: str) -> Rule:
    """Check a rule's TOML; `file` is what messages call it. Raises UsageError as `load_rule` does."""
    try:
        return Rule.model_validate(tomllib.loads(content.decode()))
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise UsageError(f"rule {file} is no TOML: {error}") from error
    except ValidationError as error:
        mistake = error.errors(include_url=False)[0]
        place = ".".join(str(part) for part in mistake["loc"] if part not in ("Split", "str"))
        said = what_was_expected(mistake)
        raise UsageError(f"rule {file}: {place}: {said}" if place else f"rule {file}: {said}") from error
