"""What the weights of mined models are now: a file may be replaced under a model's name, a member's weights never."""

from collections.abc import Sequence

from schemas import DataError, Lake, UsageError
from zoo.contents import content_of
from zoo.load import load_weights

MINED = "SELECT model_id FROM model WHERE hub NOT IN ('zoo', 'made') AND model_id IN (SELECT unnest($ids))"


def contents_of(lake: Lake, ids: Sequence[str]) -> dict[str, str | None]:
    """By mined model a hash of its weights; None where they cannot be read now. Other models are left out."""
    return {model_id: _content(lake, model_id) for (model_id,) in lake.sql(MINED, ids=list(ids)).iter_rows()}


def _content(lake: Lake, model_id: str) -> str | None:
    try:
        return content_of(load_weights(lake, model_id))
    except (UsageError, DataError):  # why is said where it is measured
        return None
