"""The Discovery API's side of the sandbox: signature tokens, and its flat rows.

Not here: which lists it has (the catalogue says so), envelopes and paging (`routes`).
"""

import binascii
from base64 import b64decode
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

from mode_dagster.sandbox.history import History
from mode_dagster.sandbox.moment import Moment
from mode_dagster.sandbox.records import Chart, Person, Query, Report
from mode_dagster.sandbox.shapes.reports import chart_words
from mode_dagster.sandbox.shapes.wording import WEB, Json, iso

SCOPE = {"authentication_for": "batch-api", "authorization_type": "read-only"}


def mint(history: History, body: object, now: datetime) -> Json | None:
    """A signature token for a well-formed request; None for any other.

    Nothing is kept: the secrets follow from the token, so that every sandbox of one seed accepts it.
    """
    wish = body.get("signature_token") if isinstance(body, dict) else None
    if not isinstance(wish, dict) or not 4 <= len(str(wish.get("name", ""))) <= 64:
        return None
    if not wish.get("expires_at") or wish.get("auth_scope") != SCOPE:
        return None
    token = history.token("signature", wish["name"], wish["expires_at"])
    return {
        "token": token,
        "name": wish["name"],
        "creator_id": history.people[0].id,
        "organization_id": 77,
        "access_key": history.token("access_key", token),
        "access_secret": history.token("access_secret", token),
        "created_at": iso(now),
        "updated_at": iso(now),
        "expires_at": wish["expires_at"],
        **SCOPE,
    }


def is_bearer(history: History, authorization: str) -> bool:
    """Whether the header is a minted token, its key and its secret."""
    scheme, _, encoded = authorization.partition(" ")
    try:
        token, key, secret = b64decode(encoded, validate=True).decode().split(":")
    except (binascii.Error, ValueError):
        return False
    expected = history.token("access_key", token), history.token("access_secret", token)
    return scheme == "Bearer" and (key, secret) == expected


def records(moment: Moment, name: str, everything: bool) -> Sequence[Any]:
    """The records of a Discovery list; personal collections' only if `everything`."""
    if name == "members":
        return moment.listing(name, {}) or ()
    reports = [report for report in moment.reports if everything or not report.space.private]
    if name in ("reports", "report_stats"):
        return reports
    # a guess, like much of Discovery: whether it lists the queries of datasets is not documented
    owners = [*reports, *(dataset for dataset in moment.history.datasets if everything or not dataset.space.private)]
    queries = [query for owner in owners for query in moment.queries(owner)]
    if name == "queries":
        return queries
    return [chart for query in queries for chart in moment.charts(query)]


def _email(moment: Moment, username: str) -> str:
    return next(person.email for person in moment.history.people if person.username == username)


def _space(report: Report) -> Json:
    return {"space_id": report.space.id, "space_token": report.space.token}


def report(moment: Moment, record: Report) -> Json:
    """A report; unlike REST it says when it was last viewed, and it has no counters."""
    last, _, good = moment.standing(record)
    edited = moment.history.edited_at(record, moment.history.revision(record, moment.now))
    return {
        "id": record.id,
        "token": record.token,
        "name": record.name,
        "description": None,
        "created_at": iso(record.created_at),
        "edited_at": iso(edited),
        "updated_at": iso(moment.moved_at(record)),
        "last_successfully_run_at": iso(good.ended_at) if good else None,
        "last_viewed_at": iso(last.created_at) if last and record.views_per_day else None,
        "last_run_at": iso(last.created_at) if last else None,
        "last_run_token": last.token if last else None,
        "last_run_state": last.state(moment.now) if last else None,
        "creator_email": _email(moment, record.creator),
        "report_url": f"{WEB}/reports/{record.token}",
        **_space(record),
    }


def report_stats(moment: Moment, record: Report) -> Json:
    """Who edits, runs and views a report."""
    manual = {run.executor for run in moment.runs(record)[:20] if not run.scheduled}
    creator = _email(moment, record.creator)
    return {
        "report_id": record.id,
        "report_token": record.token,
        "active_schedules_count": record.schedule_count,
        "explorations_count": record.id % 4,
        "view_count": moment.view_count(record),
        "recent_manual_run_creators_emails": sorted(_email(moment, username) for username in manual),
        "scheduled_run_creators_emails": [creator] if record.schedule_count else [],
        "editors_emails": [creator],
    }


def query(moment: Moment, record: Query) -> Json:
    """A query; it names its parents, and has no timestamps."""
    return {
        "id": record.id,
        "token": record.token,
        "name": record.sql.name,
        "raw_query": moment.text(record),
        "creator_email": _email(moment, record.report.creator),
        "data_source_token": moment.history.data_sources[record.sql.data_source].token,
        "report_id": record.report.id,
        "report_token": record.report.token,
        **_space(record.report),
    }


def chart(moment: Moment, record: Chart) -> Json:
    """A chart; it names its parents, and has neither timestamps nor settings."""
    kind, title = chart_words(moment, record)
    return {
        "id": record.query.id * 5 + record.number,
        "token": record.token,
        "chart_type": kind,
        "chart_title": title,
        "query_id": record.query.id,
        "query_token": record.query.token,
        "report_id": record.report.id,
        "report_token": record.report.token,
        "report_creator_email": _email(moment, record.report.creator),
        "exploration_url": f"{WEB}/reports/{record.report.token}/explorations/{record.token}",
        **_space(record.report),
    }


def member(moment: Moment, person: Person) -> Json:
    """A member, or somebody who was one."""
    seen = moment.now.replace(hour=0, minute=0, second=0, microsecond=0) if person.member else person.joined_at
    day = seen.date().isoformat()
    return {
        "id": person.id + 100,
        "token": person.membership_token,
        "state": "active" if person.member else "banned",
        "member_email": person.email,
        "member_token": person.member_token,
        "member_username": person.username,
        "activated_at": iso(person.joined_at),
        "banned_at": None if person.member else "2026-01-15T12:00:00.000Z",
        "last_report_created_at": iso(person.joined_at),
        "last_report_viewed_at": iso(seen),
        "last_report_run_at": iso(seen),
        "last_exploration_created_at": None,
        "last_exploration_updated_at": None,
        "last_day_engaged": day,
        "last_day_api_engaged": None,
        "last_day_in_app_engaged": day,
        "total_days_engaged": (seen - person.joined_at).days // 3,
    }


SHAPES: Mapping[str, Callable[[Moment, Any], Json]] = {
    "reports": report,
    "report_stats": report_stats,
    "queries": query,
    "charts": chart,
    "members": member,
}
"""The wording of each Discovery list of the catalogue."""
