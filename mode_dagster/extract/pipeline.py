"""dlt's pipeline: how it is made, read, and loaded without two syncs in each other's way.

Here: opening the destination, the loads of a sync, locks.
Not here: which destination it is (`destination`), what is wrong with it (`faults`), what is loaded (`source`), Dagster.
"""

import shutil
from collections.abc import Callable, Collection, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import dlt
from dlt.common.destination import Destination
from dlt.common.pipeline import LoadInfo
from dlt.common.storages.load_package import PackageStorage
from dlt.destinations import duckdb
from dlt.destinations.exceptions import DestinationConnectionError
from dlt.destinations.impl.duckdb.configuration import DuckDbCredentials
from dlt.extract import DltSource
from dlt.pipeline.pipeline import Pipeline
from duckdb import ConnectionException, IOException, connect
from duckdb import Error as DuckDBError
from filelock import FileLock, Timeout

from mode_dagster.extract.destination import (
    DATASET,
    PIPELINE,
    database_path,
    destination_type,
    is_duckdb_file,
    load_options,
)
from mode_dagster.extract.endpoints import BY_NAME
from mode_dagster.extract.errors import DestinationBusy, ModeConfigError, first_line
from mode_dagster.extract.faults import errors_unwrapped, file_fault
from mode_dagster.extract.gone import mark_deleted
from mode_dagster.extract.source import mode_analytics_source
from mode_dagster.extract.sync import Sync
from mode_dagster.warehouse import DuckDBWarehouse, NoWarehouseError, Warehouse, is_made, open_warehouse
from mode_dagster.warehouse.sql import literal

TAKE_PARQUET = ("motherduck", "filesystem", "snowflake", "bigquery")
"""The others take it only from a bucket between, or with a driver of their own."""
KEPT_PACKAGES = 10
"""How many complete loads dlt's working folder tells of: each takes a third of a megabyte, and dlt keeps all."""
BLOCK_SIZE = 65_536
"""Bytes of a DuckDB file that are read and written at once. A sync adds rows to hundreds of columns, and has a block of
each in memory; with DuckDB's 256 KB that is a sixth of what it takes, and most of a small file."""
ROW_GROUP = 16_384
"""Rows of the row groups that are joined. DuckDB's own size is 122,880, and to make one of a wide table takes 200 MB,
whatever its limit is (docs/decisions.md)."""
JOINING_MEMORY = "64MB"
"""What DuckDB may keep in memory of what it joins."""
JOINING = "_mode_dagster_joining"
"""A table that is never seen, made and dropped in a transaction: DuckDB joins nothing in a file that did not change."""


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
    file = DuckDbCredentials(path)
    file.global_config = {"max_vacuum_tasks": 0}  # join_row_groups does it
    # dlt 1.31 merges in a transaction only where it is told that there are any; without one, a merge that is cut short
    # leaves rows deleted that it was going to put back
    return duckdb(file, preferred_loader_file_format="parquet", supports_transactions=True)


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
    if not Path(path).exists():
        raise NoWarehouseError(f"There is no file {path} yet.")
    try:
        connection = connect(path, read_only=True)
    except (IOException, ConnectionException) as error:
        if fault := file_fault(error, path):
            raise NoWarehouseError(str(fault)) from error
        raise NoWarehouseError(f"Could not open {path}, another program has it open: {first_line(error)}") from error
    with connection:
        yield DuckDBWarehouse(connection)


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
            if is_duckdb_file():
                join_row_groups(database_path())
        mark_deleted(pipeline, sync.settings.listing, sync.now())


def make_file(path: str) -> None:
    """Makes a DuckDB file, if there is none yet, with blocks of `BLOCK_SIZE`."""
    if not Path(path).exists():
        with suppress(DuckDBError):  # what is wrong shows to whoever opens it next
            connect(path, config={"default_block_size": str(BLOCK_SIZE)}).close()


def join_row_groups(path: str) -> None:
    """Puts what came in parts together, as DuckDB does whenever it closes a file, but in little memory.

    Where somebody reads the file, that is left to the next part.
    """
    with (
        suppress(DuckDBError),
        connect(config={"memory_limit": JOINING_MEMORY, "temp_directory": f"{path}.tmp"}) as memory,
    ):
        memory.execute(f"ATTACH {literal(path)} AS file (ROW_GROUP_SIZE {ROW_GROUP})")
        memory.execute(f"BEGIN; CREATE TABLE file.{JOINING} (x INT); DROP TABLE file.{JOINING}; COMMIT")
        memory.execute("CHECKPOINT file")


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
