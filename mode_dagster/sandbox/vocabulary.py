"""The words that the made-up workspace is made of: people, titles, SQL, data sources, error messages.

Not here: which report gets which of them (`world`). No person, company or database in here is real.
"""

from typing import NamedTuple

PEOPLE = (
    "Ada Marlow",
    "Ben Okafor",
    "Chiara Voss",
    "Dmitri Halvorsen",
    "Elena Quist",
    "Farid Nasser",
    "Greta Lindqvist",
    "Hugo Tavares",
    "Ines Calder",
    "Jonas Whitby",
    "Keiko Arden",
    "Liam Prescott",
    "Mina Rautio",
    "Noor Ellery",
    "Otto Brandt",
    "Priya Sandhu",
    "Quentin Roe",
)
LEFT = 3
"""The last so many of them are no longer members; of the very last, not even the account is left."""

SPACES = (
    "Company Metrics",
    "Growth",
    "Finance",
    "",
    "Product Analytics",
    "Customer Success",
    "Data Platform",
    "Risk",
)
"""The empty one is somebody's personal collection, named after its owner."""

TOPICS = (
    "Revenue", "Churn", "Signups", "Orders", "Refunds", "Support Tickets", "Web Traffic", "Campaigns",
    "Inventory", "Pipeline", "Invoices", "Feature Usage", "Retention", "Shipping",
)  # fmt: skip
ANGLES = (
    "Overview",
    "by Region",
    "Weekly Review",
    "Deep Dive",
    "KPIs & Targets",
    "Board Pack",
    "Health Check",
)
DATASETS = ("Customers", "Order Lines", "Sessions", "Subscriptions")

CHART_TYPES = ("bar", "line", "bigNumber", "table", "area", "pie", "scatter")
CHART_TITLES = ("Trend", "Totals &amp; shares", "By region", "Top 10", "", "This month vs last", "Detail")
AUDIT_ACTIONS = (
    "report.viewed",
    "report.run",
    "report.edited",
    "member.login",
    "space.updated",
    "data_source.queried",
)


class DataSource(NamedTuple):
    """A database as the workspace names it."""

    name: str
    adapter: str
    vendor: str
    soft_deleted: bool = False


DATA_SOURCES = (
    DataSource("Warehouse", "jdbc:snowflake", "snowflake"),
    DataSource("Event Lake", "jdbc:bigquery", "bigquery"),
    DataSource("App Replica", "jdbc:postgresql", "postgresql"),
    DataSource("Lakehouse", "jdbc:databricks", "databricks"),
    DataSource("Old Redshift", "jdbc:redshift", "redshift", soft_deleted=True),
)


class Sql(NamedTuple):
    """A piece of SQL, the place of its data source, and its columns."""

    name: str
    data_source: int
    text: str
    columns: tuple[str, ...] = ("day", "total")


DEFINITIONS = (
    Sql("active_customers", 0, "select c.* from analytics.customers c where c.closed_at is null"),
    Sql("net_revenue", 0, "select o.id, o.customer_id, o.ordered_at, o.amount - coalesce(r.amount, 0) as net\n"
        "from analytics.orders o left join analytics.refunds r on r.order_id = o.id"),
    Sql("paying_accounts", 2, "select distinct account_id from billing.subscriptions where state = 'active'"),
    Sql("internal_users", 1, "select user_id from events.users where email like '%@example.com'"),
)  # fmt: skip

QUERIES = (
    Sql("Revenue by day", 0, """
select date_trunc('day', o.ordered_at) as day, sum(o.amount) as revenue, count(*) as orders
from analytics.orders o
join analytics.customers c on c.id = o.customer_id
where o.status <> 'cancelled'
group by 1
order by 1 desc
limit [rows]""", ("day", "revenue", "orders")),
    Sql("Churned accounts", 2, """
with last_seen as (
  select account_id, max(occurred_at) as seen_at from app.sessions group by account_id
), paying as (
  select account_id from {{ @paying_accounts as p }}
)
select a.name, s.seen_at
from app.accounts a
join last_seen s on s.account_id = a.id
left join paying on paying.account_id = a.id
where paying.account_id is null
limit [rows]""", ("name", "seen_at")),
    Sql("Net revenue by segment", 0, """
select c.segment, sum(n.net) as net_revenue
from {{ @net_revenue as n }}
join {{ @active_customers as c }} on c.id = n.customer_id
group by 1
having sum(n.net) > [rows]""", ("segment", "net_revenue")),
    Sql("Funnel", 1, """
select step, count(distinct user_id) as users
from `sandbox-inc.events.funnel_steps`
where user_id not in (select user_id from {{ @internal_users as i }})
group by step
order by users desc
limit [rows]""", ("step", "users")),
    Sql("Orders in a country", 0, """
{% assign cutoff = '2024-01-01' %}
select o.id, o.ordered_at, o.amount
from analytics.orders o
join analytics.customers c on c.id = o.customer_id
where o.ordered_at >= '{{ cutoff }}'
{% if country != 'all' %} and c.country = '{{ country }}' {% endif %}
limit [rows]
{% form %}
country:
  type: select
  default: all
  options: [[Everywhere, all], [Germany, DE], [Kenya, KE]]
{% endform %}""", ("id", "ordered_at", "amount")),
    Sql("Ticket backlog", 2, """
select t.priority, count(*) as open_tickets, min(t.opened_at) as oldest
from support.tickets t
left join support.agents g on g.id = t.agent_id
where t.closed_at is null
group by t.priority
limit [rows]""", ("priority", "open_tickets", "oldest")),
    Sql("Feature adoption", 3, """
with used as (
  select feature, account_id, min(event_date) as first_used
  from product.usage.feature_events
  group by feature, account_id
)
select u.feature, count(*) as accounts
from used u join product.core.accounts a on a.id = u.account_id
group by u.feature
limit [rows]""", ("feature", "accounts")),
    Sql("Staged shipping costs", 4, """
create temporary table shipping as
  select order_id, sum(cost) as cost from logistics.shipments group by order_id;
select o.region, avg(s.cost) as cost
from legacy.orders o join shipping s on s.order_id = o.id
group by o.region
limit [rows]""", ("region", "cost")),
    Sql("Campaign spend", 1, """
select c.channel, sum(s.spend) as spend, sum(s.clicks) as clicks
from marketing.campaigns c join marketing.ad_spend s on s.campaign_id = c.id
group by c.channel
limit [rows]""", ("channel", "spend", "clicks")),
)  # fmt: skip

BROKEN = Sql("Margin (broken)", 0, "select region, sum(amount from analytics.orders group by region limit [rows]")

FAILURES = (
    ("SqlUnknownColumn", "column \"segmnt\" does not exist"),
    ("ResourceFailure", "The warehouse was suspended while the query ran"),
    ("QueryTimeout", "Query was cancelled after 600 seconds"),
)  # fmt: skip
SYNTAX_ERROR = ("SqlSyntaxError", 'syntax error at or near "from"')

LAYOUT = (
    '<div class="mode-header embed-hidden"><h1>{{ title }}</h1><p>{{ description }}</p></div>\n'
    '<div class="mode-grid container">\n'
    + '  <div class="row"><div class="col-md-6"><mode-chart id="chart_{{ n }}" dataset="dataset" '
    'options="chart_options"></mode-chart></div></div>\n' * 9
    + "</div>\n"
)  # fmt: skip
