-- Every run of every report: how long it took, what started it, how it ended, and the first error of its queries.
-- Runs of deleted reports stay. Queries and errors are known for the runs whose query runs were loaded
-- (`query_run_days`); what is not known is empty.
--
-- grain: one run of a report
-- key: run_token
-- question: What ran when, how long did it take, who or what started it, and why did it fail?
--
-- columns:
--   run_token: Token of the run.
--   report_token: Token of the report.
--   report_name: Name of the report, now.
--   is_report_deleted: Whether the report is gone from Mode; empty where it was never loaded.
--   outcome: succeeded, failed, cancelled, unfinished, or unknown for a state that Mode does not document.
--   state: State in Mode's words.
--   is_finished: Whether it has succeeded, failed or was cancelled.
--   trigger: scheduled, manual (a person is named as who started it), api (the workspace's own account is), or unknown
--     (nobody is). A run through the API with a person's token can't be told from one by hand: it counts as manual.
--   executed_by_username: Username of who started it; for scheduled runs the owner of the schedule. Personal.
--   report_schedule_token: Token of the schedule that started it.
--   created_at: When it was asked for.
--   completed_at: When it ended.
--   duration_seconds: From `created_at` to `completed_at`.
--   queue_seconds: From `created_at` to the start of its first query.
--   queries: How many of its queries are loaded.
--   failed_queries: How many of them failed.
--   error_code: Kind of the error of the query that failed first, such as SqlUnknownColumn.
--   error_message: What the database or Mode said about it. Sensitive.
--   error_query_token: Token of that query.
--   error_query_name: Name of that query when it ran.
--   is_purged: Whether Mode had deleted its results when the run was read.
--
-- checks:
--   duration_is_not_negative: duration_seconds >= 0
--   queue_is_not_negative: queue_seconds >= 0
--   outcome_fits_end: is_finished OR completed_at IS NULL OR outcome = 'unknown'
WITH query_totals AS (
  SELECT
    run_token,
    COUNT(*) AS queries,
    COUNT(CASE WHEN state = 'failed' THEN 1 END) AS failed_queries,
    MIN(created_at) AS first_started_at
  FROM mode_analytics_data.query_runs
  GROUP BY run_token
),
failures AS (
  SELECT
    run_token,
    error_code,
    error_message,
    query_token,
    query_name,
    ROW_NUMBER() OVER (PARTITION BY run_token ORDER BY completed_at NULLS LAST, created_at, token) AS place
  FROM mode_analytics_data.query_runs
  WHERE state = 'failed'
),
accounts AS (
  SELECT username FROM mode_analytics_data.workspaces
  UNION
  SELECT username FROM mode_analytics_data.users WHERE NOT "user"
)
SELECT
  runs.token AS run_token,
  runs.report_token,
  reports.name AS report_name,
  CASE WHEN reports.token IS NOT NULL THEN reports.deleted_at IS NOT NULL END AS is_report_deleted,
  CASE
    WHEN runs.state IN ('succeeded', 'completed') THEN 'succeeded'
    WHEN runs.state IN ('failed', 'cancelled') THEN runs.state
    WHEN runs.state IN ('pending', 'enqueued', 'running', 'running_notebook') THEN 'unfinished'
    ELSE 'unknown'
  END AS outcome,
  runs.state,
  COALESCE(runs.state IN ('succeeded', 'completed', 'failed', 'cancelled'), FALSE) AS is_finished,
  CASE
    WHEN runs.report_schedule_token IS NOT NULL THEN 'scheduled'
    WHEN runs.executed_by_username IS NULL THEN 'unknown'
    WHEN accounts.username IS NOT NULL THEN 'api'
    ELSE 'manual'
  END AS trigger,
  runs.executed_by_username,
  runs.report_schedule_token,
  runs.created_at,
  runs.completed_at,
  ROUND(EPOCH(runs.completed_at) - EPOCH(runs.created_at), 3) AS duration_seconds,
  ROUND(EPOCH(query_totals.first_started_at) - EPOCH(runs.created_at), 3) AS queue_seconds,
  query_totals.queries,
  query_totals.failed_queries,
  failures.error_code,
  failures.error_message,
  failures.query_token AS error_query_token,
  failures.query_name AS error_query_name,
  runs.purge_started_at IS NOT NULL OR runs.purge_completed_at IS NOT NULL AS is_purged
FROM mode_analytics_data.runs AS runs
LEFT JOIN mode_analytics_data.reports AS reports ON reports.token = runs.report_token
LEFT JOIN query_totals ON query_totals.run_token = runs.token
LEFT JOIN failures ON failures.run_token = runs.token AND failures.place = 1
LEFT JOIN accounts ON accounts.username = runs.executed_by_username
