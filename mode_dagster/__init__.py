"""Mode (mode.com) as Dagster assets in your own warehouse.

Read in this order: `extract` (Mode to rows), `warehouse` (where they are), `workspace` (what things are called),
`translator`, `assets` and `resources` (rows to assets), `contents`, `wording`, `markdown` and `materialization` (what
an asset's page tells), `models`, `workspace_report` and `answers` (answers), `lineage` and `references` (what Mode's
queries read), `checks` and `freshness` (is it right, is it recent), `jobs` and `schedules` (when), `alerts` (who is
told), `executors` and `run_launcher` (where), `build`, `component` and `definitions` (all together), `settings` and
`operation` (what can be set), `cli`, `new_project`, `move`, `documentation`, `sandbox` (a Mode to try it with).

In a project of your own: `from mode_dagster import build_mode_definitions`.
"""

from importlib import import_module
from typing import Any

_EXPORTS = {"build_mode_definitions": "build", "build_assets": "assets", "ModeComponent": "component"}


def __getattr__(name: str) -> Any:
    # on demand, because `mode_dagster.extract` may not import Dagster
    if name in _EXPORTS:
        return getattr(import_module(f"mode_dagster.{_EXPORTS[name]}"), name)
    raise AttributeError(f"module 'mode_dagster' has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*globals(), *_EXPORTS]
