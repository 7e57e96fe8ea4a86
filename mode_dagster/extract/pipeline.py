"""Where the rows go: dlt's pipeline, its destination and dataset.

Here: names that other tools rely on, what may not be mixed, locks, and the naming of what goes wrong.
Not here: what is loaded (`source`), Dagster.
"""

import re
import shutil
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import dlt
from dlt.common.configuration.exceptions import ConfigFieldMissingException
from dlt.common.destination import Destination
from dlt.common.exceptions import MissingDependencyException
from dlt.common.pipeline import LoadInfo
from dlt.common.storages.load_package import PackageStorage
from dlt.destinations import duckdb
from dlt.destinations.exceptions import DestinationConnectionError
from dlt.extract import DltSource
from dlt.pipeline.exceptions import PipelineStepFailed
from dlt.pipeline.pipeline import Pipeline
from duckdb import ConnectionException, IOException, connect
from duckdb import Error as DuckDBError
from filelock import FileLock, Timeout

from mode_dagster.extract.endpoints import BY_NAME
from mode_dagster.extract.errors import DestinationBusy, DestinationError, ModeConfigError, ModeError, first_line
from mode_dagster.extract.gone import mark_deleted
from mode_dagster.extract.source import mode_analytics_source
from mode_dagster.extract.sync import Sync
from mode_dagster.warehouse import DuckDBWarehouse, NoWarehouseError, Warehouse, is_made, open_warehouse

PIPELINE = "mode_analytics_pipeline"
DATASET = "mode_analytics_data"
DATABASE = "mode_analytics.duckdb"
DESTINATIONS = ("duckdb", "motherduck", "filesystem", "postgres", "redshift", "snowflake", "bigquery", "databricks")
"""What the tables can be loaded into; docs/destinations.md says what was tried."""
TAKE_PARQUET = ("motherduck", "filesystem", "snowflake", "bigquery")
"""The others take it only from a bucket between, or with a driver of their own."""
EXTRAS = {"gs": "gcs", "az": "azure", "abfss": "azure", "deltalake": "delta"}
"""The extras of this package that bring a driver, where dlt's are called otherwise."""
KEPT_PACKAGES = 10
"""How many complete loads dlt's working folder tells of: each takes a third of a megabyte, and dlt keeps all."""

BLOCK_SIZE = 65_536
"""Bytes of a DuckDB file that are read and written at once. A sync adds rows to hundreds of columns, and has a block of
each in memory; with DuckDB's 256 KB that is a sixth of what it takes, and most of a small file."""

FILE_FAULTS = {
    r"version number \d+|(newer|older) version of DuckDB": "it is of another version of DuckDB. Install that version, "
    "or name another file in DESTINATION__DUCKDB__CREDENTIALS.",
    r"not a valid DuckDB": "it is no DuckDB file. Name another one in DESTINATION__DUCKDB__CREDENTIALS.",
    r"[Cc]orrupt|checksum|Could not read enough bytes|deserialize|INTERNAL Error": "it is damaged. Put a copy of it "
    "back, or delete it: the next sync loads everything again.",
    r"No space left|File too large|[Qq]uota exceeded": "the disk is full. Make room and run again; what was loaded is "
    "intact, and what was fetched is loaded first.",
    r"[Pp]ermission denied|[Rr]ead-only": "it may not be written. Give this user the right to write it and its folder.",
    r"Cannot open file .*No such file or directory": "its folder is not there. Make it, or name another file in "
    "DESTINATION__DUCKDB__CREDENTIALS.",
}
"""What DuckDB and the system say, and what to do about it."""
READ_FAULTS = {"[Pp]ermission denied|[Rr]ead-only": "it may not be read. Give this user the right to read it."}
"""The same, where nothing is to be written."""


def database_path() -> str:
    """The DuckDB file: as `destination.duckdb.credentials` says, else in the current folder.

    Absolute, because dlt would look for a relative one where the pipeline was first used, be it another checkout.
    """
    configured: Any = dlt.secrets.get("destination.duckdb.credentials")
    if configured is None or isinstance(configured, Mapping):  # dlt takes a table of fields, too
        configured = dlt.secrets.get("destination.duckdb.credentials.database")
    return str(Path(str(configured).removeprefix("duckdb:///") if configured else DATABASE).absolute())


