"""Which licence a merged model may be under, and where the licences of its ingredients conflict."""

from collections.abc import Sequence
from dataclasses import dataclass

from schemas import Lake

TERMS = "SELECT * FROM licence_terms WHERE license IN (SELECT unnest($licences))"
COMPATIBLE = "SELECT license, derivative FROM licence_compatible"
ORIGINS = """
WITH RECURSIVE above(model_id) AS (
    SELECT unnest($ids) UNION
    SELECT parent_id FROM above JOIN lineage ON child_id = model_id
    WHERE model_id LIKE 'made:%' OR model_id LIKE 'zoo:%'
)
SELECT model_id, license FROM above JOIN model USING (model_id)
WHERE NOT (model_id LIKE 'made:%' OR model_id LIKE 'zoo:%') ORDER BY model_id
"""


def published_origins(lake: Lake, ids: Sequence[str]) -> dict[str, str | None]:
    """The models that others published among these and what those were made of here, each with its licence.

    What was made or trained here has no licence of its own: those of what it was made of count, however far back.
    """
    return dict(lake.sql(ORIGINS, ids=list(ids)).iter_rows())


@dataclass(frozen=True)
class Licences:
    """What follows from the licences of the ingredients.

    Attributes:
        licence: What the merged model may be under; None where no stated licence satisfies all, or one states none.
        conflicts: Why not, a sentence each.
    """

    licence: str | None
    conflicts: tuple[str, ...]


def combined_licence(lake: Lake, stated: Sequence[str | None]) -> Licences:
    """Find the licence among those of the ingredients that all others permit.

    By `licence_terms`, as the view `licence_conflicts` reads them: a reading to argue with, and no legal advice.
    """
    licences = sorted({part.lower() for each in stated if each for part in each.split(", ")})
    if not licences:
        return Licences(None, ())
    terms = {row["license"]: row for row in lake.sql(TERMS, licences=licences).iter_rows(named=True)}
    compatible = set(lake.sql(COMPATIBLE).iter_rows())
    unknown = [licence for licence in licences if licence not in terms or terms[licence]["derivatives"] is None]
    conflicts = [f"{licence} is a licence of which no terms are known here: read it" for licence in unknown]
    conflicts += [
        f"{licence} forbids to share derivatives, which a merged model is"
        for licence in licences
        if licence in terms and terms[licence]["derivatives"] is False
    ]
    candidates = [licence for licence in licences if licence not in unknown]
    objections = {
        candidate: [
            reason
            for other in candidates
            if other != candidate and (reason := _objection(terms[other], terms[candidate], compatible))
        ]
        for candidate in candidates
    }
    free = [candidate for candidate in candidates if not objections[candidate]]
    if candidates and not free:
        conflicts += sorted({reason for reasons in objections.values() for reason in reasons})
    silent = any(each is None for each in stated)
    if silent:
        conflicts.append("an ingredient states no licence, so that nothing permits to share what is made of it")
    return Licences(free[0] if free and not conflicts else None, tuple(conflicts))


def _objection(term: dict[str, object], result: dict[str, object], compatible: set[tuple[str, str]]) -> str | None:
    """Why what one licence asks for does not let the merged model be under another."""
    name, other = term["license"], result["license"]
    if term["share_alike"] and (name, other) not in compatible:
        return f"{name} wants derivatives under the same licence, which {other} is not"
    if not term["commercial_use"] and result["commercial_use"]:
        return f"{name} forbids commercial use, which {other} permits"
    if term["use_restrictions"] and not result["use_restrictions"]:
        return f"{name} forbids some uses and wants derivatives to forbid them, and {other} forbids none"
    return None
