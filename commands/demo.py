"""Every room of weightlake once."""

from pathlib import Path
from typing import Annotated

import typer

from commands.arguments import AsJson, Quiet
from commands.terminal import progress_bar, say, show


def demo(
    folder: Annotated[Path, typer.Argument(help="Folder for the demo's lake, repositories and report.")] = Path("demo"),
    endpoint: Annotated[str | None, typer.Option(help="URL of the hub to mine.")] = None,
    offline: Annotated[bool, typer.Option("--offline", help="Do not ask the hub.")] = False,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Mine, train, learn and report: every room of weightlake once, in under five minutes."""
    from commands import demonstration

    with progress_bar(quiet) as progress:
        result = demonstration.run(folder, endpoint=endpoint, offline=offline, progress=progress, say=say)
    show(result.summary, as_json)
    if not as_json:
        typer.echo(f"\nReport: {result.report}\n\nTry next:")
        for query in result.queries:
            typer.echo(f'  weightlake sql --lake {result.lake} "{query}"')
