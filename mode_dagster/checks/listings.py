"""Whether lists were read: what Mode refused, what was left out for too long, and what is gone from them.

Here: claims about the ledger, and about rows that left a list.
Not here: rows that a list should have (`counters`).
"""

# ruff: noqa: S608 - names come from the catalogue and from the destination itself, never from rows

from functools import partial

from mode_dagster.checks.loaded import SHOWN, Check, Finding, Loaded, NotLoadedError
from mode_dagster.contents import showable
from mode_dagster.extract.endpoints import BY_NAME, ENDPOINTS, Endpoint
from mode_dagster.extract.ledger import REFUSED
from mode_dagster.extract.table import SHRUNK, SHRUNK_FROM
from mode_dagster.freshness import LIMITS
from mode_dagster.warehouse.sql import literal, quoted, sql_time
from mode_dagster.wording import words


def listing_checks(endpoint: Endpoint) -> list[Check]:
    """The check of what left the lists of a table; history never does."""
    if endpoint.history:
        return []
    says = f"The latest sync found at most {1 - SHRUNK:.0%} of the rows gone from Mode (from {SHRUNK_FROM} rows on)."
    advice = "Look in Mode whether they are really gone, or whether the API token lost access."
    return [Check("listing_did_not_shrink", says, partial(_gone, endpoint), advice)]


def ledger_checks() -> list[Check]:
    """The checks of the ledger's lists."""
    return [
        Check(
            "lists_were_readable",
            "Mode refused no table altogether (403, 404 …); single lists that it refused are counted.",
            _refused,
            "Give the API token that access (mode-dagster check tells which), or leave it: that table stays empty.",
        ),
        Check(
            "lists_were_read_lately",
            "Every list that each sync reads was read before the freshness policy of its table would warn.",
            _unread,
            "Run the job that loads everything; if it does run, its log says why it leaves them out.",
        ),
    ]


def _gone(endpoint: Endpoint, loaded: Loaded) -> Finding:
    source = loaded.table(endpoint.name, *endpoint.key, "deleted_at")
    since = loaded.read_at(*_line(endpoint))
    if since is None:
        raise NotLoadedError("the ledger knows nothing of this table")
    just_gone = f"deleted_at >= {sql_time(since)}"
    live, gone = loaded.row(f"SELECT count(*) FILTER (deleted_at IS NULL), count(*) FILTER ({just_gone}) FROM {source}")
    known = loaded.columns(endpoint.name) & showable(endpoint.name)
    labels = [column for column in ("name", "title", "report_token") if column in known]
    columns = ", ".join(map(quoted, dict.fromkeys([*endpoint.key, *labels, "deleted_at"])))
    wrong = loaded.wrong(f"SELECT {columns} FROM {source} WHERE {just_gone}")
    before = live + gone
    return Finding(
        passed=before < SHRUNK_FROM or gone <= (1 - SHRUNK) * before,
        says=f"{gone:,} of {words(before, 'row')} gone in the latest sync.",
        numbers={"rows_live": live, "rows_gone": gone},
        columns=wrong.columns,
        rows=wrong.rows,
    )


def _line(endpoint: Endpoint) -> list[str]:
    """A table and all above it: what is gone there takes its rows along."""
    above = BY_NAME.get(endpoint.parent or "")
    return [endpoint.name, *(_line(above) if above else [])]


def _refused(loaded: Loaded) -> Finding:
    by_table = loaded.all(
        f"""
        SELECT endpoint, lists, refused, statuses
        FROM (
            SELECT endpoint, count(*) AS lists, count(*) FILTER (outcome = {literal(REFUSED)}) AS refused,
                string_agg(DISTINCT 'HTTP ' || CAST(http_status AS VARCHAR), ', ') AS statuses
            FROM {loaded.ledger()} AS ledger
            GROUP BY endpoint
        ) AS counted
        WHERE refused > 0
        ORDER BY CASE WHEN refused = lists THEN 0 ELSE 1 END, refused DESC, endpoint
        """
    )
    (lists,) = loaded.row(f"SELECT count(*) FROM {loaded.ledger()}")
    refused = sum(count for _, _, count, _ in by_table)
    entirely = [table for table, all_lists, count, _ in by_table if count == all_lists]
    return Finding(
        passed=not entirely,
        says=f"{refused:,} of {words(lists, 'list')} refused"
        + (f"; nothing at all could be read of {', '.join(entirely)}." if entirely else "."),
        numbers={
            "lists": lists,
            "lists_refused": refused,
            "share_refused": round(refused / lists, 4) if lists else 0.0,
        },
        columns=["table", "lists", "refused", "answered"],
        rows=by_table[:SHOWN],
    )


def _unread(loaded: Loaded) -> Finding:
    """Lists of the listing mode in use: another mode's are left behind when the setting changes."""
    limits = ", ".join(
        f"({literal(endpoint.name)}, {LIMITS[endpoint.family].warn.total_seconds() / 3600:.0f})"
        for endpoint in ENDPOINTS
        if not endpoint.daily
    )
    versioned = ", ".join(literal(endpoint.name) for endpoint in ENDPOINTS if endpoint.version)
    by_table = loaded.all(
        f"""
        WITH ledger AS (
            SELECT l.*, limits.hours, FIRST_VALUE(l.parent) OVER (
                PARTITION BY l.endpoint ORDER BY l.read_at DESC
                ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING
            ) AS newest_parent
            FROM {loaded.ledger()} AS l
            JOIN (VALUES {limits}) AS limits(endpoint, hours) ON limits.endpoint = l.endpoint
        )
        SELECT endpoint, count(*) AS lists, min(read_at) AS oldest, max(read_at) AS newest, min(hours) AS hours,
            min(read_at) < {sql_time(loaded.now)} - min(hours) * INTERVAL '1 hour' AS is_old
        FROM ledger
        WHERE (parent = '') = (newest_parent = '') AND (parent = '' OR endpoint NOT IN ({versioned}))
        GROUP BY endpoint
        ORDER BY oldest, endpoint
        """
    )
    old = [table for table, *_, is_old in by_table if is_old]
    return Finding(
        passed=not old,
        says=f"Not read for too long: {', '.join(old)}."
        if old
        else f"All of {words(len(by_table), 'listing')} are recent.",
        numbers={"oldest": min((oldest for _, _, oldest, *_ in by_table), default=None), "listings": len(by_table)},
        columns=["table", "lists", "read first", "read last", "hours allowed", "too old"],
        rows=by_table,
    )
