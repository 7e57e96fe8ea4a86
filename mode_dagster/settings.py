"""What a person can set, read in one place and checked as a whole.

Here: the settings of `[sources.mode_analytics_source]`, their defaults, and the error that names everything
that is missing or wrong at once.
Not here: what only Dagster can check of them (`operation`), dlt's own settings (destination, runtime), which dlt reads
itself.

Values are read by their exact key (environment `SOURCES__MODE_ANALYTICS_SOURCE__…`, .dlt/secrets.toml,
.dlt/config.toml, vaults). dlt's usual injection would fall back to bare names, and `USERNAME` is set on many machines.
"""

import difflib
import os
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from datetime import timedelta
from enum import StrEnum
from functools import partial
from typing import Any, NewType
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, available_timezones

import dlt
from dlt.common.typing import AnyType

from mode_dagster.extract.destination import read_setting
from mode_dagster.extract.endpoints import Listing
from mode_dagster.extract.errors import ModeConfigError
from mode_dagster.extract.personal import PersonalData

SECTION = "sources.mode_analytics_source"


def env_prefix(section: str) -> str:
    """How the settings of a section begin in the environment."""
    return section.upper().replace(".", "__") + "__"


ENV_PREFIX = env_prefix(SECTION)
"""How those of the only workspace do."""
ALIKE = 0.92
"""How alike two names must be (1 for the same), for the one to be the other mistyped."""
MISPLACED = ("source.mode_analytics_source", "mode_analytics_source")
"""Where dlt looks for nothing of ours."""
SANDBOX = "sandbox"
"""Value of `base_url` that means the bundled sandbox."""
DEFAULT_BASE_URL = "https://app.mode.com/api"
CENTURY = timedelta(days=36_525)
"""Longer than any history; dates before the year 1 are none."""
KEY_LENGTH = 16
"""Characters of a key that nobody can try out."""
TimeZone = NewType("TimeZone", str)
"""A name of the IANA database."""


def _setting(default: Any, description: str, *, secret: bool = False) -> Any:
    return field(default=default, repr=not secret, metadata={"description": description, "secret": secret})


@dataclass(frozen=True)
class Settings:
    """One workspace and how to read it; every field is a setting of the same name."""

    workspace: str = _setting("", "The workspace's name in Mode's URLs: app.mode.com/<workspace>.")
    username: str = _setting("", "Mode's API token.", secret=True)
    password: str = _setting("", "What Mode shows with the token as its secret.", secret=True)
    base_url: str = _setting(
        DEFAULT_BASE_URL,
        'Address of Mode\'s REST API; "sandbox" means the made-up workspace that comes with the package.',
    )
    listing: Listing = _setting(
        Listing.COLLECTIONS,
        "How reports, queries and charts are listed: collections (any paid plan), discovery (Mode's Discovery API, "
        "Enterprise plan) or workspace (for servers with lists that Mode itself does not have).",
    )
    rate_limit_requests: int = _setting(40, "Requests allowed in `rate_limit_seconds`; Mode's own limit is 40 in 10 s.")
    rate_limit_seconds: float = _setting(10.0, "The time in which that many requests are allowed, in seconds.")
    history_days: int = _setting(0, "How many days back runs and audit events are loaded; 0 means all.")
    query_run_days: int = _setting(
        30, "How many days back query runs are loaded, which takes one request for each run of a report; 0 means all."
    )
    max_requests: int = _setting(
        0,
        "End a sync after this many requests (lists that were begun are read to their end); the next one continues. "
        "0 means no limit.",
    )
    reread_hours: int = _setting(
        20,
        "After how many hours lists are read again for which Mode gives no time of change (permissions, dataset "
        "fields, people). Less than 24, so that a daily sync reads them every day.",
    )
    checkpoint_seconds: int = _setting(
        60, "What was fetched is loaded at least this often, in seconds; a killed sync has to repeat no more than that."
    )
    personal_data: PersonalData = _setting(
        PersonalData.KEEP,
        "What is stored of names, e-mail addresses and the like: keep, hash (joins still work) or drop. Decide before "
        "the first load: a later change reaches a row when it is read again.",
    )
    personal_data_key: str = _setting(
        "",
        "Key for `personal_data = hash`: 16 random characters or more. Keep it: with another key, new rows do not join "
        "with old ones.",
        secret=True,
    )
    signature_token: str = _setting(
        "", "A token of Mode's Discovery API; without it, a sync creates one with the API token.", secret=True
    )
    signature_access_key: str = _setting("", "Access key of that token.", secret=True)
    signature_access_secret: str = _setting("", "Access secret of that token; set all three or none.", secret=True)

    @property
    def is_sandbox(self) -> bool:
        """Whether the data is made up."""
        return self.base_url == SANDBOX


class Executor(StrEnum):
    """Where the steps of a run are worked."""

    IN_PROCESS = "in_process"
    MULTIPROCESS = "multiprocess"
    CELERY = "celery"
    K8S = "k8s"


