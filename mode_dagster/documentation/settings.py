"""The reference of the settings: name, default, meaning.

Here: docs/configuration.md.
Not here: reading them (`mode_dagster.settings`).
"""

from dataclasses import fields

from mode_dagster.documentation.page import GENERATED, plain
from mode_dagster.extract.destination import DESTINATIONS
from mode_dagster.markdown import table
from mode_dagster.settings import ENV_PREFIX, SECTION, Operation, Settings


def configuration_page() -> str:
    """Every setting with its default and meaning."""
    return f"""# Settings

{GENERATED}

A setting can be in

1. the environment, as `{ENV_PREFIX}<NAME>`, also by a file `.env` in the current folder,
   which wins over the rest of the environment,
2. `.dlt/secrets.toml`, in the section `[{SECTION}]`, or a vault that dlt reads,
3. `.dlt/config.toml`, in the same section.

The first of these that has it wins. `.dlt/` is that of the current folder.
A workspace of your own needs `workspace`, `username`, `password`, and a `base_url` that replaces the `"sandbox"` of
`.dlt/config.toml`: `.dlt/secrets.toml.example` has all four, and a DuckDB file of its own.
Unknown names and values that are not allowed are refused, all of them in one message.

`.env` is read by `dagster`, `mode-dagster` and `python -m mode_dagster.extract`, not by `dlt`.

{_settings(Settings)}

## What runs by itself

These are in the same section. Dagster reads them when it loads the definitions: after a change, reload the code
location. Of these only `webhook_url` can be in a vault.
[Operations](operations.md#schedules) says what each schedule and sensor does.

{_settings(Operation)}

## Where the tables go

`DESTINATION__DUCKDB__CREDENTIALS=/path/file.duckdb` (or `credentials` under `[destination.duckdb]` in secrets.toml)
names the DuckDB file; without it, it is `mode_analytics.duckdb` in the current folder.
`DESTINATION_TYPE` (or `destination_type` in config.toml, above all sections) names another destination:
{", ".join(f"`{name}`" for name in DESTINATIONS)}; its credentials are in `[destination.<name>]`, as dlt wants them.
The tables are in the schema `mode_analytics_data`, the SQL models in `mode_marts`.

## dlt's own

`[runtime] request_timeout` (60 s), `request_max_attempts` (5), `request_backoff_factor` (1) and
`request_max_retry_delay` (300 s) limit how long one request is tried.
`.dlt/config.toml` has the other settings of dlt that this project uses, each with its reason.
"""


def _settings(kind: type[Settings | Operation]) -> str:
    rows = [
        (
            f"`{setting.name}`",
            _default(setting.default),
            f"{plain(setting.metadata['description'])}{' Secret.' if setting.metadata['secret'] else ''}",
        )
        for setting in fields(kind)
    ]
    return table(("setting", "default", "meaning"), rows)


def _default(value: object) -> str:
    shown = str(value).lower() if isinstance(value, bool) else str(value)
    return f"`{shown}`" if shown else ""
