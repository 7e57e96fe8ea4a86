"""The workspace, its data sources and definitions, as Mode words them."""

from mode_dagster.sandbox.moment import Moment
from mode_dagster.sandbox.records import WORKSPACE, DataSource, Definition, Workspace
from mode_dagster.sandbox.shapes.wording import API, WEB, Json, links, person_link


def workspace(moment: Moment, record: Workspace) -> Json:
    """The workspace itself."""
    return {
        "id": 77,
        "token": record.token,
        "username": WORKSPACE,
        "name": "Sandbox Inc",
        "user": False,
        "created_at": "2020-01-01T00:00:00.000Z",
        "email": "data@example.com",
        "plan_code": "plus",
        "trial_state": "expired",
        "membership_type": "admin" if moment.history.options.admin else "full",
        "space_count": 0,  # reads 0 at Mode too
        "data_source_count": len(moment.history.data_sources),
        "default_data_source_token": moment.history.data_sources[0].token,
        "dataset_size_limit_mb": 10_000,
        "query_run_size_limit_mb": 10_000,
        "scim_enabled": False,
        "thoughtspot_integrated": False,
        "authorized_domains": ["example.com"],
        "settings": {},
        "avatar": {"type": "initials", "initials": "SI", "color_class": "c3"},
        **links(self=API, spaces=f"{API}/spaces", data_sources=f"{API}/data_sources", web=WEB),
    }


def data_source(moment: Moment, source: DataSource) -> Json:
    """A connected database."""
    spec = source.spec
    return {
        "id": source.id,
        "token": source.token,
        "name": spec.name,
        "display_name": spec.name,
        "description": f"{spec.name} of Sandbox Inc",
        "adapter": spec.adapter,
        "adapter_version": "3.2",
        "vendor": spec.vendor,
        "provider": spec.vendor,
        "database": "prod",
        "warehouse": "REPORTING" if spec.vendor == "snowflake" else None,
        "host": f"{spec.vendor}.example.com",
        "port": 443,
        "username": "mode_reader",
        "ssl": True,
        "ssl_trusted_cert": "-----BEGIN CERTIFICATE----- not a certificate -----END CERTIFICATE-----",
        "ldap": False,
        "bridged": spec.vendor == "postgresql",
        "public": False,
        "asleep": spec.soft_deleted,
        "queryable": not spec.soft_deleted,
        "soft_deleted": spec.soft_deleted,
        "has_expensive_schema_updates": False,
        "custom_attributes": {"standard_sql": True},
        "default_access_level": "query",
        "account_id": 77,
        "account_username": WORKSPACE,
        "organization_token": moment.history.token("workspace"),
        "organization_plan_code": "plus",
        "created_at": "2020-01-02T09:00:00.000Z",
        "updated_at": "2023-06-05T09:30:00.000Z",
        **links(
            self=f"{API}/data_sources/{source.token}",
            creator=person_link(source.creator),
            web=f"https://app.mode.com/organizations/{WORKSPACE}/data_sources/{source.token}",
        ),
    }


def definition(moment: Moment, record: Definition) -> Json:
    """A named piece of SQL."""
    return {
        "id": record.id,
        "token": record.token,
        "name": record.sql.name,
        "description": record.sql.name.replace("_", " ").capitalize(),
        "source": record.sql.text,
        "data_source_id": moment.history.data_sources[record.sql.data_source].id,
        "created_at": "2020-02-03T10:00:00.000Z",
        "updated_at": "2022-02-03T10:00:00.000Z",
        "last_saved_at": "2022-02-03T10:00:00.000Z",
        "last_successful_sync_at": None,
        "github_link": None,
        **links(
            self=f"{API}/definitions/{record.token}",
            creator=person_link(record.creator),
            web_edit=f"{WEB}/definitions/{record.token}/edit",
        ),
    }