@dataclass(frozen=True)
class Operation:
    """What runs by itself, when, and who is told; every field is a setting of the same name."""

    schedules: bool = _setting(
        False, "Whether schedules and sensors are on by default; one switched in Dagster's UI keeps that state."
    )
    sync_cron: str = _setting(
        "20 3 * * *", "When `mode_sync` runs: daily, after Mode's nightly jobs at 01:00 UTC and before people come."
    )
    runs_cron: str = _setting(
        "40 * * * *",
        "When `mode_runs_hourly` runs: most reports are scheduled for the full or half hour, and have ended by then.",
    )
    reconcile_cron: str = _setting(
        "20 5 * * 6", "When `mode_reconcile` runs: weekly, on Saturday, when nobody else needs Mode's rate limit."
    )
    time_zone: TimeZone = _setting("UTC", "Time zone of these three, such as Europe/Berlin.")
    watch_reports: bool = _setting(
        False, "Whether a sensor tells which of Mode's reports began to fail, and which work again."
    )
    webhook_url: str = _setting(
        "",
        "Where alerts are posted: a Slack incoming webhook, or anything that takes its JSON. Read when a sensor runs.",
        secret=True,
    )
    webserver_url: str = _setting("", "Address of Dagster's UI, for links in alerts: https://dagster.example.com.")
    external_tables: str = _setting(
        "",
        "Keys of assets for the tables that Mode's queries read, upstream of `mode/queries`: a pattern of {database}, "
        "{schema} and {table}, filled in lower case. Those of {schema}/{table} may be the assets that dbt has already. "
        "Empty means no such assets.",
    )
    executor: Executor = _setting(
        Executor.IN_PROCESS,
        "Where the steps of a run are executed: in_process, or, if the destination is a server, multiprocess, celery "
        "or k8s.",
    )


def load_settings(section: str = SECTION) -> Settings:
    """Reads and checks the settings.

    Args:
        section: Where they stand; a named workspace has its own, below the only one's.

    Raises:
        ModeConfigError: One or more settings are missing or malformed; the message names each of them and both ways
            to set it.
    """
    values, problems = read_values(Settings, section)
    settings = Settings(**values)
    problems += [say_unknown(name, likely) for name, likely in unknown_names(section).items()]
    problems += _contradictions(settings)
    if problems or settings.is_sandbox:  # whoever has all that is needed may have other sections, too
        problems += _mistyped_sections()
    if problems:
        raise ModeConfigError(
            f'{explain("Cannot read Mode", problems, section)} To try without Mode, set base_url to "{SANDBOX}".'
        )
    return settings


def read_values(
    kind: type[Settings | Operation], section: str, *, with_secrets: bool = True
) -> tuple[dict[str, Any], list[str]]:
    """What is set, and what is wrong with it.

    Args:
        section: Where they stand.
        with_secrets: Whether to read secrets too; without them no vault is asked.
    """
    problems: list[str] = []
    values: dict[str, Any] = {}
    for setting in fields(kind):
        if setting.metadata["secret"] and not with_secrets:
            continue
        raw = _read(f"{section}.{setting.name}", with_secrets)
        if raw is None or raw == "":
            continue
        try:
            values[setting.name] = _PARSERS[setting.type](raw)
        except ValueError as error:
            problems.append(f"{setting.name}: {error}")
    return values, problems


def _read(key: str, with_secrets: bool) -> Any:
    found = read_setting(key, secret=True) if with_secrets else None
    return read_setting(key) if found is None else found


def _text(raw: Any) -> str:
    return str(raw).strip()


def _whole_number(raw: Any) -> int:
    try:
        number = int(str(raw))
    except ValueError:
        number = -1
    if number < 0:
        raise ValueError(f"{raw!r} is not a whole number of 0 or more")
    return number


def _seconds(raw: Any) -> float:
    try:
        seconds = float(str(raw))
    except ValueError as error:
        raise ValueError(f"{raw!r} is not a number of seconds") from error
    if not 0 < seconds < 86_400:
        raise ValueError(f"{raw!r} is not between 0 and a day")
    return seconds


def _word(words: type[StrEnum], raw: Any) -> StrEnum:
    try:
        return words(str(raw).strip())
    except ValueError:
        raise ValueError(f"{raw!r} is not one of {', '.join(words)}") from None


def _switch(raw: Any) -> bool:
    word = str(raw).strip().lower()
    if word not in ("true", "false"):
        raise ValueError(f"{raw!r} is neither true nor false")
    return word == "true"


def _time_zone(raw: Any) -> TimeZone:
    try:
        return TimeZone(ZoneInfo(str(raw).strip()).key)
    except (LookupError, ValueError, OSError):
        likely = difflib.get_close_matches(str(raw), available_timezones(), n=1)
        example = f"did you mean {likely[0]}?" if likely else "such as UTC or Europe/Berlin"
        raise ValueError(f"{raw!r} is not a time zone of the IANA database; {example}") from None


