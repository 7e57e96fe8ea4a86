"""Mode's definitions: named SQL that other SQL includes as `{{ @name as alias }}`.

Here: finding includes and taking them out of the text.
Not here: reading what a definition reads (`query`).

A definition's text is never pasted into the query: a table of a made-up name stands in for it, and each definition is
read on its own. So definitions that include each other many times cost no more than their texts, one that can't be
parsed spoils no query, and a trailing comment or semicolon in one swallows nothing.
"""

import re
from collections.abc import Mapping, Sequence

_INCLUDE = re.compile(r"{{-?\s*@\s*([\w.-]+)(?:\s+as\s+([\w\"`]+))?\s*-?}}", re.IGNORECASE)
_STAND_IN = re.compile(r"mode_definition_(\d+)__", re.IGNORECASE)


def includes(text: str) -> Sequence[str]:
    """Names of the definitions that a text includes, each once, in their order."""
    return list(dict.fromkeys(name for name, _ in _INCLUDE.findall(text)))


def take_out(text: str, names: Sequence[str]) -> str:
    """The text with a subquery on a made-up table in place of each include.

    A subquery, because it may stand wherever Mode's own `(SELECT …)` may: after FROM, in a CTE, after IN.
    """

    def stand_in(match: re.Match[str]) -> str:
        alias = f" AS {match[2]}" if match[2] else ""
        return f"(SELECT * FROM mode_definition_{names.index(match[1])}__){alias}"  # noqa: S608 - parsed, never run

    return _INCLUDE.sub(stand_in, text)


def stands_for(table: str, names: Sequence[str]) -> str | None:
    """The definition that a made-up table stands for; None for a real table."""
    match = _STAND_IN.fullmatch(table)
    return names[int(match[1])] if match and int(match[1]) < len(names) else None


def reached(text: str, definitions: Mapping[str, str]) -> Mapping[str, str]:
    """The definitions that a text includes, and those that they include, and so on."""
    found: dict[str, str] = {}
    waiting = list(includes(text))
    while waiting:
        name = waiting.pop()
        if name in definitions and name not in found:
            found[name] = definitions[name]
            waiting += includes(definitions[name])
    return dict(sorted(found.items()))
