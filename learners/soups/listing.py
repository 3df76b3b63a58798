"""Lists the merge methods with everything that they say of themselves."""

import polars as pl

from learners.soups.methods import METHODS, NEEDS


def merge_methods() -> pl.DataFrame:
    """A row for each method: name, summary, formula, paper, settings with their defaults, and what it needs."""
    return pl.DataFrame(
        [
            {
                "method": method.name,
                "what": method.summary,
                "formula": method.formula,
                "settings": ", ".join(f"{each.name}={each.default}" for each in method.parameters),
                "needs": "; ".join(NEEDS[need] for need in method.needs),
                "paper": method.paper,
            }
            for method in sorted(METHODS.values(), key=lambda method: method.name)
        ]
    )
