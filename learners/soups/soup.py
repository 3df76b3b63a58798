"""Cooks a soup from a SQL selection and writes it back to the lake as a model of its own."""

import hashlib
import json
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import version

import polars as pl
from torch import Tensor

from learners.soups.average import average, differing_integers
from learners.soups.comparison import Figure, compare
from learners.soups.greedy import Trial, greedy
from learners.soups.ingredients import Ingredients, gather
from schemas import Lake, UsageError
from zoo.architectures import skeleton
from zoo.datasets import load_dataset
from zoo.load import Population, load_population
from zoo.population import Samples, evaluate


@dataclass(frozen=True)
class Soup:
    """A soup that now stands in the lake.

    Attributes:
        model_id: Its name in the lake, made:soup/...
        method: uniform_soup or greedy_soup.
        ingredients: The models that are in it.
        left_out: Selected models that the greedy search did not take.
        comparison: A row per candidate (soup, best single, mean member, logit ensemble) and split.
        warnings: Why averaging these was unwise, if it was forced.
    """

    model_id: str
    method: str
    ingredients: tuple[str, ...]
    left_out: tuple[str, ...]
    comparison: pl.DataFrame
    warnings: tuple[str, ...]


def uniform_soup(lake: Lake, sql: str, *, force: bool = False) -> Soup:
    """Average all selected models with equal weight.

    Evaluates on the members' own validation and test splits and writes weights, product and lineage to the lake;
    the same selection gives the same model again.

    Args:
        lake: Where the models are and the soup goes.
        sql: Any query that returns `model_id` (and `epoch`).
        force: Average even where that is unwise (no common start, diverged members).

    Raises:
        UsageError: the models cannot be averaged, or should not; the message says why.

    Source:
        Wortsman et al. 2022, "Model soups", https://arxiv.org/abs/2203.05482.
    """
    ingredients = gather(lake, sql, force)
    population = load_population(lake, sql)
    return _finish(lake, "uniform_soup", sql, ingredients, population, list(range(len(population))), [])


def greedy_soup(lake: Lake, sql: str, *, force: bool = False) -> Soup:
    """Average the models that help: best on validation first, each kept if validation accuracy does not fall.

    Arguments, errors and source as in `uniform_soup`.
    """
    ingredients = gather(lake, sql, force)
    population = load_population(lake, sql)
    module, validation, _ = _kitchen(ingredients)
    scores = evaluate(module, population.tensors, validation)
    rank = sorted(range(len(population)), key=lambda i: (-float(scores.accuracy[i]), float(scores.loss[i]), i))
    trials = greedy(
        population.tensors,
        rank,
        lambda soup: float(evaluate(module, {name: t[None] for name, t in soup.items()}, validation).accuracy[0]),
    )
    chosen = [trial.member for trial in trials if trial.kept]
    return _finish(lake, "greedy_soup", sql, ingredients, population, chosen, trials)


def _kitchen(ingredients: Ingredients) -> tuple["skeleton.__class__", Samples, Samples]:
    raise NotImplementedError
