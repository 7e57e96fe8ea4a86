"""The endpoint catalogue: one row per list that Mode can give, and nothing else.

Here: what each endpoint is called, where it is, how it is paged, what identifies its rows and what its
columns mean.
Everything else is derived from it: dlt resources, asset keys and lineage, table schemas, sandbox routes,
documentation.
Not here: how requests are made (`client`), how answers become rows (`rows`), when they are fetched (`sync`).
A long file, because whoever asks what a table is finds all of it in one place.

Facts about Mode come from Mode's published Swagger file, from mode.com/developer, and from what public clients
of the API met on the wire; docs/architecture.md names the traps.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import partial
from typing import Literal, cast

DataType = Literal["text", "bigint", "double", "bool", "timestamp", "json"]


class Listing(StrEnum):
    """How reports, queries and charts are listed (the setting `listing`)."""

    COLLECTIONS = "collections"
    DISCOVERY = "discovery"
    WORKSPACE = "workspace"


class Pager(StrEnum):
    """When a list has been read to its end."""

    COUNTED = "counted"
    """`pagination.total_pages` says so; a list without that block is read as UNSEEN."""
    WHOLE = "whole"
    """Said to come whole, but not by everybody, or by nobody: a page that may be full is not the last one."""
    UNSEEN = "until no unseen token"
    """Pages have no counters: go on until one brings no row that was not there before."""
    SINGLE = "single page"
    """The same full list whatever `page` says: ask once, unless counters say that there are more pages."""
    NEXT = "next_page"
    """Follow `next_page` until it is gone; counters win, and a list that never names one is read as UNSEEN."""
    CURSOR = "next_token"
    """Follow `next_token` until it is gone."""
    OBJECT = "object"
    """Not a list: the answer is the one row."""


class Family(StrEnum):
    """Endpoints that people look at together; the asset group in Dagster."""

    REPORTS = "mode_reports"
    RUNS = "mode_runs"
    SCHEDULES = "mode_schedules"
    DATASETS = "mode_datasets"
    SOURCES = "mode_sources"
    PEOPLE = "mode_people"
    AUDIT = "mode_audit"


@dataclass(frozen=True)
class Column:
    """One documented column of a table."""

    name: str
    description: str
    source: str = ""
    """Where the value is in Mode's row, if not under `name`: a dotted path, alternatives separated by `|`.

    `_links.<rel>` means the last part of that link, or the whole link where the column's name ends in `_url`.
    """
    words: tuple[str, ...] = ()
    """All values that Mode documents; any other is loaded all the same, and a check tells of it."""
    data_type: DataType = "text"
    personal: bool = False
    """Whether it tells who somebody is, or may; the setting `personal_data` says what is stored of it."""
    personal_where: tuple[str, str] | None = None
    """Personal only in rows of which this column has this value."""
    sensitive: bool = False
    """Whether anything may stand in it: SQL with values in it, an error that quotes a row, what people write.

    It is stored as it is, but not shown in Dagster's event log, which outlives the rows and more people read.
    """

    @property
    def showable(self) -> bool:
        """Whether its values may be in Dagster's event log."""
        return not (self.personal or self.personal_where or self.sensitive)


def spoken(name: str) -> str:
    """A name of the catalogue as it reads in a sentence."""
    return name.replace("_", " ")


text = Column
"""Ids are text too, because Mode sends them as number or string."""
personal = partial(Column, personal=True)
"""About a person: name, address, device."""
number = partial(Column, data_type="bigint")
decimal = partial(Column, data_type="double")
flag = partial(Column, data_type="bool")
time = partial(Column, data_type="timestamp")
"""A point in time, UTC."""
prose = partial(Column, sensitive=True)
"""What people or databases write: SQL, descriptions, errors."""
document = partial(Column, data_type="json", sensitive=True)
"""A JSON value whose inside is users' data; kept whole in one column."""


@dataclass(frozen=True)
class Route:
    """Where a table's rows come from in one listing mode."""

    path: str
    """Placeholders: `{workspace}`, tokens of the parents (`{report_token}`), or `{username}`."""
    selectors: tuple[str, ...] = ()
    """Keys that may hold the rows, in `_embedded` or at the top level of the answer."""
    pager: Pager = Pager.SINGLE
    parent: str | None = None
    """The endpoint that must be listed first, one list for each of its rows."""
    also: str = ""
    """Another table whose rows have such a list at the same path, under their own token."""
    params: Mapping[str, str] = field(default_factory=dict)
    tolerate: frozenset[int] = frozenset()
    """Statuses that mean "not to be had for this key or parent": noted, never fatal.

    Without a parent 403 and 404 are, whatever is said here, but of the list that all else hangs on (`way_in`).
    """
    fallback: str = ""
    """A path to ask instead when `path` is one of the tolerated statuses."""
    skip_type: str = ""
    """Rows whose `type` is this belong to another table."""
    batch: bool = False
    """Discovery API (`/batch`, bearer token) instead of REST (`/api`, HTTP Basic).

    It is not told how many rows a page shall have: 1,000 by default, and its description forbids to ask for so many.
    """

    @property
    def placeholders(self) -> tuple[str, ...]:
        """The parents' values that the path needs; they become columns of every row."""
        return tuple(p for p in re.findall(r"{(\w+)}", self.path) if p != "workspace")

    @property
    def owner(self) -> str:
        """The parent's value that tells one list from the others; empty where there is one list."""
        return self.placeholders[-1] if self.placeholders else ""

    @property
    def names_person(self) -> bool:
        """Whether the path says who somebody is, so that errors, which are in the event log, must not show it."""
        return "username" in self.placeholders


