"""Looking at a lake in DuckDB's own user interface."""

import threading

import duckdb

from commands.arguments import DEFAULT_LAKE, LakeFolder
from commands.terminal import say
from schemas import OutsideError, open_lake
from schemas.connection import connection, one_line

INSTALL = "python -c \"import duckdb; duckdb.sql('INSTALL ui')\""


def open_ui(lake: LakeFolder = DEFAULT_LAKE) -> None:
    """Open the lake in DuckDB's own user interface, in a browser, where that extension is installed.

    The lake is only read. While it is open nobody can write into it; Ctrl-C closes it.
    """
    opened = open_lake(lake, read_only=True)
    with connection(opened.database, read_only=True, wait=opened.wait) as held:
        try:
            held.execute("LOAD ui")
            (said,) = held.execute("CALL start_ui()").fetchall()[0]
        except duckdb.Error as error:
            raise OutsideError(
                f"DuckDB's user interface does not start ({one_line(error)}); with internet, {INSTALL} fetches it"
            ) from error
        say(f"{said}; Ctrl-C closes it, and lets others write into {lake} again")
        threading.Event().wait()
