"""The workspace report and the three answers: true, harmless, and readable where people read it."""

import base64
import re
import subprocess
import sys
from datetime import datetime, timedelta
from html.parser import HTMLParser
from itertools import product
from pathlib import Path

import dagster as dg
import duckdb
import pytest
from click.testing import CliRunner

from mode_dagster.answers import NoAnswersError, three_answers
from mode_dagster.cli import main
from mode_dagster.models import MODELS, run_model
from mode_dagster.references.tables import answer_all, loaded_queries, write_tables
from mode_dagster.resources import WarehouseResource
from mode_dagster.warehouse import DuckDBWarehouse
from mode_dagster.workspace import Workspace
from mode_dagster.workspace_report import build_workspace_report, report_path
from mode_dagster.workspace_report.charts import DARK, LIGHT
from mode_dagster.workspace_report.facts import READS, read_facts
from mode_dagster.workspace_report.page import change, duration, minute, number, render_page, short, web
from mode_dagster_tests.browser import CHROMIUM, browser
from mode_dagster_tests.conftest import NOON
from mode_dagster_tests.known_rows import known_rows

ONLY = Workspace()
HOSTILE = '<script>alert("x")</script> {{ 7 * 7 }} "quoted" <img src=x onerror=y> \x1b[31m & | `'
FETCHES = re.compile(r"url\(|@import|<link|<script| src=|xlink:href")
VOID = {"meta", "br", "wbr", "img", "input", "link", "hr"}


