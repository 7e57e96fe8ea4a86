"""Loaded tables full of what may be there: anything missing, names of things that are not there, odd schedules.

Here: rows for every table of the catalogue, the same for the same seed.
Not here: rows that make sense (the sandbox), rows that a test can count by hand (`known_rows`).
"""

import random
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from mode_dagster.extract.endpoints import ENDPOINTS, Column, Endpoint
from mode_dagster_tests.conftest import NOON

THINGS = 12
"""How many of each kind rows may name; not all of them are there."""
NUMBERS = {"workspaces": 1, "runs": 20 * THINGS, "query_runs": 20 * THINGS}
WORDS: Mapping[str, Sequence[Any]] = {
    "frequency": ["daily", "weekly", "monthly", "hourly", "every_15_minutes", "weekdays", "Weekly", "yearly"],
    "time_zone": ["Europe/Berlin", "Pacific Time (US & Canada)", "utc", "America/St_Johns", "Mars", " Asia/Tokyo "],
    "day_of_week": ["1", "Monday", "sun", "7", "0", "x"],
    "day_of_month": ["1", "31", "29", "L", "99999999999"],
    "cron_hour": [0, 7, 12, 23, 24],
    "cron_minute": [0, 15, 59, 60],
    "expected_runtime": [0, 90, 4000, 10**7],
    "state": ["succeeded", "completed", "failed", "failed", "cancelled", "running", "pending", "odd"],
    "raw_query": ["SELECT a, b FROM s.t", "SELECT 1 FROM x JOIN y USING (z)", "{% form %}", "WITH"],
    "adapter": ["jdbc:postgresql", "jdbc:bigquery"],
}


def random_rows(seed: int) -> Mapping[str, list[dict[str, Any]]]:
    """Table → rows; points in time are text."""
    chance = random.Random(seed)
    return {
        endpoint.name: [_row(chance, endpoint, place) for place in range(NUMBERS.get(endpoint.name, 2 * THINGS))]
        for endpoint in ENDPOINTS
    }


def _row(chance: random.Random, endpoint: Endpoint, place: int) -> dict[str, Any]:
    key = {name: f"{name}{place}" for name in endpoint.key}
    if "token" in key:
        key["token"] = f"{endpoint.noun}{place}"
    given = {column.name: _value(chance, column) for column in endpoint.all_columns if chance.random() < 0.75}
    return {**given, **key}


def _value(chance: random.Random, column: Column) -> Any:
    if column.name in WORDS:
        return chance.choice(WORDS[column.name])
    if column.words:
        return chance.choice(column.words)
    if column.name == "deleted_at" and chance.random() < 0.8:
        return None
    return {
        "text": lambda: _text(chance, column.name),
        "bigint": lambda: chance.randrange(6),
        "double": lambda: round(chance.uniform(0, 100), 3),
        "bool": lambda: chance.random() < 0.5,
        "timestamp": lambda: str(NOON - timedelta(milliseconds=chance.randrange(-(10**8), 10**10))),
        "json": lambda: {"n": chance.randrange(6), "it's": 'a "b" \\ c'},
    }[column.data_type]()


def _text(chance: random.Random, name: str) -> str:
    number = chance.randrange(THINGS)
    if name.endswith("_token"):
        return f"{name.removesuffix('_token')}{number}"
    if name.endswith(("username", "email")):
        return f"person{number}"
    return chance.choice([f"{name} {number}", str(number), 'it\'s 100 % \\ "ü"\n'])
