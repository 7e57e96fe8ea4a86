"""The `mode-dagster` command: begin, try it, check a key, see what there is.

Here: what a person types and reads.
Not here: loading; that is `dagster`, or `python -m mode_dagster.extract`.
"""

import os
import shlex
import sys
import threading
from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from dotenv import load_dotenv
from rich.console import Console
from rich.table import Table

from mode_dagster.extract.endpoints import ENDPOINTS
from mode_dagster.extract.errors import ModeError

if TYPE_CHECKING:
    from mode_dagster.extract.probe import Probe
    from mode_dagster.workspace import Workspace


named = click.option("--name", default="", help="A named workspace, where a location has several.")


class _Commands(click.Group):
    """Says our own errors without a traceback, whichever command they come from."""

    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except ModeError as error:
            raise click.ClickException(str(error)) from None


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="mode-dagster")
def main() -> None:
    """Mode (mode.com) in your own warehouse."""
    # `dagster` reads it too, and lets it win over the environment
    load_dotenv(Path.cwd() / ".env", override=True)


@main.command()
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path))
def init(folder: Path) -> None:
    """Make a project of your own in FOLDER.

    It loads the bundled sandbox, and your own workspace once .dlt/secrets.toml or .env is filled in.
    """
    from mode_dagster.new_project import ProjectExistsError, make_project

    try:
        written = make_project(folder)
    except (ProjectExistsError, OSError) as error:
        raise click.ClickException(str(error)) from None
    for path in written:
        click.echo(path)
    click.echo(f"Next: cd {shlex.quote(str(folder))}, then `make sync` and `make ui`. README.md there tells the rest.")


@main.command(context_settings={"show_default": True})
@click.option("--port", default=8300, help="Port on 127.0.0.1; 0 takes a free one.")
@click.option("--reports", type=click.IntRange(1), default=40, help="How many reports it has.")
@click.option("--spaces", type=click.IntRange(1), default=6, help="How many collections it has.")
@click.option("--days", default=60, help="How many days of history it has.")
@click.option("--seed", default=1, help="Another seed, another workspace.")
@click.option("--requests", "rate_limit_requests", type=click.IntRange(1), default=40, help="Allowed in a window.")
@click.option("--seconds", "rate_limit_seconds", default=10.0, help="Length of that window.")
@click.option("--latency", default=0.0, help="Seconds that every answer takes.")
@click.option("--flat", is_flag=True, help="Also answer the flat lists of listing = workspace.")
def sandbox(port: int, **chosen: Any) -> None:
    """Serve a made-up Mode workspace on this machine."""
    from mode_dagster.sandbox import SandboxOptions, serve
    from mode_dagster.settings import ENV_PREFIX

    options = SandboxOptions(**chosen)
    with serve(options, port=port) as served:
        for name, value in served.access.items():
            click.echo(f"export {ENV_PREFIX}{name.upper()}={value}")
        click.echo(f"export {ENV_PREFIX}RATE_LIMIT_REQUESTS={options.rate_limit_requests}")
        click.echo(f"export {ENV_PREFIX}RATE_LIMIT_SECONDS={options.rate_limit_seconds}")
        # every sandbox has the same workspace name: two of them in one file would be taken for one
        file = Path.cwd() / f"sandbox_{options.reports}_{options.seed}.duckdb"
        click.echo(f"export DESTINATION__DUCKDB__CREDENTIALS={shlex.quote(str(file))}")
        click.echo("Serving until Ctrl-C; the lines above let another shell read it.", err=True)
        try:
            threading.Event().wait()
        except KeyboardInterrupt:
            click.echo("Stopped.", err=True)


@main.command()
def endpoints() -> None:
    """List every table and the request that fills it."""
    rows = []
    for endpoint in ENDPOINTS:
        route = endpoint.main_route
        base = "/batch" if route.batch else "/api"
        rows.append((endpoint.name, base + route.path, route.pager, ", ".join(endpoint.key), route.parent or ""))
    _show(("table", "request", "paged", "key", "of each"), rows)


@main.command()
@named
def check(name: str) -> None:
    """Check settings, destination, and what this API key can read."""
    from mode_dagster.extract.probe import probe
    from mode_dagster.operation import load_operation
    from mode_dagster.settings import load_settings

    workspace = _workspace(name)
    settings, destination = load_settings(workspace.section), _destination(workspace)
    load_operation(workspace.section, with_secrets=True)
    results = [*probe(settings), destination]
    _show(("what", "answer", "what to do"), [(result.what, result.answer, result.advice) for result in results])
    if not all(result.good for result in results if result.needed):
        sys.exit(1)


@main.command()
@named
def plan(name: str) -> None:
    """Show what the next sync would ask for.

    Reads the listings, before a first load also the newest runs of some reports, and loads nothing.
    """
    from mode_dagster.extract.faults import errors_unwrapped
    from mode_dagster.extract.sync import Sync
    from mode_dagster.settings import load_settings

    workspace = _workspace(name)
    with errors_unwrapped(), Sync(load_settings(workspace.section), pipeline=workspace.pipeline()) as sync:
        planned = sync.make_plan(frozenset(endpoint.name for endpoint in ENDPOINTS), looks_ahead=True)
        asked = sync.client.requests
    rows = [(row.table, f"{row.lists:,}", f"{row.due:,}", f"{row.requests:,}") for row in planned.tables]
    _show(("table", "lists", "due", "requests"), rows, numbers=3)
    click.echo(f"{planned} ({asked:,} requests were made to know this)")


