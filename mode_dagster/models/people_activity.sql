-- What each person does in Mode, and what is left of those who are gone: members of the workspace, and everybody met
-- as the creator of a report or as the one who ran it; not the workspace's own account. Mode tells edits and views of
-- a person only in the discovery listing; elsewhere the audit log stands in for the last activity, where this key may
-- read it. Whoever is not a member has left; where no member at all was loaded (a key that may not list them), nobody
-- is said to have left.
--
-- grain: one person
-- key: username
-- question: Who uses Mode, who has left, and which live reports have nobody to look after them any more?
--
-- columns:
--   username: Username of the person; the e-mail where Mode says only that. Personal.
--   name: Name of the person, where Mode says it. Personal.
--   is_member: Whether the person is a member now; empty where members could not be listed.
--   is_admin: Whether the person is an admin of the workspace.
--   joined_at: When the person became a member.
--   left_at: When the person was removed, or was first found gone by a sync.
--   reports: Live, not archived reports that the person created.
--   scheduled_reports: Those of them that a schedule runs.
--   orphaned_reports: The same as `reports` for a person who has left, 0 for everybody else.
--   reports_created_90d: Reports created in the last 90 days, archived and deleted ones too.
--   manual_runs_30d: Runs without a schedule in the last 30 days, by hand or through the API with the person's key.
--   manual_runs_90d: The same in the last 90 days.
--   last_run_at: The last of those runs ever.
--   last_created_at: When the person last created a report.
--   last_edited_at: When the person last edited a report (discovery listing only).
--   last_viewed_at: When the person last viewed a report (discovery listing only).
--   last_active_at: The latest of all that is known of the person, the audit log included; scheduled runs do not count.
--
-- checks:
--   only_who_left_has_orphans: orphaned_reports = 0 OR is_member = FALSE
--   months_are_in_quarters: manual_runs_30d <= manual_runs_90d
WITH accounts AS (
  SELECT
    COALESCE(memberships.member_username, members.member_username, memberships.email, members.member_email) AS username,
    memberships.name,
    memberships.admin AND memberships.deleted_at IS NULL AS is_admin,
    (
      memberships.member_token IS NOT NULL
      AND memberships.deleted_at IS NULL
      AND NOT COALESCE(memberships.invited, FALSE)
    )
    OR (
      members.member_token IS NOT NULL
      AND members.deleted_at IS NULL
      AND members.banned_at IS NULL
      AND COALESCE(members.state, 'active') = 'active'
    ) AS is_member,
    COALESCE(memberships.activated_at, members.activated_at) AS joined_at,
    COALESCE(members.banned_at, memberships.deleted_at, members.deleted_at) AS left_at,
    members.last_report_edited_at AS last_edited_at,
    members.last_report_viewed_at AS last_viewed_at,
    GREATEST(members.last_report_created_at, members.last_report_run_at, members.last_day_engaged) AS last_engaged_at
  FROM mode_analytics_data.memberships AS memberships
  FULL JOIN mode_analytics_data.members AS members ON members.member_token = memberships.member_token
),
members AS (
  SELECT
    username,
    MAX(name) AS name,
    BOOL_OR(is_member) AS is_member,
    BOOL_OR(is_admin) AS is_admin,
    MIN(joined_at) AS joined_at,
    MAX(left_at) AS left_at,
    MAX(last_edited_at) AS last_edited_at,
    MAX(last_viewed_at) AS last_viewed_at,
    MAX(last_engaged_at) AS last_engaged_at
  FROM accounts
  WHERE username IS NOT NULL
  GROUP BY username
),
names AS (
  SELECT username, MAX(name) AS name
  FROM mode_analytics_data.users
  GROUP BY username
),
reports AS (
  SELECT
    owners.owner_username AS username,
    reports.created_at,
    reports.deleted_at IS NULL AND NOT COALESCE(reports.archived, FALSE) AS is_live,
    owners.schedules IS NOT NULL AS is_scheduled
  FROM mode_analytics_data.reports AS reports
  LEFT JOIN mode_marts.report_owners AS owners ON owners.report_token = reports.token
),
created AS (
  SELECT
    username,
    COUNT(*) FILTER (WHERE is_live) AS reports,
    COUNT(*) FILTER (WHERE is_live AND is_scheduled) AS scheduled_reports,
    COUNT(*) FILTER (WHERE created_at >= current_timestamp - INTERVAL '90 days') AS reports_created_90d,
    MAX(created_at) AS last_created_at
  FROM reports
  WHERE username IS NOT NULL
  GROUP BY username
),
executed AS (
  SELECT
    executed_by_username AS username,
    COUNT(*) FILTER (WHERE trigger = 'manual' AND created_at >= current_timestamp - INTERVAL '30 days')
      AS manual_runs_30d,
    COUNT(*) FILTER (WHERE trigger = 'manual' AND created_at >= current_timestamp - INTERVAL '90 days')
      AS manual_runs_90d,
    MAX(created_at) FILTER (WHERE trigger = 'manual') AS last_run_at
  FROM mode_marts.run_facts
  WHERE executed_by_username IS NOT NULL
  GROUP BY executed_by_username
),
audited AS (
  SELECT actor_username AS username, MAX(timestamp) AS last_audited_at
  FROM mode_analytics_data.audit_logs
  WHERE actor_username IS NOT NULL
  GROUP BY actor_username
),
workspace_accounts AS (
  SELECT username FROM mode_analytics_data.workspaces WHERE username IS NOT NULL
  UNION
  SELECT username FROM mode_analytics_data.users WHERE username IS NOT NULL AND NOT "user"
),
people AS (
  SELECT username FROM members
  UNION
  SELECT username FROM created
  UNION
  SELECT username FROM executed
),
known AS (
  SELECT
    people.username,
    COALESCE(members.name, names.name) AS name,
    CASE
      WHEN members.username IS NOT NULL THEN members.is_member
      WHEN (SELECT COUNT(*) FROM members) > 0 THEN FALSE
    END AS is_member,
    COALESCE(members.is_admin, FALSE) AS is_admin,
    members.joined_at,
    CASE WHEN NOT members.is_member THEN members.left_at END AS left_at,
    COALESCE(created.reports, 0) AS reports,
    COALESCE(created.scheduled_reports, 0) AS scheduled_reports,
    COALESCE(created.reports_created_90d, 0) AS reports_created_90d,
    COALESCE(executed.manual_runs_30d, 0) AS manual_runs_30d,
    COALESCE(executed.manual_runs_90d, 0) AS manual_runs_90d,
    executed.last_run_at,
    created.last_created_at,
    members.last_edited_at,
    members.last_viewed_at,
    members.last_engaged_at,
    audited.last_audited_at
  FROM people
  LEFT JOIN members ON members.username = people.username
  LEFT JOIN created ON created.username = people.username
  LEFT JOIN executed ON executed.username = people.username
  LEFT JOIN audited ON audited.username = people.username
  LEFT JOIN names ON names.username = people.username
  WHERE people.username NOT IN (SELECT username FROM workspace_accounts)
)
SELECT
  username,
  name,
  is_member,
  is_admin,
  joined_at,
  left_at,
  reports,
  scheduled_reports,
  CASE WHEN is_member = FALSE THEN reports ELSE 0 END AS orphaned_reports,
  reports_created_90d,
  manual_runs_30d,
  manual_runs_90d,
  last_run_at,
  last_created_at,
  last_edited_at,
  last_viewed_at,
  GREATEST(last_run_at, last_created_at, last_edited_at, last_viewed_at, last_engaged_at, last_audited_at)
    AS last_active_at
FROM known
