"""Reading one list whole, with what is tolerated on the way and what is refused.

Here: one list of one endpoint, in a thread.
Not here: which lists (`due`), their order and what is noted of them (`table`), pages (`client`).
"""

import logging
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING

from mode_dagster.extract.audit_log import AuditLog
from mode_dagster.extract.client import PAGE, FetchedList, identity
from mode_dagster.extract.due import DueLists
from mode_dagster.extract.endpoints import Endpoint, Pager, Route, spoken, way_in
from mode_dagster.extract.errors import (
    ModeConfigError,
    ModeDoubtError,
    ModeError,
    ModeListingError,
    ModeResponseError,
)
from mode_dagster.extract.ledger import HISTORY_DAYS, Values, is_before, moment
from mode_dagster.extract.rows import Row

if TYPE_CHECKING:
    from mode_dagster.extract.sync import Sync

logger = logging.getLogger(__name__)

NO_FLAT_LIST = 'Mode itself has no such list: set listing to "collections"'
NO_SUCH_ROUTE = "request path not recognized"
"""What Mode says of a path that it does not know, be it one that names something that is gone."""
UNKNOWN_PATHS = 3
"""Lists of a table that Mode must know no path of, and know none other, before the rest is not asked for."""


class ListReader:
    """Reads single lists of one endpoint; any thread may ask it."""

    def __init__(self, sync: "Sync", lists: DueLists) -> None:
        self._sync = sync
        self._lists = lists
        self._endpoint = lists.endpoint
        self._route = lists.route
        self._unknown_paths = 0
        self._has_read = False

    @property
    def rows_since(self) -> datetime | None:
        """Before when rows are not wanted; None for no bound."""
        return self._sync.since(HISTORY_DAYS) if self._endpoint.days == HISTORY_DAYS else None

    @property
    def is_pointless(self) -> bool:
        """Whether Mode was found to have no such route: it may say the same of one that is gone, but not of each."""
        return self._unknown_paths >= UNKNOWN_PATHS and not self._has_read

    def read(self, values: Values) -> FetchedList | int:
        """One list, or the status with which it was refused, where that is tolerated.

        Raises:
            ModeError: It could not be read, for another reason.
        """
        refused = 0
        for path in filter(None, (self._route.path, self._route.fallback)):
            try:
                fetched = self._read_whole(replace(self._route, path=path), values)
                self._has_read = True
                return fetched
            except ModeError as error:
                refused = self._tolerate(values, error, is_last=path == (self._route.fallback or path))
        return refused

    def first_page(self, values: Values) -> FetchedList | None:
        """The newest rows of a list, for an estimate; None where it could not be read.

        Raises:
            ModeError: Mode is out of reach, or the credentials are wrong.
        """
        _, ask = self._request(self._route, values)
        try:
            return ask(is_enough=lambda _: True)
        except ModeError as error:
            if error.status in (None, 401):
                raise
            return None

    def stream(self, is_spent: Callable[[], bool]) -> Iterator[list[Row] | int]:
        """The audit log page by page; or the status with which it was refused, where that is tolerated.

        Args:
            is_spent: Whether no more requests may be made.

        Raises:
            ModeError: It could not be read, for another reason, or not to its end.
        """
        has_begun = False
        try:
            for page in AuditLog(self._sync, self._lists).pages(_intent(self._endpoint, self._route, {}), is_spent):
                has_begun = True
                yield page
        except ModeError as error:
            if has_begun:  # what is refused later is not refused for want of rights
                raise
            yield self._tolerate({}, error, is_last=True)

    def _read_whole(self, route: Route, values: Values) -> FetchedList:
        """A list, with proof against what would pass for rows that are gone.

        A row that moves to a page already read while the list is being read would be missed: where rows are lacking
        from a list of several pages, it is read once more.

        Raises:
            ModeResponseError: Rows were there before, or Mode says that there are some, and there is no list in the
                answer, or pages are lacking.
            ModeDoubtError: The list is empty, and Mode's counter says otherwise.
        """
        counter = self._lists.counter(values)
        intent, ask = self._request(route, values, counter)
        fetched = ask(is_enough=self._is_enough(values))
        # what is history is never marked as deleted, and may be longer here than in Mode
        before = 0 if self._endpoint.history else self._lists.stored_rows(values)
        known = max(counter or 0, fetched.total_count or 0, before)
        if not fetched.is_list and not fetched.rows and known:
            raise ModeResponseError(
                f"Could not {intent}: the answer has no list, and there were {known} rows. Nothing of it was taken; "
                "run it again later, and look at Mode if it stays so."
            )
        accepted = self._endpoint.name in self._sync.accept_shrunk
        # the counter of a list of charts by query is that of the report
        counted = counter if len(route.placeholders) < 2 else None
        if before and counted and not fetched.rows and not accepted:
            fetched = ask()
            if not fetched.rows:
                raise ModeDoubtError(
                    f"Could not {intent}: Mode counts {counted} there, and gives none. Nothing was "
                    "marked as deleted; run it again later, or, if they are gone, once with "
                    f"accept_shrunk: [{self._endpoint.name}]."
                )
        has_pages = fetched.pages > 1 and (route.pager is not Pager.UNSEEN or len(fetched.rows) >= PAGE)
        if (has_pages or fetched.is_broken_off) and self._lacks_rows(fetched, before):
            fetched = fetched.and_again(ask())
            if fetched.is_broken_off and self._lacks_rows(fetched, before) and not accepted:
                raise ModeResponseError(
                    f"Could not {intent}: page {fetched.pages + 1} is HTTP 404, and rows are lacking that were there "
                    "before. Nothing of it was taken; run it again later, or, if they are gone, once with "
                    f"accept_shrunk: [{self._endpoint.name}]."
                )
        if fetched.is_short:
            raise ModeResponseError(
                f"Could not {intent}: Mode says there are {fetched.pages_said} pages, and gave {fetched.pages}. "
                "Nothing of it was taken; run it again later."
            )
        return fetched

    def _request(
        self, route: Route, values: Values, expected: int | None = None
    ) -> tuple[str, Callable[..., FetchedList]]:
        """What a list is asked for, as it reads after "Could not", and how."""
        path_values = {name: str(values[name]) for name in route.placeholders}
        intent, name = _intent(self._endpoint, route, path_values), self._endpoint.name
        return intent, partial(
            self._sync.client.read_list, route, path_values, intent, expected=expected, counted_as=name
        )

    def _lacks_rows(self, fetched: FetchedList, before: int) -> bool:
        """Whether there are fewer rows than Mode counts, another table's with them, or than were stored before."""
        if self._endpoint.history:
            return False
        return len(fetched.rows) < (fetched.total_count or 0) or len(own_rows(self._route, fetched.rows)) < before

    def _is_enough(self, values: Values) -> Callable[[list[Row]], bool] | None:
        """When newest-first runs need not be read further back."""
        since, token = self.rows_since, self._lists.list_token(values)
        newest = self._lists.newest.get(token) if self._lists.is_incremental(values) else None
        if since is None and not newest:
            return None
        wanted = {**newest, **self._lists.unfinished.get(token, {})} if newest else {}

        def is_enough(page: list[Row]) -> bool:
            # a server that has the oldest first, as Mode's reference leaves open, has the newest on the last page
            if not page or is_before(page[0], moment(page[-1].get("created_at"))):
                return False
            for run in [run for run, created in wanted.items() if is_before(page[-1], created)]:
                del wanted[run]  # what should have been met by now is gone from Mode
            for row in page:
                wanted.pop(identity(row), None)
            return bool(newest and not wanted) or is_before(page[-1], since)

        return is_enough

    def _tolerate(self, values: Values, error: ModeError, *, is_last: bool) -> int:
        """The status of a refusal that concerns this list alone; any other error is raised.

        Args:
            is_last: Whether there is no other path where the list may be.

        Raises:
            ModeListingError: A listing that was readable before is refused now.
        """
        route, status = self._route, error.status
        is_way_in = self._endpoint.name == way_in(self._sync.settings.listing).name
        optional = route.parent is None and status in (403, 404) and not is_way_in
        if status is not None and (status in route.tolerate or optional):
            self._unknown_paths += NO_SUCH_ROUTE in str(error) and is_last
            if status != 404 and self._lists.is_listing and is_last:
                self._refuse_to_forget(values, error)
            logger.info("%s: %s", self._endpoint.name, error)
            return status
        if status == 404 and is_way_in and route.parent is None:
            hint = (
                f"{NO_FLAT_LIST}."
                if route.pager is Pager.NEXT
                else f"Is {self._sync.settings.workspace!r} the workspace's name in Mode's URLs, "
                "does the API token belong to it, and is base_url Mode's API (https://app.mode.com/api)?"
            )
            raise ModeConfigError(f"{error} {hint}", status=404) from None
        raise error

    def _refuse_to_forget(self, values: Values, error: ModeError) -> None:
        stored = self._lists.stored_rows(values)
        if stored and not self._endpoint.history:
            raise ModeListingError(
                f"{error} Its {stored} rows are still stored and were not marked as deleted: give the API token "
                "its access back, or delete the rows.",
                status=error.status,
            ) from None


def own_rows(route: Route, rows: list[Row]) -> list[Row]:
    """The rows of a list that are not another table's."""
    return [row for row in rows if not (route.skip_type and row.get("type") == route.skip_type)]


def _intent(endpoint: Endpoint, route: Route, path_values: dict[str, str]) -> str:
    """What one request is for, as it reads after "Could not"."""
    if route.names_person:
        return "look up a person"
    owners = ", ".join(f"{spoken(name.removesuffix('_token'))} {value}" for name, value in path_values.items())
    return f"list {spoken(endpoint.name)}{f' of {owners}' if owners else ''}"
