"""Lists what there is: the recipes that come with the zoo, and the populations of a lake."""

import polars as pl

from schemas import Lake

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
    """A row per population of the lake: state, members trained and diverged, best test accuracy (0 to 1)."""
    return lake.sql(POPULATIONS, population_id=population_id)


def recipes(scale: str | None = None) -> pl.DataFrame:
    """A row per recipe that comes with the zoo: what it trains on what, its axes, members, epochs, and what it costs.

    `parameters` are those of its smallest and largest member, `petaflop` the floating point operations
    of all training steps in 10^15, and `hours` what they take a device that does 10^12 a second.

    Args:
        scale: `tiny` for the small form of each.
    """
    # here, because it needs torch and listing populations does not
    from zoo.cost import cost
    from zoo.recipe import load_recipe, recipe_names, scaled

    rows = []
    for name in recipe_names():
        recipe = load_recipe(scaled(name, scale))
        estimate = cost(recipe)
        axes = recipe.grid.model_dump(exclude={"width", "batch_size"})
        rows.append(
            {
                "recipe": recipe.name,
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
