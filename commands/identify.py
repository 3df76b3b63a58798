"""Finding out which models are the same."""

from commands.arguments import DEFAULT_LAKE, AsJson, LakeFolder
from commands.terminal import show
from schemas import open_lake


def identify(lake: LakeFolder = DEFAULT_LAKE, as_json: AsJson = False) -> None:
    """Find out which mined models are the same, across hubs and names, and what says so."""
    import learners

    open_lake(lake, read_only=True)  # refuses what is no lake, for which none is made
    with open_lake(lake) as opened:
        show(learners.identify(opened), as_json)
