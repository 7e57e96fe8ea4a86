-- What each data source is used for: live reports and queries on it, and what its queries ran in 30 days. A source that
-- was deleted or can't be queried but is still in use has `is_dead_but_used`: the reports on it fail, or will. Query
-- runs are those that were loaded (`query_run_days`), of reports. A dataset counts as a report.
--
-- grain: one data source, also one that only queries name
-- key: data_source_token
-- question: What depends on a data source, and which reports still use one that is gone?
--
-- columns:
--   data_source_token: Token of the data source; its numeric id where a query names one that Mode does not list.
--   data_source_name: Name of the data source; empty where Mode does not list it.
--   adapter: Driver, such as jdbc:snowflake.
--   state: ok, asleep, not queryable, deleted, or not listed.
--   reports: Live, not archived reports with a query on it.
--   queries: Queries of those reports.
--   definitions: Definitions that are written for it.
--   query_runs_30d: Query runs of the last 30 days.
--   failed_query_runs_30d: Those that failed.
--   query_minutes_30d: Minutes that the query runs of the last 30 days took, those of one report run side by side.
--   run_minutes_30d: Minutes that report runs took with at least one query on it, the whole run.
--   last_used_at: Start of its last query run.
--   is_dead_but_used: Whether it is deleted, not listed or not queryable, and a live query or a run of the last 30 days
--     uses it.
--
-- checks:
--   failures_are_runs: failed_query_runs_30d <= query_runs_30d
WITH listed AS (
  SELECT
    COALESCE(token, id) AS data_source_token,
    id,
    COALESCE(display_name, name) AS data_source_name,
    adapter,
    CASE
      WHEN deleted_at IS NOT NULL OR soft_deleted THEN 'deleted'
      WHEN queryable = FALSE THEN 'not queryable'
      WHEN asleep THEN 'asleep'
      ELSE 'ok'
    END AS state
  FROM mode_analytics_data.data_sources
),
-- numbers and tokens of data sources, as far as anything says both
names AS (
  SELECT id, data_source_token AS token
  FROM listed
  WHERE id IS NOT NULL
  UNION
  SELECT data_source_id AS id, data_source_token AS token
  FROM mode_analytics_data.query_runs
  WHERE data_source_id IS NOT NULL AND data_source_token IS NOT NULL
),
tokens AS (
  SELECT id, MIN(token) AS token
  FROM names
  GROUP BY id
),
readers AS (
  SELECT token
  FROM mode_analytics_data.reports
  WHERE deleted_at IS NULL AND NOT COALESCE(archived, FALSE)
  UNION
  SELECT token
  FROM mode_analytics_data.datasets
  WHERE deleted_at IS NULL AND NOT COALESCE(archived, FALSE)
),
live_queries AS (
  SELECT
    queries.report_token,
    COALESCE(queries.data_source_token, tokens.token, queries.data_source_id) AS data_source_token
  FROM mode_analytics_data.queries AS queries
  JOIN readers ON readers.token = queries.report_token
  LEFT JOIN tokens ON tokens.id = queries.data_source_id
  WHERE queries.deleted_at IS NULL
),
used_by_reports AS (
  SELECT data_source_token, COUNT(DISTINCT report_token) AS reports, COUNT(*) AS queries
  FROM live_queries
  GROUP BY data_source_token
),
used_by_definitions AS (
  SELECT COALESCE(tokens.token, definitions.data_source_id) AS data_source_token, COUNT(*) AS definitions
  FROM mode_analytics_data.definitions AS definitions
  LEFT JOIN tokens ON tokens.id = definitions.data_source_id
  WHERE definitions.deleted_at IS NULL
  GROUP BY 1
),
query_runs AS (
  SELECT
    COALESCE(query_runs.data_source_token, tokens.token, query_runs.data_source_id) AS data_source_token,
    query_runs.run_token,
    query_runs.state,
    query_runs.created_at,
    query_runs.completed_at,
    query_runs.created_at >= current_timestamp - INTERVAL '30 days' AS is_recent
  FROM mode_analytics_data.query_runs AS query_runs
  LEFT JOIN tokens ON tokens.id = query_runs.data_source_id
),
used_by_runs AS (
  SELECT
    data_source_token,
    COUNT(*) FILTER (WHERE is_recent) AS query_runs_30d,
    COUNT(*) FILTER (WHERE is_recent AND state = 'failed') AS failed_query_runs_30d,
    SUM(EPOCH(completed_at) - EPOCH(created_at)) FILTER (WHERE is_recent) / 60 AS query_minutes_30d,
    MAX(created_at) AS last_used_at
  FROM query_runs
  GROUP BY data_source_token
),
reports_run AS (
  SELECT DISTINCT data_source_token, run_token
  FROM query_runs
  WHERE is_recent
),
run_minutes AS (
  SELECT
    reports_run.data_source_token,
    SUM(runs.duration_seconds) / 60 AS run_minutes_30d
  FROM reports_run
  JOIN mode_marts.run_facts AS runs ON runs.run_token = reports_run.run_token
  GROUP BY reports_run.data_source_token
),
sources AS (
  SELECT data_source_token, data_source_name, adapter, state
  FROM listed
  UNION ALL
  SELECT DISTINCT
    data_source_token,
    CAST(NULL AS VARCHAR) AS data_source_name,
    CAST(NULL AS VARCHAR) AS adapter,
    'not listed' AS state
  FROM (
    SELECT data_source_token FROM used_by_reports
    UNION ALL
    SELECT data_source_token FROM used_by_definitions
    UNION ALL
    SELECT data_source_token FROM used_by_runs
  ) AS used
  WHERE data_source_token IS NOT NULL AND data_source_token NOT IN (SELECT data_source_token FROM listed)
)
SELECT
  sources.data_source_token,
  sources.data_source_name,
  sources.adapter,
  sources.state,
  COALESCE(by_reports.reports, 0) AS reports,
  COALESCE(by_reports.queries, 0) AS queries,
  COALESCE(by_definitions.definitions, 0) AS definitions,
  COALESCE(by_runs.query_runs_30d, 0) AS query_runs_30d,
  COALESCE(by_runs.failed_query_runs_30d, 0) AS failed_query_runs_30d,
  ROUND(COALESCE(by_runs.query_minutes_30d, 0), 1) AS query_minutes_30d,
  ROUND(COALESCE(run_minutes.run_minutes_30d, 0), 1) AS run_minutes_30d,
  by_runs.last_used_at,
  sources.state IN ('deleted', 'not queryable', 'not listed')
    AND (by_reports.queries IS NOT NULL OR COALESCE(by_runs.query_runs_30d, 0) > 0) AS is_dead_but_used
FROM sources
LEFT JOIN used_by_reports AS by_reports ON by_reports.data_source_token = sources.data_source_token
LEFT JOIN used_by_definitions AS by_definitions ON by_definitions.data_source_token = sources.data_source_token
LEFT JOIN used_by_runs AS by_runs ON by_runs.data_source_token = sources.data_source_token
LEFT JOIN run_minutes ON run_minutes.data_source_token = sources.data_source_token
