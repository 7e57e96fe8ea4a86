"""Which tables and columns Mode's queries read.

Read in this order: `tables` (from the loaded queries to rows), `assets` (the step that writes them, and its check),
`external` (those tables as assets upstream of Mode). Not here: parsing (`mode_dagster.lineage`).
"""
