"""Cooks a soup from a SQL selection and writes it back to the lake as a model of its own."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass

import polars as pl
from torch import Tensor, nn

from learners.soups.average import average, differing_integers
from learners.soups.comparison import accuracy, compare
from learners.soups.greedy import Trial, greedy
from learners.soups.ingredients import Ingredients, gather
from learners.soups.product import Product, store
from schemas.errors import UsageError
from schemas.lake import Lake
from zoo.datasets import Dataset, load_dataset
from zoo.load import Population, load_population
from zoo.population import evaluate


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
    kitchen = _prepare(lake, sql, force)
    return _serve(kitchen, "uniform_soup", list(range(len(kitchen.population))), [])


def greedy_soup(lake: Lake, sql: str, *, force: bool = False) -> Soup:
    """Average the models that help: best on validation first, each kept if validation accuracy does not fall.

    Arguments, errors and source as in `uniform_soup`.
    """
    kitchen = _prepare(lake, sql, force)
    weights, module, validation = kitchen.population.tensors, kitchen.module, kitchen.dataset.validation
    scores = evaluate(module, weights, validation)
    best_first = sorted(range(len(kitchen.population)), key=lambda i: (-scores.accuracy[i], scores.loss[i], i))
    trials = greedy(weights, best_first, lambda soup: accuracy(module, soup, validation))
    return _serve(kitchen, "greedy_soup", [trial.member for trial in trials if trial.kept], trials)


@dataclass(frozen=True)
class _Kitchen:
    """Everything that a soup of one selection needs, read once."""

    lake: Lake
    sql: str
    ingredients: Ingredients
    population: Population
    module: nn.Module
    dataset: Dataset

    def names(self, members: list[int]) -> tuple[str, ...]:
        """model_id of each member."""
        return tuple(self.population.rows["model_id"][member] for member in members)


def _prepare(lake: Lake, sql: str, force: bool) -> _Kitchen:
    ingredients = gather(lake, sql, force)
    shared = ingredients.description
    if shared.architecture == "pinn":
        raise UsageError("soups are judged by accuracy, which a pinn does not have; select classifiers")
    dataset = load_dataset(shared.dataset, shared.split_seed)
    return _Kitchen(lake, sql, ingredients, load_population(lake, sql), shared.skeleton(), dataset)


def _serve(kitchen: _Kitchen, method: str, chosen: list[int], trials: list[Trial]) -> Soup:
    """Average the chosen members, compare, write everything to the lake."""
    tensors = kitchen.population.tensors
    weights = average({name: stacked[chosen] for name, stacked in tensors.items()})
    figures = compare(kitchen.module, tensors, weights, kitchen.dataset.validation, kitchen.dataset.test)
    left_out = [member for member in range(len(kitchen.population)) if member not in set(chosen)]
    warnings = [*kitchen.ingredients.unwise, *_disagreements(tensors)]
    rows = kitchen.population.rows
    epochs: list[int | None] = rows["epoch"].to_list() if "epoch" in rows.columns else [None] * rows.height
    product = Product(
        method=method,
        sql=kitchen.sql,
        ingredients=tuple((rows["model_id"][member], epochs[member]) for member in chosen),
        trials=tuple((rows["model_id"][trial.member], trial.score, trial.kept) for trial in trials),
        warnings=tuple(warnings),
    )
    model_id = store(kitchen.lake, product, kitchen.ingredients.description, weights, figures)
    comparison = pl.DataFrame([asdict(figure) for figure in figures])
    return Soup(model_id, method, kitchen.names(chosen), kitchen.names(left_out), comparison, tuple(warnings))


def _disagreements(tensors: Mapping[str, Tensor]) -> list[str]:
    return [
        f"{name} has no mean and differs between members: the first one's is taken"
        for name in differing_integers(tensors)
    ]
