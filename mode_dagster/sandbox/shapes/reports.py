"""Collections, reports, queries, charts, filters and the columns of datasets, as Mode words them."""

from itertools import count

from mode_dagster.sandbox import vocabulary
from mode_dagster.sandbox.moment import Moment
from mode_dagster.sandbox.records import WORKSPACE, Chart, Child, Query, Report, Space
from mode_dagster.sandbox.shapes.wording import API, WEB, Json, iso, links, number, person_link

NEVER = ("public", "full_width", "manual_run_disabled", "run_privately", "is_embedded", "is_signed")
"""Flags that no report of the sandbox has."""
EMPTY = ("last_successful_sync_at", "thoughtspot_published_at", "theme_id", "github_link")
"""Fields that every report has, with nothing in them."""

_previews = count(1)


def space(moment: Moment, record: Space) -> Json:
    """A collection; it has no timestamps, and `restricted` is never true."""
    return {
        "id": record.id,
        "token": record.token,
        "name": record.name,
        "description": None if record.private else f"Reports of {record.name}",
        "space_type": record.space_type,
        "state": "active",
        "restricted": False,
        "free_default": False,
        "default_access_level": record.access,
        "schema_name": f"space_{record.index}",
        "viewable?": not record.private,
        "viewed?": record.index == 0,
        **links(
            self=f"{API}/spaces/{record.token}",
            creator=person_link(record.creator),
            reports=f"{API}/spaces/{record.token}/reports",
            space_memberships=f"{API}/spaces/{record.token}/memberships",
            web=f"{WEB}/spaces/{record.token}",
        ),
    }


def report(moment: Moment, record: Report, single: bool = False) -> Json:
    """A report or dataset, as in listings or (`single`) as fetched alone; `...` stands for "not there"."""
    last, _, good = moment.standing(record)
    edited = moment.history.edited_at(record, moment.history.revision(record, moment.now))
    queries = moment.queries(record)
    href = f"{API}/{'datasets' if record.is_dataset else 'reports'}/{record.token}"
    row: Json = {
        "id": str(record.id),
        "token": record.token,
        "name": record.name,
        "description": None if record.index % 4 == 0 else f"Owned by {record.creator}. Ask before you change it.",
        "type": record.type,
        "space_token": record.space.token,
        "account_id": 77,
        "account_username": WORKSPACE,
        "created_at": iso(record.created_at),
        "updated_at": iso(moment.moved_at(record)),
        "edited_at": iso(edited),
        "published_at": iso(record.created_at),
        "last_saved_at": iso(edited),
        "last_run_at": iso(last.created_at) if last else None,
        "last_successfully_run_at": iso(good.ended_at) if good else None,
        "last_successful_run_token": good.token if good else None,
        "query_count": len(queries),
        "max_query_count": 160,
        "chart_count": sum(query.chart_count for query in queries),
        "runs_count": len(moment.runs(record)),
        "schedules_count": record.schedule_count,
        "view_count": moment.view_count(record),
        "expected_runtime": float(record.runtime),
        "archived": record.archived,
        "shared": record.index % 10 == 0,
        **dict.fromkeys(NEVER, False),
        **dict.fromkeys(EMPTY),
        "drilldowns_enabled": True,
        "drill_anywhere_enabled": False,
        "has_schedules_with_invalid_intervals": False,
        "color_mappings": {},
        "layout": vocabulary.LAYOUT,
        "query_preview": moment.text(queries[0])[:120] if queries else "",
        "web_preview_image": f"https://images.example.com/{record.token}.png?signature={next(_previews):012x}",
        **_missing_counters(record),
        **links(
            self=href,
            account=API,
            creator=person_link(record.creator),
            space=f"{API}/spaces/{record.space.token}",
            queries=f"{API}/reports/{record.token}/queries",
            report_runs=f"{href}/runs",
            report_schedules=f"{href}/schedules",
            report_filters=f"{API}/reports/{record.token}/filters",
            report_subscriptions=f"{API}/reports/{record.token}/subscriptions",
            last_run=f"{href}/runs/{last.token}" if last else None,
            last_successful_run=f"{href}/runs/{good.token}?embed[result]=1" if good else None,
            web=f"{WEB}/reports/{record.token}",
            web_edit=f"https://app.mode.com/editor/{WORKSPACE}/reports/{record.token}",
        ),
    }
    # single reports list their datasets, rows of listings only say whether there are any
    row["imported_datasets" if single else "has_imported_datasets"] = [] if single else False
    if record.is_dataset:
        row["description"] = ... if single else row["description"]
        row |= {
            "collection_name": record.space.name,
            "collection_token": record.space.token,
            "is_sample": False,
        }
        row["switch_view_token"] = None
    return {name: value for name, value in row.items() if value is not ...}