@main.command()
@named
def loaded(name: str) -> None:
    """Show what the last load of each table brought.

    Reads Dagster's own records, so DAGSTER_HOME must be the one that the job ran with. Seconds are from a table's first
    request to its last row: tables are read side by side.
    """
    from mode_dagster.extract.destination import database_path, destination_type, is_duckdb_file
    from mode_dagster.materialization import last_loads

    if not Path(os.environ.get("DAGSTER_HOME") or "/dev/null").is_dir():
        raise click.ClickException(
            "Could not read Dagster's records: DAGSTER_HOME is not set, or names no folder. "
            "Set it before a job is started, else Dagster forgets the run: export DAGSTER_HOME=$PWD/.dagster_home"
        )
    loads = last_loads(_workspace(name))
    if not loads:
        raise click.ClickException(
            "Dagster has no record of a load: is DAGSTER_HOME the one that the job ran with? "
            "(Of assets with a key_prefix of your own, only their pages tell.)"
        )
    rows = []
    for table, load in loads.items():
        numbers = [f"{load.get(fact) or 0:,}" for fact in ("dagster/row_count", "rows_fetched", "requests")]
        note = "; ".join(str(load[fact]) for fact in ("note", "refused_by_status") if load.get(fact))
        rows.append((table, *numbers, f"{load.get('seconds') or 0:.1f}", note))
    _show(("table", "rows", "fetched", "requests", "seconds", "note"), rows, numbers=4)
    total = sum(load.get("requests") or 0 for load in loads.values())
    where = f"DuckDB file: {database_path()}" if is_duckdb_file() else f"Destination: {destination_type()}"
    _console().print(f"{len(loads)} tables, {total:,} requests. {where}", soft_wrap=True)


@main.command()
@named
def answers(name: str) -> None:
    """Answer three questions from the SQL models.

    Tells where the workspace report is, too.
    """
    from mode_dagster.answers import three_answers
    from mode_dagster.workspace_report import report_path

    workspace = _workspace(name)
    for question, answer in three_answers(workspace).items():
        click.echo(f"{question}\n  {answer}")
    page = report_path(workspace)
    missing = f"(not written yet: materialize {workspace.model_key('workspace_report').to_user_string()})"
    click.echo(f"The whole report: {page if page.exists() else missing}")


@main.command()
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@named
def move(file: Path, name: str) -> None:
    """Copy a DuckDB FILE into the destination that is set now.

    All tables, with history and ledger.
    """
    from mode_dagster.move import move as copy_all
    from mode_dagster.warehouse import WarehouseError

    try:
        copied = copy_all(file, _workspace(name))
    except WarehouseError as error:
        raise click.ClickException(str(error)) from None
    _show(("table", "rows"), [(table, f"{rows:,}") for table, rows in copied.items()], numbers=1)


@main.command()
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path))
def docs(folder: Path) -> None:
    """Write the pages of tables, models, checks, settings."""
    from mode_dagster.documentation import pages

    for name, page in pages().items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(page, encoding="utf-8")
        click.echo(path)


def _destination(workspace: "Workspace") -> "Probe":
    """Where the tables go, and whether it can be opened.

    Raises:
        ModeError: No destination of that name is known, or its credentials are not set.
    """
    from mode_dagster.extract.destination import database_path, destination_type, is_duckdb_file, load_options
    from mode_dagster.extract.faults import errors_unwrapped
    from mode_dagster.extract.probe import Probe

    told = partial(Probe, "destination", needed=True)
    workspace.pipeline()
    with errors_unwrapped():
        load_options()
    kind, is_file, path = destination_type(), is_duckdb_file(), Path(database_path())
    if is_file and not path.exists():
        there = path.parent.is_dir()
        advice = "" if there else f"make the folder {path.parent}, or name another in DESTINATION__DUCKDB__CREDENTIALS"
        return told(f"{path}: " + ("the first sync makes it" if there else "no folder"), advice, there)
    try:
        with workspace.read():
            return told(str(path) if is_file else f"{kind}: answers")
    except ModeError:
        raise
    except Exception as error:
        # each destination's driver has its own errors, and their words are what is asked for here
        is_in_use = "another program has it open" in str(error)  # by a sync, perhaps, which is no fault
        return told(f"{kind}: can't be opened", " ".join(str(error).split())[:200], good=is_in_use)


def _workspace(name: str) -> "Workspace":
    from mode_dagster.workspace import Workspace

    try:
        return Workspace(name)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--name") from None


def _show(head: Sequence[str], rows: Iterable[Sequence[str]], numbers: int = 0) -> None:
    """Prints a table.

    Args:
        numbers: How many of its columns, after the first, hold numbers.
    """
    table = Table(*head, box=None)
    for column in table.columns[1 : numbers + 1]:
        column.justify = "right"
    for row in rows:
        table.add_row(*row)
    _console().print(table)


def _console() -> Console:
    console = Console(markup=False, emoji=False)  # paths and errors may have brackets and colons of their own
    if not console.is_terminal:
        console.width = 160  # so that nothing is cut
    return console


if __name__ == "__main__":
    main()