def _discovery(name: str) -> Route:
    """A list of Mode's Discovery API, of all collections."""
    return Route(f"/{{workspace}}/{name}", (name,), Pager.COUNTED, params={"include_spaces": "all"}, batch=True)


def _flat(name: str) -> Route:
    """A list of the whole workspace, as dltHub's page on Mode describes it; Mode's own API reference has none."""
    return Route(f"/{{workspace}}/{name}", (name,), Pager.NEXT, params={"per_page": "30"})


@dataclass(frozen=True)
class Endpoint:
    """One table: what it holds and how Mode is asked for it."""

    name: str
    noun: str
    """One row of it; `<noun>_token` is how children call it."""
    family: Family
    description: str
    columns: tuple[Column, ...]
    rest: Route | None = None
    flat: Route | None = None
    """Used instead of `rest` when `listing = "workspace"`."""
    discovery: Route | None = None
    """Used instead of `rest` when `listing = "discovery"`."""
    key: tuple[str, ...] = ("token",)
    version: tuple[str, ...] = ()
    """Fields of the parent that move when this list may have changed; without any it is read in every sync."""
    daily: bool = False
    """Has a parent but nothing that tells of changes: read again after `reread_hours`, not in every sync."""
    counter: str = ""
    """Field of the parent that says how many rows this list has; absent means unknown, 0 means none."""
    nothing_without: str = ""
    """Field of the parent that means an empty list where it is 0, although it counts something else."""
    history: bool = False
    """Rows say what happened: they are never marked as deleted."""
    references: tuple[str, ...] = ()
    """Tables, besides the parent, that rows point to; they show as lineage."""
    days: Literal["", "history_days", "query_run_days"] = ""
    """The setting that bounds how far back this table reads."""

    def route(self, listing: Listing) -> Route | None:
        """Where the rows come from under `listing`; None where that mode has no such list."""
        if listing is Listing.WORKSPACE:
            return self.flat or self.rest
        if listing is Listing.DISCOVERY:
            return self.discovery or self.rest
        return self.rest

    @property
    def main_route(self) -> Route:
        """Where the rows come from in Mode's own tree, whatever the listing mode; every table has one."""
        return cast("Route", self.rest or self.discovery)

    @property
    def parent(self) -> str | None:
        """The table above this one in Mode's own tree, whatever the listing mode."""
        return self.main_route.parent

    @property
    def all_columns(self) -> tuple[Column, ...]:
        """Every column of the table, parents' tokens (Mode's children do not name them) and our own mark last."""
        own = {column.name for column in self.columns}
        parents = (
            text(name, f"Token of the {spoken(name.removesuffix('_token'))} that this row belongs to.")
            for name in self.main_route.placeholders
            if name not in own
        )
        return (*self.columns, *parents, *(() if self.history else (DELETED,)))

    @property
    def list_columns(self) -> tuple[str, ...]:
        """The parents' tokens that name one list of this endpoint."""
        return self.main_route.placeholders


GONE = frozenset({403, 404})
"""A child answers 404 when its parent was deleted meanwhile, 403 when this key may not see it."""
NOT_FOR_THIS_KEY = frozenset({400, 403, 404})

TOKEN = text("token", "Mode's identifier: 12 hexadecimal characters, the only id that works in a URL.")
ID = text("id", "Mode's numeric id, kept as text because Mode sends it as number or string.")
CREATED = time("created_at", "When it was created.")
UPDATED = time("updated_at", "When anything about it last changed.")
CREATOR = personal("creator_username", "Username of the person who created it.", "_links.creator")
EXECUTOR = personal("executed_by_username", "Username of the person who started it.", "_links.executed_by")
PEOPLE = (CREATOR.name, EXECUTOR.name)
"""Columns whose values are the people that `users` describes."""
PRIVATE = ("space_type", "private")
"""A personal collection."""
WEB = text("web_url", "Address of its page in Mode.", "_links.web")

DELETED = time("deleted_at", "When a sync first found it gone from Mode; empty while it is there.")
FINISHED = ("succeeded", "completed", "failed", "cancelled")
"""States that a run does not leave any more."""
RUN_STATES = ("pending", "enqueued", "running_notebook", *FINISHED)
"""All states of a run; a query of it may also be `running`."""

SCHEDULE_COLUMNS = (
    TOKEN,
    text("name", "Name of the schedule."),
    text("report_name", "Name of the report when the schedule was read."),
    text("report_type", "Report or DatasetReport."),
    document("parameters", "Values of the report's parameters in scheduled runs."),
    personal("delivery", "Where results are sent."),
    CREATED,
    UPDATED,
    text("frequency", "hourly, daily, weekly, monthly or a cron-like word of Mode's."),
    text("time_zone", "Time zone that the hour is meant in."),
    number("cron_hour", "Hour of the day, 0 to 23, in `time_zone`."),
    number("cron_minute", "Minute of the hour."),
    text("hour", 'The hour as prose ("8:00 pm"); use `cron_hour`.'),
    text("minute", "The minute as prose; use `cron_minute`."),
    text("day_of_week", "Day of the week, 0 for Sunday to 6, on weekly schedules only."),
    text("day_of_month", "Day of the month, on monthly schedules only."),
    text("retry_state", "Whether failed runs are tried again."),
    number("retry_count", "How many times."),
    number("retry_delay", "Wait between the tries."),
    number("timeout", "When a scheduled run is given up."),
    time("last_run_at", "Start of the last scheduled run."),
    time("last_succeeded_at", "When the schedule last succeeded."),
    time("last_scheduled_run", "When the last run was due."),
    time("next_scheduled_run", "When the next run is due."),
    flag("subscribed", "Whether the holder of the API key is subscribed."),
    number("subscriber_count", "How many people get its e-mails."),
    CREATOR,
)

