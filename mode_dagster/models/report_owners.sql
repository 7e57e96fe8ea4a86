-- Whose each report and dataset is, archived and deleted ones too, and who gets a report without looking for it. The
-- discovery listing names creators by e-mail: their usernames are looked up among the people that Mode lists.
--
-- grain: one report or dataset
-- key: report_token
-- question: Whose is a report, and how many people get it by e-mail?
--
-- columns:
--   report_token: Token of the report or dataset.
--   owner_username: Username of the person who created it; the e-mail where Mode says only that. Personal.
--   schedules: How many schedules the report has; empty without any.
--   subscribers: How many people get it by e-mail, counted once for each schedule; empty where Mode does not say.
--
-- checks:
--   counts_are_not_negative: COALESCE(schedules, 1) > 0 AND COALESCE(subscribers, 0) >= 0
WITH reports AS (
  SELECT token, MAX(creator_username) AS creator_username, MAX(creator_email) AS creator_email
  FROM (
    SELECT token, creator_username, creator_email FROM mode_analytics_data.reports
    UNION ALL
    SELECT token, creator_username, creator_email FROM mode_analytics_data.datasets
  ) AS reports_and_datasets
  GROUP BY token
),
emails AS (
  SELECT email, MIN(username) AS username
  FROM (
    SELECT member_email AS email, member_username AS username FROM mode_analytics_data.members
    UNION ALL
    SELECT email, member_username FROM mode_analytics_data.memberships
    UNION ALL
    SELECT email, username FROM mode_analytics_data.users
  ) AS people
  GROUP BY email
),
schedules AS (
  SELECT report_token, COUNT(*) AS schedules, SUM(subscriber_count) AS subscribers
  FROM mode_analytics_data.report_schedules
  WHERE deleted_at IS NULL
  GROUP BY report_token
),
subscriptions AS (
  SELECT report_token, SUM(email_subscriber_count) AS subscribers
  FROM mode_analytics_data.report_subscriptions
  WHERE deleted_at IS NULL
  GROUP BY report_token
)
SELECT
  reports.token AS report_token,
  COALESCE(reports.creator_username, emails.username, reports.creator_email) AS owner_username,
  schedules.schedules,
  -- both count the same people
  CAST(GREATEST(schedules.subscribers, subscriptions.subscribers) AS BIGINT) AS subscribers
FROM reports
LEFT JOIN emails ON emails.email = reports.creator_email
LEFT JOIN schedules ON schedules.report_token = reports.token
LEFT JOIN subscriptions ON subscriptions.report_token = reports.token
