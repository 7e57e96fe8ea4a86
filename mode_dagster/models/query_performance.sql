-- How fast each query runs and what it fails with, now and compared with the 30 days before.
-- Known as far back as query runs were loaded: the first load brings `query_run_days` days (30), later ones add to them,
-- so that the comparison fills in the course of a month. Queries that are gone, or whose report is, are left out.
--
-- grain: one query that ran in the last 30 days
-- key: query_token
-- question: Which queries are slow, which got slower, and what do they fail with?
--
-- columns:
--   query_token: Token of the query.
--   query_name: Name of the query.
--   report_token: Token of its report.
--   report_name: Name of its report.
--   data_source_token: Token of the data source that it ran on last.
--   data_source_name: Name of that data source.
--   runs_30d: Runs of the query that were begun in the last 30 days and are finished.
--   succeeded_30d: How many of them succeeded.
--   failed_30d: How many of them failed.
--   p50_seconds_30d: Median duration of the successful ones.
--   p95_seconds_30d: Duration that 95 % of them stayed below.
--   total_minutes_30d: Minutes that all of them took.
--   succeeded_before: Successful runs of the query in the 30 days before those.
--   p50_seconds_before: Their median duration.
--   p50_change: By which share the median grew: 1 means twice as long, -0.5 half as long.
--   top_error_code: Kind of error that it failed with most often in the last 30 days.
--   top_error_count: How often.
--   error_counts: All kinds with how often, the most frequent first, as in "SqlSyntaxError: 3, QueryTimeout: 1".
--   last_run_at: Start of the last of its finished runs.
--
-- checks:
--   parts_fit_the_whole: succeeded_30d + failed_30d <= runs_30d
--   median_is_below_p95: p50_seconds_30d <= p95_seconds_30d
WITH executions AS (
  SELECT
    query_token,
    token,
    created_at,
    created_at >= current_timestamp - INTERVAL 30 DAY AS is_recent,
    state IN ('succeeded', 'completed') AS has_succeeded,
    state = 'failed' AS has_failed,
    ROUND(EPOCH(completed_at) - EPOCH(created_at), 3) AS seconds,
    COALESCE(error_code, 'unknown') AS error_code,
    data_source_token,
    data_source_id
  FROM mode_analytics_data.query_runs
  WHERE state IN ('succeeded', 'completed', 'failed', 'cancelled')
    AND created_at >= current_timestamp - INTERVAL 60 DAY
),
totals AS (
  SELECT
    query_token,
    COUNT(CASE WHEN is_recent THEN 1 END) AS runs_30d,
    COUNT(CASE WHEN is_recent AND has_succeeded THEN 1 END) AS succeeded_30d,
    COUNT(CASE WHEN is_recent AND has_failed THEN 1 END) AS failed_30d,
    SUM(CASE WHEN is_recent THEN seconds END) / 60 AS total_minutes_30d,
    COUNT(CASE WHEN NOT is_recent AND has_succeeded THEN 1 END) AS succeeded_before,
    MAX(created_at) AS last_run_at
  FROM executions
  GROUP BY query_token
),
durations AS (
  SELECT
    query_token,
    is_recent,
    QUANTILE_CONT(seconds, 0.5) AS p50_seconds,
    QUANTILE_CONT(seconds, 0.95) AS p95_seconds
  FROM executions
  WHERE has_succeeded
  GROUP BY query_token, is_recent
),
errors AS (
  SELECT
    query_token,
    error_code,
    COUNT(*) AS times,
    ROW_NUMBER() OVER (PARTITION BY query_token ORDER BY COUNT(*) DESC, error_code) AS place
  FROM executions
  WHERE is_recent AND has_failed
  GROUP BY query_token, error_code
),
error_lists AS (
  SELECT
    query_token,
    MAX(CASE WHEN place = 1 THEN error_code END) AS top_error_code,
    MAX(times) AS top_error_count,
    STRING_AGG(error_code || ': ' || CAST(times AS VARCHAR), ', ' ORDER BY place) AS error_counts
  FROM errors
  GROUP BY query_token
),
newest AS (
  SELECT
    query_token,
    data_source_token,
    data_source_id,
    ROW_NUMBER() OVER (PARTITION BY query_token ORDER BY created_at DESC, token) AS place
  FROM executions
  WHERE is_recent
)
SELECT
  queries.token AS query_token,
  queries.name AS query_name,
  reports.token AS report_token,
  reports.name AS report_name,
  COALESCE(by_token.token, by_id.token, newest.data_source_token) AS data_source_token,
  COALESCE(by_token.display_name, by_token.name, by_id.display_name, by_id.name) AS data_source_name,
  totals.runs_30d,
  totals.succeeded_30d,
  totals.failed_30d,
  recent.p50_seconds AS p50_seconds_30d,
  recent.p95_seconds AS p95_seconds_30d,
  totals.total_minutes_30d,
  totals.succeeded_before,
  before.p50_seconds AS p50_seconds_before,
  recent.p50_seconds / NULLIF(before.p50_seconds, 0) - 1 AS p50_change,
  error_lists.top_error_code,
  error_lists.top_error_count,
  error_lists.error_counts,
  totals.last_run_at
FROM totals
JOIN mode_analytics_data.queries AS queries ON queries.token = totals.query_token AND queries.deleted_at IS NULL
JOIN mode_analytics_data.reports AS reports ON reports.token = queries.report_token AND reports.deleted_at IS NULL
LEFT JOIN durations AS recent ON recent.query_token = totals.query_token AND recent.is_recent
LEFT JOIN durations AS before ON before.query_token = totals.query_token AND NOT before.is_recent
LEFT JOIN error_lists ON error_lists.query_token = totals.query_token
LEFT JOIN newest ON newest.query_token = totals.query_token AND newest.place = 1
LEFT JOIN mode_analytics_data.data_sources AS by_token ON by_token.token = newest.data_source_token
LEFT JOIN mode_analytics_data.data_sources AS by_id ON by_id.id = newest.data_source_id
WHERE totals.runs_30d > 0