RUN_COLUMNS = (
    TOKEN,
    text("state", f"{', '.join(RUN_STATES[:-1]).capitalize()} or {RUN_STATES[-1]}.", words=RUN_STATES),
    CREATED,
    UPDATED,
    time("completed_at", "When it ended; empty while it runs."),
    time("purge_started_at", "When Mode began to delete its results, if it had when the run was read."),
    time("purge_completed_at", "When its results were deleted, if that was before the run was read."),
    document("parameters", "Parameter values that it ran with."),
    document("form_fields", "The form that asked for the parameters."),
    text("python_state", "Notebook part of the run: none, pending, submitted, succeeded or failed."),
    flag("is_latest_report_run", "Whether no newer run existed when it was read; a finished run is read once."),
    flag("is_latest_successful_report_run", "Whether no newer successful run existed when it was read."),
    flag("report_has_failures_since_last_success", "Whether the report failed after its last success."),
    flag("has_more_recent_successful_run_available", "Whether a newer successful run exists."),
    EXECUTOR,
    text(
        "report_schedule_token",
        "Token of the schedule that started it; empty for runs started by a person or through the API.",
        "_links.report_schedule",
    ),
    text("web_url", "Address of the run in Mode.", "_links.web_external_url"),
)

REPORT_COLUMNS = (
    TOKEN,
    ID,
    text("name", "Title; empty when nobody gave one."),
    prose("description", "What its author says of it."),
    text("type", "Report, or DatasetReport for datasets."),
    text("account_id", "Id of the account that owns it."),
    personal("account_username", "Username of the account that owns it."),
    CREATED,
    time("updated_at", "When anything about it moved, runs included; later than `edited_at`."),
    time("edited_at", "When its content was last edited."),
    time("published_at", "When it was published."),
    time("last_saved_at", "When it was last saved."),
    time("last_successful_sync_at", "When it was last synced with GitHub."),
    time("last_run_at", "Start of its last run."),
    time("last_successfully_run_at", "End of its last successful run."),
    time("last_viewed_at", "When somebody last looked at it (discovery listing only)."),
    time("thoughtspot_published_at", "When it was published to ThoughtSpot."),
    number("query_count", "How many queries it has, by Mode's counter; absent means unknown."),
    number("max_query_count", "How many queries it may have."),
    number("chart_count", "How many charts it has, by Mode's counter; absent means unknown."),
    number("runs_count", "How many runs it has had, by Mode's counter."),
    number("schedules_count", "How many schedules it has, by Mode's counter."),
    number("view_count", "How many times it was ever viewed; cumulative."),
    text("last_successful_run_token", "Token of its last successful run."),
    text("last_run_token", "Token of its last run (discovery listing only)."),
    text("last_run_state", "State of its last run (discovery listing only)."),
    decimal("expected_runtime", "How long Mode expects a run to take, in seconds."),
    flag("archived", "Whether it is archived; archived reports stay listed."),
    flag("public", "Whether anybody with the link can see it."),
    flag("shared", "Whether it is shared with people outside the workspace."),
    flag("full_width", "Whether it is shown in full width."),
    flag("manual_run_disabled", "Whether viewers may not run it."),
    flag("drill_anywhere_enabled", "Whether viewers may drill into any number."),
    flag("drilldowns_enabled", "Whether drill-downs are on."),
    flag("run_privately", "Whether each viewer's runs are their own."),
    flag("is_embedded", "Whether it is embedded elsewhere."),
    flag("is_signed", "Whether embeds need a signature."),
    flag("has_imported_datasets", "Whether it uses datasets."),
    flag(
        "has_schedules_with_invalid_intervals", "Whether a schedule of it has an interval that Mode no longer allows."
    ),
    document("imported_datasets", "Datasets that it uses, where the listing says so."),
    text("theme_id", "Id of its theme."),
    document("color_mappings", "Colours by value."),
    prose("query_preview", "Beginning of its first query."),
    text("github_link", "Where it is kept in GitHub."),
    CREATOR,
    personal("creator_email", "E-mail of the person who created it (discovery listing only)."),
    text("web_url", "Address of the report in Mode.", "_links.web|report_url"),
)

SPACES = Endpoint(
    name="spaces",
    noun="space",
    family=Family.REPORTS,
    description="Collections (Mode's API and this table call them spaces): the folders that reports live in.",
    rest=Route("/{workspace}/spaces", ("spaces",), Pager.COUNTED, params={"filter": "all", "per_page": "30"}),
    columns=(
        TOKEN,
        ID,
        text("name", "Name of the collection; a personal one is called after its owner.", personal_where=PRIVATE),
        prose("description", "What its owner says of it.", personal_where=PRIVATE),
        text("space_type", "private, community or custom."),
        text("state", "State of the collection."),
        flag("restricted", "Unreliable: Mode sends false for restricted ones; use `default_access_level`."),
        flag("free_default", "Whether it is the default of a free workspace."),
        text("default_access_level", "What members may do who were not named: view, edit or restricted."),
        text("schema_name", "Schema that its datasets are published under."),
        flag("viewable", "Whether this key may view it, as the listing says.", "viewable?"),
        flag("viewed", "Whether this key has viewed it.", "viewed?"),
        CREATOR,
        WEB,
    ),
)