def destination_type() -> str:
    """Where the tables go, as dlt calls it: `destination_type`, also under `[pipelines]`; a DuckDB file if not set.

    Raises:
        ModeConfigError: It is none of those that this project knows.
    """
    keys = (f"pipelines.{PIPELINE}.destination_type", "pipelines.destination_type", "destination_type")
    found = next(filter(None, map(dlt.config.get, keys)), "duckdb")
    if found not in DESTINATIONS:
        raise ModeConfigError(
            f"Could not use the destination {str(found)[:50]!r}. "
            f"Set DESTINATION_TYPE to one of {', '.join(DESTINATIONS)}."
        )
    return str(found)


def is_duckdb_file() -> bool:
    """Whether the tables go into a DuckDB file, which one process has open at a time."""
    return destination_type() == "duckdb"


def mode_pipeline(name: str = PIPELINE, dataset: str = DATASET) -> Pipeline:
    """The dlt pipeline of this project.

    Args:
        name: What dlt calls it; its working folder, too.
        dataset: Schema that the tables are in.

    Raises:
        ModeConfigError: The destination is not known, or the DuckDB file is called like the dataset, which DuckDB
            can't tell apart.
    """
    with errors_unwrapped():
        pipeline = dlt.pipeline(name, destination=_destination(dataset), dataset_name=dataset)
    # dlt 1.31 would put an interruption off, and forget one that comes with the last file of a load; what it cuts short
    # is loaded first in the next sync
    pipeline.runtime_config.intercept_signals = False
    return pipeline


def _destination(dataset: str) -> Any:
    """The destination that is set, with Parquet for the files that are loaded wherever it takes them."""
    if not is_duckdb_file():
        kind = destination_type()
        made: Any = Destination.from_reference(
            kind, **({"preferred_loader_file_format": "parquet"} if kind in TAKE_PARQUET else {})
        )
        return made
    path = database_path()
    if Path(path).stem == dataset:
        raise ModeConfigError(
            f"The DuckDB file {path} has the name of its schema {dataset}, and DuckDB can't tell "
            "the two apart: call the file something else (DESTINATION__DUCKDB__CREDENTIALS)."
        )
    # dlt 1.31 merges in a transaction only where it is told that there are any; without one, a merge that is cut short
    # leaves rows deleted that it was going to put back
    return duckdb(path, preferred_loader_file_format="parquet", supports_transactions=True)


@contextmanager
def read_warehouse(name: str = PIPELINE, dataset: str = DATASET) -> Iterator[Warehouse]:
    """What is loaded, to be read only: never waits for whoever writes a DuckDB file.

    Args:
        name: What dlt calls the pipeline.
        dataset: Schema that the tables are in.

    Raises:
        NoWarehouseError: Nothing is there yet, or somebody is writing.
    """
    if is_duckdb_file():
        with read_file(database_path()) as file:
            yield file
        return
    with errors_unwrapped(), ExitStack() as stack:
        try:
            warehouse = stack.enter_context(open_warehouse(mode_pipeline(name, dataset)))
        except DestinationConnectionError as error:
            raise NoWarehouseError(f"Could not reach the destination: {error}") from error
        yield warehouse


@contextmanager
def read_file(path: str) -> Iterator[DuckDBWarehouse]:
    """The tables in a DuckDB file, to be read only.

    Raises:
        NoWarehouseError: It is not there, somebody is writing it, or it can't be used.
    """
    if not Path(path).is_file():
        raise NoWarehouseError(f"There is no file {path} yet.")
    try:
        connection = connect(path, read_only=True)
    except (IOException, ConnectionException) as error:
        if fault := _file_fault(error, path):
            raise NoWarehouseError(str(fault)) from error
        raise NoWarehouseError(f"Could not open {path}, another program has it open: {first_line(error)}") from error
    with connection:
        yield DuckDBWarehouse(connection)


