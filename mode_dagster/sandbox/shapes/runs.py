"""Runs, query runs, schedules and subscriptions, as Mode words them."""

import json
from datetime import timedelta

from mode_dagster.sandbox.moment import Moment
from mode_dagster.sandbox.records import Child, QueryRun, Run
from mode_dagster.sandbox.shapes.wording import API, WEB, Json, iso, links, person_link


def run(moment: Moment, record: Run) -> Json:
    """A run; whether it is the latest is as of now, and results are purged after 45 days."""
    owner = record.report
    last, done, good = moment.standing(owner)
    state, over = record.state(moment.now), record.ended_at <= moment.now
    purged = (record.ended_at + timedelta(days=46)).replace(hour=1, minute=0, second=0, microsecond=0)
    href = f"{API}/{'datasets' if owner.is_dataset else 'reports'}/{owner.token}"
    row: Json = {
        "token": record.token,
        "state": state,
        "created_at": iso(record.created_at),
        "updated_at": iso(record.updated_at(moment.now)),
        "completed_at": iso(record.ended_at) if over else None,
        "purge_started_at": iso(purged) if purged <= moment.now else None,
        "purge_completed_at": iso(purged + timedelta(minutes=7)) if purged < moment.now - timedelta(hours=1) else None,
        "is_latest_report_run": record is last,
        "is_latest_successful_report_run": record is good,
        "report_has_failures_since_last_success": done is not None and done.outcome == "failed",
        "has_more_recent_successful_run_available": good is not None and good.created_at > record.created_at,
        "pusher_channel_name": f"private-run-{record.token}",
        **links(
            self=f"{href}/runs/{record.token}",
            account=API,
            report=href,
            executed_by=person_link(record.executor),
            query_runs=f"{API}/reports/{owner.token}/runs/{record.token}/query_runs",
            report_schedule=f"{href}/schedules/{moment.schedules(owner)[0].token}" if record.scheduled else None,
            web_external_url=f"{WEB}/reports/{owner.token}/runs/{record.token}",
        ),
    }
    if not owner.is_dataset:
        row["parameters"] = {"country": "all"} if owner.index % 9 == 4 else {}
        row["form_fields"] = []
        row["python_state"] = "none" if not owner.notebook else "succeeded" if state == "completed" else "pending"
    return row


def query_run(moment: Moment, record: QueryRun) -> Json:
    """A query of a run; only failures say anything of errors."""
    text = moment.text(record.query, record.run.created_at)
    source = moment.history.data_sources[record.query.sql.data_source]
    over = record.ended_at <= moment.now
    asked = {"user": f"@{record.run.executor}", "scheduled": record.run.scheduled}
    href = f"{API}/reports/{record.run.report.token}/runs/{record.run.token}"
    row = {
        "id": record.token,
        "token": record.token,
        "state": record.outcome if over else "running",
        "created_at": iso(record.created_at),
        "completed_at": iso(record.ended_at) if over else None,
        "query_token": record.query.token,
        "query_name": record.query.sql.name,
        "query_created_at": iso(record.query.created_at),
        "data_source_id": source.id,
        "data_source_token": source.token,
        "raw_source": text,
        "rendered_source": text.split("{% form %}")[0].replace("{{ cutoff }}", "2024-01-01"),
        "statement_annotation": f"-- {json.dumps(asked)}",
        "parameters": {},
        "limit": False,
        "max_result_bytes": 10_737_418_240,
        **links(
            self=f"{href}/query_runs/{record.token}",
            query=f"{API}/reports/{record.run.report.token}/queries/{record.query.token}",
            report_run=href,
            executed_by=person_link(record.run.executor),
            result_web=f"{WEB}/reports/{record.run.report.token}/runs/{record.run.token}/details/{record.token}",
        ),
    }
    if record.error and over:
        row |= {"error_code": record.error[0], "error_type": "generic", "error_message": record.error[1]}
    return row


def schedule(moment: Moment, record: Child) -> Json:
    """A schedule; hour and minute also as prose."""
    owner, history = record.report, moment.history
    zone, ahead = ("Tokyo", 9) if owner.index % 4 == 1 else ("Etc/UTC", 0)
    days, hour = divmod((history.roll("hour", owner.token) + record.number) % 24 + ahead, 24)
    minute = history.minute(owner)
    frequency = {"weekdays": "weekday"}.get(owner.cadence, owner.cadence)
    ran = next((run for run in moment.runs(owner) if run.scheduled), None) if record.number == 0 else None
    href = f"{API}/{'datasets' if owner.is_dataset else 'reports'}/{owner.token}"
    row = {
        "token": record.token,
        "name": f"{owner.name} {frequency}" if record.number == 0 else f"For region {record.number}",
        "report_token": owner.token,
        "report_name": owner.name,
        "report_type": owner.type,
        "parameters": {},
        "delivery": "email" if record.number == 0 else None,
        "created_at": iso(owner.created_at),
        "updated_at": iso(owner.created_at),
        "frequency": frequency,
        "time_zone": zone,
        "cron_hour": hour,
        "cron_minute": minute,
        "hour": f"{(hour + 11) % 12 + 1}:00 {'am' if hour < 12 else 'pm'}",
        "minute": f"{minute} past the hour",
        "retry_state": "disabled",
        "retry_count": 0,
        "retry_delay": 0,
        "timeout": 3_600,
        "last_run_at": iso(ran.created_at) if ran else None,
        "last_succeeded_at": iso(ran.ended_at) if ran and ran.state(moment.now) == "succeeded" else None,
        "last_scheduled_run": iso(ran.created_at.replace(second=0, microsecond=0)) if ran else None,
        "next_scheduled_run": iso(moment.next_due(owner)) if record.number == 0 else None,
        "subscribed": False,
        "subscriber_count": 3 if record.number == 0 else 0,
        **links(
            self=f"{href}/schedules/{record.token}",
            account=API,
            report=href,
            creator=person_link(owner.creator),
        ),
    }
    # Mode counts from Sunday
    return row | {"day_of_week": (history.weekday(owner) + days + 1) % 7} if frequency == "weekly" else row


def subscription(moment: Moment, record: Child) -> Json:
    """What is mailed after scheduled runs."""
    href = f"{API}/reports/{record.report.token}"
    return {
        "token": record.token,
        "data_previews_enabled": True,
        "data_tables_enabled": False,
        "csv_attachments_enabled": record.report.index % 2 == 0,
        "pdf_attachments_enabled": False,
        "report_links_enabled": True,
        "email_subscriber_count": 3,
        **links(
            self=f"{href}/subscriptions/{record.token}",
            report_schedule=f"{href}/schedules/{moment.schedules(record.report)[0].token}",
        ),
    }
