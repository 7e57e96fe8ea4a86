"""Mode's API to rows, with dlt and without Dagster.

Read in this order: `endpoints` (what Mode can tell), `client` and `answers` (asking), `rows` (what a row keeps),
`ledger` and `stored` (what is there already), `walk`, `sync` and `plan` (what is asked when), `source` and `pipeline`
(dlt).
Not here: anything of Dagster's; the linter says so.
"""
