"""A project of one's own around the installed package: what `mode-dagster init` writes.

Here: which files, and where each of them comes from.
Not here: the files themselves (`project_template/`, and those that the repository uses as they are).
"""

import os
from importlib.metadata import version
from pathlib import Path

TEMPLATE = Path(__file__).parent / "project_template"
CHECKOUT = Path(__file__).parents[1]
OWN = ("README.md", "Makefile", "definitions.py", "workspace.yaml", ".env.example", ".gitignore")
"""Files that are only for such a project."""
SHARED = {
    ".dlt/config.toml": ".dlt/config.toml",
    ".dlt/secrets.toml.example": ".dlt/secrets.toml.example",
    "dagster.yaml": "deploy/dagster.local.yaml",
}
"""Files that the repository uses too, and where it has them; in the wheel they are in `project_template/`."""
REQUIREMENTS = "requirements.txt"


class ProjectExistsError(Exception):
    """The folder has files that would be overwritten."""


def make_project(folder: Path) -> list[Path]:
    """Writes a project that runs as it is, on the bundled sandbox.

    Args:
        folder: Where to; made if it is not there.

    Returns:
        What was written.

    Raises:
        ProjectExistsError: A file of that name is there; nothing was written.
    """
    sources = {name: TEMPLATE / name for name in (*OWN, *SHARED)}
    sources |= {name: CHECKOUT / place for name, place in SHARED.items() if not sources[name].is_file()}
    texts = {name: source.read_text(encoding="utf-8") for name, source in sources.items()}
    texts[REQUIREMENTS] = f"mode-dagster=={version('mode-dagster')}\n"
    taken = [name for name in texts if os.path.lexists(folder / name)]
    if taken:
        raise ProjectExistsError(
            f"Could not make a project in {folder}: it has {', '.join(taken)} already, and nothing is overwritten. "
            "Name another folder, or move them away."
        )
    for name, text in texts.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return [folder / name for name in texts]
