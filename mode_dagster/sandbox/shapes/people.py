"""People, members, groups, permissions and the audit log, as Mode words them."""

from mode_dagster.sandbox.moment import Moment
from mode_dagster.sandbox.records import WORKSPACE, Audited, Group, Membership, Permission, Person
from mode_dagster.sandbox.shapes.wording import API, Json, iso, links, person_link


def user(moment: Moment, person: Person) -> Json:
    """A person's account; no e-mail, as Mode does it today."""
    return {
        "id": person.id,
        "token": person.token,
        "username": person.username,
        "name": person.name,
        "user": True,
        "email_verified": True,
        "created_at": iso(person.joined_at),
        "avatar": {"type": "initials", "initials": person.name[0], "color_class": f"c{person.id % 9}"},
        **links(self=person_link(person.username), web=f"https://app.mode.com/{person.username}"),
    }


def membership(moment: Moment, person: Person) -> Json:
    """A member, without name and e-mail."""
    return {
        "token": person.membership_token,
        "member_token": person.member_token,
        "member_username": person.username,
        "state": "active",
        "admin": person.admin,
        "invited": False,
        "managed_by_scim": False,
        "activated_at": iso(person.joined_at),
        **links(self=f"{API}/memberships/{person.membership_token}", user=person_link(person.username)),
    }


def membership_lite(moment: Moment, person: Person) -> Json:
    """A member in the short list that every key may read."""
    return {
        "member_token": person.member_token,
        "username": person.username,
        "name": person.name,
        "email": person.email,
        "state": "active",
        "admin": person.admin,
    }


def group(moment: Moment, record: Group) -> Json:
    """A group; it has no timestamps."""
    return {
        "id": record.id,
        "token": record.token,
        "name": record.name,
        "description": None,
        "group_type": "custom",
        "state": "active",
        "member_count": len(record.members),
        "spaces_count": 1,
        "data_sources_count": 0,
        "managed": False,
        **links(
            self=f"{API}/groups/{record.token}",
            creator=person_link(record.creator),
            group_memberships=f"{API}/groups/{record.token}/memberships",
            web=f"https://app.mode.com/organizations/{WORKSPACE}/groups/{record.token}",
        ),
    }


def group_membership(moment: Moment, record: Membership) -> Json:
    """Somebody's place in a group."""
    return {
        "token": record.token,
        "member_token": record.person.member_token,
        **links(
            self=f"{API}/groups/{record.owner.token}/memberships/{record.token}",
            member=person_link(record.person.username),
            creator=person_link(record.owner.creator),
        ),
    }


def space_membership(moment: Moment, record: Membership) -> Json:
    """Somebody's place in a collection; the member's id is a username on the wire."""
    return {
        "token": record.token,
        "member_token": record.person.member_token,
        "member_type": "Account",
        "member_id": record.person.username,
        "email": record.person.email,
        **links(self=f"{API}/spaces/{record.owner.token}/memberships/{record.token}"),
    }


def space_permission(moment: Moment, record: Permission) -> Json:
    """What a person or group may do in a collection."""
    kind = "UserGroup" if isinstance(record.accessor, Group) else "Account"
    return {
        "token": record.token,
        "accessor_type": kind,
        "accessor_token": record.accessor.token,
        "accessor_id": record.accessor.id,
        "action": "view" if kind == "UserGroup" else "edit",
        "created_at": "2021-03-04T08:00:00.000Z",
        "updated_at": "2021-03-04T08:00:00.000Z",
        **links(self=f"{API}/spaces/{record.space.token}/permissions/{record.token}"),
    }


def audit_log(moment: Moment, record: Audited) -> Json:
    """An event of the audit log; its time has microseconds."""
    return {
        "id": record.id,
        "action": record.action,
        "description": f"{record.actor.name}: {record.action}",
        "timestamp": record.timestamp.isoformat(timespec="microseconds").replace("+00:00", "Z"),
        "context": {"correlation_id": moment.history.token("correlation", record.id)},
        "actor": {
            "username": record.actor.username,
            "user_id": record.actor.id,
            "ip": f"192.0.2.{record.actor.id % 250}",
            "user_agent": "Mozilla/5.0 (made up)",
        },
        "entity": {"entity_type": "Report", "entity_id": record.report.id, "entity_name": record.report.name},
        "workspace_username": WORKSPACE,
    }
