"""Cooks a soup from a SQL selection and writes it back to the lake as a model of its own."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass

import polars as pl
import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.functional import cross_entropy

from learners.soups.average import average, differing_integers
from learners.soups.comparison import accuracy, compare
from learners.soups.greedy import Trial, chosen, search
from learners.soups.ingredients import Ingredients, gather
from learners.soups.learned import learn
from learners.soups.product import Product, store
from learners.soups.trials import Ledger
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
        method: uniform_soup, greedy_soup or learned_soup.
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
    kitchen = kitchen_for(lake, sql, force)
    return _serve(kitchen, "uniform_soup", list(range(len(kitchen.population))), [])


def greedy_soup(
    lake: Lake,
    sql: str,
    *,
    force: bool = False,
    accept: str = ">=",
    passes: int = 1,
    removal: bool = False,
    restarts: int = 0,
    seed: int = 0,
) -> Soup:
    """Average the models that help: best on validation first, each kept if validation accuracy does not fall.

    Every candidate that is evaluated becomes a row of `trial`; a search that was ended goes on from there, and one
    with other options does not evaluate again what is known. Options as in `learners.soups.greedy.search`; other
    arguments, errors and source as in `uniform_soup`.
    """
    kitchen = kitchen_for(lake, sql, force)
    weights, module, validation = kitchen.population.tensors, kitchen.module, kitchen.dataset.validation
    scores = evaluate(module, weights, validation)
    best_first = sorted(range(len(kitchen.population)), key=lambda i: (-scores.accuracy[i], scores.loss[i], i))
    options = {"accept": accept, "passes": passes, "removal": removal, "restarts": restarts, "seed": seed}
    ledger = Ledger(lake, kitchen.ingredients.rows, kitchen.dataset.sha256, options)

    def score(members: tuple[int, ...]) -> float:
        known = ledger.known(members)
        taken = {name: stacked[list(members)] for name, stacked in weights.items()}
        return accuracy(module, average(taken), validation) if known is None else known

    with ledger:
        trials = search(
            best_first,
            score,
            accept=accept,
            passes=passes,
            removal=removal,
            restarts=restarts,
            seed=seed,
            note=ledger.note,
        )
    return _serve(kitchen, "greedy_soup", chosen(trials), trials)


def learned_soup(
    lake: Lake, sql: str, *, force: bool = False, by: str = "model", steps: int = 50, learning_rate: float = 0.1
) -> Soup:
    """Average all selected models by shares that are learned on validation data, see `learners.soups.learned`.

    Batch-norm statistics are the shares' mean of the members'. Other arguments and errors as in `uniform_soup`.
    """
    kitchen = kitchen_for(lake, sql, force)
    module, samples = kitchen.module, kitchen.dataset.validation
    parameters = {name for name, _ in module.named_parameters()}

    def gradient(weights: dict[str, Tensor]) -> tuple[float, dict[str, Tensor]]:
        trained = {name: tensor.requires_grad_() for name, tensor in weights.items() if name in parameters}
        loss = cross_entropy(functional_call(module, {**weights, **trained}, (samples.x,)), samples.y)
        slopes = torch.autograd.grad(loss, list(trained.values()))
        return float(loss.detach()), dict(zip(trained, slopes, strict=True))

    members = [kitchen.population.member(number) for number in range(len(kitchen.population))]
    learned = learn(members, gradient, by=by, steps=steps, learning_rate=learning_rate)
    weights = {name: tensor.detach() for name, tensor in learned.weights.items()}
    settings: dict[str, object] = {"by": by, "steps": steps, "learning_rate": learning_rate}
    settings["shares"] = learned.shares.tolist()
    return _serve(kitchen, "learned_soup", list(range(len(members))), [], weights, settings)


@dataclass(frozen=True)
class Kitchen:
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


def kitchen_for(lake: Lake, sql: str, force: bool) -> Kitchen:
    """Read what a soup of a selection needs; errors as in `uniform_soup`."""
    ingredients = gather(lake, sql, force)
    shared = ingredients.description
    if shared.architecture == "pinn":
        raise UsageError("soups are judged by accuracy, which a pinn does not have; select classifiers")
    dataset = load_dataset(shared.dataset, shared.split_seed)
    return Kitchen(lake, sql, ingredients, load_population(lake, sql), shared.skeleton(), dataset)


def _serve(
    kitchen: Kitchen,
    method: str,
    members: list[int],
    trials: list[Trial],
    weights: dict[str, Tensor] | None = None,
    settings: dict[str, object] | None = None,
) -> Soup:
    """Average the chosen members unless that is done, compare, write everything to the lake."""
    tensors = kitchen.population.tensors
    weights = weights or average({name: stacked[members] for name, stacked in tensors.items()})
    figures = compare(kitchen.module, tensors, weights, kitchen.dataset.validation, kitchen.dataset.test)
    left_out = [member for member in range(len(kitchen.population)) if member not in set(members)]
    warnings = [*kitchen.ingredients.unwise, *_disagreements(tensors)]
    rows = kitchen.population.rows
    epochs: list[int | None] = rows["epoch"].to_list() if "epoch" in rows.columns else [None] * rows.height
    product = Product(
        method=method,
        sql=kitchen.sql,
        ingredients=tuple((rows["model_id"][member], epochs[member]) for member in members),
        trials=tuple((rows["model_id"][trial.member], trial.score, trial.kept) for trial in trials),
        warnings=tuple(warnings),
        settings=settings or {},
    )
    model_id = store(kitchen.lake, product, kitchen.ingredients.description, weights, figures)
    comparison = pl.DataFrame([asdict(figure) for figure in figures])
    return Soup(model_id, method, kitchen.names(members), kitchen.names(left_out), comparison, tuple(warnings))


def _disagreements(tensors: Mapping[str, Tensor]) -> list[str]:
    return [
        f"{name} has no mean and differs between members: the first one's is taken"
        for name in differing_integers(tensors)
    ]
