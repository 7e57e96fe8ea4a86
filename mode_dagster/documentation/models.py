"""The reference of the SQL models: what a row is, what each column means, what must hold, where the SQL is.

Here: docs/model-reference.md.
Not here: questions with their answers (docs/models.md, which people write and a test fills).
"""

from collections.abc import Sequence

from mode_dagster.documentation.page import GENERATED, plain
from mode_dagster.markdown import table
from mode_dagster.models import MODELS, Model
from mode_dagster.models.statement import reads
from mode_dagster.references.tables import DESCRIBED, DESCRIPTIONS

FILES = "../mode_dagster/models"


def models_page() -> str:
    """Every table of `mode_marts`."""
    models = [MODELS[name] for name in sorted(MODELS)]
    answers = {model.name: model.question for model in models}
    answers |= {name: f"{DESCRIPTIONS[name].partition('. ')[0].rstrip('.')}." for name in DESCRIBED}
    contents = [f"- [`{name}`](#{name}): {plain(answer)}" for name, answer in answers.items()]
    sections = [*map(_model, models), *map(_described, DESCRIBED)]
    return "\n\n".join(["# Models in detail", GENERATED, INTRODUCTION, "\n".join(contents), *sections]) + "\n"


INTRODUCTION = """The tables of the schema `mode_marts`: what a row is, what columns mean, what must hold, and the SQL.
[Answers](models.md) has a query of each with its result."""


def _model(model: Model) -> str:
    facts = [f"- one row: {plain(model.grain)}", f"- key: {', '.join(f'`{name}`' for name in model.key)}"]
    tables = [f"[`{name}`](assets.md#{name})" for name in reads(model).tables]
    facts.append(f"- reads: {', '.join([*tables, *(f'[`{name}`](#{name})' for name in reads(model).models)])}")
    facts.append(f"- asset `mode_marts/{model.name}`; SQL: [{model.path.name}]({FILES}/{model.path.name})")
    if model.kept:
        facts.append("- keeps the rows of earlier runs")
    columns = table(("column", "meaning"), [(f"`{name}`", plain(text)) for name, text in model.columns.items()])
    parts = [f"## {model.name}", plain(model.description), f"[{plain(model.question)}](models.md#{model.name})"]
    return "\n\n".join([*parts, "\n".join(facts), columns, *_checks(model)])


def _checks(model: Model) -> Sequence[str]:
    rows = [(f"`{name}`", f"`{condition.replace('|', chr(92) + '|')}`") for name, condition in model.checks.items()]
    return [table(("check", "must hold of every row"), rows)] if rows else []


def _described(name: str) -> str:
    rows = [(f"`{column}`", kind, plain(meaning)) for column, (kind, meaning) in DESCRIBED[name].items()]
    return "\n\n".join([f"## {name}", plain(DESCRIPTIONS[name]), table(("column", "type", "meaning"), rows)])
