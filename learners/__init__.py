"""Learners: rows and weights in, findings and new models out."""

from typing import TYPE_CHECKING

from schemas.doors import lazily

if TYPE_CHECKING:
    from learners.landscape.measuring.measuring import measure
    from learners.landscape.phases.assigning import assign_phases
    from learners.landscape.phases.population import PopulationPhases, phases_of_population
    from learners.landscape.phases.printed import phase_grid
    from learners.lineage.drawing import draw_family
    from learners.lineage.graph import lineage_graph
    from learners.lineage.table import family_table
    from learners.reporting.page import report
    from learners.sameness import identify
    from learners.soups.alignment.activation_matching import activation_matching
    from learners.soups.alignment.align import Aligned, align
    from learners.soups.alignment.tracing import permutations_of
    from learners.soups.alignment.weight_matching import weight_matching
    from learners.soups.check.measured import mergeability
    from learners.soups.check.verdicts import Mergeability
    from learners.soups.compared import compare_soups
    from learners.soups.listing import merge_methods
    from learners.soups.merge import Merged, merge
    from learners.soups.soup import Soup, greedy_soup, learned_soup, uniform_soup
    from learners.stitching.chain import Chain
    from learners.stitching.cuts import trace
    from learners.stitching.exporting import check_export_folder, export_stitchable
    from learners.stitching.joint_training import JointTraining
    from learners.stitching.making import Stitching, stitch
    from learners.stitching.measuring import stitch_penalties
    from learners.stitching.pareto_chart import draw_stitches
    from learners.stitching.penalty_chart import draw_penalties
    from learners.stitching.penalty_matrix import PenaltyMatrix
    from learners.stitching.penalty_settings import PenaltySettings
    from learners.stitching.recipe import StitchRecipe
    from learners.stitching.repository import load_stitchable
    from learners.stitching.stitchable import StitchableNetwork
    from learners.stitching.stitched import join
    from learners.written_chart import check_chart_file

__all__ = [
    "Aligned",
    "Chain",
    "JointTraining",
    "Mergeability",
    "Merged",
    "PenaltyMatrix",
    "PenaltySettings",
    "PopulationPhases",
    "Soup",
    "StitchRecipe",
    "StitchableNetwork",
    "Stitching",
    "activation_matching",
    "align",
    "assign_phases",
    "check_chart_file",
    "check_export_folder",
    "compare_soups",
    "draw_family",
    "draw_penalties",
    "draw_stitches",
    "export_stitchable",
    "family_table",
    "greedy_soup",
    "identify",
    "join",
    "learned_soup",
    "lineage_graph",
    "load_stitchable",
    "measure",
    "merge",
    "merge_methods",
    "mergeability",
    "permutations_of",
    "phase_grid",
    "phases_of_population",
    "report",
    "stitch",
    "stitch_penalties",
    "trace",
    "uniform_soup",
    "weight_matching",
]

__getattr__ = lazily(
    __name__,
    {
        "measure": "learners.landscape.measuring.measuring",
        "assign_phases": "learners.landscape.phases.assigning",
        **dict.fromkeys(["PopulationPhases", "phases_of_population"], "learners.landscape.phases.population"),
        "phase_grid": "learners.landscape.phases.printed",
        "draw_family": "learners.lineage.drawing",
        "lineage_graph": "learners.lineage.graph",
        "family_table": "learners.lineage.table",
        "report": "learners.reporting.page",
        "identify": "learners.sameness",
        "activation_matching": "learners.soups.alignment.activation_matching",
        **dict.fromkeys(["Aligned", "align"], "learners.soups.alignment.align"),
        "permutations_of": "learners.soups.alignment.tracing",
        "weight_matching": "learners.soups.alignment.weight_matching",
        "mergeability": "learners.soups.check.measured",
        "Mergeability": "learners.soups.check.verdicts",
        "compare_soups": "learners.soups.compared",
        "merge_methods": "learners.soups.listing",
        **dict.fromkeys(["Merged", "merge"], "learners.soups.merge"),
        **dict.fromkeys(["Soup", "greedy_soup", "learned_soup", "uniform_soup"], "learners.soups.soup"),
        "Chain": "learners.stitching.chain",
        "trace": "learners.stitching.cuts",
        "join": "learners.stitching.stitched",
        "JointTraining": "learners.stitching.joint_training",
        "stitch_penalties": "learners.stitching.measuring",
        "draw_penalties": "learners.stitching.penalty_chart",
        "PenaltyMatrix": "learners.stitching.penalty_matrix",
        "PenaltySettings": "learners.stitching.penalty_settings",
        "check_chart_file": "learners.written_chart",
        "check_export_folder": "learners.stitching.exporting",
        "StitchRecipe": "learners.stitching.recipe",
        "StitchableNetwork": "learners.stitching.stitchable",
        "draw_stitches": "learners.stitching.pareto_chart",
        "load_stitchable": "learners.stitching.repository",
        "export_stitchable": "learners.stitching.exporting",
        **dict.fromkeys(["Stitching", "stitch"], "learners.stitching.making"),
    },
)
