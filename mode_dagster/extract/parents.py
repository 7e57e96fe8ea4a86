"""What lists hang on: the rows of the tables above, just read or stored.

Here: which parents a table's lists have in this sync, and what is known of each.
Not here: which of the lists are due (`due`), SQL (`stored`), the order of the tables (`sync`).
"""

from collections.abc import Iterable, Iterator
from itertools import chain
from typing import TYPE_CHECKING

from mode_dagster.extract.endpoints import BY_NAME, FINISHED, Endpoint
from mode_dagster.extract.ledger import Values, is_before, kept_for_children
from mode_dagster.extract.personal import PersonalData

if TYPE_CHECKING:
    from mode_dagster.extract.sync import Sync


class Parents:
    """Tells what the lists of each table hang on."""

    def __init__(self, sync: "Sync") -> None:
        self._sync = sync
        self.usernames: set[str] = set()
        """People met so far in what was read."""

    def of(self, endpoint: Endpoint) -> Iterable[Values]:
        """One entry for each list of a table: what fills its path, and the parent's counters and times."""
        route = self._sync.table(endpoint.name).due_lists.route
        if route.names_person:
            names = self.usernames
            if self._sync.settings.personal_data is PersonalData.KEEP:  # of a hash Mode knows nothing
                names = names | self._sync.stored.people_not_looked_up
            return [{"username": name} for name in sorted(names)]
        if route.parent is None:
            return [{}]
        if route.parent == "runs":
            return self._runs_to_look_into()
        known = self._known(BY_NAME[route.parent])
        if not route.also:
            return known
        # rows of another table that have such a list, named as the parent's are
        others = self._known(BY_NAME[route.also])
        return chain(known, ({**values, route.owner: values[f"{BY_NAME[route.also].noun}_token"]} for values in others))

    def report_tokens(self) -> set[str]:
        """The reports that are known."""
        return {str(values["report_token"]) for values in self._known(BY_NAME["reports"])}

    def age(self, endpoint: Endpoint) -> str:
        """How old the stored rows are that stand in for a table's parent; empty where it was read now."""
        sync, parent = self._sync, self._sync.table(endpoint.name).due_lists.route.parent
        if parent is None or sync.table(parent).done or not (read := sync.stored.read_at(parent)):
            return ""
        minutes = max(0, int((sync.now() - read).total_seconds() // 60))
        return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h"

    def _known(self, endpoint: Endpoint) -> Iterator[Values]:
        """The rows of a table as children need them: just read, or stored where they were not read again."""
        table, stored = self._sync.table(endpoint.name), self._sync.stored
        if table.due_lists.is_listing:
            yield from table.values if table.done else stored.rows(endpoint, kept_for_children(endpoint))
            return
        owner = endpoint.list_columns[-1]
        above = {values[owner]: values for values in self.of(endpoint)}
        for row in stored.rows(endpoint, endpoint.list_columns):
            if row[owner] in above and row[owner] not in table.read:
                yield {**above[row[owner]], **row}
        yield from table.values

    def _runs_to_look_into(self) -> list[Values]:
        """Runs whose query runs were not read since they finished, and all of a report that is read the first time.

        Not those of a report that is gone: Mode would refuse each of them, again and again. Where no report is known,
        because only runs were ever loaded, none is known to be gone.
        """
        sync, reports = self._sync, self.report_tokens()
        since = sync.since("query_run_days")
        if sync.reconcile:
            stored: Iterable[Values] = sync.stored.rows(BY_NAME["runs"], ["report_token", "state", "created_at"])
        else:
            stored = sync.stored.runs_without_query_runs(since)
        runs = {run["run_token"]: run for run in stored if not reports or run["report_token"] in reports}
        runs |= {run["run_token"]: run for run in sync.table("runs").values}
        return [
            run
            for run in runs.values()
            if (run.get("state") in FINISHED or run.get("is_first_load")) and not is_before(run, since)
        ]