REPORTS = Endpoint(
    name="reports",
    noun="report",
    family=Family.REPORTS,
    description="Every report of every collection, archived ones included, with Mode's own counters and pointers.",
    rest=Route(
        "/{workspace}/spaces/{space_token}/reports",
        ("reports",),
        Pager.UNSEEN,
        parent="spaces",
        params={"filter": "all"},
        tolerate=GONE,
        skip_type="DatasetReport",
    ),
    flat=_flat("reports"),
    discovery=_discovery("reports"),
    columns=REPORT_COLUMNS,
)

REPORT_STATS = Endpoint(
    name="report_stats",
    noun="report_stat",
    family=Family.REPORTS,
    description="Who edits, runs and views each report. Discovery API only: empty in the other listing modes.",
    key=("report_token",),
    references=("reports",),
    discovery=_discovery("report_stats"),
    columns=(
        text("report_token", "Token of the report."),
        text("report_id", "Numeric id of the report, as text."),
        number("active_schedules_count", "How many schedules are active."),
        number("explorations_count", "How many explorations people made from it."),
        number("view_count", "How many times it was ever viewed; cumulative.", "view_count|total_views_count"),
        personal("recent_manual_run_creators_emails", "E-mails of people who ran it by hand lately.", data_type="json"),
        personal("scheduled_run_creators_emails", "E-mails of people whose schedules run it.", data_type="json"),
        personal("editors_emails", "E-mails of people who edited it.", data_type="json"),
    ),
)

QUERIES = Endpoint(
    name="queries",
    noun="query",
    family=Family.REPORTS,
    description="The SQL behind each report and dataset; of datasets, `listing = discovery` may not give it.",
    version=("edited_at", "last_saved_at", "query_count"),
    counter="query_count",
    references=("data_sources",),
    rest=Route(
        "/{workspace}/reports/{report_token}/queries", ("queries",), parent="reports", also="datasets", tolerate=GONE
    ),
    flat=_flat("queries"),
    discovery=_discovery("queries"),
    columns=(
        TOKEN,
        ID,
        text("name", "Name of the query."),
        prose("raw_query", "The SQL as written, Liquid and parameters included."),
        CREATED,
        UPDATED,
        text("last_run_id", "Id of its last run, as text."),
        text("data_source_id", "Numeric id of the data source, as text: joins `data_sources.id`."),
        text("data_source_token", "Token of the data source (discovery listing only)."),
        number("explorations_count", "Private explorations made from it; these are not charts."),
        number("report_imports_count", "How many reports import it as a dataset."),
        text("dbt_metric_id", "Id of the dbt metric behind it."),
        text("dbt_metric_token", "Token of the dbt metric behind it."),
        text("mapping_id", "Id of its mapping."),
        CREATOR,
        personal("creator_email", "E-mail of the person who wrote it (discovery listing only)."),
        text("report_id", "Numeric id of the report, as text (discovery listing only)."),
        text("space_id", "Numeric id of the collection, as text (discovery listing only)."),
        text("space_token", "Token of the collection (discovery listing only)."),
    ),
)

CHARTS = Endpoint(
    name="charts",
    noun="chart",
    family=Family.REPORTS,
    description="Charts drawn from each query.",
    version=("edited_at", "last_saved_at", "chart_count"),
    counter="chart_count",
    rest=Route(
        "/{workspace}/reports/{report_token}/queries/{query_token}/charts",
        ("charts",),
        parent="queries",
        tolerate=GONE,
    ),
    flat=_flat("charts"),
    discovery=_discovery("charts"),
    columns=(
        TOKEN,
        text("id", "Numeric id, as text (discovery listing only)."),
        text("chart_type", "What draws it: bar, line, bigNumber, table and so on.", "view_vegas.chartType|chart_type"),
        text(
            "title",
            "Title, with HTML entities as Mode stores them; empty when untitled.",
            "view_vegas.title|chart_title",
        ),
        prose("description", "Description under the title.", "view_vegas.description"),
        CREATED,
        UPDATED,
        number("view_version", "Version of the chart's settings."),
        document("view", "Settings of the older chart kinds."),
        document("view_vegas", "Settings of the chart, column names of the query included."),
        text("color_palette_token", "Token of its colour palette."),
        text("switch_view_token", "Token of the alternative view."),
        CREATOR,
        text("query_id", "Numeric id of the query, as text (discovery listing only)."),
        text("report_id", "Numeric id of the report, as text (discovery listing only)."),
        text("space_id", "Numeric id of the collection, as text (discovery listing only)."),
        text("space_token", "Token of the collection (discovery listing only)."),
        personal("report_creator_email", "E-mail of the report's creator (discovery listing only)."),
        text("exploration_url", "Where the chart can be explored (discovery listing only)."),
        text("web_url", "Address of the chart in Mode.", "_links.report_viz_web"),
    ),
)

