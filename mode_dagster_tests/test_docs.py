"""The documentation is true: generated pages are current, commands and settings are named, links lead somewhere."""

import itertools
import re
from dataclasses import fields
from pathlib import Path

import pytest

from mode_dagster.checks import checks_of
from mode_dagster.cli import main
from mode_dagster.documentation import pages
from mode_dagster.documentation.diagram import joins, tables_drawing
from mode_dagster.extract.endpoints import BY_NAME, ENDPOINTS
from mode_dagster.extract.ledger import LEDGER
from mode_dagster.settings import Settings

ROOT = Path(__file__).parent.parent
BOX = r'<rect class="box" x="([\d.]+)" y="([\d.]+)" width="(\d+)" height="(\d+)"'
WRITTEN = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("*/README.md")])


@pytest.mark.parametrize("name", pages())
def test_generated_pages_are_current(name):
    assert (ROOT / "docs" / name).read_text(encoding="utf-8") == pages()[name], "run `.venv/bin/mode-dagster docs docs`"


@pytest.mark.parametrize("page", WRITTEN, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_between_pages_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)]+)\)", page.read_text(encoding="utf-8")):
        if "://" in target:
            continue
        path, _, anchor = target.partition("#")
        linked = (page.parent / path).resolve() if path else page
        assert linked.exists(), target
        if anchor:
            headings = re.findall(r"^#+ (.+)$", linked.read_text(encoding="utf-8"), flags=re.M)
            assert anchor in {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_every_command_and_make_target_is_in_the_readme():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for command in main.commands:
        assert f"mode-dagster {command}" in readme or f"mode-dagster {command}" in makefile, command
    for target in ("setup", "demo", "ui", "test"):
        assert f"make {target}" in readme


def test_the_number_of_tables_is_that_of_the_catalogue():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    said = re.findall(r"(\d+) tables|\| tables \| (\d+) \|", readme)
    assert said
    assert {first or second for first, second in said} == {str(len(ENDPOINTS))}, "README.md says otherwise"


def test_every_table_is_in_the_drawing_and_boxes_keep_apart():
    drawing = tables_drawing()
    titles = re.findall(r'class="title"[^>]*>(\w+)<', drawing)
    assert sorted(titles) == sorted(endpoint.name for endpoint in ENDPOINTS)
    boxes = [tuple(map(float, box)) for box in re.findall(BOX, drawing)]
    assert len(boxes) == len(ENDPOINTS)
    for (x, y, width, height), (left, top, *_) in itertools.permutations(boxes, 2):
        assert not (x <= left <= x + width and y <= top <= y + height)


def test_the_drawing_tells_what_to_join_by():
    assert joins(BY_NAME["query_runs"]) == {
        "query_token": "queries",
        "data_source_token": "data_sources",
        "report_token": "reports",
        "run_token": "runs",
    }
    assert joins(BY_NAME["definitions"]) == {"data_source_id": "data_sources"}
    assert joins(BY_NAME["group_memberships"]) == {"member_token": "memberships", "group_token": "groups"}
    assert joins(BY_NAME["spaces"]) == {}


def test_what_all_hangs_on_can_be_read_in_an_afternoon():
    _, section = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8").split("\n## Reading the code\n")
    named = re.findall(r"`([\w/]+\.py)`", section)
    texts = {name: (ROOT / "mode_dagster" / name).read_text(encoding="utf-8") for name in named}
    head, _, _ = texts["extract/endpoints.py"].partition(" = Endpoint(\n")
    assert sum(len(text.splitlines()) for text in {**texts, "extract/endpoints.py": head}.values()) < 4_000
    folders = {*re.findall(r"`(\w+)/`", section)} - {"mode_dagster"}
    assert all((ROOT / "mode_dagster" / folder).is_dir() for folder in folders)


def test_every_setting_is_documented():
    page = (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8")
    assert all(f"| `{setting.name}` |" in page for setting in fields(Settings))


def test_the_version_is_in_one_place_and_in_the_changelog():
    version = re.search(r'^version = "(.+)"', (ROOT / "pyproject.toml").read_text(encoding="utf-8"), flags=re.M)[1]
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert "## Unreleased" in changelog or f"## {version}" in changelog


def test_nothing_names_a_registry_or_a_machine():
    for path in (ROOT / "requirements.lock", *WRITTEN, ROOT / "pyproject.toml", ROOT / "Makefile"):
        text = path.read_text(encoding="utf-8")
        assert not re.search(r"pypi\.org|pythonhosted|/simple/|/root/|/home/", text), path


def test_the_page_of_checks_has_the_advice_of_each_as_it_was_written():
    page = pages()["checks.md"]
    for check in (check for table in (*BY_NAME, LEDGER) for check in checks_of(table)):
        assert f"{check.gravity.capitalize()}. What to do: {check.advice}\n" in page, check.name