class Reader(HTMLParser):
    """What a browser sees: tags with attributes, links, and text by section."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags, self.open, self.text, self.tables = [], [], {}, {}
        self.section = ""
        self.feed(page)
        self.close()

    def handle_starttag(self, tag, attributes):
        found = dict(attributes)
        self.tags.append((tag, found))
        self.section = found["id"] if tag == "section" else self.section
        if tag not in VOID:
            self.open.append(tag)
        if tag == "tr":
            self.tables.setdefault(self.section, []).append([])
        if tag in ("td", "th"):
            self.tables[self.section][-1].append("")

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if "style" in self.open:
            return
        self.text[self.section] = self.text.get(self.section, "") + data
        if {"td", "th"} & set(self.open):
            self.tables[self.section][-1][-1] += data

    @property
    def links(self):
        return [found["href"] for tag, found in self.tags if tag == "a" and not found["href"].startswith("#")]


@pytest.fixture
def file(tmp_path):
    return tmp_path / "mode_analytics.duckdb"


@pytest.fixture
def put(file):
    """Puts rows into the loaded tables and makes all models of them."""

    def run(workspace: Workspace = ONLY, parsed: bool = False, **rows) -> None:
        with duckdb.connect(str(file)) as connection:
            known_rows(connection, workspace.dataset, **rows)
            make_models(connection, workspace, parsed)

    return run


def make_models(connection, workspace: Workspace = ONLY, parsed: bool = True) -> None:
    """All models; what queries read only where it is `parsed`, which starts a process."""
    queries = loaded_queries(DuckDBWarehouse(connection), workspace) if parsed else []
    write_tables(DuckDBWarehouse(connection), workspace, queries, answer_all(queries, {}, NOON))
    for model in MODELS.values():
        run_model(DuckDBWarehouse(connection), model, workspace, NOON)


@pytest.fixture
def written(tmp_path):
    """Materializes the report; gives what the event says."""
    with dg.DagsterInstance.ephemeral(tempdir=str(tmp_path)) as instance:

        def run(workspace: Workspace = ONLY) -> dict:
            asset = build_workspace_report(workspace)
            done = dg.materialize([asset], resources={"mode_warehouse": WarehouseResource()}, instance=instance)
            (event,) = done.asset_materializations_for_node(asset.node_def.name)
            return {name: value.value for name, value in event.metadata.items()}

        yield run


@pytest.fixture
def html(file):
    """The page without its charts, which take a second."""

    def run() -> str:
        with duckdb.connect(str(file)) as connection:
            facts = read_facts(DuckDBWarehouse(connection), ONLY)
        return render_page(facts, {}, ONLY.marts, NOON)

    return run


@pytest.fixture
def page(html):
    """The same as a browser sees it."""
    return lambda: Reader(html())


def ago(days: float = 0, minutes: float = 0) -> datetime:
    return NOON - timedelta(days=days, minutes=minutes)


def run(token: str, days: float, state: str = "succeeded", minutes: float = 2, **more) -> dict:
    end = ago(days) + timedelta(minutes=minutes)
    return {"token": token, "report_token": "r1", "state": state, "created_at": ago(days), "completed_at": end, **more}


OLD = {"created_at": ago(400), "edited_at": ago(300)}


def broken_report(name: str = "Sales", address: str = "https://app.mode.com/acme/reports/r1", **more) -> dict:
    """Rows of a report whose schedule still runs it, which failed an hour ago, with one slow query."""
    query = {"token": "q1", "report_token": "r1", "name": name, "raw_query": "SELECT 1 FROM shop.orders"}
    query_run = {"query_token": "q1", "run_token": "a", "query_name": name}
    return {
        "reports": [{"token": "r1", "name": name, "creator_username": name, "web_url": address, **OLD, **more}],
        "queries": [query],
        "runs": [
            run("a", 1, report_schedule_token="s1"),
            run("b", 1 / 24, "failed", report_schedule_token="s1"),
        ],
        "query_runs": [
            {**run("qa", 1), **query_run},
            {**run("qb", 1 / 24, "failed"), **query_run, "run_token": "b", "error_code": name, "error_message": name},
        ],
        "report_schedules": [
            {
                "token": "s1",
                "report_token": "r1",
                "name": name,
                "frequency": "daily",
                "created_at": ago(400),
                "last_scheduled_run": ago(1 / 24),
                "next_scheduled_run": ago(-23 / 24),
                "subscriber_count": 3,
            }
        ],
        "workspaces": [{"token": "w", "name": name}],
    }


def test_every_number_on_the_page_is_that_of_the_models(sandbox, load_first, file, query, written):
    load_first(sandbox)
    with duckdb.connect(str(file)) as connection:
        make_models(connection)
    event = written()
    raw = Path(event["page"]).read_text()
    page = Reader(raw)

    def one(sql):
        return query(sql)[0][0]

    marts = "FROM mode_marts."
    week = f"{marts}workspace_daily WHERE day > (SELECT max(day) {marts}workspace_daily) - 7"
    direct = {
        "active_reports": one(f"SELECT count(*) {marts}report_catalogue WHERE state = 'active'"),
        "runs_7d": one(f"SELECT sum(runs) {week}"),
        "failed_runs_7d": one(f"SELECT sum(failed_runs) {week}"),
        "run_minutes_7d": round(one(f"SELECT sum(run_minutes) {week}"), 1),
        "failing_reports": one(f"SELECT count(*) {marts}report_health WHERE is_failing AND NOT is_archived"),
        "late_schedules": one(f"SELECT count(*) {marts}late_reports WHERE is_late"),
        "stale_reports": one(f"SELECT count(*) {marts}stale_reports"),
        "stale_run_minutes_30d": one(f"SELECT coalesce(sum(run_minutes_30d), 0) {marts}stale_reports"),
    }
    assert {name: event[name] for name in direct} == direct
    assert all(direct[name] for name in ("active_reports", "runs_7d", "failing_reports", "late_schedules"))
    assert all(f"{number(value)} " in page.text[""] for value in direct.values())
    synced = one("SELECT max(read_at) FROM mode_analytics_data.sync_ledger")
    assert f"As of {minute(synced)} UTC" in page.text[""]

    runs, failed, minutes = query(f"SELECT sum(runs), sum(failed_runs), sum(run_minutes) {marts}workspace_daily")[0]
    assert f"{runs:,} runs, {failed:,} of them failed, {minutes:,.0f} run minutes" in page.text["health"]
    failing = query(
        f"SELECT report_name {marts}report_health WHERE is_failing AND NOT is_archived ORDER BY failing_since DESC"
    )
    assert [row[0] for row in page.tables["failing"][1:]] == [name for (name,) in failing]
    assert len(page.tables["late"][1:]) == direct["late_schedules"]
    slowest = one(f"SELECT max(p95_duration_seconds) {marts}report_health WHERE NOT is_archived")
    assert page.tables["slow"][1][2] == duration(slowest)
    weekday, busiest = query(
        f"SELECT weekday, sum(run_minutes_per_week) {marts}schedule_load GROUP BY hour_of_week, weekday ORDER BY 2 DESC"
    )[0]
    assert page.tables["hours"][1][0].startswith(weekday)
    assert page.tables["hours"][1][1] == number(busiest)
    used = query(f"SELECT qualified_name, reports {marts}table_usage ORDER BY reports DESC, queries DESC, 1")[0]
    assert page.tables["tables"][1][:2] == [used[0], number(used[1])]

    assert [tag for tag, _ in page.tags].count("svg") == 4
    assert not FETCHES.search(raw)
    assert event["page_bytes"] == len(raw.encode()) < 500_000


def test_what_people_write_into_mode_is_text(put, html):
    put(**broken_report(HOSTILE, 'javascript:alert("x")'))
    raw = html()
    found = Reader(raw)
    assert {"script", "img", "iframe", "object", "form", "link"}.isdisjoint(tag for tag, _ in found.tags)
    assert not [name for _, attributes in found.tags for name in attributes if name.startswith("on")]
    assert "javascript:" not in raw
    assert found.links == []
    assert "7 * 7" in raw
    for section in ("", "failing", "late", "slow", "stale"):
        assert HOSTILE in found.text[section], section


def test_names_can_not_leave_their_place(put, html):
    put(**broken_report("</style></title></td></svg><b>"))
    assert "b" not in [tag for tag, attributes in Reader(html()).tags if attributes]
    assert html().count("<b>") == 8


@pytest.mark.parametrize(
    ("address", "link"),
    [
        ("https://app.mode.com/acme/reports/r1", "https://app.mode.com/acme/reports/r1"),
        ("http://127.0.0.1:8300/x?a=1&b=2", "http://127.0.0.1:8300/x?a=1&b=2"),
        ("JavaScript:alert(1)", ""),
        ("java\nscript:alert(1)", ""),
        ("data:text/html,x", ""),
        ("//evil.example.com", ""),
        ("/acme/reports/r1", ""),
        ("http://[half", ""),
        ("file:///etc/passwd", ""),
        ("", ""),
        (None, ""),
    ],
    ids=str,
)
def test_only_web_addresses_are_linked_to(address, link):
    assert web(address) == link


def test_the_page_asks_for_nothing(put, html):
    put(**broken_report())
    raw = html()
    found = Reader(raw)
    assert set(found.links) == {"https://app.mode.com/acme/reports/r1"}
    assert not [tag for tag, attributes in found.tags if {"src", "srcset", "data", "poster"} & set(attributes)]
    assert not FETCHES.search(raw)
    policy = next(attributes["content"] for tag, attributes in found.tags if "http-equiv" in attributes)
    assert policy == "default-src 'none'; style-src 'unsafe-inline'"


def test_charts_and_tables_have_words_for_those_who_do_not_see(put, written):
    put(**broken_report())
    found = Reader(Path(written()["page"]).read_text())
    charts = [attributes for tag, attributes in found.tags if tag == "svg"]
    assert [chart["class"] for chart in charts] == ["wide", "narrow"]
    assert all(chart["role"] == "img" and "2 runs, 1 of them failed" in chart["aria-label"] for chart in charts)
    tags = [tag for tag, _ in found.tags]
    assert tags.count("table") == tags.count("caption") == 6
    assert ("html", {"lang": "en"}) in found.tags
    assert ("meta", {"name": "viewport", "content": "width=device-width, initial-scale=1"}) in found.tags


def test_sections_without_anything_to_say_say_so(put, page):
    put()
    said = page().text
    assert "No sync with Mode is on record" in said[""]
    assert said["health"].split("\n")[2] == "No run of a report is loaded."
    assert "No report is failing" in said["failing"]
    assert "No schedule is late" in said["late"]
    assert "No report or query has succeeded" in said["slow"]
    assert "No schedule has started a run" in said["hours"]
    assert "No report has gone unused" in said["stale"]
    assert "No table was found" in said["tables"]


def test_candidates_for_the_archive_and_what_they_save(put, page):
    reports = [{"token": f"r{n:02}", "name": f"Report {n:02}", **OLD} for n in range(1, 20)]
    runs = [run(f"a{n}", 5, minutes=n * 60, report_token=f"r{n:02}", report_schedule_token="s") for n in range(1, 20)]
    put(reports=reports, runs=runs)
    found = page()
    assert "saves 11,400 run minutes a month" in found.text["stale"]
    assert found.tables["stale"][1][:4] == ["Report 19", "only its schedule runs it", "300", "1,140"]
    assert len(found.tables["stale"]) == 16
    assert "And 4 more." in found.text["stale"]
    assert "11,400 run minutes a month they cost" in found.text[""]


def test_a_missing_model_is_named_and_the_old_page_stays(put, file, written):
    put(**broken_report())
    path = Path(written()["page"])
    before = path.read_bytes()
    with duckdb.connect(str(file)) as connection:
        connection.execute("DROP TABLE mode_marts.stale_reports")
    with pytest.raises(
        dg.Failure, match=r"no table mode_marts.stale_reports. Materialize first: mode_marts/stale_reports"
    ):
        written()
    assert path.read_bytes() == before


def test_without_references_there_is_a_page_all_the_same(put, file, page):
    put(**broken_report())
    with duckdb.connect(str(file)) as connection:
        connection.execute("DROP TABLE mode_marts.table_usage")
    assert "the model table_usage has not been built" in page().text["tables"]


def test_a_page_that_can_not_be_written_leaves_nothing_behind(put, tmp_path):
    put()
    (tmp_path / "mode_workspace_report.html").mkdir()
    before = set(tmp_path.iterdir())
    asset = build_workspace_report(ONLY)
    with dg.DagsterInstance.ephemeral(tempdir=str(tmp_path / "dagster")) as instance:
        done = dg.materialize(
            [asset], resources={"mode_warehouse": WarehouseResource()}, instance=instance, raise_on_error=False
        )
    assert not done.success
    assert {path for path in tmp_path.iterdir() if path.name.endswith(".html") or "report" in path.name} <= before


def test_each_workspace_has_its_own_page(put, written, tmp_path, monkeypatch):
    acme = Workspace("acme")
    put(acme, **broken_report("Sales of Acme"))
    written(acme)
    assert "Sales of Acme" in (tmp_path / "mode_workspace_report_acme.html").read_text()
    monkeypatch.setenv("DESTINATION__DUCKDB__CREDENTIALS", "/data/x.duckdb")
    assert report_path(Workspace()) == Path("/data/mode_workspace_report.html")


def test_the_asset_shows_its_charts_and_names_nobody(put, written):
    put(**broken_report("Named report"))
    event = written()
    image = re.fullmatch(r"!\[[^\]]+\]\(data:image/svg\+xml;base64,(\S+)\)", event["health_chart"])
    svg = base64.b64decode(image[1]).decode()
    assert svg.startswith("<svg xmlns=")
    assert "var(" not in svg
    assert "Named report" not in str(event)
    assert len(str(event)) < 100_000


def test_the_asset_hangs_off_the_models_that_it_reads():
    asset = build_workspace_report(Workspace("acme"))
    assert asset.dependency_keys == {dg.AssetKey(["acme", "mode_marts", name]) for name in READS}
    assert set(READS) <= set(MODELS)


@pytest.mark.parametrize(
    ("written_as", "value"),
    [
        (number(None), "—"),
        (number(0), "0"),
        (number(1234.4), "1,234"),
        (number(5.55), "5.5"),
        (number(9.0), "9"),
        (duration(None), "—"),
        (duration(0.42), "0.4 s"),
        (duration(59.6), "1 min"),
        (duration(3599), "1 h 0 min"),
        (duration(3600 * 47.5), "47 h 30 min"),
        (duration(86400 * 1234), "1,234 d 0 h"),
        (change(None), "—"),
        (change(0.5), "+50 %"),
        (change(-0.25), "-25 %"),
        (short("x" * 200), "x" * 159 + "…"),
    ],
    ids=str,
)
def test_how_values_are_written(written_as, value):
    assert written_as.replace("\xa0", " ") == value


def luminance(colour):
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return sum(share * part for share, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


@pytest.mark.parametrize("theme", [LIGHT, DARK], ids=["light", "dark"])
def test_words_and_bars_stand_out_from_what_is_behind_them(theme):
    def contrast(one, other):
        low, high = sorted([luminance(theme[one]), luminance(theme[other])])
        return (high + 0.05) / (low + 0.05)

    for words, behind in product(("text", "muted", "link", "failed"), ("background", "card")):
        assert contrast(words, behind) >= 4.5, (words, behind)
    for bars in ("succeeded", "failed", "minutes"):
        assert contrast(bars, "background") >= 3, bars


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium found")
def test_a_phone_shows_it_without_scrolling_sideways(put, written, tmp_path):
    put(**broken_report("W" * 300))
    path = Path(written()["page"])
    with browser(tmp_path / "profile") as tab:
        tab.resize(390, 800)
        tab.open(path.as_uri(), "Failing now")
        assert tab.run("document.documentElement.scrollWidth") == 390
        shown = "[...document.querySelectorAll('svg')].filter(svg => svg.clientWidth).map(svg => svg.classList[0])"
        assert set(tab.run(shown)) == {"narrow"}


def test_three_answers(put, file):
    put(parsed=True, **broken_report())
    failing, unused, read = three_answers(ONLY).values()
    assert failing == "Sales: 1 run failed since 2026-06-17 11:20 UTC (Sales: Sales). Failing now: 1 report."
    assert unused == (
        "Sales: no person has used it for 300 days, and its runs took 4 minutes in 30 days. "
        "Unused in all: 1 report, 4 minutes."
    )
    assert read == "shop.orders: 1 report read it with 1 query."


def test_answers_where_all_is_well(put, file):
    put(
        reports=[{"token": "r1", "name": "Sales", "created_at": ago(10)}],
        runs=[run("a", 1, report_schedule_token="s")],
        query_runs=[{**run("qa", 1), "query_token": "q1", "run_token": "a"}],
        queries=[{"token": "q1", "report_token": "r1", "name": "By day"}],
    )
    failing, unused, read = three_answers(ONLY).values()
    assert failing.startswith("None")
    assert unused.endswith("The schedule that costs most is that of Sales: 2 minutes in 1 run of the last 30 days.")
    assert read.endswith("The slowest query is By day of Sales: 95 % of its runs stay below 2.0 minutes.")


def test_a_report_without_a_name_is_called_so(put, file):
    rows = broken_report()
    put(**rows | {"reports": [{**report, "name": None} for report in rows["reports"]]})
    first, *others = three_answers(ONLY).values()
    assert first.startswith("(no name): 1 run failed")
    assert all("None:" not in answer for answer in (first, *others))


def test_a_report_of_which_mode_says_no_time_is_unused_for_nobody_knows_how_long(put, file):
    put(reports=[{"token": "r1", "name": "Sales"}], runs=[], query_runs=[], queries=[])
    _, unused, _ = three_answers(ONLY).values()
    assert unused.startswith("Sales: no person is known to have used it, and its runs took 0 minutes in 30 days.")


def test_the_command_answers_and_says_where_the_page_is(put, file, written):
    put(**broken_report(HOSTILE))
    page = written()["page"]
    said = CliRunner().invoke(main, ["answers"])
    assert said.exit_code == 0
    assert f"The whole report: {page}" in said.output
    assert "\x1b" not in said.output


def test_the_command_says_that_there_is_no_page_yet(put):
    put(**broken_report())
    assert "not written yet: materialize mode_marts/workspace_report" in CliRunner().invoke(main, ["answers"]).output


def test_without_anything_loaded_the_command_says_what_to_do(put, file):
    with pytest.raises(NoAnswersError, match="Load everything first: run the job mode_sync_acme"):
        three_answers(Workspace("acme"))
    for given, words in ((None, "There is no file"), ({}, "No active report is loaded. Load everything first")):
        if given is not None:
            put(**given)
        said = CliRunner().invoke(main, ["answers"])
        assert said.exit_code == 1
        assert words in said.output
        assert "-j mode_sync" in said.output
    with duckdb.connect(str(file)) as connection:
        connection.execute("DROP SCHEMA mode_marts CASCADE")
    with pytest.raises(NoAnswersError, match="Materialize first: mode_marts/workspace_daily, "):
        three_answers(ONLY)


def test_a_file_that_is_none_is_said_to_be_unreadable_by_its_path(file):
    file.write_bytes(b"Dear diary, " * 1000)
    with pytest.raises(NoAnswersError, match=rf"Could not read {re.escape(str(file))}: it is no DuckDB file") as raised:
        three_answers(ONLY)
    assert "Load everything" not in str(raised.value), "that would not help"


def test_a_file_that_another_program_has_open_is_named(put, file):
    put()
    hold = f"import duckdb, sys; c = duckdb.connect({str(file)!r}); print('open', flush=True); sys.stdin.read()"
    with subprocess.Popen([sys.executable, "-c", hold], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as program:
        program.stdout.readline()
        with pytest.raises(NoAnswersError, match="another program has it open") as raised:
            three_answers(ONLY)
    assert "Load everything" not in str(raised.value), "that would not help"
