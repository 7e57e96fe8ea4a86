"""docs/tutorial.md is true: its files are written, its commands run in one shell, what they print is compared.

`RENEW_DOCS=yes .venv/bin/pytest mode_dagster_tests/test_tutorial.py` writes what they print anew.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from mode_dagster.settings import ENV_PREFIX
from mode_dagster_tests.processes import measured

pytestmark = pytest.mark.slow

PAGE = Path(__file__).parent.parent / "docs" / "tutorial.md"
FILE = re.compile(r'^```\w+ title="(?P<name>[^"]+)"\n(?P<text>.*?)^```', re.S | re.M)
CONSOLE = re.compile(r"^```console\n(?P<text>.*?)^```", re.S | re.M)
COMMAND = re.compile(r"^\$ (?P<command>(?:.*\\\n)*.*)\n(?P<printed>(?:(?!\$ ).*\n)*)", re.M)
END = "--- the end of a command ---"
TIMES = [r"\d+(\.\d+)? seconds", r"package \d+(\.\d+)?", r"about \d+ s\b"]
"""What differs from one run to the next."""


def test_every_command_prints_what_the_page_says(tmp_path):
    page = PAGE.read_text(encoding="utf-8")
    commands = [command for block in CONSOLE.finditer(page) for command, _ in told(block["text"])]
    (tmp_path / "tutorial").mkdir()
    for file in FILE.finditer(page):
        (tmp_path / "tutorial" / file["name"]).write_text(file["text"], encoding="utf-8")
    printed = iter(run(commands, tmp_path))

    def renewed(block: re.Match[str]) -> str:
        lines = "".join(f"$ {command}\n{said(old)}" for command, old in told(block["text"]))
        return f"```console\n{lines}```"

    def said(old: str) -> str:
        now = next(printed)
        return old if lasting(now) == lasting(old) else now

    page_now = CONSOLE.sub(renewed, page)
    if os.environ.get("RENEW_DOCS"):
        PAGE.write_text(page_now, encoding="utf-8")
    else:
        assert page_now == page, "RENEW_DOCS=yes .venv/bin/pytest mode_dagster_tests/test_tutorial.py"


def told(block: str) -> list[tuple[str, str]]:
    """The commands of a block, each with what the page says it prints."""
    return [(found["command"], found["printed"]) for found in COMMAND.finditer(block)]


def run(commands: list[str], folder: Path) -> list[str]:
    """What each prints; all of them in one shell, as somebody types them."""
    script = "".join(f"{command}\necho '{END}'\n" for command in commands)
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    kept = {name: os.environ[name] for name in ("PYTHONPATH",) if name in os.environ}
    environment = {
        **kept,
        **measured(),
        "PATH": path,
        "HOME": str(folder),
        "LANG": "C.UTF-8",
        "DAGSTER_DISABLE_TELEMETRY": "yes",
        # on a machine with much else to do the first load would be cut into more parts than the page shows
        f"{ENV_PREFIX}CHECKPOINT_SECONDS": "3600",
    }
    shell = subprocess.run(
        ["bash", "-c", script],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        timeout=1200,
        check=False,
    )
    printed = [re.sub(r"[ \t]+$", "", text, flags=re.M) for text in shell.stdout.split(f"{END}\n")]
    return [re.sub(r"\n+\Z", "\n", text.replace(str(folder), "…")) for text in printed[:-1]]


def lasting(text: str) -> str:
    """What is the same whenever and wherever it is run."""
    for time in TIMES:
        text = re.sub(time, "…", text)
    return text