REPORT_FILTERS = Endpoint(
    name="report_filters",
    noun="report_filter",
    family=Family.REPORTS,
    description="Filters that viewers of a report can set.",
    version=("edited_at", "last_saved_at"),
    rest=Route(
        "/{workspace}/reports/{report_token}/filters",
        ("report_filters",),
        Pager.WHOLE,
        parent="reports",
        tolerate=GONE | {400},
    ),
    columns=(
        TOKEN,
        ID,
        text("report_id", "Numeric id of the report, as text."),
        text("name", "Name of the filter."),
        number("row_order", "Its place among the report's filters."),
        prose("formula", "What it filters on."),
        text("formula_type", "Kind of the formula."),
        text("data_type", "Type of the filtered values."),
        text("filter_type", "SINGLE, MULTI or RANGE."),
        text("control_type", "LIST, DROPDOWN or RANGE."),
        text("variable_type", "CONTINUOUS or DISCRETE."),
        text("hide_select_all", "Whether the choice of all values is hidden."),
        flag("show_relevant_values_only", "Whether only values that still matter are offered."),
        document("options", "Further settings."),
        CREATED,
        UPDATED,
        text("next_filter_token", "Token of the filter after it."),
        CREATOR,
    ),
)

RUNS = Endpoint(
    name="runs",
    noun="run",
    family=Family.RUNS,
    description="Every run of every report: state, start, end, who or what started it.",
    version=("last_run_at", "last_run_token", "runs_count"),
    counter="runs_count",
    days="history_days",
    history=True,
    rest=Route(
        "/{workspace}/reports/{report_token}/runs",
        ("report_runs", "runs"),
        Pager.COUNTED,
        parent="reports",
        params={"per_page": "30"},
        tolerate=GONE,
    ),
    flat=Route(
        "/{workspace}/reports/{report_token}/runs",
        ("runs", "report_runs"),
        Pager.NEXT,
        parent="reports",
        params={"per_page": "30"},
        tolerate=GONE,
    ),
    columns=RUN_COLUMNS,
)

QUERY_RUNS = Endpoint(
    name="query_runs",
    noun="query_run",
    family=Family.RUNS,
    description="Every query of every run: how long it took, what SQL was sent, why it failed.",
    version=("state",),
    days="query_run_days",
    history=True,
    references=("queries",),
    rest=Route(
        "/{workspace}/reports/{report_token}/runs/{run_token}/query_runs",
        ("query_runs",),
        parent="runs",
        tolerate=GONE,
    ),
    columns=(
        TOKEN,
        text("id", "The same as the token."),
        text("state", "State of the query: as a run's, or running.", words=(*RUN_STATES, "running")),
        CREATED,
        time("completed_at", "When it ended; empty while it runs."),
        text("query_token", "Token of the query."),
        text("query_name", "Name of the query when it ran."),
        time("query_created_at", "When the query was created."),
        text("data_source_id", "Numeric id of the data source, as text: joins `data_sources.id`."),
        text("data_source_token", "Token of the data source: joins `data_sources.token`."),
        prose("raw_source", "The SQL as written when it ran."),
        prose("rendered_source", "The SQL that was sent, parameters filled in."),
        personal("statement_annotation", "Comment that Mode adds to the SQL."),
        document("parameters", "Parameter values."),
        flag("limit", "Whether Mode limited the number of rows."),
        number("max_result_bytes", "Largest result allowed, in bytes."),
        text("error_code", "Kind of failure, such as SqlUnknownColumn; empty on success."),
        text("error_type", "Always generic on failures; `error_code` says more."),
        prose("error_message", "What the database or Mode said."),
        text("help_url", "Mode's help page about the failure."),
        text("dbt_metric_id", "Id of the dbt metric behind the query."),
        text("dbt_metric_token", "Token of the dbt metric behind the query."),
        EXECUTOR,
        text("web_url", "Address of the query's result in Mode.", "_links.result_web|_links.query_web"),
    ),
)

REPORT_SCHEDULES = Endpoint(
    name="report_schedules",
    noun="schedule",
    family=Family.SCHEDULES,
    description="When each report runs by itself.",
    version=("updated_at", "schedules_count"),
    counter="schedules_count",
    rest=Route(
        "/{workspace}/reports/{report_token}/schedules",
        ("report_schedules",),
        Pager.UNSEEN,
        parent="reports",
        tolerate=GONE,
    ),
    columns=SCHEDULE_COLUMNS,
)

REPORT_SUBSCRIPTIONS = Endpoint(
    name="report_subscriptions",
    noun="subscription",
    family=Family.SCHEDULES,
    description="What is e-mailed after scheduled runs, and to how many people.",
    version=("updated_at", "schedules_count"),
    nothing_without="schedules_count",
    references=("report_schedules",),
    rest=Route(
        "/{workspace}/reports/{report_token}/subscriptions",
        ("report_subscriptions",),
        Pager.WHOLE,
        parent="reports",
        tolerate=GONE,
    ),
    columns=(
        TOKEN,
        text("schedule_token", "Token of the schedule that it follows.", "_links.report_schedule"),
        flag("data_previews_enabled", "Whether the mail shows a preview of the data."),
        flag("data_tables_enabled", "Whether the mail has tables."),
        flag("csv_attachments_enabled", "Whether CSV files are attached."),
        flag("pdf_attachments_enabled", "Whether a PDF is attached."),
        flag("report_links_enabled", "Whether the mail links the report."),
        number("email_subscriber_count", "How many people get the mail."),
    ),
)

