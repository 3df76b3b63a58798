"""The verdict on models that are to be merged, of the problems that were found: for each pair and for all."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain

import polars as pl

from learners.soups.check.facts import Facts
from learners.soups.check.problem import IMPOSSIBLE, NOTED, START, UNWISE, Problem, helped, worst_first
from learners.soups.check.problems import common_start, has_batch_norm

SAFE = "safe"
VERDICTS = {NOTED: SAFE, UNWISE: UNWISE, IMPOSSIBLE: IMPOSSIBLE}
MOST_NOTES = 3
"""So many of a kind are said one by one."""

Pair = tuple[int, int]

PAIR_COLUMNS: dict[str, type[pl.DataType]] = {
    **{"first_id": pl.String, "first_epoch": pl.Int64, "second_id": pl.String, "second_epoch": pl.Int64},
    **dict.fromkeys(["verdict", "about", "reason", "help", "common_start"], pl.String),
    **dict.fromkeys(["distance", "weight_cosine", "task_cosine", "barrier"], pl.Float64),
}
SUMMARY_COLUMNS: dict[str, type[pl.DataType]] = {
    **dict.fromkeys(["severity", "about"], pl.String),
    "pairs": pl.Int64,
    **dict.fromkeys(["reason", "help"], pl.String),
}


@dataclass(frozen=True)
class Problems:
    """What speaks against merging models, or should be known of them, by their numbers.

    Attributes:
        own: Of each model with any other.
        between: Of each pair.
        alike: Cosines of the weights of pairs, where lineage said nothing and weights were read for it.
    """

    own: Sequence[Sequence[Problem]]
    between: Mapping[Pair, Sequence[Problem]]
    alike: Mapping[Pair, float] = field(default_factory=dict)

    @property
    def every(self) -> Iterator[Problem]:
        """All of them."""
        yield from chain(*self.own, *self.between.values())

    def more(self, own: Mapping[int, Problem], between: Mapping[Pair, Sequence[Problem]]) -> "Problems":
        """These and others."""
        every = [[*found, *([own[number]] if number in own else [])] for number, found in enumerate(self.own)]
        pairs = {pair: [*found, *between.get(pair, ())] for pair, found in self.between.items()}
        return replace(self, own=every, between=pairs)


@dataclass(frozen=True)
class Mergeability:
    """Whether models can be merged.

    Attributes:
        verdict: safe, unwise or impossible: that of the worst pair.
        reasons: Why it is not safe, worst first; of more than three of a kind the first, and how many more there are.
            `pairs` has those of each pair, `problems` all of them.
        helps: What would help, each once; nothing against problems of pairs that only other models would help.
        notes: What one should know of a merge that is safe: of each kind the first, and how many more there are, with
            the names of up to three models whose own it is.
        summary: A row for each kind of problem, worst first: severity (impossible, unwise, noted), what it is about,
            the number of pairs that have it, the reason of one of them, and what would help.
        models: A row a model: tensors, parameters, types, whether its weights are on this machine.
        pairs: A row a pair: first_id, first_epoch (NULL for final weights), second_id, second_epoch, verdict, about,
            reason, help, common_start (an ancestor, an `init:` name, or `weights` where their cosine says so),
            distance, weight_cosine, task_cosine, barrier (nats); NULL where not measured.
        facts: What was found of each model.
        problems: Everything that was found, of which the rest is the summary.
    """

    verdict: str
    reasons: tuple[str, ...]
    helps: tuple[str, ...]
    notes: tuple[str, ...]
    summary: pl.DataFrame
    models: pl.DataFrame
    pairs: pl.DataFrame
    facts: tuple[Facts, ...] = field(repr=False)
    problems: Problems = field(repr=False)


def verdict_on(facts: Sequence[Facts], problems: Problems) -> Mergeability:
    """Judge models by what was found of them."""
    own, alike = problems.own, problems.alike
    between = {(i, j): helped((*own[i], *own[j], *found)) for (i, j), found in problems.between.items()}
    rows = []
    for (i, j), found in between.items():
        worst = found[0] if found else None
        decisive = [each for each in found if each.severity == found[0].severity]
        inferred = "weights" if any(told.kind == START and told.severity == NOTED for told in found) else None
        rows.append(
            {
                "first_id": facts[i].model_id,
                "first_epoch": facts[i].epoch,
                "second_id": facts[j].model_id,
                "second_epoch": facts[j].epoch,
                "verdict": VERDICTS[worst.severity] if worst else SAFE,
                "about": worst.kind if worst else None,
                "reason": "; ".join(each.reason for each in decisive) or None,
                "help": "; ".join(dict.fromkeys(each.help for each in decisive if each.help)) or None,
                "common_start": common_start(facts[i], facts[j]) or inferred,
                "weight_cosine": alike.get((i, j)),
            }
        )
    every = worst_first(dict.fromkeys(chain(*between.values())))
    against = [problem for problem in every if problem.severity != NOTED]
    return Mergeability(
        verdict=VERDICTS[against[0].severity] if against else SAFE,
        reasons=_grouped(against),
        helps=tuple(dict.fromkeys(problem.help for problem in against if problem.help)),
        notes=_noted(problem for problem in every if problem.severity == NOTED),
        summary=_summary(between),
        models=pl.DataFrame([_described(each) for each in facts]),
        pairs=pl.DataFrame(rows, schema=PAIR_COLUMNS),
        facts=tuple(facts),
        problems=problems,
    )


def _grouped(problems: Iterable[Problem]) -> tuple[str, ...]:
    """What is the matter, a few sentences of each severity and kind."""
    kinds: dict[tuple[str, str], dict[str, None]] = {}
    for problem in problems:
        kinds.setdefault((problem.severity, problem.kind), {})[problem.reason] = None
    return tuple(note for found in kinds.values() for note in _few(list(found)))


def _noted(problems: Iterable[Problem]) -> tuple[str, ...]:
    """What one should know, a sentence of each kind."""
    kinds: dict[str, dict[str, str]] = {}
    for problem in problems:
        kinds.setdefault(problem.kind, {})[problem.reason] = problem.model
    return tuple(_one(*found.items()) for found in kinds.values())


def _one(first: tuple[str, str], *others: tuple[str, str]) -> str:
    if not others:
        return first[0]
    models = [model for _, model in others]
    named = f": {', '.join(models)}" if all(models) and len(models) <= MOST_NOTES else ""
    return f"{first[0]} (and {len(others)} more like this{named})"


def _few(notes: list[str]) -> list[str]:
    more = len(notes) - 1
    return notes if len(notes) <= MOST_NOTES else [f"{notes[0]} (and {more} more like this)"]


def _summary(between: Mapping[Pair, Sequence[Problem]]) -> pl.DataFrame:
    """Problems of one severity and kind in a row, with the first of them that decides on a pair, if one does."""
    first: dict[tuple[str, str], Problem] = {}
    rank: dict[tuple[str, str], tuple[bool, bool]] = {}
    pairs: dict[tuple[str, str], int] = {}
    for found in between.values():
        alike = {(problem.severity, problem.kind): problem for problem in reversed(found)}
        for key, problem in alike.items():
            telling = (problem.severity == found[0].severity, bool(problem.help))
            if key not in first or telling > rank[key]:
                first[key], rank[key] = problem, telling
            pairs[key] = pairs.get(key, 0) + 1
    keys = sorted(first, key=lambda key: (first[key].gravity, -pairs[key], key[1]))
    rows = [(*key, pairs[key], first[key].reason, first[key].help or None) for key in keys]
    return pl.DataFrame(rows, schema=SUMMARY_COLUMNS, orient="row")


def _described(facts: Facts) -> dict[str, object]:
    parameters = sum(_values(tensor.shape) for tensor in facts.tensors.values())
    return {
        "model_id": facts.model_id,
        "epoch": facts.epoch,
        "tensors": len(facts.tensors),
        "parameters": parameters,
        "dtypes": ", ".join(sorted({tensor.dtype for tensor in facts.tensors.values()})),
        "batch_norm": has_batch_norm(facts.tensors),
        "at_hand": facts.stored is not None,
        "license": facts.license,
    }


def _values(shape: Sequence[int]) -> int:
    count = 1
    for axis in shape:
        count *= axis
    return count
