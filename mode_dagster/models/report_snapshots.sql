-- Mode's cumulative counters of each report as they were on each day: Mode only ever tells today's. The last run of a
-- day is what stays of it, and no later run touches earlier days, so this table begins with the first run of the model
-- and can't be made again from what is loaded. Reports that are deleted later keep their rows.
--
-- grain: one report on one day (UTC) on which the model ran
-- key: report_token, day
-- question: What did Mode's counters of a report say on a day in the past?
-- kept: yes
--
-- columns:
--   report_token: Token of the report.
--   day: Day (UTC) of the snapshot.
--   taken_at: When the model ran; the counters are those of the sync before it.
--   view_count: How many times the report had ever been viewed; empty where Mode does not say.
--   runs_count: How many runs it had ever had; empty where Mode does not say (discovery listing).
--
-- checks:
--   counters_are_not_negative: view_count >= 0 AND runs_count >= 0
SELECT
  reports.token AS report_token,
  CAST(current_timestamp AS DATE) AS day,
  current_timestamp AS taken_at,
  COALESCE(reports.view_count, stats.view_count) AS view_count,
  reports.runs_count
FROM mode_analytics_data.reports AS reports
LEFT JOIN mode_analytics_data.report_stats AS stats ON stats.report_token = reports.token AND stats.deleted_at IS NULL
WHERE reports.deleted_at IS NULL
