"""Features of the learning curves that the lake keeps of members that were trained in it."""

from learners.landscape.learning_curve import features
from learners.landscape.measuring.group import Columns, Found, Group, found
from learners.landscape.measuring.metrics import LEARNING_CURVE, Settings

PREFIX = "learning_curve_"
UNTRAINED = "the lake has no learning curve of it: it was not trained here"


def described(group: Group, settings: Settings) -> Columns:
    """Each feature of the training loss over the epochs."""
    columns: Columns = {name: [] for name in LEARNING_CURVE}
    for model_id in group.names:
        values, reason = _features(group, model_id)
        for name in LEARNING_CURVE:
            value = values.get(name.removeprefix(PREFIX))
            columns[name].append([Found(None, reason=reason) if value is None else found(value, None, None)])
    return columns


def _features(group: Group, model_id: str) -> tuple[dict[str, float], str | None]:
    curve = group.curves.get(model_id)
    if not curve:
        return {}, UNTRAINED
    try:
        return features(curve), None
    except ValueError as error:
        return {}, str(error)
