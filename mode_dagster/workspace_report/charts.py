"""The charts of the workspace report: rows to SVG, without JavaScript and without the network.

Here: Vega-Lite through altair and vl-convert; colours by name, so that one drawing serves light and dark pages.
Not here: what is drawn (`facts`), the page around it (`page`).

A chart's words are this module's own: nothing that people wrote into Mode gets into an SVG.
"""

import base64
import math
import re
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import altair as alt
import vl_convert
from markupsafe import Markup

from mode_dagster.workspace_report.facts import Facts, Row

COLOURS = {
    "background": ("#ffffff", "#11161c"),
    "card": ("#f5f7f9", "#1a212a"),
    "text": ("#1b2128", "#e7ebef"),
    "muted": ("#53606d", "#a0acb8"),
    "line": ("#d5dce3", "#333e4a"),
    "link": ("#0b5cad", "#7db8f0"),
    "succeeded": ("#5b93c7", "#5f9fd6"),
    "failed": ("#c2321d", "#ff7a66"),
    "other": ("#9aa5b1", "#76828f"),
    "minutes": ("#5a6f86", "#8fa5bb"),
    "heat0": ("#edf1f4", "#1d252e"),
    "heat1": ("#c9dff0", "#18405f"),
    "heat2": ("#93c0e2", "#1f5f8d"),
    "heat3": ("#5a9ccf", "#3585bd"),
    "heat4": ("#2873b2", "#64b0e6"),
    "heat5": ("#0a4680", "#b4dcfa"),
}
"""What each is called on the page, where it is light and where it is dark."""
LIGHT, DARK = ({name: pair[dark] for name, pair in COLOURS.items()} for dark in (False, True))
OUTCOMES = ("failed", "succeeded", "other")
HEATS = ("heat1", "heat2", "heat3", "heat4", "heat5")
SQUARES = (1, 4, 9, 16, 25)
"""Steps of the heat map: peaks stand out, and a quiet hour still differs from a free one."""
WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
WIDE, NARROW = 860, 350
"""Pixels that a chart is drawn for: a desk and a phone."""
AXIS = 44
"""Pixels left of a chart's plots."""


@dataclass(frozen=True)
class Chart:
    """One drawing for each width."""

    title: str
    description: str
    """What it shows, for those who don't see it."""
    wide: str
    narrow: str

    def inline(self) -> Markup:
        """Both drawings for a page, whose style shows the one that fits; colours are the page's variables."""
        return self._named("wide", self.wide) + self._named("narrow", self.narrow)

    def image(self) -> str:
        """A Markdown image for an asset's page, with colours of its own."""
        svg = re.sub(r"var\(--(\w+)\)", lambda name: LIGHT[name[1]], self.wide)
        coded = base64.b64encode(svg.encode()).decode()
        return f"![{self.title}. {self.description}](data:image/svg+xml;base64,{coded})"

    def _named(self, width: str, svg: str) -> Markup:
        """An SVG that says what it is, and takes the width of its place."""
        inside = svg[svg.index(">") + 1 :]
        box = re.search(r'viewBox="[\d. ]+"', svg)
        head = Markup('<svg role="img" class="{}" aria-label="{}. {}" ').format(width, self.title, self.description)
        return head + Markup((box[0] if box else "") + ">" + inside)  # noqa: S704 - drawn here, of numbers and dates


def draw(facts: Facts) -> Mapping[str, Chart]:
    """The charts that have something to show: `health`, `hours`."""
    charts = {}
    if facts.days:
        charts["health"] = health(facts.days)
    if facts.hours:
        charts["hours"] = heat_map(facts.hours)
    return charts


def health(days: Sequence[Row]) -> Chart:
    """Runs, failures and run minutes a day."""
    first, last = days[0]["day"], days[-1]["day"]
    runs, failed, minutes = (sum(day[name] or 0 for day in days) for name in ("runs", "failed_runs", "run_minutes"))
    return Chart(
        title="Runs and run minutes a day",
        description=f"From {first} to {last}: {runs:,} runs, {failed:,} of them failed, {minutes:,.0f} run minutes.",
        wide=_svg(_days(days, WIDE)),
        narrow=_svg(_days(days, NARROW)),
    )


def heat_map(hours: Sequence[Row]) -> Chart:
    """Run minutes of the schedules by hour of the week."""
    busiest = max(hours, key=lambda hour: hour["run_minutes_per_week"])
    minutes = busiest["run_minutes_per_week"]
    return Chart(
        title="Run minutes a week that schedules start, by hour of the week in UTC",
        description=f"Busiest: {busiest['weekday']} {busiest['hour']:02}:00 with {minutes:,.0f} run minutes a week.",
        wide=_svg(_week(hours, WIDE, every=3, shape=0.75)),
        narrow=_svg(_week(hours, NARROW, every=6, shape=1.75)),
    )


