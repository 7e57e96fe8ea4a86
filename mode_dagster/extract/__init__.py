"""Mode's API to rows, with dlt and without Dagster."""
