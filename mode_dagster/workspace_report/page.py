"""The workspace report as one HTML page that needs nothing else.

Here: how values are written, and what may be linked to.
Not here: what the page says and looks like (`page.html`), where its values come from (`facts`), drawing (`charts`).

Whatever people write into Mode is text here: the template escapes it, and only http(s) addresses become links.
"""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from mode_dagster.settings import is_address
from mode_dagster.workspace_report.charts import DARK, LIGHT, Chart
from mode_dagster.workspace_report.facts import Facts, Row

SHOWN = 15
"""Rows of a table; how many more there are is said below it."""
LONGEST = 160
NOTHING = "—"
SPACE = "\N{NO-BREAK SPACE}"


def render_page(facts: Facts, charts: Mapping[str, Chart], marts: str, written_at: datetime) -> str:
    """The page's HTML.

    Args:
        charts: `health` and `hours`; one that has nothing to show is absent.
        marts: Schema that the facts come from.
    """
    template = _environment().get_template("page.html")
    return template.render(
        facts=facts,
        health=charts.get("health"),
        hours=charts.get("hours"),
        marts=marts,
        written_at=written_at,
        shown=SHOWN,
        light=LIGHT,
        dark=DARK,
    )


def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(FILTERS)
    return environment


def number(value: float | None) -> str:
    """1,234 or 5.6: a digit after the point only where it says something."""
    if value is None:
        return NOTHING
    return f"{value:,.1f}" if value != round(value) and abs(value) < 10 else f"{value:,.0f}"


def duration(seconds: float | None) -> str:
    """45 s, 12 min, 3 h 20 min or 5 d 2 h."""
    if seconds is None:
        return NOTHING
    minutes = round(seconds / 60)
    if seconds < 59.5:
        parts = [(number(round(seconds, 1)), "s")]
    elif minutes < 60:
        parts = [(number(minutes), "min")]
    elif minutes < 48 * 60:
        parts = [(number(minutes // 60), "h"), (number(minutes % 60), "min")]
    else:
        parts = [(number(minutes // (24 * 60)), "d"), (number(minutes // 60 % 24), "h")]
    return SPACE.join(f"{count}{SPACE}{unit}" for count, unit in parts)


def minute(moment: datetime) -> str:
    """A point in time in UTC; the page says the zone once."""
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M}"


def percent(share: float) -> str:
    """5 % or 0.4 %."""
    return f"{number(100 * share)}{SPACE}%"


def change(share: float | None) -> str:
    """By how much something grew: +20 %."""
    return NOTHING if share is None else f"{100 * share:+,.0f}{SPACE}%"


def error(report: Row) -> str:
    """Kind and words of a report's last error."""
    return ": ".join(filter(None, [report["last_error_code"], report["last_error_message"]])) or NOTHING


def short(text: str) -> str:
    """Text that fits into a table; what people write may be long."""
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"


def dotted(name: str) -> Markup:
    """A qualified name that a narrow column breaks after its dots."""
    return Markup(".<wbr>").join(name.split("."))


def web(address: str | None) -> str:
    """An http(s) address; nothing for any other, such as javascript:."""
    text = (address or "").strip()
    return text if is_address(text) else ""


def iso(moment: datetime) -> str:
    """A point in time for machines."""
    return moment.astimezone(UTC).isoformat(timespec="seconds")


FILTERS: Mapping[str, Callable[[Any], str]] = {
    function.__name__: function
    for function in (number, duration, minute, percent, change, error, short, dotted, web, iso)
}
