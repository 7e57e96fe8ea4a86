-- Every report that was ever seen, archived and deleted ones too: where it is, whose it is, what it queries, how big it
-- is and how much it is used. Counts are Mode's own counters, and where Mode sends none the loaded rows, if
-- there are any.
--
-- grain: one report
-- key: report_token
-- question: Which reports do we have, whose are they, and what do they query?
--
-- columns:
--   report_token: Token of the report.
--   report_name: Title; empty when nobody gave one.
--   description: What its author says of it. Sensitive.
--   state: active, archived or deleted.
--   collection_token: Token of its collection.
--   collection_name: Name of its collection; a personal one is called after its owner. Personal.
--   collection_type: private, community or custom.
--   owner_username: Username of the person who created it; the e-mail where Mode says only that. Personal.
--   owner_name: Name of that person. Personal.
--   is_owner_member: Whether that person is a member now, as `people_activity` has it; empty where members could not be
--     listed, and where the owner is no person but the workspace's own account.
--   data_source_names: Names of the data sources that its queries use, in alphabetical order, separated by commas.
--   data_sources: How many data sources its queries use.
--   queries: How many queries it has.
--   charts: How many charts it has.
--   schedules: How many schedules it has.
--   runs: How many runs it has had.
--   views: How many times it was ever viewed.
--   web_url: Address of the report in Mode.
--   github_url: Where it is kept in GitHub.
--   created_at: When it was created.
--   edited_at: When its content was last edited.
--   last_run_at: Start of its last run.
--   last_succeeded_at: End of its last successful run.
--   last_viewed_at: When somebody last looked at it (discovery listing only).
--   deleted_at: When a sync first found it gone from Mode.
--
-- checks:
--   deleted_has_a_time: (state = 'deleted') = (deleted_at IS NOT NULL)
--   counts_are_not_negative: COALESCE(queries, 0) >= 0 AND COALESCE(runs, 0) >= 0 AND COALESCE(views, 0) >= 0
WITH report_queries AS (
  SELECT
    queries.report_token,
    queries.token,
    COALESCE(by_id.display_name, by_id.name, by_token.display_name, by_token.name) AS data_source_name,
    COALESCE(by_id.token, by_token.token, queries.data_source_token) AS data_source_token
  FROM mode_analytics_data.queries AS queries
  JOIN mode_analytics_data.reports AS reports ON reports.token = queries.report_token
  LEFT JOIN mode_analytics_data.data_sources AS by_id ON by_id.id = queries.data_source_id
  LEFT JOIN mode_analytics_data.data_sources AS by_token ON by_token.token = queries.data_source_token
  -- a deleted report's queries are marked with it
  WHERE queries.deleted_at IS NULL OR reports.deleted_at IS NOT NULL
),
query_totals AS (
  SELECT report_token, COUNT(DISTINCT token) AS queries, COUNT(DISTINCT data_source_token) AS data_sources
  FROM report_queries
  GROUP BY report_token
),
sources AS (
  SELECT report_token, STRING_AGG(data_source_name, ', ' ORDER BY data_source_name) AS names
  FROM (SELECT DISTINCT report_token, data_source_name FROM report_queries) AS used
  GROUP BY report_token
),
chart_totals AS (
  SELECT report_token, COUNT(*) AS charts
  FROM mode_analytics_data.charts
  WHERE deleted_at IS NULL
  GROUP BY report_token
),
run_totals AS (
  SELECT
    report_token,
    COUNT(*) AS runs,
    MAX(created_at) AS last_run_at,
    MAX(CASE WHEN outcome = 'succeeded' THEN completed_at END) AS last_succeeded_at
  FROM mode_marts.run_facts
  GROUP BY report_token
)
SELECT
  reports.token AS report_token,
  reports.name AS report_name,
  reports.description,
  CASE WHEN reports.deleted_at IS NOT NULL THEN 'deleted' WHEN reports.archived THEN 'archived' ELSE 'active' END
    AS state,
  reports.space_token AS collection_token,
  spaces.name AS collection_name,
  spaces.space_type AS collection_type,
  owners.owner_username,
  people.name AS owner_name,
  people.is_member AS is_owner_member,
  sources.names AS data_source_names,
  query_totals.data_sources,
  COALESCE(reports.query_count, query_totals.queries) AS queries,
  COALESCE(reports.chart_count, chart_totals.charts) AS charts,
  COALESCE(reports.schedules_count, owners.schedules) AS schedules,
  COALESCE(reports.runs_count, run_totals.runs) AS runs,
  COALESCE(reports.view_count, stats.view_count) AS views,
  reports.web_url,
  reports.github_link AS github_url,
  reports.created_at,
  COALESCE(reports.edited_at, reports.last_saved_at) AS edited_at,
  COALESCE(reports.last_run_at, run_totals.last_run_at) AS last_run_at,
  COALESCE(reports.last_successfully_run_at, run_totals.last_succeeded_at) AS last_succeeded_at,
  reports.last_viewed_at,
  reports.deleted_at
FROM mode_analytics_data.reports AS reports
LEFT JOIN mode_analytics_data.spaces AS spaces ON spaces.token = reports.space_token
LEFT JOIN mode_analytics_data.report_stats AS stats ON stats.report_token = reports.token
LEFT JOIN mode_marts.report_owners AS owners ON owners.report_token = reports.token
LEFT JOIN mode_marts.people_activity AS people ON people.username = owners.owner_username
LEFT JOIN query_totals ON query_totals.report_token = reports.token
LEFT JOIN sources ON sources.report_token = reports.token
LEFT JOIN chart_totals ON chart_totals.report_token = reports.token
LEFT JOIN run_totals ON run_totals.report_token = reports.token
