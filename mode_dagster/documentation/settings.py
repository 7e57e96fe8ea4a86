"""The reference of the settings: name, default, meaning.

Here: docs/configuration.md.
Not here: reading them (`mode_dagster.settings`).
"""

from dataclasses import fields

from mode_dagster.documentation.page import GENERATED, plain, table
from mode_dagster.extract.destination import DESTINATIONS
from mode_dagster.settings import ENV_PREFIX, SECTION, Operation, Settings


def configuration_page() -> str:
    """Every setting with its default and meaning."""
    return f"""# Settings

{GENERATED}

All of them are in the section `[{SECTION}]` of `.dlt/secrets.toml` or `.dlt/config.toml`, or in the environment as
`{ENV_PREFIX}<NAME>`, or in any vault that dlt reads.
The environment wins over secrets.toml, which wins over config.toml.
A name that does not exist, or a value that can't be, is refused with all other mistakes in one message.

{_settings(Settings)}

## What runs by itself

In the same section. Dagster reads them when it loads the definitions: after a change, reload the code location.
A vault is only asked for `webhook_url`. [Operations](operations.md#schedules) says what each schedule and sensor does.

{_settings(Operation)}

## Where the tables go

`DESTINATION__DUCKDB__CREDENTIALS=/path/file.duckdb` (or `credentials` under `[destination.duckdb]` in secrets.toml)
names the DuckDB file; without it, it is `mode_analytics.duckdb` in the current folder.
`DESTINATION_TYPE` (or `destination_type` in config.toml, above all sections) names another destination:
{", ".join(f"`{name}`" for name in DESTINATIONS)}; its credentials are in `[destination.<name>]`, as dlt wants them.
The tables are in the schema `mode_analytics_data`, the SQL models in `mode_marts`.

## dlt's own

`[runtime] request_timeout` (60 s), `request_max_attempts` (5), `request_backoff_factor` (1) and
`request_max_retry_delay` (300 s) bound how long one request is tried.
`.dlt/config.toml` has the others that this project sets, each with its reason.
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
