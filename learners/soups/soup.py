"""Cooks a soup from a SQL selection and writes it back to the lake as a model of its own."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

import polars as pl
import torch
from torch import Tensor
from torch.func import functional_call
from torch.nn.functional import cross_entropy

from learners.soups.average import differing_integers
from learners.soups.check.described import Given
from learners.soups.comparison import Figure, accuracy, compare
from learners.soups.greedy import Trial, chosen, search
from learners.soups.learned import learn
from learners.soups.members import single
from learners.soups.pot import Pot, manner_of, pot_for
from learners.soups.product import Product, store
from learners.soups.trials import Ledger
from schemas.errors import UsageError
from schemas.lake import Lake

COLLAPSED = 0.05
"""So much accuracy below the mean of its ingredients, and two standard errors at least, a soup is far worse."""
AT_ONCE = 512
"""Samples that a gradient is summed over at once."""


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
        notes: What was done to the average, and that it is far worse than its ingredients, if it is.
    """

    model_id: str
    method: str
    ingredients: tuple[str, ...]
    left_out: tuple[str, ...]
    comparison: pl.DataFrame
    warnings: tuple[str, ...]
    notes: tuple[str, ...] = ()


def uniform_soup(
    lake: Lake,
    sql: str,
    *,
    force: bool = False,
    align: str | None = None,
    repair: bool = False,
    description: Given = (),
) -> Soup:
    """Average all selected models with equal weight.

    Evaluates on the members' own validation and test splits and writes weights, product and lineage to the lake;
    the same selection gives the same model again. Batch-norm statistics of averages are estimated anew.

    Args:
        lake: Where the models are and the soup goes.
        sql: Any query that returns `model_id` (and `epoch`).
        force: Average even where that is unwise (no common start, diverged members).
        align: Align the models with the first one by name before, by `weights` or `activations`; see `learners.align`.
        repair: Give units of averages the ingredients' moments (REPAIR); batch norm anew does the same.
        description: How models are built of which the lake does not know it, mined ones say; of several that one is
            meant whose tensors have the names and shapes of the model's. The soup is run by it, too.

    Raises:
        UsageError: the models cannot be averaged, or should not; the message says why.

    Source:
        Wortsman et al. 2022, "Model soups", https://arxiv.org/abs/2203.05482.
    """
    return uniform_of(pot_for(lake, sql, manner_of(align, repair, description), force=force))


def uniform_of(pot: Pot) -> Soup:
    """Make the uniform soup of a pot."""
    return _serve(pot, "uniform_soup", list(range(len(pot))))


def greedy_soup(
    lake: Lake,
    sql: str,
    *,
    force: bool = False,
    align: str | None = None,
    repair: bool = False,
    accept: str = ">=",
    passes: int = 1,
    removal: bool = False,
    restarts: int = 0,
    seed: int = 0,
    description: Given = (),
) -> Soup:
    """Average the models that help: best on validation first, each kept if validation accuracy does not fall.

    Every candidate that is evaluated becomes a row of `trial`; a search that was ended goes on from there, and one
    with other options does not evaluate again what is known. Options as in `learners.soups.greedy.search`; other
    arguments, errors and source as in `uniform_soup`.
    """
    pot = pot_for(lake, sql, manner_of(align, repair, description), force=force)
    return greedy_of(pot, accept=accept, passes=passes, removal=removal, restarts=restarts, seed=seed)


def greedy_of(
    pot: Pot, *, accept: str = ">=", passes: int = 1, removal: bool = False, restarts: int = 0, seed: int = 0
) -> Soup:
    """Make the greedy soup of a pot."""
    validation = pot.dataset.validation
    options = {"accept": accept, "passes": passes, "removal": removal, "restarts": restarts, "seed": seed}
    ledger = Ledger(pot.lake, pot.rows, pot.contents, pot.judged_on, options)

    def score(members: tuple[int, ...]) -> float:
        known = ledger.known(members)
        if known is not None:
            return known
        if len(members) == 1:
            return float(pot.judged["validation"].scores.accuracy[members[0]])
        return accuracy(pot.module, pot.average_of(members), validation)

    with ledger:
        trials = search(pot.best_first, score, note=ledger.note, **options)  # type: ignore[arg-type] # each of its own type
    return _serve(pot, "greedy_soup", chosen(trials), trials)


