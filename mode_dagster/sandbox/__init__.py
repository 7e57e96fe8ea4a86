"""A Mode server on loopback with a made-up workspace, for the demo, the tests and the benchmarks.

    with serve(SandboxOptions(reports=40), port=0) as sandbox:
        ...  # sandbox.base_url, sandbox.username, sandbox.password, sandbox.world.truth("reports")

It has Mode's quirks, and it lives: reports run, people edit, things are deleted, as a function of a seed and
the clock. Read in this order: `options`, `records`, `history` (what happens), `moment` (what is to be seen now),
`world` (the truth for tests), `shapes` and `discovery` (Mode's wording), `routes` (Mode's manners), `server`.
Not here: anything that the loader needs; only commands, demos and tests start a sandbox.
"""

from mode_dagster.sandbox.options import Fault, Request, SandboxOptions
from mode_dagster.sandbox.server import Sandbox, serve
from mode_dagster.sandbox.world import World

__all__ = ["Fault", "Request", "Sandbox", "SandboxOptions", "World", "serve"]
