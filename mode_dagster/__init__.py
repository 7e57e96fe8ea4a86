"""Mode (mode.com) as Dagster assets in your own warehouse."""
