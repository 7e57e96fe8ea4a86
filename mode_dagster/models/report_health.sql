-- How reliable each report is: success rates, durations, and the streak of failures that it is in now.
-- A cancelled run says nothing of the report: rates and streaks are of the runs that succeeded or failed.
-- Deleted reports are left out. Days count back from the start of the run that made this table.
--
-- grain: one report that has finished a run
-- key: report_token
-- question: Which reports are failing now, since when, and why?
--
-- columns:
--   report_token: Token of the report.
--   report_name: Name of the report.
--   collection_name: Name of its collection; a personal one is called after its owner. Personal.
--   owner_username: Username of the person who created it; the e-mail where Mode says only that. Personal.
--   is_archived: Whether it is archived.
--   is_failing: Whether its newest run failed (of those that succeeded or failed).
--   failing_streak: How many runs failed since the last one that succeeded; 0 when the newest succeeded.
--   failing_since: Start of the first run of that streak.
--   last_error_code: Kind of the error of the last failed run, where its query runs were loaded.
--   last_error_message: What the database or Mode said about it. Sensitive.
--   last_failed_at: End of the last failed run.
--   last_succeeded_at: End of the last successful run.
--   runs_7d: Runs begun in the last 7 days that succeeded or failed.
--   success_rate_7d: Share of `runs_7d` that succeeded; empty without runs.
--   runs_30d: The same of the last 30 days.
--   success_rate_30d: Share of `runs_30d` that succeeded.
--   runs_90d: The same of the last 90 days.
--   success_rate_90d: Share of `runs_90d` that succeeded.
--   p50_duration_seconds: Median duration of the successful runs of the last 30 days.
--   p95_duration_seconds: Duration that 95 % of them stayed below.
--   run_minutes_30d: Minutes that its runs of the last 30 days took, failed and cancelled ones too.
--   web_url: Address of the report in Mode.
--
-- checks:
--   success_rates_are_shares: success_rate_7d BETWEEN 0 AND 1 AND success_rate_90d BETWEEN 0 AND 1
--   a_streak_has_a_beginning: is_failing = (failing_since IS NOT NULL)
--   a_streak_is_of_failures: (failing_streak > 0) = is_failing AND (last_failed_at IS NOT NULL OR NOT is_failing)
WITH finished AS (
  SELECT
    report_token,
    run_token,
    outcome = 'succeeded' AS is_good,
    outcome IN ('succeeded', 'failed') AS is_judged,
    created_at,
    completed_at,
    duration_seconds,
    created_at >= current_timestamp - INTERVAL 7 DAY AS in_7d,
    created_at >= current_timestamp - INTERVAL 30 DAY AS in_30d,
    created_at >= current_timestamp - INTERVAL 90 DAY AS in_90d,
    error_code,
    error_message
  FROM mode_marts.run_facts
  WHERE is_finished AND NOT is_report_deleted
),
totals AS (
  SELECT
    report_token,
    MAX(CASE WHEN is_good THEN created_at END) AS last_good_run_at,
    MAX(CASE WHEN is_good THEN completed_at END) AS last_succeeded_at,
    COUNT(CASE WHEN is_judged AND in_7d THEN 1 END) AS runs_7d,
    COUNT(CASE WHEN is_good AND in_7d THEN 1 END) AS good_runs_7d,
    COUNT(CASE WHEN is_judged AND in_30d THEN 1 END) AS runs_30d,
    COUNT(CASE WHEN is_good AND in_30d THEN 1 END) AS good_runs_30d,
    COUNT(CASE WHEN is_judged AND in_90d THEN 1 END) AS runs_90d,
    COUNT(CASE WHEN is_good AND in_90d THEN 1 END) AS good_runs_90d,
    SUM(CASE WHEN in_30d THEN duration_seconds END) / 60 AS run_minutes_30d
  FROM finished
  GROUP BY report_token
),
durations AS (
  SELECT
    report_token,
    QUANTILE_CONT(duration_seconds, 0.5) AS p50_duration_seconds,
    QUANTILE_CONT(duration_seconds, 0.95) AS p95_duration_seconds
  FROM finished
  WHERE is_good AND in_30d
  GROUP BY report_token
),
failures AS (
  SELECT
    *,
    ROW_NUMBER() OVER (PARTITION BY report_token ORDER BY created_at DESC, run_token) AS place
  FROM finished
  WHERE is_judged AND NOT is_good
),
streaks AS (
  SELECT failures.report_token, COUNT(*) AS failing_streak, MIN(failures.created_at) AS failing_since
  FROM failures
  JOIN totals ON totals.report_token = failures.report_token
  WHERE totals.last_good_run_at IS NULL OR failures.created_at > totals.last_good_run_at
  GROUP BY failures.report_token
)
SELECT
  reports.token AS report_token,
  reports.name AS report_name,
  spaces.name AS collection_name,
  owners.owner_username,
  COALESCE(reports.archived, FALSE) AS is_archived,
  streaks.failing_streak IS NOT NULL AS is_failing,
  COALESCE(streaks.failing_streak, 0) AS failing_streak,
  streaks.failing_since,
  failures.error_code AS last_error_code,
  failures.error_message AS last_error_message,
  failures.completed_at AS last_failed_at,
  totals.last_succeeded_at,
  totals.runs_7d,
  totals.good_runs_7d / NULLIF(totals.runs_7d, 0) AS success_rate_7d,
  totals.runs_30d,
  totals.good_runs_30d / NULLIF(totals.runs_30d, 0) AS success_rate_30d,
  totals.runs_90d,
  totals.good_runs_90d / NULLIF(totals.runs_90d, 0) AS success_rate_90d,
  durations.p50_duration_seconds,
  durations.p95_duration_seconds,
  totals.run_minutes_30d,
  reports.web_url
FROM totals
JOIN mode_analytics_data.reports AS reports ON reports.token = totals.report_token
LEFT JOIN mode_analytics_data.spaces AS spaces ON spaces.token = reports.space_token
LEFT JOIN mode_marts.report_owners AS owners ON owners.report_token = totals.report_token
LEFT JOIN durations ON durations.report_token = totals.report_token
LEFT JOIN streaks ON streaks.report_token = totals.report_token
LEFT JOIN failures ON failures.report_token = totals.report_token AND failures.place = 1
