"""The table reference: where each table comes from, what its columns mean, how tables hang together.

Here: docs/assets.md.
Not here: the drawing in it (`diagram`), what is checked (`checks`).
"""

from collections.abc import Iterable

from mode_dagster.documentation.page import GENERATED
from mode_dagster.extract.endpoints import ENDPOINTS, Column, Endpoint
from mode_dagster.extract.ledger import LEDGER, LEDGER_COLUMNS, LEDGER_MEANING
from mode_dagster.markdown import table
from mode_dagster.translator import how_it_is_read, upstream

DRAWING = """Lines lead from a table to those whose rows belong to one of its rows.
Each box has the columns to join by: the key, and what names rows of other tables.

![The loaded tables and how they are joined](tables.svg)"""
MARKS = """*Personal*: tells who somebody is; the setting `personal_data` says what is stored of it.
*Sensitive*: SQL, what people write, what databases answer, where they are; stored as Mode has it.
Neither is shown in Dagster's event log."""


def assets_page() -> str:
    """Every table."""
    contents = [f"- [`{endpoint.name}`](#{endpoint.name}): {endpoint.description}" for endpoint in ENDPOINTS]
    contents.append(f"- [`{LEDGER}`](#{LEDGER}): {LEDGER_MEANING}")
    ledger = "\n\n".join([f"## {LEDGER}", LEDGER_MEANING, _columns(LEDGER_COLUMNS)])
    sections = [_section(endpoint) for endpoint in ENDPOINTS]
    return "\n\n".join(["# Tables", GENERATED, "\n".join(contents), MARKS, DRAWING, *sections, ledger]) + "\n"


def _section(endpoint: Endpoint) -> str:
    facts = [f"- asset `mode/{endpoint.name}`, group `{endpoint.family}`"]
    facts.append(f"- key: {', '.join(f'`{name}`' for name in endpoint.key)}")
    if above := upstream(endpoint):
        facts.append(f"- from: {', '.join(f'[`{name}`](#{name})' for name in above)}")
    facts += [f"- {fact}" for fact in how_it_is_read(endpoint)]
    columns = _columns(endpoint.all_columns)
    return "\n\n".join([f"## {endpoint.name}", endpoint.description, "\n".join(facts), columns])


def _columns(columns: Iterable[Column]) -> str:
    rows = [(f"`{column.name}`", column.data_type, _meaning(column)) for column in columns]
    return table(("column", "type", "meaning"), rows)


def _meaning(column: Column) -> str:
    where = "Personal where `{}` is {}.".format(*column.personal_where) if column.personal_where else ""
    marks = (where, "Personal." if column.personal else "", "Sensitive." if column.sensitive else "")
    return " ".join(filter(None, (column.description, *marks)))