DATA_SOURCES = Endpoint(
    name="data_sources",
    noun="data_source",
    family=Family.SOURCES,
    description="Databases that the workspace is connected to.",
    rest=Route("/{workspace}/data_sources", ("data_sources",)),
    flat=Route("/{workspace}/data_sources", ("data_sources",), Pager.NEXT),
    columns=(
        TOKEN,
        ID,
        text("name", "Name of the connection."),
        text("display_name", "Name that people see."),
        prose("description", "What an admin says of it."),
        text("adapter", "Driver: jdbc:snowflake, jdbc:bigquery, jdbc:postgresql and so on."),
        text("adapter_version", "Version of the driver."),
        text("provider", "Who hosts the database."),
        text("vendor", "Kind of database."),
        text("database", "Database name."),
        text("warehouse", "Warehouse, where the database has such."),
        prose("host", "Host name."),
        text("port", "Port, as text."),
        prose("username", "Database user."),
        text("default_access_level", "What members may do who were not named."),
        flag("public", "Whether it is one of Mode's public sources."),
        flag("asleep", "Whether it is asleep."),
        flag("queryable", "Whether it can be queried now."),
        flag("soft_deleted", "Whether it was deleted; queries may still point to it."),
        flag("ssl", "Whether the connection uses SSL."),
        flag("ldap", "Whether it logs in through LDAP."),
        flag("bridged", "Whether it is reached through a bridge."),
        flag("has_expensive_schema_updates", "Whether reading its schema is slow."),
        document("custom_attributes", "Further settings."),
        text("account_id", "Id of the account that owns it."),
        personal("account_username", "Username of the account that owns it."),
        text("organization_token", "Token of the workspace."),
        text("organization_plan_code", "Plan of the workspace."),
        CREATED,
        UPDATED,
        CREATOR,
        WEB,
    ),
)

DEFINITIONS = Endpoint(
    name="definitions",
    noun="definition",
    family=Family.SOURCES,
    description="Named pieces of SQL that queries include as {{ @name }}.",
    references=("data_sources",),
    rest=Route("/{workspace}/definitions", ("definitions",)),
    columns=(
        TOKEN,
        ID,
        text("name", "Name, as queries write it after the @."),
        prose("description", "What its author says of it."),
        prose("source", "The SQL."),
        text("data_source_id", "Numeric id of the data source, as text: joins `data_sources.id`."),
        CREATED,
        UPDATED,
        time("last_saved_at", "When it was last saved."),
        time("last_successful_sync_at", "When it was last synced with GitHub."),
        text("github_link", "Where it is kept in GitHub."),
        CREATOR,
        text("web_url", "Where it is edited in Mode.", "_links.web_edit"),
    ),
)

DATASETS = Endpoint(
    name="datasets",
    noun="dataset",
    family=Family.DATASETS,
    description="Datasets: reports of type DatasetReport, whose result other reports use.",
    references=("data_sources",),
    rest=Route(
        "/{workspace}/spaces/{space_token}/datasets",
        ("reports", "datasets"),
        Pager.WHOLE,
        parent="spaces",
        tolerate=NOT_FOR_THIS_KEY,
        skip_type="Report",
    ),
    columns=(
        *REPORT_COLUMNS,
        personal("collection_name", "Name of its collection; a personal one is called after its owner."),
        text("collection_token", "Token of its collection."),
        flag("is_sample", "Whether it is one of Mode's samples."),
        text("switch_view_token", "Token of the alternative view."),
    ),
)

DATASET_RUNS = Endpoint(
    name="dataset_runs",
    noun="dataset_run",
    family=Family.DATASETS,
    description="Every run of every dataset.",
    version=("last_run_at", "last_run_token", "runs_count"),
    counter="runs_count",
    days="history_days",
    history=True,
    rest=Route(
        "/{workspace}/datasets/{dataset_token}/runs",
        ("report_runs", "runs", "dataset_runs"),
        Pager.COUNTED,
        parent="datasets",
        params={"per_page": "30"},
        tolerate=GONE,
    ),
    columns=RUN_COLUMNS,
)

DATASET_SCHEDULES = Endpoint(
    name="dataset_schedules",
    noun="dataset_schedule",
    family=Family.DATASETS,
    description="When each dataset runs by itself.",
    version=("updated_at", "schedules_count"),
    counter="schedules_count",
    rest=Route(
        "/{workspace}/datasets/{dataset_token}/schedules",
        ("report_schedules", "dataset_schedules"),
        Pager.UNSEEN,
        parent="datasets",
        tolerate=GONE,
    ),
    columns=SCHEDULE_COLUMNS,
)

DATASET_FIELDS = Endpoint(
    name="dataset_fields",
    noun="dataset_field",
    family=Family.DATASETS,
    description="Columns of each dataset.",
    key=("dataset_token", "name"),
    daily=True,
    rest=Route(
        "/{workspace}/datasets/{dataset_token}/fields", ("fields",), Pager.WHOLE, parent="datasets", tolerate=GONE
    ),
    columns=(text("name", "Name of the column."), text("type", "Type of the column.")),
)

