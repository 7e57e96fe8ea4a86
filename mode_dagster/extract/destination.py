"""Where the tables go: which destination is set, and what it is called.

Here: names that other tools rely on, and dlt's settings of the destination.
Not here: opening it (`pipeline`), what can be wrong with it (`faults`).
"""

from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import dlt
from dlt.common.configuration.exceptions import ConfigProviderException

from mode_dagster.extract.errors import ModeConfigError

PIPELINE = "mode_analytics_pipeline"
DATASET = "mode_analytics_data"
DATABASE = "mode_analytics.duckdb"
DESTINATIONS = ("duckdb", "motherduck", "filesystem", "postgres", "redshift", "snowflake", "bigquery", "databricks")
"""What the tables can be loaded into; docs/destinations.md says what was tried."""


def read_setting(key: str, *, secret: bool = False) -> Any:
    """What dlt finds for a key in the environment and its files, and, for a secret, in a vault.

    Raises:
        ModeConfigError: A file is not TOML, or a vault does not respond.
    """
    try:
        return (dlt.secrets if secret else dlt.config).get(key)
    except ConfigProviderException as error:
        raise ModeConfigError(f"Could not read the setting {key}: {error}") from None


def database_path() -> str:
    """The DuckDB file: as `destination.duckdb.credentials` says, else in the current folder.

    Absolute, because dlt would look for a relative one where the pipeline was first used, be it another checkout.
    """
    configured = read_setting("destination.duckdb.credentials", secret=True)
    if configured is None or isinstance(configured, Mapping):  # dlt takes a table of fields, too
        configured = read_setting("destination.duckdb.credentials.database", secret=True)
    return str(Path(str(configured).removeprefix("duckdb:///") if configured else DATABASE).absolute())


def destination_type() -> str:
    """Where the tables go, as dlt calls it: `destination_type`, also under `[pipelines]`; a DuckDB file if not set.

    Raises:
        ModeConfigError: It is none of those that this project knows.
    """
    keys = (f"pipelines.{PIPELINE}.destination_type", "pipelines.destination_type", "destination_type")
    found = next(filter(None, map(read_setting, keys)), "duckdb")
    if found not in DESTINATIONS:
        raise ModeConfigError(
            f"Could not use the destination {str(found)[:50]!r}. "
            f"Set DESTINATION_TYPE to one of {', '.join(DESTINATIONS)}."
        )
    return str(found)


def is_duckdb_file() -> bool:
    """Whether the tables go into a DuckDB file, which one process has open at a time."""
    return destination_type() == "duckdb"


def load_options() -> dict[str, Any]:
    """What is told to each `run` of the pipeline: the `table_format` of `[destination.filesystem]`, if it has one.

    Raises:
        ModeConfigError: It is none that works.
        MissingDependencyException: Its library is not installed.
    """
    found = read_setting("destination.filesystem.table_format")
    if destination_type() != "filesystem" or not found:
        return {}
    if found != "delta":
        raise ModeConfigError(
            f"Could not use the table format {str(found)[:50]!r}: set DESTINATION__FILESYSTEM__TABLE_FORMAT to delta, "
            "or leave it out for plain Parquet."
        )
    import_module("dlt.common.libs.deltalake")  # which names what is not installed
    return {"table_format": found}
