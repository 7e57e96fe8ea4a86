"""Mode's API to rows, with dlt and without Dagster.

Read in this order: `endpoints` (what Mode can tell), `errors` (what can go wrong), `client`, `limiter` and `responses`
(asking), `rows` and `personal` (what a row keeps), `ledger` and `stored` (what is there already), `parents`, `due`,
`reading`, `audit_log` and `table` (one table), `sync` and `plan` (all tables), `gone` (what Mode has no more), `source`
and `pipeline` (dlt), `destination` and `faults` (where the rows go), `probe` (what a key can read).
Not here: anything of Dagster's; the linter says so.
"""
