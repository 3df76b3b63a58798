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
    from learners.soups.check.measured import mergeability
    from learners.soups.check.mergeability import Mergeability
    from learners.soups.listing import merge_methods
    from learners.soups.merge import Merged, merge
    from learners.soups.soup import Soup, greedy_soup, uniform_soup

__all__ = [
    "Mergeability",
    "Merged",
    "Soup",
    "assign_phases",
    "draw_family",
    "family_table",
    "greedy_soup",
    "identify",
    "lineage_graph",
    "merge",
    "merge_methods",
    "mergeability",
    "report",
    "uniform_soup",
]

__getattr__ = lazily(
    __name__,
    {
        "assign_phases": "learners.landscape.phases.assigning",
        "draw_family": "learners.lineage.drawing",
        "lineage_graph": "learners.lineage.graph",
        "family_table": "learners.lineage.table",
        "report": "learners.reporting",
        "identify": "learners.sameness",
        "mergeability": "learners.soups.check.measured",
        "Mergeability": "learners.soups.check.mergeability",
        "merge_methods": "learners.soups.listing",
        **dict.fromkeys(["Merged", "merge"], "learners.soups.merge"),
        **dict.fromkeys(["Soup", "greedy_soup", "uniform_soup"], "learners.soups.soup"),
    },
)
