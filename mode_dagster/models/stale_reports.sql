-- Reports that no person has used for 90 days: not run by hand, not edited, not viewed. A report that only its schedule
-- still runs is the one worth most: nobody looks, and it costs run minutes (`reason` = only its schedule runs it); look
-- at `subscribers` first, who may read it as e-mail. Views are known only from `last_viewed_at` (discovery listing),
-- from gains between daily snapshots (`report_daily`), or because nobody ever viewed it; `views_known_from` says which,
-- and "nothing" means that it may have been viewed all the same. Archived reports and those younger than 90 days are
-- left out.
--
-- grain: one live report that no person has used for 90 days
-- key: report_token
-- question: Which reports can be archived, and what would that save?
--
-- columns:
--   report_token: Token of the report.
--   report_name: Title of the report.
--   collection_name: Name of its collection; a personal one is called after its owner. Personal.
--   owner_username: Username of the person who created it; the e-mail where Mode says only that. Personal.
--   reason: never run; not run for 90 days; only its schedule runs it.
--   unused_days: Days since a person last used it, or since it was created.
--   age_days: Days since it was created.
--   last_run_at: Start of its last run, scheduled or not.
--   last_manual_run_at: Start of its last run without a schedule: by a person or through the API.
--   last_edited_at: When its content was last edited or saved.
--   last_viewed_at: When it was last viewed, or the last day on which its views grew.
--   views_known_from: "last_viewed_at", "report_daily" (over all 90 days), "view_count" (0 for ever) or "nothing".
--   is_scheduled: Whether a schedule still runs it.
--   run_minutes_30d: Minutes that its runs of the last 30 days took.
--   run_minutes_90d: Minutes that its runs of the last 90 days took.
--   subscribers: How many people get it by e-mail; empty where Mode does not say.
--   web_url: Address of the report in Mode.
--
-- checks:
--   nothing_used_lately_is_stale: unused_days >= 90
--   minutes_add_up: run_minutes_90d >= run_minutes_30d
WITH runs AS (
  SELECT
    report_token,
    MAX(created_at) AS last_run_at,
    MAX(CASE WHEN trigger <> 'scheduled' THEN created_at END) AS last_manual_run_at,
    SUM(CASE WHEN created_at >= current_timestamp - INTERVAL '30 days' THEN duration_seconds END) / 60
      AS run_minutes_30d,
    SUM(CASE WHEN created_at >= current_timestamp - INTERVAL '90 days' THEN duration_seconds END) / 60
      AS run_minutes_90d
  FROM mode_marts.run_facts
  GROUP BY report_token
),
views AS (
  SELECT
    report_token,
    CAST(MAX(CASE WHEN views_gained > 0 THEN day END) AS TIMESTAMP WITH TIME ZONE) AS last_gain_at,
    SUM(CASE WHEN views_gained IS NOT NULL THEN days_covered END) AS days_covered
  FROM mode_marts.report_daily
  WHERE day > CAST(current_timestamp AS DATE) - 90
  GROUP BY report_token
),
reports AS (
  SELECT
    reports.token AS report_token,
    reports.name AS report_name,
    spaces.name AS collection_name,
    owners.owner_username,
    reports.created_at,
    GREATEST(reports.last_run_at, runs.last_run_at) AS last_run_at,
    -- a report whose runs could not be read may have been run by anybody
    CASE WHEN runs.report_token IS NULL THEN reports.last_run_at ELSE runs.last_manual_run_at END AS last_manual_run_at,
    GREATEST(reports.edited_at, reports.last_saved_at) AS last_edited_at,
    GREATEST(reports.last_viewed_at, views.last_gain_at) AS last_viewed_at,
    CASE
      WHEN reports.last_viewed_at IS NOT NULL THEN 'last_viewed_at'
      WHEN views.days_covered >= 90 THEN 'report_daily'
      WHEN COALESCE(reports.view_count, stats.view_count) = 0 THEN 'view_count'
      ELSE 'nothing'
    END AS views_known_from,
    COALESCE(owners.schedules, reports.schedules_count, stats.active_schedules_count, 0) > 0 AS is_scheduled,
    COALESCE(runs.run_minutes_30d, 0) AS run_minutes_30d,
    COALESCE(runs.run_minutes_90d, 0) AS run_minutes_90d,
    owners.subscribers,
    reports.web_url
  FROM mode_analytics_data.reports AS reports
  LEFT JOIN mode_analytics_data.spaces AS spaces ON spaces.token = reports.space_token
  LEFT JOIN mode_analytics_data.report_stats AS stats
    ON stats.report_token = reports.token AND stats.deleted_at IS NULL
  LEFT JOIN mode_marts.report_owners AS owners ON owners.report_token = reports.token
  LEFT JOIN runs ON runs.report_token = reports.token
  LEFT JOIN views ON views.report_token = reports.token
  WHERE reports.deleted_at IS NULL AND NOT COALESCE(reports.archived, FALSE)
),
used AS (
  SELECT *, GREATEST(created_at, last_manual_run_at, last_edited_at, last_viewed_at) AS last_used_at
  FROM reports
)
SELECT
  report_token,
  report_name,
  collection_name,
  owner_username,
  CASE
    WHEN last_run_at IS NULL THEN 'never run'
    WHEN last_run_at < current_timestamp - INTERVAL '90 days' THEN 'not run for 90 days'
    ELSE 'only its schedule runs it'
  END AS reason,
  CAST(FLOOR((EPOCH(current_timestamp) - EPOCH(last_used_at)) / 86400) AS BIGINT) AS unused_days,
  CAST(FLOOR((EPOCH(current_timestamp) - EPOCH(created_at)) / 86400) AS BIGINT) AS age_days,
  last_run_at,
  last_manual_run_at,
  last_edited_at,
  last_viewed_at,
  views_known_from,
  is_scheduled,
  ROUND(run_minutes_30d, 1) AS run_minutes_30d,
  ROUND(run_minutes_90d, 1) AS run_minutes_90d,
  subscribers,
  web_url
FROM used
WHERE last_used_at < current_timestamp - INTERVAL '90 days' OR last_used_at IS NULL
