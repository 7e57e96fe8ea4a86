"""What can go wrong between dlt and the destination, in words that a person can act on.

Here: the naming of what is wrong with a DuckDB file, a disk, a server, a driver or its settings.
Not here: what can go wrong with Mode (`errors`).
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager

from dlt.common.configuration.exceptions import ConfigFieldMissingException
from dlt.common.exceptions import MissingDependencyException
from dlt.destinations.exceptions import DestinationConnectionError
from dlt.pipeline.exceptions import PipelineStepFailed

from mode_dagster.extract.destination import database_path, destination_type, is_duckdb_file
from mode_dagster.extract.errors import (
    DestinationBusy,
    DestinationError,
    ModeConfigError,
    ModeError,
    advise_to_install,
    first_line,
)

EXTRAS = {"gs": "gcs", "az": "azure", "abfss": "azure", "deltalake": "delta"}
"""The extras of this package that bring a driver, where dlt's are called otherwise."""
FILE_FAULTS = {
    r"version number \d+|(newer|older) version of DuckDB": "it is of another version of DuckDB. Install that version, "
    "or name another file in DESTINATION__DUCKDB__CREDENTIALS.",
    r"not a valid DuckDB": "it is no DuckDB file. Name another one in DESTINATION__DUCKDB__CREDENTIALS.",
    r"[Cc]orrupt|checksum|Could not read enough bytes|deserialize|INTERNAL Error": "it is damaged. Put a copy of it "
    "back, or delete it: the next sync loads everything again.",
    r"No space left|File too large|[Qq]uota exceeded": "the disk is full. Make room and run again; what was loaded is "
    "intact, and what was fetched is loaded first.",
    r"[Pp]ermission denied|[Rr]ead-only": "it may not be written. Give this user the right to write it and its folder.",
    r"Is a directory": "it is a folder. Name a file in DESTINATION__DUCKDB__CREDENTIALS.",
    r"Cannot open file .*No such file or directory": "its folder is not there. Make it, or name another file in "
    "DESTINATION__DUCKDB__CREDENTIALS.",
}
"""What DuckDB and the system say, and what to do about it."""
READ_FAULTS = {"[Pp]ermission denied|[Rr]ead-only": "it may not be read. Give this user the right to read it."}
"""The same, where nothing is to be written."""


@contextmanager
def errors_unwrapped() -> Iterator[None]:
    """Takes our own errors out of dlt's, which repeat them over hundreds of lines, and names what is wrong with a file.

    Raises:
        ModeError: What was at the bottom of it.
    """
    try:
        yield
    except (
        ConfigFieldMissingException,
        MissingDependencyException,
        PipelineStepFailed,
        DestinationConnectionError,
        OSError,
    ) as failed:
        for cause in _causes(failed):
            if isinstance(cause, ConfigFieldMissingException):
                raise _unset(cause) from None
            if isinstance(cause, MissingDependencyException):
                raise _not_installed(cause) from None
            # what is no Exception is an interruption, which dlt 1.31 wraps like any failure
            if isinstance(cause, ModeError) or not isinstance(cause, Exception):
                raise cause from None
        if named := file_fault(failed) or _out_of_reach(failed):
            raise named from None
        raise


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
    extra = EXTRAS.get(found := named[1] if named else destination_type(), found)
    return ModeConfigError(
        f"Could not use the destination {destination_type()}: its driver is not installed. {advise_to_install(extra)}."
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


def file_fault(failed: Exception, read: str = "") -> ModeError | None:
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
