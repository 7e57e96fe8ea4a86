-- The workspace day by day, from the first report or run that is known to today: size, runs, failures, people.
-- A day is a day in UTC; today is counted up to now. Runs of deleted reports count. How far back runs and audit events
-- go is a matter of `history_days`; reports that were deleted before the first load are not known.
--
-- grain: one day
-- key: day
-- question: Is the workspace growing, is it getting less reliable, and how many people use it?
--
-- columns:
--   day: The day.
--   reports: Reports that existed at the end of the day, archived ones included.
--   runs: Runs that were begun.
--   scheduled_runs: How many of them a schedule began.
--   succeeded_runs: How many of them succeeded.
--   failed_runs: How many of them failed.
--   run_minutes: Minutes that the runs begun on that day took.
--   active_people: People who ran a report by hand, created one, or are in the audit log (where this key may read it).
--
-- checks:
--   outcomes_fit_the_runs: succeeded_runs + failed_runs <= runs
--   reports_are_not_negative: reports >= 0
WITH run_totals AS (
  SELECT
    CAST(created_at AS DATE) AS day,
    COUNT(*) AS runs,
    COUNT(CASE WHEN trigger = 'scheduled' THEN 1 END) AS scheduled_runs,
    COUNT(CASE WHEN outcome = 'succeeded' THEN 1 END) AS succeeded_runs,
    COUNT(CASE WHEN outcome = 'failed' THEN 1 END) AS failed_runs,
    SUM(duration_seconds) / 60 AS run_minutes
  FROM mode_marts.run_facts
  WHERE created_at <= current_timestamp
  GROUP BY CAST(created_at AS DATE)
),
changes AS (
  SELECT CAST(created_at AS DATE) AS day, 1 AS step
  FROM mode_analytics_data.reports
  WHERE created_at <= current_timestamp
  UNION ALL
  SELECT CAST(deleted_at AS DATE) AS day, -1 AS step
  FROM mode_analytics_data.reports
  WHERE deleted_at <= current_timestamp AND created_at IS NOT NULL
),
net_changes AS (
  SELECT day, SUM(step) AS step
  FROM changes
  GROUP BY day
),
activity AS (
  SELECT CAST(created_at AS DATE) AS day, executed_by_username AS username
  FROM mode_marts.run_facts
  WHERE trigger = 'manual'
  UNION
  SELECT CAST(reports.created_at AS DATE) AS day, owners.owner_username AS username
  FROM mode_analytics_data.reports AS reports
  JOIN mode_marts.report_owners AS owners ON owners.report_token = reports.token
  UNION
  SELECT CAST(timestamp AS DATE) AS day, actor_username AS username
  FROM mode_analytics_data.audit_logs
),
accounts AS (
  SELECT username FROM mode_analytics_data.workspaces
  UNION
  SELECT username FROM mode_analytics_data.users WHERE NOT "user"
),
people AS (
  SELECT activity.day, COUNT(DISTINCT activity.username) AS active_people
  FROM activity
  LEFT JOIN accounts ON accounts.username = activity.username
  WHERE accounts.username IS NULL
  GROUP BY activity.day
),
known_days AS (
  SELECT MIN(day) AS first_day
  FROM (SELECT day FROM run_totals UNION ALL SELECT day FROM net_changes) AS known
),
digits AS (
  SELECT digit
  FROM (VALUES (0), (1), (2), (3), (4), (5), (6), (7), (8), (9)) AS listed(digit)
),
-- 27 years, back from today
numbers AS (
  SELECT ones.digit + 10 * tens.digit + 100 * hundreds.digit + 1000 * thousands.digit AS number
  FROM digits AS ones
  CROSS JOIN digits AS tens
  CROSS JOIN digits AS hundreds
  CROSS JOIN digits AS thousands
),
days AS (
  SELECT CAST(current_timestamp AS DATE) - numbers.number AS day
  FROM numbers
  CROSS JOIN known_days
  WHERE CAST(current_timestamp AS DATE) - numbers.number >= known_days.first_day
)
SELECT
  days.day,
  CAST(COALESCE(SUM(net_changes.step) OVER (ORDER BY days.day ROWS UNBOUNDED PRECEDING), 0) AS BIGINT) AS reports,
  COALESCE(run_totals.runs, 0) AS runs,
  COALESCE(run_totals.scheduled_runs, 0) AS scheduled_runs,
  COALESCE(run_totals.succeeded_runs, 0) AS succeeded_runs,
  COALESCE(run_totals.failed_runs, 0) AS failed_runs,
  COALESCE(run_totals.run_minutes, 0) AS run_minutes,
  COALESCE(people.active_people, 0) AS active_people
FROM days
LEFT JOIN net_changes ON net_changes.day = days.day
LEFT JOIN run_totals ON run_totals.day = days.day
LEFT JOIN people ON people.day = days.day
