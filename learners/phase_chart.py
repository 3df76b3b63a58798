"""The report's phase diagrams: map, borders and heat maps for each population whose cells have been judged."""

import json

from learners.charts import Picture, picture
from learners.landscape.phases.diagram import diagram
from learners.landscape.phases.population import judged_population
from learners.landscape.phases.rule import Rule
from schemas import Lake, UsageError

JUDGED = """
SELECT DISTINCT population_id, phase_rule.rule, content, coalesce(settings, '{}') AS settings FROM cell_phase
JOIN phase_rule ON phase_rule.sha256 = cell_phase.rule_sha256 ORDER BY ALL
"""
CELLS = "FROM phases WHERE population_id = '{}' AND rule = '{}'"


def phase_maps(lake: Lake) -> list[Picture]:
    """Phases over load x temperature with a heat map for each metric, for each population and rule."""
    found = []
    for population, name, content, settings in lake.sql(JUDGED).iter_rows():
        try:
            rule = Rule.model_validate_json(content)
            judged, axes = judged_population(lake, population, rule, json.loads(settings))
            chart = diagram(judged, f"{population}: phases", axes)
        except UsageError:  # its members or measurements are gone
            continue
        says = (
            f"By the rule {name}, from training loss, mode connectivity, CKA and the Hessian's trace, and no accuracy."
            " Paler where the bootstrap over seeds and pairs is less sure; hover for the figures of a cell."
        )
        quoted = (text.replace("'", "''") for text in (population, name))
        found.append(picture(f"{population}: phases", says, CELLS.format(*quoted), chart))
    return found
