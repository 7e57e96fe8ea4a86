-- How often each report was viewed and run between one snapshot of Mode's counters and the one before. Without a
-- snapshot on the day before, what was gained is that of all days since the last one: `days_covered` says how many.
-- The first snapshot of a report has gained nothing that is known; neither has a counter that is absent or went down.
--
-- grain: one report on one day (UTC) with a snapshot
-- key: report_token, day
-- question: How often is a report viewed, and is it more or less than it was?
--
-- columns:
--   report_token: Token of the report.
--   day: Day (UTC) of the snapshot.
--   view_count: How many times it had ever been viewed.
--   runs_count: How many runs it had ever had.
--   days_covered: Days since the snapshot before; empty in the first one.
--   views_gained: Views since the snapshot before.
--   runs_gained: Runs since the snapshot before.
--
-- checks:
--   gains_are_not_negative: views_gained >= 0 AND runs_gained >= 0
--   days_are_covered_once: days_covered >= 1
WITH compared AS (
  SELECT
    report_token,
    day,
    view_count,
    runs_count,
    DATE_DIFF('day', LAG(day) OVER snapshots, day) AS days_covered,
    view_count - LAG(view_count) OVER snapshots AS views_gained,
    runs_count - LAG(runs_count) OVER snapshots AS runs_gained
  FROM mode_marts.report_snapshots
  WINDOW snapshots AS (PARTITION BY report_token ORDER BY day)
)
SELECT
  report_token,
  day,
  view_count,
  runs_count,
  days_covered,
  CASE WHEN views_gained >= 0 THEN views_gained END AS views_gained,
  CASE WHEN runs_gained >= 0 THEN runs_gained END AS runs_gained
FROM compared
