"""docs/runbook.md is true: what it explains is said by the code, and what the code says is explained."""

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

import mode_dagster

PAGE = Path(__file__).parent.parent / "docs" / "runbook.md"
SOURCES = sorted(Path(mode_dagster.__file__).parent.rglob("*.py"))
ROW = re.compile(r"^\| (`.+?`) \| ", re.M)
VARIES = "…"
NOT_FAULTS = {"NotLoadedError", "RuntimeError"}
"""What a check says of what it can't check (docs/checks.md), and what can't happen."""
OTHERS = {"Failure", "ClickException"}
"""Errors of Dagster's and click's that carry a message of ours."""
SETTINGS = {"settings.py", "operation.py", "workspace.py"}
"""Where a ValueError is a message for a person."""


def text(node: ast.expr) -> str:
    """A string as it is read, with `…` for what is put into it."""
    match node:
        case ast.Constant(value=str()):
            return node.value
        case ast.JoinedStr():
            return "".join(text(part) for part in node.values)
        case ast.BinOp(op=ast.Add()):
            return text(node.left) + text(node.right)
    return VARIES


@cache
def tree(source: Path) -> ast.Module:
    return ast.parse(source.read_text(encoding="utf-8"))


@cache
def strings() -> frozenset[str]:
    """Every text in the package."""
    nodes = [node for source in SOURCES for node in ast.walk(tree(source))]
    return frozenset(text(node) for node in nodes if isinstance(node, ast.Constant | ast.JoinedStr))


def classes() -> set[str]:
    """The package's own exceptions."""
    found = {"Exception"}
    nodes = [node for source in SOURCES for node in ast.walk(tree(source))]
    defined = [node for node in nodes if isinstance(node, ast.ClassDef)]
    for _ in range(3):  # as deep as they inherit
        found |= {node.name for node in defined if {ast.unparse(base) for base in node.bases} & found}
    return (found | OTHERS) - NOT_FAULTS


def messages() -> Iterator[tuple[str, str]]:
    """What is said when something can't be done: where, and the text."""
    known = classes()
    for source in SOURCES:
        if "sandbox" in source.parts:
            continue
        for node in ast.walk(tree(source)):
            if not isinstance(node, ast.Call) or not node.args:
                continue
            name = ast.unparse(node.func).rpartition(".")[2]
            if name in known or (name == "ValueError" and source.name in SETTINGS):
                yield f"{source.name}: {text(node.args[0])[:40]}", text(node.args[0])


def entries() -> list[str]:
    """What the page explains."""
    return [entry for cell in ROW.findall(PAGE.read_text(encoding="utf-8")) for entry in re.findall(r"`(.+?)`", cell)]


def explains(entry: str, message: str) -> bool:
    """Whether the parts of an entry follow one another in a message."""
    parts = [re.escape(part.strip()) for part in entry.split(VARIES) if part.strip()]
    return re.search(".*".join(parts), message.replace("`", ""), flags=re.S) is not None


@pytest.mark.parametrize("entry", entries())
def test_what_is_explained_is_said(entry):
    assert any(explains(entry, said) for said in strings()), f"no text of the package has {entry!r}"


SAID = {where: said for where, said in messages() if re.search(r"\w{3}", said)}


@pytest.mark.parametrize("where", SAID)
def test_what_is_said_is_explained(where):
    assert any(explains(entry, SAID[where]) for entry in entries()), f"docs/runbook.md lacks {SAID[where]!r}"