DATASET_FIELD_DESCRIPTIONS = Endpoint(
    name="dataset_field_descriptions",
    noun="dataset_field_description",
    family=Family.DATASETS,
    description="What people wrote about the columns of each dataset.",
    daily=True,
    references=("dataset_fields",),
    rest=Route(
        "/{workspace}/datasets/{dataset_token}/field_descriptions",
        ("field_descriptions",),
        Pager.WHOLE,
        parent="datasets",
        tolerate=GONE,
    ),
    columns=(
        TOKEN,
        text("name", "Name of the column."),
        prose("description", "What the column means.", "description|desc"),
        CREATED,
        UPDATED,
    ),
)

MEMBERSHIPS = Endpoint(
    name="memberships",
    noun="membership",
    family=Family.PEOPLE,
    description="Members of the workspace. A key that may not list them falls back to Mode's short list.",
    key=("member_token",),
    rest=Route(
        "/{workspace}/memberships",
        ("memberships",),
        Pager.WHOLE,
        tolerate=NOT_FOR_THIS_KEY,
        fallback="/{workspace}/memberships/lite",
    ),
    columns=(
        text("member_token", "Token of the person: joins `users.token`."),
        personal("member_username", "Username of the person.", "member_username|username"),
        text("token", "Token of the membership itself, where Mode sends one."),
        personal("name", "Name (short list only)."),
        personal("email", "E-mail (short list only)."),
        text("state", "active, invited or such."),
        flag("admin", "Whether the person is an admin of the workspace."),
        flag("invited", "Whether the person was invited and has not come yet."),
        flag("managed_by_scim", "Whether an identity provider manages the membership."),
        time("activated_at", "When the person joined."),
    ),
)

MEMBERS = Endpoint(
    name="members",
    noun="member",
    family=Family.PEOPLE,
    description="Members with their activity. Discovery API only: empty in the other listing modes.",
    references=("memberships",),
    key=("member_token",),
    discovery=Route(
        "/{workspace}/members",
        ("members", "memberships"),
        Pager.COUNTED,
        batch=True,
    ),
    columns=(
        text("member_token", "Token of the person: joins `users.token`."),
        personal("member_username", "Username of the person."),
        personal("member_email", "E-mail of the person."),
        text("token", "Token of the membership itself."),
        ID,
        text("state", "State of the membership."),
        time("activated_at", "When the person joined."),
        time("banned_at", "When the person was removed."),
        time("last_report_created_at", "When the person last created a report."),
        time("last_report_edited_at", "When the person last edited a report."),
        time("last_report_viewed_at", "When the person last viewed a report."),
        time("last_report_run_at", "When the person last ran a report."),
        time("last_exploration_created_at", "When the person last created an exploration."),
        time("last_exploration_updated_at", "When the person last changed an exploration."),
        time("last_day_engaged", "Last day with any activity."),
        time("last_day_api_engaged", "Last day with activity through the API."),
        time("last_day_in_app_engaged", "Last day with activity in the app."),
        number("total_days_engaged", "Days with any activity."),
    ),
)

GROUPS = Endpoint(
    name="groups",
    noun="group",
    family=Family.PEOPLE,
    description="Groups of members. Only an admin's key may list them.",
    rest=Route("/{workspace}/groups", ("groups",), Pager.COUNTED, params={"per_page": "30"}, tolerate=NOT_FOR_THIS_KEY),
    columns=(
        TOKEN,
        text("name", "Name of the group."),
        prose("description", "What an admin says of it."),
        text("group_type", "Kind of group."),
        text("state", "State of the group."),
        number("member_count", "How many members it has, by Mode's counter."),
        number("spaces_count", "How many collections it can open."),
        number("data_sources_count", "How many data sources it can query."),
        flag("managed", "Whether Mode or an identity provider manages it."),
        CREATOR,
        WEB,
    ),
)

GROUP_MEMBERSHIPS = Endpoint(
    name="group_memberships",
    noun="group_membership",
    family=Family.PEOPLE,
    description="Who is in which group.",
    counter="member_count",
    references=("memberships",),
    rest=Route(
        "/{workspace}/groups/{group_token}/memberships",
        ("group_memberships",),
        parent="groups",
        tolerate=NOT_FOR_THIS_KEY,
    ),
    columns=(
        TOKEN,
        text("member_token", "Token of the person: joins `memberships.member_token`."),
        CREATED,
        personal("member_username", "Username of the person.", "_links.member"),
        CREATOR,
    ),
)

SPACE_MEMBERSHIPS = Endpoint(
    name="space_memberships",
    noun="space_membership",
    family=Family.PEOPLE,
    description="Who joined which collection. Mode is retiring it; it no longer says who has access.",
    daily=True,
    references=("memberships",),
    rest=Route(
        "/{workspace}/spaces/{space_token}/memberships",
        ("space_memberships",),
        Pager.WHOLE,
        parent="spaces",
        tolerate=NOT_FOR_THIS_KEY,
    ),
    columns=(
        TOKEN,
        text("member_token", "Token of the member."),
        text("member_type", "Account or UserGroup."),
        personal("member_id", "Id or username of the member."),
        personal("email", "E-mail of the member, where Mode sends it."),
    ),
)