def _missing_counters(record: Report) -> Json:
    """Counters that Mode leaves out of some rows; out means unknown, not 0."""
    if record.is_dataset:
        return dict.fromkeys(("archived", "chart_count", "expected_runtime"), ...)
    places = {"chart_count": (7, 2), "runs_count": (9, 4), "schedules_count": (11, 5)}
    return {name: ... for name, (every, place) in places.items() if record.index % every == place}


def query(moment: Moment, record: Query) -> Json:
    """A query; it names its data source by number and its report not at all."""
    href = f"{API}/reports/{record.report.token}/queries/{record.token}"
    runs = moment.runs(record.report)
    return {
        "id": record.id,
        "token": record.token,
        "name": record.sql.name,
        "raw_query": moment.text(record),
        "created_at": iso(record.created_at),
        "updated_at": iso(moment.updated_at(record)),
        "last_run_id": number(moment, runs[0].token) if runs else None,
        "data_source_id": moment.history.data_sources[record.sql.data_source].id,
        "explorations_count": record.id % 3,
        "report_imports_count": 0,
        **links(
            self=href,
            report=f"{API}/reports/{record.report.token}",
            charts=f"{href}/charts",
            creator=person_link(record.report.creator),
        ),
    }


def chart_words(moment: Moment, record: Chart) -> tuple[str, str]:
    """Type and title of a chart, in Mode's words."""
    chance = moment.history.roll("chart", record.token)
    types, titles = vocabulary.CHART_TYPES, vocabulary.CHART_TITLES
    return types[chance % len(types)], titles[chance // 7 % len(titles)]


def chart(moment: Moment, record: Chart) -> Json:
    """A chart; its settings use the columns of users' queries as keys."""
    kind, title = chart_words(moment, record)
    columns = [f"[{name}]" for name in record.query.sql.columns]
    formulas = [{"formula": name} for name in columns]
    href = f"{API}/reports/{record.report.token}/queries/{record.query.token}/charts/{record.token}"
    return {
        "token": record.token,
        "created_at": iso(record.query.created_at),
        "updated_at": iso(moment.updated_at(record.query)),
        "view_version": 2,
        "view": {},
        "view_vegas": {
            "title": title,
            "description": "",
            "chartType": kind,
            "encoding": {
                "x": formulas[:1],
                "y": formulas[1:],
                **{channel: [] for channel in ("row", "column", "x2", "y2", "value", "filter")},
                "marks": {"channel": "*", "series": [], "properties": {"type": {"value": kind, "automatic": True}}},
            },
            "format": {"legend": {"enabled": True}, "flatTable": {"columns": [{"id": name} for name in columns]}},
            "fieldFormats": {name: {"paneFormat": {"default": {"type": "default"}}} for name in columns},
        },
        "color_palette_token": moment.history.token("palette"),
        "switch_view_token": None,
        **links(
            self=href,
            creator=person_link(record.report.creator),
            report_viz_web=f"{WEB}/reports/{record.report.token}/viz/{record.token}",
        ),
    }


def report_filter(moment: Moment, record: Child) -> Json:
    """A filter of a report; it names the report by number."""
    return {
        "id": number(moment, record.token),
        "report_id": record.report.id,
        "token": record.token,
        "name": ("Region", "Plan", "Amount")[record.number % 3],
        "row_order": record.number,
        "formula": ("[region]", "[plan]", "[amount]")[record.number % 3],
        "formula_type": "field",
        "data_type": ("string", "string", "number")[record.number % 3],
        "filter_type": ("SINGLE", "MULTI", "RANGE")[record.number % 3],
        "control_type": ("LIST", "DROPDOWN", "RANGE")[record.number % 3],
        "variable_type": ("DISCRETE", "DISCRETE", "CONTINUOUS")[record.number % 3],
        "hide_select_all": "false",
        "show_relevant_values_only": False,
        "options": {},
        "created_at": iso(record.report.created_at),
        "updated_at": iso(record.report.created_at),
        "next_filter_token": None,
        **links(
            self=f"{API}/reports/{record.report.token}/filters/{record.token}",
            creator=person_link(record.report.creator),
        ),
    }


def field(moment: Moment, record: Child) -> Json:
    """A column of a dataset."""
    return {"name": record.name, "type": "string" if record.number == 0 else "number"}


def field_description(moment: Moment, record: Child) -> Json:
    """What somebody wrote about a column of a dataset; the text's key is not always the same."""
    created = iso(record.report.created_at)
    key = ("description", "desc")[record.number % 2]
    text = f"The {record.name.replace('_', ' ')} of each row."
    return {
        "token": record.token,
        "name": record.name,
        key: text,
        "created_at": created,
        "updated_at": created,
    }
