-- What each name of a time zone means that a schedule may have: names of the IANA database, the names that Mode's
-- schedules are made with (those of Ruby on Rails), and plain names of cities. Only zones that the destination knows are
-- here, because it fails on any other.
--
-- grain: one name of a time zone
-- key: name
-- question: Which time zone is meant by "Pacific Time (US & Canada)"?
--
-- columns:
--   name: The name as a schedule may have it.
--   iana_name: The zone's name in the IANA database, which DuckDB understands.
WITH known AS (
  SELECT name
  FROM pg_timezone_names()
),
-- Mode's other names are the city of the IANA name: Berlin, Hong Kong
rails AS (
  SELECT name, iana_name
  FROM (VALUES
    ('Midway Island', 'Pacific/Midway'), ('American Samoa', 'Pacific/Pago_Pago'), ('Hawaii', 'Pacific/Honolulu'),
    ('Alaska', 'America/Juneau'), ('Pacific Time (US & Canada)', 'America/Los_Angeles'),
    ('Mountain Time (US & Canada)', 'America/Denver'), ('Arizona', 'America/Phoenix'),
    ('Central Time (US & Canada)', 'America/Chicago'), ('Saskatchewan', 'America/Regina'),
    ('Guadalajara', 'America/Mexico_City'), ('Central America', 'America/Guatemala'),
    ('Eastern Time (US & Canada)', 'America/New_York'), ('Indiana (East)', 'America/Indiana/Indianapolis'),
    ('Quito', 'America/Lima'), ('Atlantic Time (Canada)', 'America/Halifax'), ('Newfoundland', 'America/St_Johns'),
    ('Brasilia', 'America/Sao_Paulo'), ('Georgetown', 'America/Guyana'), ('Greenland', 'America/Nuuk'),
    ('Mid-Atlantic', 'Atlantic/South_Georgia'), ('Cape Verde Is.', 'Atlantic/Cape_Verde'),
    ('Edinburgh', 'Europe/London'), ('Bern', 'Europe/Zurich'), ('West Central Africa', 'Africa/Algiers'),
    ('Pretoria', 'Africa/Johannesburg'), ('St. Petersburg', 'Europe/Moscow'), ('Abu Dhabi', 'Asia/Muscat'),
    ('Ekaterinburg', 'Asia/Yekaterinburg'), ('Islamabad', 'Asia/Karachi'), ('Chennai', 'Asia/Kolkata'),
    ('Mumbai', 'Asia/Kolkata'), ('New Delhi', 'Asia/Kolkata'), ('Astana', 'Asia/Almaty'),
    ('Sri Jayawardenepura', 'Asia/Colombo'), ('Rangoon', 'Asia/Yangon'), ('Hanoi', 'Asia/Bangkok'),
    ('Beijing', 'Asia/Shanghai'), ('Chongqing', 'Asia/Shanghai'), ('Osaka', 'Asia/Tokyo'), ('Sapporo', 'Asia/Tokyo'),
    ('Canberra', 'Australia/Sydney'), ('Solomon Is.', 'Pacific/Guadalcanal'), ('New Caledonia', 'Pacific/Noumea'),
    ('Marshall Is.', 'Pacific/Majuro'), ('Wellington', 'Pacific/Auckland'), ('Nuku''alofa', 'Pacific/Tongatapu'),
    ('Tokelau Is.', 'Pacific/Fakaofo'), ('Chatham Is.', 'Pacific/Chatham'), ('Samoa', 'Pacific/Apia'),
    ('International Date Line West', 'Etc/GMT+12')
  ) AS listed(name, iana_name)
),
meanings AS (
  SELECT rails.name, rails.iana_name, 1 AS rank
  FROM rails
  JOIN known ON known.name = rails.iana_name
  UNION ALL
  SELECT name, name AS iana_name, 2 AS rank
  FROM known
  UNION ALL
  SELECT REPLACE(REGEXP_REPLACE(name, '^.*/', ''), '_', ' ') AS name, name AS iana_name, 3 AS rank
  FROM known
  WHERE REGEXP_REPLACE(name, '/.*$', '') IN ('Africa', 'America', 'Asia', 'Atlantic', 'Australia', 'Europe', 'Pacific')
),
ranked AS (
  SELECT name, iana_name, ROW_NUMBER() OVER (PARTITION BY LOWER(name) ORDER BY rank, iana_name) AS place
  FROM meanings
)
SELECT
  name,
  iana_name
FROM ranked
WHERE place = 1
