"""Who and what is in the made-up workspace, and what happens when, derived by hashing from the seed.

Here: everything that does not depend on what time it is, and the runs and edits of each report.
Not here: what of it is to be seen at a given moment (`moment`).

Nothing is drawn from a random generator and nothing is stored: each fact is a hash of the seed and of the
fact's own place. What happens in time happens in slots counted from a fixed day, so that tokens never depend
on the clock.
"""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from hashlib import blake2b

from mode_dagster.sandbox import vocabulary
from mode_dagster.sandbox.options import SandboxOptions
from mode_dagster.sandbox.records import DataSource, Definition, Group, Person, Query, Report, Run, Space

ANCHOR = datetime(2020, 1, 1, tzinfo=UTC)
"""The day that slots are counted from."""
DAY = 86_400
PASSING_DAYS = 21
"""How long a passing report lives before it is deleted and another one is made in its place."""
CADENCES = ("daily", "manual", "weekly", "manual", "weekdays", "manual", "weekly", "daily", "manual", "weekly")

NEVER_RUN, NO_QUERIES, UNTITLED, HOURLY, BROKEN, MANY_SCHEDULES = 4, 5, 6, 7, 8, 12
"""Places of the reports that are special."""


class History:
    """The workspace of one seed."""

    def __init__(self, options: SandboxOptions, start: datetime) -> None:
        """Make the workspace as seen by a server started at `start`; runs follow when they are asked for."""
        self.options = options
        start = options.epoch or start - timedelta(days=options.days)
        self.epoch = start.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
        self._seed = f"{options.seed}|".encode()
        self._runs: dict[str, tuple[int, int, tuple[Run, ...]]] = {}
        self._queries: dict[str, tuple[Query, ...]] = {}
        self._passing: dict[int, Report] = {}
        self.people = tuple(self._person(i) for i in range(len(vocabulary.PEOPLE)))
        self.members = tuple(person for person in self.people if person.member)
        self.authors = self.people[: max(1, min(options.reports, len(self.people)))]
        self.spaces = tuple(self._space(i) for i in range(options.spaces))
        self.groups = tuple(self._group(i) for i in range(options.groups))
        self.data_sources = tuple(self._data_source(i) for i in range(len(vocabulary.DATA_SOURCES)))
        self.definitions = tuple(self._definition(i) for i in range(len(vocabulary.DEFINITIONS)))
        self.passing = max(options.reports // 20, 3) if options.reports >= 10 else 0
        self.lasting = tuple(self._report(i, 0) for i in range(options.reports - self.passing))
        self.by_token = {report.token: report for report in self.lasting}
        self.datasets = tuple(self._dataset(i) for i in range(4 if options.spaces else 0))
        self.by_token |= {dataset.token: dataset for dataset in self.datasets}

    def roll(self, *parts: object) -> int:
        """A number that is always the same for the same seed and parts."""
        return int.from_bytes(self._digest(parts)[:7])

    def token(self, *parts: object) -> str:
        """Twelve hexadecimal characters that are always the same for the same seed and parts."""
        return self._digest(parts).hex()[:12]

    def _digest(self, parts: tuple[object, ...]) -> bytes:
        return blake2b(self._seed + "|".join(map(str, parts)).encode(), digest_size=16).digest()

    def report_at(self, index: int, now: datetime) -> Report:
        """The report that is in the `index`th place now."""
        if index < len(self.lasting):
            return self.lasting[index]
        generation = int(((now - ANCHOR).total_seconds() - self._offset(index)) // (PASSING_DAYS * DAY))
        report = self._passing.get(index)
        born = ANCHOR + timedelta(seconds=self._offset(index) + generation * PASSING_DAYS * DAY)
        if report is None or report.created_at != born:
            report = self._passing[index] = self._report(index, generation, born)
        return report

    def revision(self, report: Report, now: datetime) -> int:
        """How often the report was edited; only differences mean anything, and 0 is "never"."""
        edits = (now - ANCHOR).total_seconds() - self.roll("edit", report.token) % report.edit_every
        revision = int(edits // report.edit_every)
        return revision if self.edited_at(report, revision) > report.created_at else 0

    def edited_at(self, report: Report, revision: int) -> datetime:
        """When that revision was saved."""
        if revision <= 0:
            return report.created_at
        offset = self.roll("edit", report.token) % report.edit_every
        return max(report.created_at, ANCHOR + timedelta(seconds=offset + revision * report.edit_every))

    def query_revision(self, query: Query, revision: int) -> int:
        """The last revision of the report, up to this one, that touched the query: edits take turns."""
        last = revision - (revision - query.number) % query.report.query_count
        return last if self.edited_at(query.report, last) > query.report.created_at else 0

    def queries(self, report: Report) -> tuple[Query, ...]:
        """All queries that the report ever has."""
        found = self._queries.get(report.token)
        if found is None:
            found = tuple(self._query(report, i) for i in range(report.query_count))
            self._queries[report.token] = found
        return found

    def runs(self, report: Report, now: datetime) -> tuple[Run, ...]:
        """Every run from the epoch to the end of this day, oldest first."""
        first = (max(self.epoch, report.created_at) - ANCHOR).days
        last = max((now - ANCHOR).days, first)
        known = self._runs.get(report.token, (first, first - 1, ()))
        if known[1] < last:
            more = tuple(run for day in range(known[1] + 1, last + 1) for run in self._runs_of_day(report, day))
            known = self._runs[report.token] = (first, last, known[2] + more)
        return known[2]

    def _runs_of_day(self, report: Report, day: int) -> Iterator[Run]:
        begin = ANCHOR + timedelta(days=day)
        starts = [(hour * 3600 + self.minute(report) * 60, True) for hour in self.hours(report, begin.weekday())]
        manual = self.roll("manual", report.token, day)
        by_hand = 0 if report.forgotten else 15 if report.cadence == "manual" else 3
        if report.cadence != "never" and manual % 100 < by_hand:
            starts.append((manual // 100 % (DAY - 60), False))
        runs = [self._run(report, begin, second, scheduled) for second, scheduled in starts]
        for run in sorted(runs, key=lambda run: run.created_at):
            if run.created_at > report.created_at:
                yield run

    def hours(self, report: Report, weekday: int) -> tuple[int, ...]:
        """The hours at which the report's schedule starts it on that day of the week."""
        hour = self.roll("hour", report.token) % 24
        if report.cadence == "hourly" and weekday < 5:
            return tuple(range(8, 17))
        due = {"daily": True, "weekdays": weekday < 5, "weekly": weekday == self.weekday(report)}
        return (hour,) if due.get(report.cadence) else ()

    def minute(self, report: Report) -> int:
        """The minute of the hour that the schedule is set to."""
        return self.roll("minute", report.token) % 60

    def weekday(self, report: Report) -> int:
        """The day of the week that a weekly schedule is set to, Monday is 0."""
        return self.roll("weekday", report.token) % 7

    def _run(self, report: Report, begin: datetime, second: int, scheduled: bool) -> Run:
        token = self.token("run", report.token, begin.date(), second)
        chance = self.roll("outcome", token)
        start = begin + timedelta(seconds=second, milliseconds=chance % 20_000)
        failing = 100 if report.index == BROKEN else 25 if report.index % 8 == 3 else 2
        outcome = "completed" if report.notebook else "succeeded"
        if chance % 100 < failing:
            outcome = "failed"
        elif chance % 100 == 99:
            outcome = "cancelled"
        length = timedelta(milliseconds=int(report.runtime * (600 + chance // 100 % 1_200)))
        executor = report.creator if scheduled else self.authors[chance // 7 % len(self.authors)].username
        return Run(token, report, start, start + length, outcome, executor, scheduled)

    def _offset(self, index: int) -> int:
        place = index - len(self.lasting)
        return place * PASSING_DAYS * DAY // self.passing + self.roll("passing", index) % DAY

    def _author(self, index: int) -> str:
        return self.authors[index % len(self.authors)].username

    def _person(self, index: int) -> Person:
        name, count = vocabulary.PEOPLE[index], len(vocabulary.PEOPLE)
        username = name.lower().replace(" ", "")
        return Person(
            token=self.token("person", index),
            # Mode's member_token is the person's own token, the membership has another
            member_token=self.token("person", index),
            membership_token=self.token("membership", index),
            id=5_000 + index,
            username=username,
            name=name,
            email=f"{username}@example.com",
            joined_at=ANCHOR + timedelta(seconds=self.roll("joined", index) % (300 * DAY)),
            admin=index < 2,
            member=index < count - vocabulary.LEFT,
            has_account=index < count - 1,
        )

    def _space(self, index: int) -> Space:
        private = index % 10 == 3
        owner = self._author(index)
        name = vocabulary.SPACES[index] if index < len(vocabulary.SPACES) else f"Team {index}"
        return Space(
            index=index,
            token=self.token("space", index),
            id=700 + index,
            name=f"{owner}'s Collection" if private else name,
            space_type="private" if private else "custom",
            access="restricted" if private or index % 5 == 2 else ("view", "edit")[index % 2],
            creator=owner,
        )

    def _group(self, index: int) -> Group:
        size = 5 - index if index < 3 else int(index % 5 == 0)
        first = self.roll("group", index)
        members = tuple(self.members[(first + i) % len(self.members)] for i in range(size))
        name = ("Analysts", "Finance", "Everyone in Data")[index] if index < 3 else f"Project {index}"
        return Group(self.token("group", index), 300 + index, name, self._author(0), members)

    def _data_source(self, index: int) -> DataSource:
        spec = vocabulary.DATA_SOURCES[index]
        return DataSource(self.token("data_source", index), 1_000 + index, spec, self._author(index))

    def _definition(self, index: int) -> Definition:
        sql = vocabulary.DEFINITIONS[index]
        return Definition(self.token("definition", index), 2_000 + index, sql, self._author(index + 1))

    def _space_of(self, index: int) -> Space:
        """The first collection needs second and third pages; the last one stays empty."""
        reports, others = self.options.reports, len(self.spaces) - 2
        if others < 1 or index < (65 if reports >= 100 else reports * 7 // 8):
            return self.spaces[0]
        return self.spaces[1 + index % others]

    def _report(self, index: int, generation: int, born: datetime | None = None) -> Report:
        token = self.token("report", index, generation)
        chance = self.roll("made", token)
        topics, angles = vocabulary.TOPICS, vocabulary.ANGLES
        archived = index % 17 == 9 and born is None
        special = {NEVER_RUN: "never", NO_QUERIES: "manual", HOURLY: "hourly", BROKEN: "weekdays"}
        cadence = "never" if archived else special.get(index, CADENCES[index % len(CADENCES)])
        scheduled = cadence not in ("never", "manual")
        forgotten = index % 9 == 8
        name = f"{topics[index % len(topics)]} {angles[chance % len(angles)]}"
        return Report(
            index=index,
            token=token,
            id=100_000 + index * 1_000 + generation % 1_000,
            type="Report",
            name=None if index == UNTITLED else name,
            space=self._space_of(index),
            creator=self._author(index),
            created_at=born or ANCHOR + timedelta(seconds=chance % (1_400 * DAY)),
            archived=archived,
            cadence=cadence,
            notebook=index % 6 == 1,
            runtime=1_500 if index % 13 == HOURLY else 4 + chance % 120,
            edit_every=(1_200 if forgotten else 15 + chance // 7 % 90) * DAY + chance % 50_000,
            query_count=0 if index == NO_QUERIES else 1 + (index * 7 + chance // 11 % 2) % 5,
            schedule_count=33 if index == MANY_SCHEDULES else int(scheduled),
            filter_count=chance // 13 % 3,
            views_per_day=0.0 if forgotten or archived else chance // 17 % 800 / 50,
            forgotten=forgotten,
        )

    def _dataset(self, index: int) -> Report:
        token = self.token("dataset", index)
        return Report(
            index=1_000_000 + index,
            token=token,
            id=90_000 + index,
            type="DatasetReport",
            name=vocabulary.DATASETS[index],
            space=self.spaces[index % min(2, len(self.spaces))],
            creator=self._author(index + 2),
            created_at=ANCHOR + timedelta(seconds=self.roll("made", token) % (900 * DAY)),
            archived=False,
            cadence=("daily", "weekly")[index % 2],
            notebook=False,
            runtime=30 + 20 * index,
            edit_every=40 * DAY + 4_000 * index,
            query_count=1,
            schedule_count=1,
            filter_count=0,
            views_per_day=1.5,
        )

    def _query(self, report: Report, number: int) -> Query:
        token = self.token("query", report.token, number)
        chance = self.roll("query", token)
        broken = report.index == BROKEN and number == 0
        return Query(
            token=token,
            id=report.id * 20 + number,
            number=number,
            report=report,
            sql=vocabulary.BROKEN if broken else vocabulary.QUERIES[(report.index + number * 2) % 9],
            created_at=report.created_at + timedelta(seconds=number),
            chart_count=chance % 5 % 4,
        )
