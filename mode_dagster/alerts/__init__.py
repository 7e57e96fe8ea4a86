"""Who is told what when something fails.

Read in this order: `sensors` (when), `run_failure` and `failing_reports` (what), `webhook` (how).
"""
