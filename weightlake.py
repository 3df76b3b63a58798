"""The command line: the table of its commands, and how a run ends."""

import os
import signal
import sys
from importlib.metadata import version
from types import FrameType
from typing import Annotated

import typer

from commands.coverage import coverage
from commands.demo import demo
from commands.doctor import doctor
from commands.identify import identify
from commands.lineage import lineage
from commands.measure import measure
from commands.merge import merge
from commands.mine import mine
from commands.open import open_ui
from commands.phases import phases
from commands.publish import publish
from commands.report import report
from commands.soup import soup
from commands.sql import sql
from commands.stitch import stitch
from commands.terminal import fail
from commands.zoo import zoo_commands
from schemas import UsageError, WeightlakeError

app = typer.Typer(
    name="weightlake",
    help="Mine model hubs, train populations, and run learners on whatever models a SQL query returns.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
app.command()(mine)
app.add_typer(zoo_commands, name="zoo")
for command in (soup, merge, stitch, measure, phases, sql, coverage, lineage, identify, publish, report, doctor, demo):
    app.command()(command)
app.command("open")(open_ui)

INTERRUPTED = 130
STOPPED = "interrupted; what was done is kept, and the same command does what is left"


@app.callback(invoke_without_command=True)
def options(
    show_version: Annotated[bool, typer.Option("--version", help="Print the version and exit.", is_eager=True)] = False,
) -> None:
    """Options that come before the command."""
    if show_version:
        typer.echo(f"weightlake {version('weightlake')}")
        raise typer.Exit


def main() -> None:
    """Run the command line: 0 for success, 2 for the user's mistake, 1 for the outside world, never a traceback."""
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        code = app(standalone_mode=False)
        if code == INTERRUPTED:
            fail(STOPPED, INTERRUPTED)
        sys.exit(code if isinstance(code, int) else 0)
    except typer.TyperException as error:
        fail(error.format_message(), error.exit_code)
    except WeightlakeError as error:
        fail(str(error), 2 if isinstance(error, UsageError) else 1)
    except KeyboardInterrupt:
        fail(STOPPED, INTERRUPTED)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except OSError as error:
        fail(f"{error.filename or 'the system'}: {error.strerror or error}", 1)


def _interrupt(number: int, frame: FrameType | None) -> None:
    """End a run as Ctrl-C does: a service manager or a batch system sends SIGTERM, and what was done is to be kept."""
    raise KeyboardInterrupt


if __name__ == "__main__":
    main()