def learned_soup(
    lake: Lake,
    sql: str,
    *,
    force: bool = False,
    align: str | None = None,
    repair: bool = False,
    by: str = "model",
    steps: int = 50,
    learning_rate: float = 0.1,
    description: Given = (),
) -> Soup:
    """Average all selected models by shares that are learned on validation data, see `learners.soups.learned`.

    Batch-norm statistics are estimated anew in each step, without a gradient; REPAIR comes at the end, and takes one
    share a model. Other arguments and errors as in `uniform_soup`.
    """
    if repair and by != "model":
        raise UsageError(f"by = {by!r}: repair takes one share a model; leave one of the two out")
    pot = pot_for(lake, sql, manner_of(align, repair, description), force=force)
    return learned_of(pot, by=by, steps=steps, learning_rate=learning_rate)


def learned_of(pot: Pot, *, by: str = "model", steps: int = 50, learning_rate: float = 0.1) -> Soup:
    """Make the learned soup of a pot."""
    module, samples = pot.module, pot.dataset.validation
    equal = dict.fromkeys(range(len(pot)), 1 / len(pot))
    parameters = {name for name, _ in module.named_parameters()}

    def gradient(weights: dict[str, Tensor]) -> tuple[float, dict[str, Tensor]]:
        weights = pot.finished(weights, equal) if pot.has_statistics else weights
        trained = {name: tensor.requires_grad_() for name, tensor in weights.items() if name in parameters}
        loss, slopes = 0.0, {name: torch.zeros_like(tensor) for name, tensor in trained.items()}
        for x, y in zip(torch.split(samples.x, AT_ONCE), torch.split(samples.y, AT_ONCE), strict=True):
            part = cross_entropy(functional_call(module, {**weights, **trained}, (x,)), y, reduction="sum")
            part = part / len(samples)
            loss += float(part.detach())
            for name, slope in zip(trained, torch.autograd.grad(part, list(trained.values())), strict=True):
                slopes[name] += slope
        return loss, slopes

    learned = learn(pot.members, gradient, by=by, steps=steps, learning_rate=learning_rate)
    shares = dict(enumerate(learned.shares.mean(dim=0).tolist()))
    weights = pot.finished({name: tensor.detach() for name, tensor in learned.weights.items()}, shares)
    settings: dict[str, object] = {"by": by, "steps": steps, "learning_rate": learning_rate}
    settings["shares"] = learned.shares.tolist()
    return _serve(pot, "learned_soup", list(range(len(pot.members))), weights=weights, settings=settings)


def _serve(
    pot: Pot,
    method: str,
    members: list[int],
    trials: Sequence[Trial] = (),
    weights: dict[str, Tensor] | None = None,
    settings: dict[str, object] | None = None,
) -> Soup:
    """Average the chosen members unless that is done, compare, write everything to the lake."""
    if weights is None:
        weights = pot.members[members[0]] if len(members) == 1 else pot.average_of(members)
    stored = {name: tensor.to(pot.types[name]) for name, tensor in weights.items()}
    figures = compare(pot.module, single(stored), pot.judged, pot.parts)
    left_out = [member for member in range(len(pot)) if member not in set(members)]
    warnings = [*pot.ingredients.unwise, *_disagreements(pot.members)]
    rows = pot.rows
    epochs: list[int | None] = rows["epoch"].to_list() if "epoch" in rows.columns else [None] * rows.height
    product = Product(
        method=method,
        sql=pot.sql,
        ingredients=tuple((rows["model_id"][member], epochs[member]) for member in members),
        contents=tuple(pot.contents[member] for member in members),
        trials=tuple((rows["model_id"][trial.member], trial.score, trial.kept) for trial in trials),
        warnings=tuple(warnings),
        settings=(settings or {}) | pot.manner.settings(),
    )
    model_id = store(pot.lake, product, pot.ingredients.description, stored, figures)
    comparison = pl.DataFrame([asdict(figure) for figure in figures])
    notes = (*(pot.notes if len(members) > 1 else ()), *_collapse(figures))
    return Soup(model_id, method, pot.names(members), pot.names(left_out), comparison, tuple(warnings), notes)


def _collapse(figures: Sequence[Figure]) -> list[str]:
    """What to say of a soup that is far worse than its ingredients on validation data."""
    found = {figure.candidate: figure for figure in figures if figure.split == "validation"}
    soup, mean = found["soup"], found["mean member"].accuracy
    if soup.accuracy >= mean - max(COLLAPSED, 2 * soup.standard_error):
        return []
    return [
        f"the soup has {soup.accuracy:.3f} on validation and its ingredients {mean:.3f} in the mean: the loss rises "
        "between them (weightlake merge --check measures the barrier); a greedy soup takes only what helps"
    ]


def _disagreements(models: Sequence[Mapping[str, Tensor]]) -> list[str]:
    return [
        f"{name} has no mean and differs between members: the first one's is taken"
        for name in differing_integers(models)
    ]