def _days(days: Sequence[Row], width: int) -> alt.VConcatChart:
    plot = width - AXIS - 10
    runs = (
        alt.Chart(_data(_outcomes(days)), title="Runs a day", width=plot, height=150)
        .mark_bar()
        .encode(
            x=_day(days, alt.Axis(labels=False, ticks=False, grid=False)),
            y=alt.Y("runs:Q", title=None, axis=alt.Axis(tickMinStep=1)),
            color=alt.Color("outcome:N", title=None, scale=_colours(OUTCOMES, OUTCOMES)),
            order=alt.Order("place:Q"),
        )
    )
    axis = alt.Axis(grid=False, format="%d %b", labelOverlap=True, labelFlush=True, tickCount=plot // 90)
    spent = [{"day": str(day["day"]), "minutes": round(day["run_minutes"] or 0, 1)} for day in days]
    minutes = (
        alt.Chart(_data(spent), title="Run minutes a day", width=plot, height=90)
        .mark_bar(color="var(--minutes)")
        .encode(x=_day(days, axis), y=alt.Y("minutes:Q", title=None))
    )
    return alt.vconcat(runs, minutes, spacing=12)


def _outcomes(days: Sequence[Row]) -> list[dict[str, Any]]:
    """One row for each part of a bar, failures at the bottom where they can be compared."""
    parts = []
    for day in days:
        failed, succeeded = day["failed_runs"], day["succeeded_runs"]
        counts = (failed, succeeded, day["runs"] - failed - succeeded)
        for place, (outcome, runs) in enumerate(zip(OUTCOMES, counts, strict=True)):
            if runs:
                parts.append({"day": str(day["day"]), "outcome": outcome, "runs": runs, "place": place})
    return parts


def _day(days: Sequence[Row], axis: alt.Axis) -> alt.X:
    """From the first day to the end of the last, whether anything ran on them or not."""
    whole = [str(days[0]["day"]), f"{days[-1]['day']}T23:59"]
    return alt.X(
        "day:T",
        timeUnit="utcyearmonthdate",
        title=None,
        scale=alt.Scale(type="utc", domain=whole, nice=False),
        axis=axis,
    )


def _week(hours: Sequence[Row], width: int, every: int, shape: float) -> alt.LayerChart | alt.FacetChart:
    """The hours of a week as cells.

    Args:
        hours: Those with any runs.
        every: So many hours have one label.
        shape: How high a cell is against its width.
    """
    side = (width - AXIS - 10) / 24
    clock = alt.Axis(labelExpr=f"datum.value % {every} ? '' : datum.label + ':00'", labelAngle=0, labelOverlap=False)
    base = alt.Chart(width=alt.Step(side), height=alt.Step(side * shape)).encode(
        x=alt.X("hour:O", title=None, axis=clock, scale=alt.Scale(padding=0.06)),
        y=alt.Y(
            "weekday:O",
            title=None,
            sort=list(WEEKDAYS),
            axis=alt.Axis(labelExpr="slice(datum.label, 0, 3)"),
            scale=alt.Scale(padding=0.06),
        ),
    )
    free = [{"weekday": weekday, "hour": hour} for weekday in WEEKDAYS for hour in range(24)]
    unit = max(1, math.ceil(max(hour["run_minutes_per_week"] for hour in hours) / SQUARES[-1]))
    names = [f"≤ {unit * square:,}" for square in SQUARES]
    busy = [
        {
            "weekday": hour["weekday"],
            "hour": hour["hour"],
            "minutes": names[bisect_left(SQUARES, hour["run_minutes_per_week"] / unit)],
        }
        for hour in hours
    ]
    minutes = alt.Color("minutes:N", title=None, scale=_colours(names, HEATS))
    return alt.layer(
        base.mark_rect(fill="var(--heat0)").properties(data=_data(free)),
        base.mark_rect().encode(color=minutes).properties(data=_data(busy)),
    )


def _data(rows: list[dict[str, Any]]) -> alt.InlineData:
    return alt.InlineData(values=rows)


def _colours(names: Sequence[str], colours: Sequence[str]) -> alt.Scale:
    return alt.Scale(domain=list(names), range=[f"var(--{colour})" for colour in colours])


def _svg(chart: alt.VConcatChart | alt.LayerChart | alt.FacetChart) -> str:
    styled = (
        chart.configure(aria=False, background="var(--background)", font="sans-serif", padding=2)
        .configure_view(stroke=None)
        .configure_axis(
            domainColor="var(--line)",
            gridColor="var(--line)",
            tickColor="var(--line)",
            labelColor="var(--muted)",
            labelFontSize=11,
        )
        .configure_axisY(minExtent=AXIS - 8, maxExtent=AXIS - 8, domain=False, ticks=False, tickCount=4)
        .configure_title(anchor="start", frame="group", color="var(--text)", fontSize=12, fontWeight="normal")
        .configure_legend(orient="top", labelColor="var(--text)", labelFontSize=11, offset=4)
    )
    svg = vl_convert.vegalite_to_svg(styled.to_dict(), allowed_base_urls=[])
    # Vega writes fifteen digits, which would be half of the file
    return re.sub(r"\d+\.\d{2,}", lambda digits: f"{float(digits[0]):.1f}", svg)