_PARSERS: dict[Any, Callable[[Any], Any]] = {
    str: _text,
    bool: _switch,
    TimeZone: _time_zone,
    int: _whole_number,
    float: _seconds,
    **{words: partial(_word, words) for words in (Listing, PersonalData, Executor)},
}


def _contradictions(settings: Settings) -> list[str]:
    problems = []
    if settings.rate_limit_requests == 0:
        problems.append("rate_limit_requests: 0 would allow no request at all")
    if settings.personal_data is PersonalData.HASH and len(settings.personal_data_key) < KEY_LENGTH:
        problems.append(f"personal_data_key: hashes need one of {KEY_LENGTH} random characters or more, kept for good")
    problems += [
        f"{name}: {getattr(settings, name):,} is longer than a century; 0 means all"
        for name in ("history_days", "query_run_days")
        if getattr(settings, name) > CENTURY.days
    ]
    if settings.reread_hours > CENTURY.days * 24:
        problems.append(f"reread_hours: {settings.reread_hours:,} is longer than a century")
    if settings.is_sandbox:
        if settings.username and settings.password:
            problems.append(
                f'base_url: "{SANDBOX}" is the bundled made-up workspace, which needs no username and password: set '
                f"base_url to {DEFAULT_BASE_URL}, or leave those two out"
            )
        return problems
    problems += [f"{name}: not set" for name in ("workspace", "username", "password") if not getattr(settings, name)]
    if "/" in settings.workspace:
        problems.append(f"workspace: {settings.workspace!r} is an address; only its last part is wanted")
    if "@" in settings.base_url:
        problems.append("base_url: holds credentials; put them into username and password")
    elif not is_address(settings.base_url):
        problems.append(f'base_url: {settings.base_url!r} is neither an http(s) address nor "{SANDBOX}"')
    given = [bool(getattr(settings, f"signature_{part}")) for part in ("token", "access_key", "access_secret")]
    if any(given) and not all(given):
        problems.append("signature_token, signature_access_key, signature_access_secret: set all three or none")
    return problems


def is_address(text: str) -> bool:
    """Whether it is an http(s) address of some host."""
    try:
        parts = urlsplit(text)
        return parts.scheme in ("http", "https") and bool(parts.hostname)
    except ValueError:
        return False


def unknown_names(section: str) -> dict[str, str]:
    """Names in the section that are no settings, each with the one that was probably meant, if any."""
    known = _known_names()
    prefix = env_prefix(section)
    found = {name.removeprefix(prefix).lower() for name in os.environ if name.startswith(prefix)}
    # two underscores more, or a table in a file, are a section below this one: another workspace, or dlt's own
    found = {name for name in found if "__" not in name}
    found |= {name for name, value in _in_files(section).items() if not isinstance(value, dict)}
    return {name: next(iter(difflib.get_close_matches(name, known, n=1)), "") for name in sorted(found - set(known))}


def say_unknown(name: str, likely: str) -> str:
    """What is wrong with a name that is no setting, and what was probably meant."""
    hint = f"did you mean {likely}?" if likely else f"known: {', '.join(_known_names())}"
    return f"{name}: no such setting; {hint}"


def _known_names() -> list[str]:
    return [setting.name for kind in (Settings, Operation) for setting in fields(kind)]


def _mistyped_sections() -> list[str]:
    """What misses our section by a letter or an underscore, in the environment or beside it in dlt's files."""
    prefix, (above, _, last) = ENV_PREFIX, SECTION.rpartition(".")
    begun = {name[: len(prefix)]: name for name in os.environ if not name.startswith(prefix)}
    likely = [begun[match] for match in difflib.get_close_matches(prefix, begun, cutoff=ALIKE)]
    problems = [f"{name}: no such setting; did you mean {prefix}<NAME>?" for name in sorted(likely)]
    likely = difflib.get_close_matches(last, _in_files(above).keys() - {last}, cutoff=ALIKE)
    found = [f"{above}.{name}" for name in sorted(likely)] + [name for name in MISPLACED if _in_files(name)]
    return problems + [f"[{name}]: no such setting; did you mean [{SECTION}]?" for name in found]


def _in_files(section: str) -> dict[str, Any]:
    """What config.toml and secrets.toml hold in a section."""
    *above, last = section.split(".")
    found: dict[str, Any] = {}
    for provider in dlt.config.config_providers:
        values, _ = provider.get_value(last, AnyType, None, *above)
        found |= values if isinstance(values, dict) else {}
    return found


def explain(what: str, problems: list[str], section: str) -> str:
    """One message for everything that is wrong, with both ways to set it."""
    lines = "\n".join(f"  - {problem}" for problem in problems)
    return (
        f"{what}: these settings need attention.\n{lines}\n"
        f"Set each in .dlt/secrets.toml under [{section}], or in the environment as {env_prefix(section)}<NAME> "
        f"(for example {env_prefix(section)}WORKSPACE=acme)."
    )
