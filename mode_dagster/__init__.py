"""Mode (mode.com) as Dagster assets in your own warehouse.

Read in this order: `extract` (Mode to rows), `translator` and `assets` (rows to assets), `materialization` (what an
asset's page tells), `resources`, `jobs`, `definitions` (all together), `settings` (what can be set), `cli`, `sandbox`
(a Mode to try it with).
"""
