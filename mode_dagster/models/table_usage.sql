-- Who is hit when a table of the warehouse goes away: the live reports whose queries read it, their owners and
-- subscribers, and whether anybody still uses them. Found in the queries' texts (`report_table_references`, which says
-- which queries), so a name that a query puts together while it runs is missing, and a view is not followed to its
-- tables. Archived reports are counted apart. The same name in two data sources of one server is one table.
-- A dataset counts as a report.
--
-- grain: one table or view that a live query names
-- key: warehouse, qualified_name
-- question: If I drop this table, which reports, owners and subscribers are hit, and were they used?
--
-- columns:
--   warehouse: Which database server it is in: kind, host and port of the data source.
--   qualified_name: The known parts of its name with dots between them.
--   database_name: Database, catalog or project; empty where neither query nor data source say.
--   schema_name: Schema or dataset; empty where the queries leave it to the database's default.
--   table_name: Table or view, in the case in which the database keeps it.
--   reports: Live, not archived reports with a query that names it.
--   report_names: Their titles, separated by commas.
--   archived_reports: Archived reports with a query that names it.
--   queries: Queries of live, not archived reports that name it.
--   conditional_queries: Those of them that only name it in a Liquid branch which the form's defaults don't take.
--   written_by_queries: Those of them that write to it.
--   definitions: Names of the definitions through which they read it, separated by commas.
--   owners: How many people own one of the reports.
--   owner_usernames: Their usernames, or e-mails where Mode says only that, separated by commas. Personal.
--   schedules: Schedules of these reports.
--   subscribers: How many get these reports by e-mail, counted once for each report; empty where Mode does not say.
--   runs_30d: Runs of these reports in the last 30 days.
--   manual_runs_30d: Those of them without a schedule: by a person or through the API.
--   last_run_at: Start of the last run of any of them.
--   last_viewed_at: When any of them was last viewed (discovery listing only).
--   last_edited_at: When any of them was last edited or saved.
--
-- checks:
--   manual_runs_are_runs: manual_runs_30d <= runs_30d
--   somebody_is_hit: reports + archived_reports > 0
WITH readers AS (
  SELECT token, name, archived, last_run_at, last_viewed_at, edited_at, last_saved_at
  FROM mode_analytics_data.reports
  WHERE deleted_at IS NULL
  UNION ALL
  SELECT token, name, archived, last_run_at, last_viewed_at, edited_at, last_saved_at
  FROM mode_analytics_data.datasets
  -- `listing = workspace` may list datasets among the reports
  WHERE deleted_at IS NULL AND token NOT IN (SELECT token FROM mode_analytics_data.reports WHERE deleted_at IS NULL)
),
named AS (
  SELECT
    found.warehouse,
    found.qualified_name,
    found.database_name,
    found.schema_name,
    found.table_name,
    found.query_token,
    found.kind,
    found.is_conditional,
    found.via_definition,
    reports.token AS report_token,
    reports.name AS report_name,
    owners.owner_username,
    owners.schedules,
    owners.subscribers,
    COALESCE(reports.archived, FALSE) AS is_archived,
    reports.last_run_at,
    reports.last_viewed_at,
    GREATEST(reports.edited_at, reports.last_saved_at) AS last_edited_at
  FROM mode_marts.report_table_references AS found
  JOIN readers AS reports ON reports.token = found.report_token
  LEFT JOIN mode_marts.report_owners AS owners ON owners.report_token = found.report_token
),
live AS (
  SELECT * FROM named WHERE NOT is_archived
),
each_run AS (
  SELECT run_token, report_token, created_at, trigger = 'scheduled' AS is_scheduled
  FROM mode_marts.run_facts
  UNION
  SELECT token AS run_token, dataset_token AS report_token, created_at, report_schedule_token IS NOT NULL AS is_scheduled
  FROM mode_analytics_data.dataset_runs
),
runs AS (
  SELECT
    report_token,
    COUNT(*) FILTER (WHERE created_at >= current_timestamp - INTERVAL '30 days') AS runs_30d,
    COUNT(*) FILTER (WHERE created_at >= current_timestamp - INTERVAL '30 days' AND NOT is_scheduled)
      AS manual_runs_30d,
    MAX(created_at) AS last_run_at
  FROM each_run
  GROUP BY report_token
),
hit AS (
  SELECT DISTINCT
    live.warehouse,
    live.qualified_name,
    live.report_token,
    live.report_name,
    live.last_viewed_at,
    live.last_edited_at,
    COALESCE(live.schedules, 0) AS schedules,
    live.subscribers,
    COALESCE(runs.runs_30d, 0) AS runs_30d,
    COALESCE(runs.manual_runs_30d, 0) AS manual_runs_30d,
    GREATEST(live.last_run_at, runs.last_run_at) AS last_run_at
  FROM live
  LEFT JOIN runs ON runs.report_token = live.report_token
),
reports AS (
  SELECT
    warehouse,
    qualified_name,
    COUNT(*) AS reports,
    STRING_AGG(report_name, ', ' ORDER BY report_name) AS report_names,
    SUM(schedules) AS schedules,
    SUM(subscribers) AS subscribers,
    SUM(runs_30d) AS runs_30d,
    SUM(manual_runs_30d) AS manual_runs_30d,
    MAX(last_run_at) AS last_run_at,
    MAX(last_viewed_at) AS last_viewed_at,
    MAX(last_edited_at) AS last_edited_at
  FROM hit
  GROUP BY warehouse, qualified_name
),
owners AS (
  SELECT
    warehouse,
    qualified_name,
    COUNT(owner_username) AS owners,
    STRING_AGG(owner_username, ', ' ORDER BY owner_username) AS owner_usernames
  FROM (SELECT DISTINCT warehouse, qualified_name, owner_username FROM live) AS people
  GROUP BY warehouse, qualified_name
),
queries AS (
  SELECT
    warehouse,
    qualified_name,
    COUNT(*) AS queries,
    COUNT(*) FILTER (WHERE is_conditional) AS conditional_queries,
    COUNT(*) FILTER (WHERE is_writing) AS written_by_queries
  FROM (
    SELECT
      warehouse,
      qualified_name,
      query_token,
      BOOL_AND(is_conditional) AS is_conditional,
      BOOL_OR(kind = 'write') AS is_writing
    FROM live
    GROUP BY warehouse, qualified_name, query_token
  ) AS each_query
  GROUP BY warehouse, qualified_name
),
definitions AS (
  SELECT warehouse, qualified_name, STRING_AGG(name, ', ' ORDER BY name) AS definitions
  FROM (
    SELECT DISTINCT used.warehouse, used.qualified_name, named.name
    FROM (SELECT DISTINCT warehouse, qualified_name, via_definition FROM live) AS used
    -- where a query reaches a table through several, they are one text
    JOIN mode_analytics_data.definitions AS named
      ON POSITION(', ' || named.name || ', ' IN ', ' || used.via_definition || ', ') > 0
  ) AS each_definition
  GROUP BY warehouse, qualified_name
),
tables AS (
  SELECT
    warehouse,
    qualified_name,
    MIN(database_name) AS database_name,
    MIN(schema_name) AS schema_name,
    MIN(table_name) AS table_name,
    COUNT(DISTINCT CASE WHEN is_archived THEN report_token END) AS archived_reports
  FROM named
  GROUP BY warehouse, qualified_name
)
SELECT
  tables.warehouse,
  tables.qualified_name,
  tables.database_name,
  tables.schema_name,
  tables.table_name,
  COALESCE(reports.reports, 0) AS reports,
  reports.report_names,
  tables.archived_reports,
  COALESCE(queries.queries, 0) AS queries,
  COALESCE(queries.conditional_queries, 0) AS conditional_queries,
  COALESCE(queries.written_by_queries, 0) AS written_by_queries,
  definitions.definitions,
  COALESCE(owners.owners, 0) AS owners,
  owners.owner_usernames,
  CAST(COALESCE(reports.schedules, 0) AS BIGINT) AS schedules,
  CAST(reports.subscribers AS BIGINT) AS subscribers,
  CAST(COALESCE(reports.runs_30d, 0) AS BIGINT) AS runs_30d,
  CAST(COALESCE(reports.manual_runs_30d, 0) AS BIGINT) AS manual_runs_30d,
  reports.last_run_at,
  reports.last_viewed_at,
  reports.last_edited_at
FROM tables
LEFT JOIN reports ON reports.warehouse = tables.warehouse AND reports.qualified_name = tables.qualified_name
LEFT JOIN owners ON owners.warehouse = tables.warehouse AND owners.qualified_name = tables.qualified_name
LEFT JOIN queries ON queries.warehouse = tables.warehouse AND queries.qualified_name = tables.qualified_name
LEFT JOIN definitions ON definitions.warehouse = tables.warehouse AND definitions.qualified_name = tables.qualified_name
