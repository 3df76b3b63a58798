"""Which fields the mined models lack."""

from commands.arguments import DEFAULT_LAKE, AsJson, LakeFolder
from commands.terminal import show
from schemas import open_lake


def coverage(lake: LakeFolder = DEFAULT_LAKE, as_json: AsJson = False) -> None:
    """Show which share of the mined models lacks which field."""
    with open_lake(lake, read_only=True) as opened:
        show(opened.sql("SELECT * FROM coverage ORDER BY hub, missing_share DESC, field"), as_json, rows=0)
