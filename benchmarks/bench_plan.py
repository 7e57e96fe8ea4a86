"""How near the plan of a first load is to what the load then asks for.

`python benchmarks/bench_plan.py [--sizes 40,300,2000]`: for each size and listing the requests that a sync's own plan
says, those that `mode-dagster plan` says, which looks at some reports' runs first, and those that it takes to read
everything; nothing is loaded. The reports of the sandbox are years old and have runs of 60 days.
"""

import argparse
from itertools import product

from mode_dagster.extract.endpoints import ENDPOINTS
from mode_dagster.extract.sync import Sync
from mode_dagster.sandbox import Sandbox, SandboxOptions, serve
from mode_dagster.settings import Listing, Settings

ALL = frozenset(endpoint.name for endpoint in ENDPOINTS)
UNLIMITED = 1_000_000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", default="40,300,2000")
    sizes = [int(size) for size in parser.parse_args().sizes.split(",")]
    print("| listing | reports | a sync's plan | `mode-dagster plan` | took | by the sync's | by the command's |")
    print("|---|--:|--:|--:|--:|--:|--:|")
    for listing, size in product((Listing.COLLECTIONS, Listing.DISCOVERY), sizes):
        options = SandboxOptions(reports=size, spaces=size // 20 + 5, rate_limit_requests=UNLIMITED)
        with serve(options) as sandbox:
            plain, looking, took = (measure(sandbox, listing, how) for how in ("plan", "look", "read"))
        figures = f"{plain:,} | {looking:,} | {took:,} | {took / plain:.2f} | {took / looking:.2f}"
        print(f"| {listing} | {size:,} | {figures} |")


def measure(sandbox: Sandbox, listing: Listing, how: str) -> int:
    """Requests after the listings: as planned, as planned after a look at some runs, or as made."""
    settings = Settings(
        **sandbox.access,
        listing=listing,
        rate_limit_requests=UNLIMITED,
    )
    with Sync(settings, clock=sandbox.world.now) as sync:
        plan = sync.make_plan(ALL, looks_ahead=how == "look")
        if how != "read":
            return plan.requests
        before = sync.requests
        readers = [sync.pages(name, ALL) for name in ALL]
        while readers:
            # each in turn, as dlt does it, because some wait for others
            readers = [reader for reader in readers if next(reader, ALL) is not ALL]
        return sync.requests - before


if __name__ == "__main__":
    main()
