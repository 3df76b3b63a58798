"""Learners: rows and weights in, findings and new models out."""

from typing import TYPE_CHECKING

from schemas.doors import lazily

if TYPE_CHECKING:
    from learners.landscape.phases.assigning import assign_phases
    from learners.lineage.drawing import draw_family
    from learners.lineage.graph import lineage_graph
    from learners.lineage.table import family_table
    from learners.reporting import report
    from learners.sameness import identify
    from learners.soups.soup import Soup, greedy_soup, uniform_soup

__all__ = [
    "Soup",
    "assign_phases",
    "draw_family",
    "family_table",
    "greedy_soup",
    "identify",
    "lineage_graph",
    "report",
    "uniform_soup",
]

__getattr__ = lazily(
    __name__,
    {
        "assign_phases": "learners.landscape.phases.assigning",
        "draw_family": "learners.lineage.drawing",
        "family_table": "learners.lineage.table",
        "lineage_graph": "learners.lineage.graph",
        "identify": "learners.sameness",
        "report": "learners.reporting",
        **dict.fromkeys(["Soup", "greedy_soup", "uniform_soup"], "learners.soups.soup"),
    },
)
