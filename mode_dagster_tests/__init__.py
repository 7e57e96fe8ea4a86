"""Tests: the sandbox over real HTTP, a real DuckDB file, real Dagster."""
