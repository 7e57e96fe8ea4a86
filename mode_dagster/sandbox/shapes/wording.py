"""What every answer of the REST API is worded with: times, links, forms, addresses.

Not here: any one kind of thing (the modules beside this one).
"""

from datetime import datetime
from typing import Any

from mode_dagster.sandbox.moment import Moment
from mode_dagster.sandbox.records import WORKSPACE

Json = dict[str, Any]

API = f"/api/{WORKSPACE}"
WEB = f"https://app.mode.com/{WORKSPACE}"
FORMS: Json = {
    verb: {
        "method": method,
        "action": {"href": "/api/…", "templated": False},
        "input": {
            "item": {
                name: {"type": "text", "value": ""} for name in ("name", "description", "space_token", "account_id")
            }
        },
    }
    for verb, method in (("edit", "patch"), ("destroy", "delete"), ("archive", "patch"), ("star", "post"))
}
"""Write templates: on every item, large and useless to a reader."""


def iso(moment: datetime | None) -> str | None:
    """A time as Mode writes it: UTC with milliseconds and a Z."""
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z") if moment else None


def links(**hrefs: str | None) -> Json:
    """Links by relation, without those that have no address."""
    return {"_links": {rel: {"href": href} for rel, href in hrefs.items() if href}, "_forms": FORMS}


def person_link(username: str) -> str:
    """Where an account is found."""
    return f"/api/{username}"


def number(moment: Moment, token: str) -> int:
    """A numeric id for a thing that has a token."""
    return moment.history.roll("id", token) % 10_000_000
