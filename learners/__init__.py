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
    from learners.stitching.joint_training import JointTraining
    from learners.stitching.measuring import stitch_penalties
    from learners.stitching.penalty_chart import draw_penalties
    from learners.stitching.penalty_matrix import PenaltyMatrix
    from learners.stitching.penalty_settings import PenaltySettings
    from learners.written_chart import check_chart_file

__all__ = [
    "JointTraining",
    "Mergeability",
    "Merged",
    "PenaltyMatrix",
    "PenaltySettings",
    "Soup",
    "assign_phases",
    "check_chart_file",
    "draw_family",
    "draw_penalties",
    "family_table",
    "greedy_soup",
    "identify",
    "lineage_graph",
    "merge",
    "merge_methods",
    "mergeability",
    "report",
    "stitch_penalties",
    "uniform_soup",
]

__getattr__ = lazily(
    __name__,
    {
        "assign_phases": "learners.landscape.phases.assigning",
        "check_chart_file": "learners.written_chart",
        "draw_family": "learners.lineage.drawing",
        "draw_penalties": "learners.stitching.penalty_chart",
        "family_table": "learners.lineage.table",
        "lineage_graph": "learners.lineage.graph",
        "report": "learners.reporting",
        "identify": "learners.sameness",
        "mergeability": "learners.soups.check.measured",
        "Mergeability": "learners.soups.check.mergeability",
        "merge_methods": "learners.soups.listing",
        **dict.fromkeys(["Merged", "merge"], "learners.soups.merge"),
        "JointTraining": "learners.stitching.joint_training",
        "PenaltyMatrix": "learners.stitching.penalty_matrix",
        "PenaltySettings": "learners.stitching.penalty_settings",
        "stitch_penalties": "learners.stitching.measuring",
        **dict.fromkeys(["Soup", "greedy_soup", "uniform_soup"], "learners.soups.soup"),
    },
)