def load_options() -> dict[str, Any]:
    """What is told to each `run` of the pipeline: the `table_format` of `[destination.filesystem]`, if it has one.

    Raises:
        ModeConfigError: It is none that works.
    """
    found: Any = dlt.config.get("destination.filesystem.table_format")
    if destination_type() != "filesystem" or not found:
        return {}
    if found != "delta":
        raise ModeConfigError(
            f"Could not use the table format {str(found)[:50]!r}: set DESTINATION__FILESYSTEM__TABLE_FORMAT to delta, "
            "or leave it out for plain Parquet."
        )
    return {"table_format": found}


def load(
    pipeline: Pipeline,
    sync: Sync,
    tables: Collection[str] | None = None,
    run: Callable[[DltSource], Any] | None = None,
) -> Iterator[Any]:
    """Loads what changed, a part at a time, then marks what is gone.

    Args:
        pipeline: It must be the one that `sync` knows.
        tables: Which tables; None means all.
        run: Loads one part, and gives what is yielded of it; None loads the tables and gives dlt's `LoadInfo`.

    Raises:
        ModeError: Mode could not be read; without dlt's wrapping.
        PipelineStepFailed: Anything else that went wrong in dlt or the destination. If it is what an earlier run
            fetched, `dlt pipeline mode_analytics_pipeline drop-pending-packages` gives that up.
    """
    selected = frozenset(BY_NAME if tables is None else tables)

    def run_selected(source: DltSource) -> LoadInfo:
        return pipeline.run(source.with_resources(*selected), **load_options())

    with errors_unwrapped(), no_other_sync(pipeline):
        if pipeline.has_pending_data:
            # dagster-dlt would drop what an earlier run had fetched and not loaded, requests and all
            pipeline.run()
        for _ in sync.checkpoints(selected):
            if not is_made(pipeline):
                make_file(database_path())
            yield (run or run_selected)(mode_analytics_source(sync))
        mark_deleted(pipeline, sync.settings.listing, sync.now())


def make_file(path: str) -> None:
    """Makes a DuckDB file, if there is none yet, with blocks of `BLOCK_SIZE`."""
    if not Path(path).exists():
        with suppress(DuckDBError):  # what is wrong shows to whoever opens it next
            connect(path, config={"default_block_size": str(BLOCK_SIZE)}).close()


@contextmanager
def no_other_sync(pipeline: Pipeline) -> Iterator[None]:
    """Keeps a second sync out of the pipeline's working folder and the DuckDB file.

    Two at once corrupt each other's packages, or load what the other has just read again.

    The lock is the operating system's: it goes with the process, however that ends.

    Raises:
        DestinationBusy: Another sync is under way.
    """
    locked = [Path(pipeline.pipelines_dir) / pipeline.pipeline_name]
    locked[0].parent.mkdir(parents=True, exist_ok=True)
    if is_duckdb_file() and Path(database_path()).parent.is_dir():
        locked.append(Path(f"{database_path()}.{pipeline.dataset_name}"))
    with ExitStack() as locks:
        try:
            for path in locked:
                locks.enter_context(FileLock(f"{path}.lock", timeout=0))
        except Timeout:
            raise DestinationBusy(
                f"Could not start: another sync of {pipeline.dataset_name} is under way on this machine. "
                "Wait until it has ended (Dagster's page Runs shows it) and run again."
            ) from None
        _finish_packages(pipeline)
        _forget_packages(pipeline)
        yield


def _finish_packages(pipeline: Pipeline) -> None:
    """Ends what a kill left between two steps of dlt 1.31, which fails on it in every sync from then on.

    That is: normalized, and what it was made of not yet deleted; or loaded completely, and not yet put away.
    """
    folder = Path(pipeline.working_dir)
    for normalized in folder.glob("load/normalized/*/"):
        shutil.rmtree(folder / "normalize" / "extracted" / normalized.name, ignore_errors=True)
        if (normalized / PackageStorage.PACKAGE_COMPLETED_FILE_NAME).exists():
            normalized.rename(folder / "load" / "loaded" / normalized.name)


def _forget_packages(pipeline: Pipeline) -> None:
    """Deletes what dlt still notes of old loads; the destination has all of it."""
    for load_id in pipeline.list_completed_load_packages()[:-KEPT_PACKAGES]:
        # what can't be deleted now will be another time
        shutil.rmtree(Path(pipeline.working_dir, "load", "loaded", load_id), ignore_errors=True)


