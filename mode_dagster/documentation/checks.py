"""The checks of the loaded tables: what each claims, and what to do when it fails.

Here: docs/checks.md.
Not here: checks of the SQL models (`models`).
"""

from collections.abc import Sequence
from datetime import timedelta

from mode_dagster.checks import checks_of
from mode_dagster.checks.loaded import Check
from mode_dagster.documentation.page import GENERATED
from mode_dagster.extract.endpoints import ENDPOINTS, Family
from mode_dagster.extract.ledger import LEDGER
from mode_dagster.freshness import LIMITS
from mode_dagster.markdown import table


def checks_page() -> str:
    """Every check of the loaded tables, and how old a load may get."""
    tables = [*(endpoint.name for endpoint in ENDPOINTS), LEDGER]
    checks = [(table, check) for table in tables for check in checks_of(table)]
    names = dict.fromkeys(check.name for _, check in checks)
    sections = "\n\n".join(_check([(table, check) for table, check in checks if check.name == name]) for name in names)
    rows = [(f"`{family}`", _hours(limit.warn), _hours(limit.fail)) for family, limit in LIMITS.items()]
    limits = table(("group", "warns after", "fails after"), rows)
    return f"""# Checks

{GENERATED}

Every loaded table has checks, derived from its row of the catalogue. They run in one step after the load,
`mode__<table>__checks`, and their results are on the asset's page in Dagster, tab Checks.
A check that passes shows its numbers, one that fails up to 20 rows and what to do.
A table that was never loaded, or a column that Mode does not send, is not checked: its check passes and says so.
In addition, `every_table_was_read` of the ledger fails a run, at its end, if a table could not be read.
Checks of the SQL models are in [models in detail](model-reference.md).

| a check that | when it fails |
|---|---|
| warns | is shown; somebody should look |
| fails | is shown as an error; the run goes on |
| blocks | keeps everything below its table from running, in this run and by automation |

{sections}

## How old a load may get

Freshness policies of the tables, by asset group; the ledger has that of `{Family.RUNS}`, the SQL models have that of
`{Family.REPORTS}`.
They look at when a table was last loaded, whether that brought anything or not; the checks above look at the data.

{limits}
"""


def _check(found: Sequence[tuple[str, Check]]) -> str:
    """One check by its name: what happens and what to do when it fails, what it claims of which tables."""
    _, first = found[0]
    tables: dict[str, list[str]] = {}
    for name, check in found:
        tables.setdefault(check.description, []).append(f"[`{name}`](assets.md#{name})")
    claims = table(("claim", "tables"), [(claim, ", ".join(names)) for claim, names in tables.items()])
    advice = f"{first.gravity.capitalize()}. What to do: {first.advice}"
    return "\n\n".join([f"## {first.name}", advice, claims])


def _hours(limit: timedelta) -> str:
    return f"{limit.total_seconds() / 3600:.0f} h"
