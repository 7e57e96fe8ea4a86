-- Whether each schedule has brought results for the last time that it was due. When that was is best known from Mode's
-- `last_scheduled_run` and `next_scheduled_run`. They are as old as the last sync that saw the report move, so the
-- times since then are computed: backwards or forwards from `next_scheduled_run` where there is one, else from
-- `cron_hour` and the like, in the schedule's own time zone. A schedule that was moved to another hour may look late
-- until its next run. Schedules of archived and deleted reports are left out.
--
-- grain: one live schedule of a live report
-- key: schedule_token
-- question: Which schedules should have brought results by now, and have not?
--
-- columns:
--   schedule_token: Token of the schedule.
--   schedule_name: Name of the schedule.
--   report_token: Token of its report.
--   report_name: Title of its report.
--   frequency: How often it is due, as Mode says it.
--   time_zone: The IANA name of the time zone that it is due in; UTC where that is not known.
--   is_time_zone_known: Whether Mode says a time zone, and one that the destination knows.
--   expected_by: When it was last due before the model ran; empty where nothing tells.
--   expected_from: "mode" where Mode said that time itself, "settings" where it is computed.
--   outcome: What became of that: succeeded, running, failed (cancelled too), not run; inactive for a schedule
--     without a next run that has never run; unknown where `expected_by` is empty.
--   grace_minutes: How long it may take after `expected_by`: a quarter of an hour to begin and twice the expected
--     runtime; half an hour where Mode expects none.
--   is_late: Whether the grace is over and no run of the schedule has succeeded since `expected_by`. A run by hand does
--     not count: it may have had other parameters, and nobody got it by e-mail.
--   minutes_late: Minutes since `expected_by`; 0 while it is not late.
--   last_succeeded_at: End of the last success of the schedule.
--   next_scheduled_run: When Mode says that it is due next; in the past where no sync has read the schedule since.
--   web_url: Address of the report in Mode.
--
-- checks:
--   late_is_later_than_the_grace: minutes_late = 0 OR minutes_late >= grace_minutes
--   nothing_is_expected_of_the_future: expected_by <= current_timestamp
WITH schedules AS (
  SELECT
    schedules.token AS schedule_token,
    schedules.name AS schedule_name,
    schedules.report_token,
    reports.name AS report_name,
    reports.web_url,
    schedules.created_at,
    schedules.frequency,
    -- without a word for it, what else is set tells the frequency
    LOWER(COALESCE(
      schedules.frequency,
      CASE WHEN schedules.day_of_week IS NOT NULL THEN 'weekly' END,
      CASE WHEN schedules.day_of_month IS NOT NULL THEN 'monthly' END,
      CASE WHEN schedules.cron_hour IS NOT NULL THEN 'daily' END
    )) AS rhythm,
    COALESCE(zones.iana_name, 'UTC') AS time_zone,
    zones.iana_name IS NOT NULL AS is_time_zone_known,
    CASE WHEN schedules.cron_hour BETWEEN 0 AND 23 THEN schedules.cron_hour END AS cron_hour,
    CASE WHEN schedules.cron_minute BETWEEN 0 AND 59 THEN schedules.cron_minute END AS cron_minute,
    LEFT(LOWER(TRIM(schedules.day_of_week)), 3) AS day_of_week,
    TRY_CAST(schedules.day_of_month AS INTEGER) AS day_of_month,
    schedules.last_run_at,
    schedules.last_succeeded_at,
    schedules.last_scheduled_run,
    schedules.next_scheduled_run,
    15 + CEIL(2 * LEAST(GREATEST(COALESCE(reports.expected_runtime, 450), 0), 86400) / 60) AS grace_minutes
  FROM mode_analytics_data.report_schedules AS schedules
  JOIN mode_analytics_data.reports AS reports ON reports.token = schedules.report_token
  LEFT JOIN mode_marts.time_zones AS zones ON LOWER(zones.name) = LOWER(TRIM(schedules.time_zone))
  WHERE schedules.deleted_at IS NULL AND reports.deleted_at IS NULL AND NOT COALESCE(reports.archived, FALSE)
),
-- `anchor` is a time at which it is known to be due, in its own time zone: better than the settings, which leave open
-- what day 0 is
anchored AS (
  SELECT
    *,
    current_timestamp AT TIME ZONE time_zone AS local_now,
    COALESCE(next_scheduled_run, CASE WHEN cron_hour IS NULL THEN last_scheduled_run END) AT TIME ZONE time_zone
      AS anchor
  FROM schedules
),
rules AS (
  SELECT
    *,
    COALESCE(EXTRACT(HOUR FROM anchor), cron_hour) * 60
    + COALESCE(EXTRACT(MINUTE FROM anchor), cron_minute, 0) AS minute_of_day,
    COALESCE(EXTRACT(ISODOW FROM anchor), CASE
      WHEN day_of_week IN ('1', 'mon') THEN 1
      WHEN day_of_week IN ('2', 'tue') THEN 2
      WHEN day_of_week IN ('3', 'wed') THEN 3
      WHEN day_of_week IN ('4', 'thu') THEN 4
      WHEN day_of_week IN ('5', 'fri') THEN 5
      WHEN day_of_week IN ('6', 'sat') THEN 6
      WHEN day_of_week IN ('0', '7', 'sun') THEN 7 -- Mode counts from Sunday
    END) AS weekday,
    COALESCE(EXTRACT(DAY FROM anchor), CASE WHEN day_of_month BETWEEN 1 AND 31 THEN day_of_month END) AS month_day,
    CASE rhythm WHEN 'every_15_minutes' THEN 15 WHEN 'every_30_minutes' THEN 30 WHEN 'hourly' THEN 60 END AS step
  FROM anchored
),
-- the last day on which that time of day has passed
days AS (
  SELECT
    *,
    CAST(local_now - minute_of_day * INTERVAL '1 minute' AS DATE) AS today,
    CAST(DATE_TRUNC('month', local_now - minute_of_day * INTERVAL '1 minute') AS DATE) AS this_month,
    -- minutes, the longest time between two runs, with an hour more for daylight saving
    COALESCE(step, CASE
      WHEN rhythm = 'daily' THEN 25 * 60
      WHEN rhythm LIKE '%weekday%' THEN 73 * 60
      WHEN rhythm = 'weekly' THEN 169 * 60
      WHEN rhythm = 'monthly' THEN 1489 * 60
    END) AS longest_wait
  FROM rules
),
due_days AS (
  SELECT
    *,
    CASE
      WHEN rhythm = 'daily' THEN today
      WHEN rhythm LIKE '%weekday%' THEN today - CAST(GREATEST(EXTRACT(ISODOW FROM today) - 5, 0) AS INTEGER)
      WHEN rhythm = 'weekly' THEN today - CAST((EXTRACT(ISODOW FROM today) - weekday + 7) % 7 AS INTEGER)
      WHEN rhythm <> 'monthly' THEN NULL
      -- like cron: a month without that day is passed over; two such months never follow each other
      WHEN EXTRACT(DAY FROM today) >= month_day THEN this_month + CAST(month_day - 1 AS INTEGER)
      WHEN EXTRACT(DAY FROM this_month - INTERVAL '1 day') >= month_day
        THEN CAST(this_month - INTERVAL '1 month' AS DATE) + CAST(month_day - 1 AS INTEGER)
      ELSE CAST(this_month - INTERVAL '2 months' AS DATE) + CAST(month_day - 1 AS INTEGER)
    END AS due_day,
    -- any time at the right minute will do for those that are due all day long
    COALESCE(
      next_scheduled_run,
      CAST(DATE_TRUNC('hour', local_now) + cron_minute * INTERVAL '1 minute' AS TIMESTAMP) AT TIME ZONE time_zone,
      last_scheduled_run,
      DATE_TRUNC('hour', current_timestamp)
    ) AS hourly_anchor
  FROM days
),
local_slots AS (
  SELECT *, CAST(due_day AS TIMESTAMP) + minute_of_day * INTERVAL '1 minute' AS local_slot
  FROM due_days
),
named_slots AS (
  SELECT *, CAST(local_slot AS TIMESTAMP) AT TIME ZONE time_zone AS named_slot
  FROM local_slots
),
slots AS (
  SELECT
    *,
    CASE
      WHEN step IS NOT NULL
        THEN hourly_anchor
          - step * CEIL((EPOCH(hourly_anchor) - EPOCH(current_timestamp)) / 60 / step) * INTERVAL '1 minute'
      -- when the clocks go back an hour comes twice, and AT TIME ZONE means the second one
      WHEN (named_slot - INTERVAL '1 hour') AT TIME ZONE time_zone = local_slot THEN named_slot - INTERVAL '1 hour'
      ELSE named_slot
    END AS slot
  FROM named_slots
),
-- what is computed counts only where it agrees with Mode: the next run may not be further away than the frequency says
beliefs AS (
  SELECT
    *,
    CASE
      WHEN slot <= current_timestamp
        AND (
          next_scheduled_run IS NULL OR next_scheduled_run <= current_timestamp
          OR next_scheduled_run <= slot + longest_wait * INTERVAL '1 minute'
        )
        THEN slot
    END AS computed,
    GREATEST(
      CASE WHEN last_scheduled_run <= current_timestamp THEN last_scheduled_run END,
      CASE WHEN next_scheduled_run <= current_timestamp THEN next_scheduled_run END
    ) AS said,
    CASE WHEN step IS NULL THEN 90 ELSE 0 END AS slack
  FROM slots
),
expectations AS (
  SELECT
    *,
    CASE WHEN said IS NULL OR said < computed - slack * INTERVAL '1 minute' THEN computed ELSE said END AS expected_by,
    CASE WHEN said IS NULL OR said < computed - slack * INTERVAL '1 minute' THEN 'settings' ELSE 'mode' END AS expected_from
  FROM beliefs
),
scheduled_runs AS (
  SELECT
    report_schedule_token AS schedule_token,
    MAX(created_at) AS last_begun_at,
    MAX(CASE WHEN outcome = 'succeeded' THEN created_at END) AS last_good_begun_at,
    MAX(CASE WHEN outcome = 'succeeded' THEN completed_at END) AS last_good_ended_at,
    MAX(CASE WHEN outcome = 'unfinished' THEN created_at END) AS last_unfinished_begun_at
  FROM mode_marts.run_facts
  WHERE report_schedule_token IS NOT NULL
  GROUP BY report_schedule_token
),
outcomes AS (
  SELECT
    expectations.*,
    GREATEST(expectations.last_succeeded_at, runs.last_good_ended_at) AS succeeded_at,
    CASE
      WHEN expected_by IS NULL OR expected_by < created_at THEN 'unknown'
      WHEN COALESCE(next_scheduled_run, last_scheduled_run, last_run_at, runs.last_begun_at) IS NULL THEN 'inactive'
      WHEN runs.last_good_begun_at >= expected_by THEN 'succeeded'
      WHEN last_run_at >= expected_by AND last_succeeded_at >= last_run_at THEN 'succeeded'
      WHEN runs.last_unfinished_begun_at >= expected_by THEN 'running'
      WHEN GREATEST(last_run_at, runs.last_begun_at) >= expected_by THEN 'failed'
      ELSE 'not run'
    END AS outcome
  FROM expectations
  LEFT JOIN scheduled_runs AS runs ON runs.schedule_token = expectations.schedule_token
),
lateness AS (
  SELECT
    *,
    outcome IN ('running', 'failed', 'not run')
    AND current_timestamp > expected_by + grace_minutes * INTERVAL '1 minute' AS is_late
  FROM outcomes
)
SELECT
  schedule_token,
  schedule_name,
  report_token,
  report_name,
  frequency,
  time_zone,
  is_time_zone_known,
  CASE WHEN outcome <> 'unknown' THEN expected_by END AS expected_by,
  CASE WHEN outcome <> 'unknown' THEN expected_from END AS expected_from,
  outcome,
  CAST(grace_minutes AS BIGINT) AS grace_minutes,
  is_late,
  CASE WHEN is_late THEN CAST(FLOOR((EPOCH(current_timestamp) - EPOCH(expected_by)) / 60) AS BIGINT) ELSE 0 END
    AS minutes_late,
  succeeded_at AS last_succeeded_at,
  next_scheduled_run,
  web_url
FROM lateness
