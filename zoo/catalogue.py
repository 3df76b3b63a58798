"""Lists what there is: the recipes that come with the zoo, and the populations of a lake."""

from typing import TYPE_CHECKING

import polars as pl

from schemas import Lake

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from zoo.cost import Cost
    from zoo.recipe import Recipe

POPULATIONS = """
SELECT population.population_id, population.name, population.architecture, population.dataset,
       population.state, population.members,
       count(*) FILTER (member.state = 'trained') AS trained, count(*) FILTER (member.state = 'diverged') AS diverged,
       max(models.test_accuracy) AS best_accuracy, population.device,
       string_agg(DISTINCT member.backend, ', ' ORDER BY member.backend) AS backends, population.created_at
FROM population LEFT JOIN member USING (population_id) LEFT JOIN models USING (model_id)
WHERE $population_id IS NULL OR population.population_id = $population_id
GROUP BY ALL ORDER BY population.created_at
"""


def populations(lake: Lake, population_id: str | None = None) -> pl.DataFrame:
    """A row per population of the lake: state, members trained and diverged, best test accuracy (0 to 1).

    `state` is `complete` or `building`, or `stopped` or `failed` as in `zoo.status` where nobody builds it any more.
    """
    rows = lake.sql(POPULATIONS, population_id=population_id)
    begun = rows.filter(state="building")["population_id"].to_list()
    if not begun:
        return rows
    from zoo.watching import status  # here, because it needs torch

    standing = {each: state for each, state in status(lake).select("population_id", "state").rows() if each in begun}
    ended = {each: state for each, state in standing.items() if state in ("stopped", "failed")}
    return rows.with_columns(state=pl.col("population_id").replace_strict(ended, default=pl.col("state")))


def recipes(scale: str | None = None) -> pl.DataFrame:
    """A row per recipe that comes with the zoo: what it trains on what, its axes, members, epochs, and what it costs.

    `recipe` is the name that `build` takes. `parameters` are those of its smallest and largest member,
    `petaflop` the floating point operations of all training steps in 10^15, and `hours` what they take a
    device that does 10^12 a second.

    Args:
        scale: `tiny` for the small form of each.
    """
    rows = []
    for name, recipe, estimate in _estimated(scale):
        axes = recipe.grid.model_dump(exclude={"width", "batch_size"})
        rows.append(
            {
                "recipe": name,
                "architecture": recipe.architecture,
                "dataset": recipe.dataset,
                "widths": ", ".join(map(str, recipe.grid.width)),
                "batch_sizes": ", ".join(map(str, recipe.grid.batch_size)),
                "further_axes": ", ".join(axis for axis, values in axes.items() if len(values) > 1),
                "members": recipe.members,
                "epochs": recipe.epochs,
                "parameters": estimate and estimate.parameters,
                "petaflop": estimate and estimate.petaflop,
                "hours": estimate and estimate.hours,
            }
        )
    return pl.DataFrame(rows)


def recipes_in_brief(scale: str | None = None) -> pl.DataFrame:
    """`recipes` in as many columns as a terminal has room for."""
    return pl.DataFrame(
        {
            "recipe": name,
            "trains": f"{recipe.architecture}, {recipe.dataset.rpartition('/')[2].partition(':')[0]}",
            "widths": _ends(recipe.grid.width, str),
            "members": recipe.members,
            "parameters": estimate and _ends((estimate.smallest, estimate.largest), _short),
            "hours": estimate and _few(estimate.hours),
        }
        for name, recipe, estimate in _estimated(scale)
    )


def _estimated(scale: str | None) -> "Iterator[tuple[str, Recipe, Cost | None]]":
    # here, because it needs torch and listing populations does not
    from zoo.cost import cost
    from zoo.recipe import load_recipe, recipe_names
    from zoo.scale import scaled

    for name in (scaled(name, scale) for name in recipe_names()):
        recipe = load_recipe(name)
        yield name, recipe, cost(recipe)


def _ends(values: "Sequence[int]", written: "Callable[[int], str]") -> str:
    """The smallest and the largest of sorted values."""
    return written(values[0]) if values[0] == values[-1] else f"{written(values[0])}..{written(values[-1])}"


def _few(hours: float) -> str:
    """Write hours in a few digits.

    >>> [_few(hours) for hours in (0.0003, 0.25, 12.3, 4321.0)]
    ['<0.1', '0.2', '12', '4,321']
    """
    return "<0.1" if hours < 0.1 else f"{hours:.1f}" if hours < 10 else f"{hours:,.0f}"


def _short(number: int) -> str:
    """Write a number in a few digits.

    >>> [_short(number) for number in (87, 2464, 11_402, 999_999, 179_234_567)]
    ['87', '2.5k', '11k', '1.0M', '179M']
    """
    for unit, size in (("M", 10**6), ("k", 10**3)):
        if number >= size * 0.9995:
            return f"{number / size:.0f}{unit}" if number >= 10 * size else f"{number / size:.1f}{unit}"
    return str(number)