SPACE_PERMISSIONS = Endpoint(
    name="space_permissions",
    noun="space_permission",
    family=Family.PEOPLE,
    description="Who may view or edit which collection.",
    daily=True,
    references=("groups",),
    rest=Route(
        "/{workspace}/spaces/{space_token}/permissions",
        ("permissions", "space_permissions"),
        Pager.WHOLE,
        parent="spaces",
        tolerate=NOT_FOR_THIS_KEY,
    ),
    columns=(
        TOKEN,
        text("accessor_type", "Account or UserGroup."),
        text("accessor_token", "Token of the person or group."),
        text("accessor_id", "Id of the person or group, as text."),
        text("action", "restricted, view or edit."),
        CREATED,
        UPDATED,
    ),
)

USERS = Endpoint(
    name="users",
    noun="user",
    family=Family.PEOPLE,
    description="The people met as creators and executors of what was read, one request each.",
    daily=True,
    references=("runs",),
    rest=Route("/{username}", pager=Pager.OBJECT, parent="reports", tolerate=NOT_FOR_THIS_KEY),
    columns=(
        TOKEN,
        ID,
        personal("username", "Username, as in links to the person."),
        personal("name", "Name of the person."),
        personal("email", "E-mail, where Mode sends it."),
        flag("email_verified", "Whether the e-mail was verified."),
        flag("user", "True: this account is a person."),
        CREATED,
        personal("avatar", "What stands for a picture.", data_type="json"),
    ),
)

AUDIT_LOGS = Endpoint(
    name="audit_logs",
    noun="audit_log",
    family=Family.AUDIT,
    description="Who did what, from where. Only workspace API tokens may read it.",
    key=("id",),
    days="history_days",
    history=True,
    rest=Route(
        "/{workspace}/audit_logs",
        ("audit_logs",),
        Pager.CURSOR,
        tolerate=frozenset({400, 401, 403, 404, 406}),
    ),
    columns=(
        text("id", "Identifier of the event (UUID)."),
        text("action", "What was done."),
        personal("description", "The same in words."),
        time("timestamp", "When it was done."),
        personal("actor_username", "Who did it.", "actor.username"),
        text("actor_user_id", "Id of who did it, as text.", "actor.user_id"),
        personal("actor_ip", "Address it was done from.", "actor.ip"),
        personal("actor_user_agent", "Browser or program it was done with.", "actor.user_agent"),
        text("entity_type", "Kind of thing it was done to.", "entity.entity_type"),
        text("entity_id", "Id of that thing, as text.", "entity.entity_id"),
        personal("entity_name", "Name of that thing.", "entity.entity_name"),
        text("correlation_id", "Joins events of one request.", "context.correlation_id"),
        personal("context", "All that Mode says of the circumstances.", data_type="json"),
        personal("actor", "All that Mode says of the actor.", data_type="json"),
        personal("entity", "All that Mode says of the thing.", data_type="json"),
        text("workspace_username", "Workspace that it happened in."),
    ),
)

WORKSPACES = Endpoint(
    name="workspaces",
    noun="workspace",
    family=Family.SOURCES,
    description="The workspace itself: plan, limits, settings. One row.",
    rest=Route("/{workspace}", pager=Pager.OBJECT, tolerate=NOT_FOR_THIS_KEY),
    columns=(
        TOKEN,
        ID,
        text("username", "The workspace's name in URLs."),
        text("name", "Name of the workspace."),
        CREATED,
        flag("user", "False: this account is a workspace."),
        personal("email", "Contact address."),
        text("plan_code", "Plan: standard, plus or free."),
        text("trial_state", "pending, active or expired."),
        text("membership_type", "What the holder of the API key is in it: admin or full."),
        number("space_count", "Unreliable: reads 0."),
        number("data_source_count", "How many data sources it has."),
        text("default_data_source_token", "Token of the default data source."),
        number("dataset_size_limit_mb", "Largest dataset, in MB."),
        number("query_run_size_limit_mb", "Largest query result, in MB."),
        flag("scim_enabled", "Whether an identity provider manages members."),
        flag("thoughtspot_integrated", "Whether it is connected to ThoughtSpot."),
        flag("admin_data_source_connections_only", "Whether only admins may connect data sources."),
        flag("admin_collection_creation_only", "Whether only admins may create collections."),
        document("authorized_domains", "E-mail domains that may join."),
        document("settings", "Further settings."),
        document("avatar", "What stands for a logo."),
    ),
)

ENDPOINTS: tuple[Endpoint, ...] = (
    WORKSPACES,
    DATA_SOURCES,
    DEFINITIONS,
    SPACES,
    REPORTS,
    REPORT_STATS,
    QUERIES,
    CHARTS,
    REPORT_FILTERS,
    RUNS,
    QUERY_RUNS,
    REPORT_SCHEDULES,
    REPORT_SUBSCRIPTIONS,
    DATASETS,
    DATASET_RUNS,
    DATASET_SCHEDULES,
    DATASET_FIELDS,
    DATASET_FIELD_DESCRIPTIONS,
    MEMBERSHIPS,
    MEMBERS,
    GROUPS,
    GROUP_MEMBERSHIPS,
    SPACE_MEMBERSHIPS,
    SPACE_PERMISSIONS,
    AUDIT_LOGS,
    USERS,
)
"""Every table, parents before children; `users` last, because it is made of names met in the others."""

BY_NAME: Mapping[str, Endpoint] = {endpoint.name: endpoint for endpoint in ENDPOINTS}


def way_in(listing: Listing) -> Endpoint:
    """The list that all else hangs on: where it is not there, the workspace is another one."""
    return SPACES if listing is Listing.COLLECTIONS else REPORTS
