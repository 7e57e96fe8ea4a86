"""The records that the made-up workspace consists of; none of them depends on what time it is.

Not here: how they are made up (`history`), how Mode words them (`shapes`).
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from mode_dagster.sandbox import vocabulary

WORKSPACE = "sandbox-inc"


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody with an account, member of the workspace or not."""

    token: str
    member_token: str
    membership_token: str
    id: int
    username: str
    name: str
    email: str
    joined_at: datetime
    admin: bool
    member: bool
    has_account: bool


@dataclass(frozen=True, slots=True)
class Space:
    """A collection."""

    index: int
    token: str
    id: int
    name: str
    space_type: str
    access: str
    creator: str

    @property
    def private(self) -> bool:
        """Whether it is one person's own."""
        return self.space_type == "private"


@dataclass(frozen=True, slots=True)
class Group:
    """A group of members."""

    token: str
    id: int
    name: str
    creator: str
    members: tuple[Person, ...]


@dataclass(frozen=True, slots=True)
class Membership:
    """Somebody's place in a group or a collection."""

    token: str
    owner: Group | Space
    person: Person


@dataclass(frozen=True, slots=True)
class Permission:
    """What a person or a group may do in a collection."""

    token: str
    space: Space
    accessor: Person | Group


@dataclass(frozen=True, slots=True)
class DataSource:
    """A connected database."""

    token: str
    id: int
    spec: vocabulary.DataSource
    creator: str


@dataclass(frozen=True, slots=True)
class Definition:
    """A named piece of SQL."""

    token: str
    id: int
    sql: vocabulary.Sql
    creator: str


@dataclass(frozen=True, slots=True)
class Report:
    """A report or, with type DatasetReport, a dataset."""

    index: int
    token: str
    id: int
    type: str
    name: str | None
    space: Space
    creator: str
    created_at: datetime
    archived: bool
    cadence: str
    notebook: bool
    runtime: int
    """Seconds that a run takes, more or less."""
    edit_every: int
    """Seconds between edits."""
    query_count: int
    schedule_count: int
    filter_count: int
    views_per_day: float
    forgotten: bool = False
    """Nobody views, edits or runs it any more; its schedule goes on."""

    @property
    def is_dataset(self) -> bool:
        """Whether it is a dataset."""
        return self.type == "DatasetReport"


@dataclass(frozen=True, slots=True)
class Query:
    """One query of a report."""

    token: str
    id: int
    number: int
    report: Report
    sql: vocabulary.Sql
    created_at: datetime
    chart_count: int


@dataclass(frozen=True, slots=True)
class Chart:
    """A chart of a query."""

    token: str
    number: int
    query: Query

    @property
    def report(self) -> Report:
        """The report that it is on."""
        return self.query.report


@dataclass(frozen=True, slots=True)
class Child:
    """A filter, a schedule, a subscription or a field: the `number`th of its kind in its report."""

    token: str
    number: int
    report: Report
    name: str = ""


@dataclass(frozen=True, slots=True)
class Run:
    """One run of a report, from start to end; what of it has happened yet depends on the moment."""

    token: str
    report: Report
    created_at: datetime
    ended_at: datetime
    outcome: str
    executor: str
    scheduled: bool

    def state(self, now: datetime) -> str:
        """How far it is."""
        if now >= self.ended_at:
            return self.outcome
        age = (now - self.created_at).total_seconds()
        if age < 2:
            return "pending"
        return "running_notebook" if self.report.notebook and age >= 4 else "enqueued"

    def updated_at(self, now: datetime) -> datetime:
        """When its state last changed."""
        steps = (self.ended_at, *(self.created_at + timedelta(seconds=age) for age in (4, 2, 0)))
        return next(step for step in steps if step <= now)


@dataclass(frozen=True, slots=True)
class QueryRun:
    """One query of one run."""

    token: str
    run: Run
    query: Query
    created_at: datetime
    ended_at: datetime
    outcome: str
    error: tuple[str, str] | None


@dataclass(frozen=True, slots=True)
class Audited:
    """One event of the audit log."""

    id: str
    timestamp: datetime
    action: str
    actor: Person
    report: Report


@dataclass(frozen=True, slots=True)
class Workspace:
    """The workspace itself."""

    token: str
    username: str = WORKSPACE
