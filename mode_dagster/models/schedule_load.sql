-- How much the schedules ask of each data source in each hour of the week, as they really ran in the last four full
-- weeks. A run counts for each data source that its queries read (those of the run itself where they were loaded, else
-- those that the report has now) and with its whole length.
--
-- grain: one hour of the week (UTC) in which schedules start runs on one data source
-- key: hour_of_week, data_source_token
-- question: When is a data source busiest with scheduled runs, and which hours are free?
--
-- columns:
--   hour_of_week: Hours since Monday 00:00 UTC, 0 to 167.
--   weekday: Monday to Sunday.
--   hour: Hour of the day (UTC), 0 to 23.
--   data_source_token: Token of the data source; "unknown" where no query of the report was loaded.
--   data_source_name: Name of the data source.
--   reports: How many reports were run in that hour, in all weeks together.
--   runs_per_week: Scheduled runs that began in that hour, on average over the weeks of the four that have any run.
--   run_minutes_per_week: How long those runs took, likewise.
--   most_at_once: The most scheduled runs of the data source that ran at once when one of them began.
--
-- checks:
--   hours_are_of_a_week: hour_of_week BETWEEN 0 AND 167
--   a_run_runs_with_itself: most_at_once >= 1
WITH scheduled AS (
  SELECT
    run_token,
    report_token,
    created_at,
    GREATEST(completed_at, created_at + INTERVAL '1 millisecond') AS ended_at
  FROM mode_marts.run_facts
  WHERE
    trigger = 'scheduled'
    AND created_at >= DATE_TRUNC('week', current_timestamp) - INTERVAL '28 days'
    AND created_at < DATE_TRUNC('week', current_timestamp)
),
weeks AS (
  SELECT COUNT(DISTINCT DATE_TRUNC('week', created_at)) AS weeks
  FROM scheduled
),
read_by_run AS (
  SELECT DISTINCT
    query_runs.run_token,
    COALESCE(query_runs.data_source_token, sources.token) AS data_source_token
  FROM mode_analytics_data.query_runs AS query_runs
  LEFT JOIN mode_analytics_data.data_sources AS sources ON sources.id = query_runs.data_source_id
  WHERE query_runs.created_at >= DATE_TRUNC('week', current_timestamp) - INTERVAL '28 days'
),
read_by_report AS (
  SELECT DISTINCT
    queries.report_token,
    COALESCE(queries.data_source_token, sources.token) AS data_source_token
  FROM mode_analytics_data.queries AS queries
  LEFT JOIN mode_analytics_data.data_sources AS sources ON sources.id = queries.data_source_id
  WHERE queries.deleted_at IS NULL
),
loads AS (
  SELECT
    scheduled.*,
    COALESCE(by_run.data_source_token, by_report.data_source_token, 'unknown') AS data_source_token
  FROM scheduled
  LEFT JOIN read_by_run AS by_run ON by_run.run_token = scheduled.run_token
  LEFT JOIN read_by_report AS by_report
    ON by_report.report_token = scheduled.report_token AND by_run.run_token IS NULL
),
-- one row when a run begins and one when it ends: their sum is how many run; at the same time ends come first
moments AS (
  SELECT data_source_token, created_at AS moment, 1 AS change, run_token
  FROM loads
  UNION ALL
  SELECT data_source_token, ended_at AS moment, -1 AS change, run_token
  FROM loads
),
at_once AS (
  SELECT
    run_token,
    data_source_token,
    change,
    SUM(change) OVER (
      PARTITION BY data_source_token ORDER BY moment, change ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW
    ) AS running
  FROM moments
),
hours AS (
  SELECT
    CAST((EXTRACT(ISODOW FROM loads.created_at) - 1) * 24 + EXTRACT(HOUR FROM loads.created_at) AS BIGINT)
      AS hour_of_week,
    loads.data_source_token,
    COUNT(DISTINCT loads.report_token) AS reports,
    COUNT(*) AS runs,
    SUM(EPOCH(loads.ended_at) - EPOCH(loads.created_at)) / 60 AS run_minutes,
    CAST(MAX(at_once.running) AS BIGINT) AS most_at_once
  FROM loads
  JOIN at_once
    ON at_once.run_token = loads.run_token
    AND at_once.data_source_token = loads.data_source_token
    AND at_once.change = 1
  GROUP BY 1, 2
)
SELECT
  hours.hour_of_week,
  CASE
    WHEN hours.hour_of_week < 24 THEN 'Monday'
    WHEN hours.hour_of_week < 48 THEN 'Tuesday'
    WHEN hours.hour_of_week < 72 THEN 'Wednesday'
    WHEN hours.hour_of_week < 96 THEN 'Thursday'
    WHEN hours.hour_of_week < 120 THEN 'Friday'
    WHEN hours.hour_of_week < 144 THEN 'Saturday'
    ELSE 'Sunday'
  END AS weekday,
  hours.hour_of_week % 24 AS hour,
  hours.data_source_token,
  COALESCE(sources.display_name, sources.name) AS data_source_name,
  hours.reports,
  ROUND(hours.runs / weeks.weeks, 2) AS runs_per_week,
  ROUND(hours.run_minutes / weeks.weeks, 2) AS run_minutes_per_week,
  hours.most_at_once
FROM hours
CROSS JOIN weeks
LEFT JOIN mode_analytics_data.data_sources AS sources ON sources.token = hours.data_source_token
