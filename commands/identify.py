"""Finding out which models are the same."""

from commands.arguments import DEFAULT_LAKE, AsJson, LakeFolder
from commands.terminal import show
from schemas import open_lake


def identify(lake: LakeFolder = DEFAULT_LAKE, as_json: AsJson = False) -> None:
    """Find out which mined models are the same, across hubs and names, and what says so."""
    import learners

    with open_lake(lake, create=False) as opened:
        show(learners.identify(opened), as_json)
