"""The made-up workspace as it is at one moment: which reports exist, what they hold, what has run.

Here: every list that Mode can give, under its name in the endpoint catalogue, as records.
Not here: how Mode words a record (`shapes`), paging, permissions and other manners of the server (`routes`).
"""

from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from functools import cached_property
from itertools import chain
from typing import Any
from uuid import UUID

from mode_dagster.sandbox import vocabulary
from mode_dagster.sandbox.history import ANCHOR, History
from mode_dagster.sandbox.records import (
    Audited,
    Chart,
    Child,
    Group,
    Membership,
    Permission,
    Person,
    Query,
    QueryRun,
    Report,
    Run,
    Space,
    Workspace,
)


class Moment:
    """The workspace at one moment; asked for a list it answers None where the parent does not exist."""

    def __init__(self, history: History, now: datetime) -> None:
        """Look at the workspace as of `now`."""
        self.history = history
        self.now = now
        self._runs: dict[str, Sequence[Run]] = {}
        self._standings: dict[str, tuple[Run | None, Run | None, Run | None]] = {}

    @cached_property
    def reports(self) -> tuple[Report, ...]:
        """All reports that exist now."""
        return (*self.history.lasting, *self._passing())

    def _passing(self) -> Iterator[Report]:
        places = range(len(self.history.lasting), self.history.options.reports)
        return (self.history.report_at(place, self.now) for place in places)

    def report(self, token: str) -> Report | None:
        """The report or dataset of that token, while it exists."""
        lasting = self.history.by_token.get(token)
        return lasting or next((report for report in self._passing() if report.token == token), None)

    def space(self, token: str) -> Space | None:
        """The collection of that token."""
        return next((space for space in self.history.spaces if space.token == token), None)

    def query(self, token: str, report: Report) -> Query | None:
        """The query of that token: of the report given or, as Mode has it, of any other."""
        # one after the other: of 30,000 reports, the others are hardly ever looked at
        owners = chain((report,), self._passing(), self.history.lasting, self.history.datasets)
        return next((query for owner in owners for query in self.queries(owner) if query.token == token), None)

    def queries(self, report: Report, at: datetime | None = None) -> tuple[Query, ...]:
        """The report's queries now (or then): every other edit may remove the last."""
        queries = self.history.queries(report)
        if report.index % 5 == 3 and len(queries) > 1 and self.history.revision(report, at or self.now) % 2:
            return queries[:-1]
        return queries

    def charts(self, query: Query) -> list[Chart]:
        """The charts of a query."""
        return [Chart(self.history.token("chart", query.token, n), n, query) for n in range(query.chart_count)]

    def filters(self, report: Report) -> list[Child]:
        """The filters of a report."""
        return self._children("filter", report.filter_count, report)

    def schedules(self, report: Report) -> list[Child]:
        """The schedules of a report; only the first one ever starts it."""
        return self._children("schedule", report.schedule_count, report)

    def subscriptions(self, report: Report) -> list[Child]:
        """What is mailed after the runs of the report's first schedule."""
        return self._children("subscription", int(report.schedule_count > 0 and report.index % 3 != 0), report)

    def runs(self, report: Report) -> Sequence[Run]:
        """The runs of the report that have started, newest first."""
        if report.token not in self._runs:
            runs = self.history.runs(report, self.now)
            started = bisect_right(runs, self.now, key=lambda run: run.created_at)
            self._runs[report.token] = runs[:started][::-1]
        return self._runs[report.token]

    def standing(self, report: Report) -> tuple[Run | None, Run | None, Run | None]:
        """The report's last run, its last run that is over, and its last that went well."""
        if report.token not in self._standings:
            runs = self.runs(report)
            done = [run for run in runs if run.ended_at <= self.now]
            good = next((run for run in done if run.outcome in ("succeeded", "completed")), None)
            self._standings[report.token] = (runs[0] if runs else None, done[0] if done else None, good)
        return self._standings[report.token]

    def moved_at(self, report: Report) -> datetime:
        """When anything about the report last moved, runs included."""
        edited = self.history.edited_at(report, self.history.revision(report, self.now))
        return max((edited, *(run.updated_at(self.now) for run in self.runs(report)[:3])))

    def view_count(self, report: Report) -> int:
        """How many times the report was ever viewed."""
        age = (self.now - report.created_at).total_seconds() / 86_400
        return int(report.views_per_day * max(age, 0))

    def query_runs(self, run: Run) -> list[QueryRun]:
        """What the run did with each query that the report had when it started."""
        queries = self.queries(run.report, run.created_at)
        guilty = 0 if run.report.index % 8 == 0 else self.history.roll("guilty", run.token) % max(1, len(queries))
        return [self._query_run(run, query, query.number == guilty) for query in queries]

    def _query_run(self, run: Run, query: Query, guilty: bool) -> QueryRun:
        chance = self.history.roll("query_run", run.token, query.number)
        share = 100 if guilty else 30 + chance % 60
        end = run.created_at + (run.ended_at - run.created_at) * share / 100 - timedelta(milliseconds=400)
        error = None
        if run.outcome == "failed" and guilty:
            broken = query.sql is vocabulary.BROKEN
            error = vocabulary.SYNTAX_ERROR if broken else vocabulary.FAILURES[chance % 3]
        outcome = "failed" if error else "cancelled" if run.outcome == "cancelled" else "succeeded"
        token = self.history.token("query_run", run.token, query.number)
        return QueryRun(token, run, query, run.created_at + timedelta(milliseconds=150), end, outcome, error)

    def text(self, query: Query, at: datetime | None = None) -> str:
        """The query's SQL now (or then): every edit changes a number in it."""
        revision = self.history.query_revision(query, self.history.revision(query.report, at or self.now))
        return query.sql.text.strip().replace("[rows]", str(500 + revision % 8 * 250))

    def updated_at(self, query: Query) -> datetime:
        """When the query was last edited."""
        revision = self.history.query_revision(query, self.history.revision(query.report, self.now))
        return max(query.created_at, self.history.edited_at(query.report, revision))

    def next_due(self, report: Report) -> datetime | None:
        """When the report's schedule starts it next."""
        midnight = self.now.replace(hour=0, minute=0, second=0, microsecond=0)
        for day in (midnight + timedelta(days=ahead) for ahead in range(8)):
            for hour in self.history.hours(report, day.weekday()):
                due = day + timedelta(hours=hour, minutes=self.history.minute(report))
                if due > self.now:
                    return due
        return None

    def audit_logs(self, start: datetime, end: datetime) -> list[Audited]:
        """The events from `start` up to `end`, newest first; none before the epoch or after now."""
        start, end = max(start, self.history.epoch), min(end, self.now)
        days = range((start - ANCHOR).days, (end - ANCHOR).days + 1)
        events = [event for day in days for event in self._events(day) if start <= event.timestamp <= end]
        return sorted(events, key=lambda event: event.timestamp, reverse=True)

    def _events(self, day: int) -> Iterator[Audited]:
        history = self.history
        for number in range(3 + history.roll("audit", day) % 5):
            chance = history.roll("event", day, number)
            digest = history.token("audit", day, number) + history.token("log", day, number) + f"{day:08x}"
            yield Audited(
                id=str(UUID(digest)),
                timestamp=ANCHOR + timedelta(days=day, microseconds=chance % 86_400_000_000),
                action=vocabulary.AUDIT_ACTIONS[chance % len(vocabulary.AUDIT_ACTIONS)],
                actor=history.members[chance // 11 % len(history.members)],
                report=history.lasting[chance // 13 % len(history.lasting)],
            )

    def space_reports(self, space: Space) -> list[Report]:
        """What the collection's list of reports holds: in odd ones its datasets too."""
        reports = [report for report in self.reports if report.space is space]
        return reports + self.space_datasets(space) if space.index % 2 else reports

    def space_datasets(self, space: Space) -> list[Report]:
        """The datasets of a collection."""
        return [dataset for dataset in self.history.datasets if dataset.space is space]

    def space_memberships(self, space: Space) -> list[Membership]:
        """Who joined the collection."""
        members = self.history.members
        joined = [members[(space.index + i) % len(members)] for i in range(1 + space.index % 3)]
        return [self._membership(space, person) for person in joined]

    def space_permissions(self, space: Space) -> list[Permission]:
        """Who may do what in the collection: one group, one person."""
        groups = self.history.groups[space.index % 3 :][:1]
        accessors: tuple[Person | Group, ...] = (*groups, self.history.members[space.index % 5])
        token = self.history.token
        return [Permission(token("permission", space.token, who.token), space, who) for who in accessors]

    def group_memberships(self, token: str) -> list[Membership] | None:
        """Who is in the group."""
        group = next((group for group in self.history.groups if group.token == token), None)
        return None if group is None else [self._membership(group, person) for person in group.members]

    def _membership(self, owner: Group | Space, person: Person) -> Membership:
        return Membership(self.history.token("in", owner.token, person.token), owner, person)

    def _children(self, kind: str, count: int, report: Report) -> list[Child]:
        return [Child(self.history.token(kind, report.token, n), n, report) for n in range(count)]

    def fields(self, dataset: Report) -> list[Child]:
        """The columns of a dataset."""
        children = self._children("field", 2, dataset)
        names = self.history.queries(dataset)[0].sql.columns
        return [replace(child, name=name) for child, name in zip(children, names, strict=False)]

    def listing(self, name: str, tokens: Mapping[str, str]) -> Sequence[Any] | None:
        """The records of a catalogue list; None if what the tokens name does not exist."""
        return LISTS[name](self, tokens)


Lister = Callable[[Moment, Mapping[str, str]], Sequence[Any] | None]


def _of_report(find: Callable[[Moment, Report], Sequence[Any]]) -> Lister:
    def listing(moment: Moment, tokens: Mapping[str, str]) -> Sequence[Any] | None:
        report = moment.report(tokens.get("report_token") or tokens["dataset_token"])
        return None if report is None else find(moment, report)

    return listing


def _of_dataset(find: Callable[[Moment, Report], Sequence[Any]]) -> Lister:
    def listing(moment: Moment, tokens: Mapping[str, str]) -> Sequence[Any] | None:
        dataset = next((d for d in moment.history.datasets if d.token == tokens["dataset_token"]), None)
        return None if dataset is None else find(moment, dataset)

    return listing


def _of_space(find: Callable[[Moment, Space], Sequence[Any]]) -> Lister:
    def listing(moment: Moment, tokens: Mapping[str, str]) -> Sequence[Any] | None:
        space = moment.space(tokens["space_token"])
        return None if space is None else find(moment, space)

    return listing


def _charts(moment: Moment, tokens: Mapping[str, str]) -> Sequence[Chart] | None:
    report = moment.report(tokens["report_token"])
    query = report and moment.query(tokens["query_token"], report)
    return moment.charts(query) if query else None


def _query_runs(moment: Moment, tokens: Mapping[str, str]) -> Sequence[QueryRun] | None:
    report = moment.report(tokens["report_token"])
    runs = moment.runs(report) if report else ()
    run = next((run for run in runs if run.token == tokens["run_token"]), None)
    return moment.query_runs(run) if run else None


def _users(moment: Moment, tokens: Mapping[str, str]) -> Sequence[Person]:
    name = tokens.get("username")
    accounts = [person for person in moment.history.people if person.has_account]
    if name is None:
        return [person for person in accounts if person in moment.history.authors]
    return [person for person in accounts if person.username == name]


LISTS: Mapping[str, Lister] = {
    "workspaces": lambda moment, _: [Workspace(moment.history.token("workspace"))],
    "data_sources": lambda moment, _: moment.history.data_sources,
    "definitions": lambda moment, _: moment.history.definitions,
    "spaces": lambda moment, _: moment.history.spaces,
    "reports": _of_space(Moment.space_reports),
    "report_stats": lambda moment, _: moment.reports,
    "queries": _of_report(Moment.queries),
    "charts": _charts,
    "report_filters": _of_report(Moment.filters),
    "runs": _of_report(Moment.runs),
    "query_runs": _query_runs,
    "report_schedules": _of_report(Moment.schedules),
    "report_subscriptions": _of_report(Moment.subscriptions),
    "datasets": _of_space(Moment.space_datasets),
    "dataset_runs": _of_dataset(Moment.runs),
    "dataset_schedules": _of_dataset(Moment.schedules),
    "dataset_fields": _of_dataset(Moment.fields),
    "dataset_field_descriptions": _of_dataset(Moment.fields),
    "memberships": lambda moment, _: moment.history.members,
    "members": lambda moment, _: [person for person in moment.history.people if person.has_account],
    "groups": lambda moment, _: moment.history.groups,
    "group_memberships": lambda moment, tokens: moment.group_memberships(tokens["group_token"]),
    "space_memberships": _of_space(Moment.space_memberships),
    "space_permissions": _of_space(Moment.space_permissions),
    "audit_logs": lambda moment, _: moment.audit_logs(moment.history.epoch, moment.now),
    "users": _users,
}
"""How to find each list of the catalogue; a new row of the catalogue needs one here."""