@contextmanager
def errors_unwrapped() -> Iterator[None]:
    """Takes our own errors out of dlt's, which repeat them over hundreds of lines, and names what is wrong with a file.

    Raises:
        ModeError: What was at the bottom of it.
    """
    try:
        yield
    except ConfigFieldMissingException as missing:
        raise _unset(missing) from None
    except (PipelineStepFailed, DestinationConnectionError, OSError) as failed:
        for cause in _causes(failed):
            if isinstance(cause, ConfigFieldMissingException):
                raise _unset(cause) from None
            if isinstance(cause, MissingDependencyException):
                raise _not_installed(cause) from None
            # what is no Exception is an interruption, which dlt 1.31 wraps like any failure
            if isinstance(cause, ModeError) or not isinstance(cause, Exception):
                raise cause from None
        if named := _file_fault(failed) or _out_of_reach(failed):
            raise named from None
        raise
    except MissingDependencyException as missing:
        raise _not_installed(missing) from None


def _causes(failed: BaseException | None) -> Iterator[BaseException]:
    """An error and what led to it, from the outside in."""
    while failed is not None:
        yield failed
        failed = failed.__cause__ or failed.__context__


def _out_of_reach(failed: BaseException) -> ModeError | None:
    """That a server could not be reached, in the driver's words; None if that is not it."""
    refused = next((cause for cause in _causes(failed) if isinstance(cause, DestinationConnectionError)), None)
    if refused is None:
        return None
    kind = destination_type()
    return DestinationError(
        f"Could not reach the destination {kind}: {first_line(refused.inner_exc)}. "
        f"Look at DESTINATION__{kind.upper()}__CREDENTIALS, and whether the server runs and lets this machine in."
    )


def _not_installed(missing: MissingDependencyException) -> ModeConfigError:
    """Which driver is missing, by the extra of this package that brings it."""
    named = re.search(r"\[(\w+)\]", " ".join(missing.dependencies))
    extra = named[1] if named else destination_type()
    return ModeConfigError(
        f"Could not use the destination {destination_type()}: its driver is not installed. "
        f"pip install 'mode-dagster[{EXTRAS.get(extra, extra)}]'."
    )


def _unset(missing: ConfigFieldMissingException) -> ModeConfigError:
    """Which setting of the destination is missing, in the form of the environment."""
    kind = destination_type()
    credentials = "CREDENTIALS__" if "Credentials" in missing.spec_name else ""
    names = ", ".join(f"DESTINATION__{kind.upper()}__{credentials}{field.upper()}" for field in missing.fields)
    return ModeConfigError(
        f"Could not use the destination {kind}: not set: {names}. Set that in the environment, or in .dlt/secrets.toml "
        f"under [destination.{kind}]; docs/destinations.md has an example."
    )


def _file_fault(failed: Exception, read: str = "") -> ModeError | None:
    """What is wrong with a DuckDB file or the disk, and what to do; None if that is not it.

    Args:
        read: The file that was to be read; empty means that the destination was to be written.
    """
    said, file = str(failed), read or (database_path() if is_duckdb_file() else "")
    broken = next((cause for cause in _causes(failed) if isinstance(cause, OSError)), None)
    if not file and broken is None:  # a server's own words, which may be the same
        return None
    if file and "Could not set lock" in said:
        found = re.search(r"PID \d+", said)
        holder = found[0] if found else "unknown"
        return DestinationBusy(
            f"Could not open {file}: another program has it open ({holder}). "
            "Close it (a DuckDB shell, a notebook, another load) and run again; DuckDB has one writer."
        )
    faults = {**FILE_FAULTS, **READ_FAULTS} if read else FILE_FAULTS
    advice = next((advice for pattern, advice in faults.items() if re.search(pattern, said)), None)
    if not advice:
        return None
    if read and read != database_path():  # no setting named it
        advice = advice.replace(" in DESTINATION__DUCKDB__CREDENTIALS", "")
    where = getattr(broken, "filename", None) or file or "files"
    return DestinationError(f"Could not read {where}: {advice}" if read else f"Could not write {where}: {advice}")
