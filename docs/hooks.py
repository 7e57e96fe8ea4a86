"""What the site has beside the pages of docs/: pages that stand elsewhere in the repository, files that pages link to.

Here: hooks of mkdocs, named in mkdocs.yml.
Not here: pages that are derived from the code (`mode_dagster.documentation`).
"""

import posixpath
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parent.parent
PAGES = {
    "security.md": "SECURITY.md",
    "contributing.md": "CONTRIBUTING.md",
    "changelog.md": "CHANGELOG.md",
    "deployment.md": "deploy/README.md",
    "benchmarks.md": "benchmarks/README.md",
}
"""Page of the site → where it stands."""
PLACES = {**{origin: page for page, origin in PAGES.items()}, "README.md": "index.md"}
LINK = re.compile(r"(?<!!)\[(?P<text>(?:[^\[\]]|\[[^\]]*\])*)\]\((?P<target>[^)\s]+)\)")
DRAWING = re.compile(r'<img [^>]*src="(?P<source>[^":]+\.svg)"[^>]*>')


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Adds the pages from elsewhere, and a page for each file that a page links to."""
    for name, origin in PAGES.items():
        files.append(File.generated(config, name, content=(ROOT / origin).read_text(encoding="utf-8")))
    shown = {} if config.repo_url else {_place(file): file for page in files for file in _linked_files(page)}
    for name, file in shown.items():
        files.append(File.generated(config, name, content=_as_page(file)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Lets links that leave docs/ lead to where the site, or else the repository's host, has what they mean."""
    here = page.file.src_uri

    def led(link: re.Match[str]) -> str:
        found = _path_in_repository(here, link["target"])
        if found is None:
            return link[0]
        path, _, anchor = found.partition("#")
        if config.repo_url and path not in PLACES and not path.startswith("docs/"):
            return f"[{link['text']}]({config.repo_url.rstrip('/')}/blob/main/{path})"
        place = PLACES.get(path) or (path.removeprefix("docs/") if path.startswith("docs/") else _place(path))
        if files.get_file_from_path(place) is None and not path.startswith("docs/"):
            return link["text"]
        target = posixpath.relpath(place, posixpath.dirname(here) or ".")
        return f"[{link['text']}]({target}{f'#{anchor}' if anchor else ''})"

    return LINK.sub(led, markdown)


def on_page_content(html: str, page: Page, **_: Any) -> str:
    """Puts drawings into the page itself, where they follow its light or dark colours and their links work."""

    def drawn(image: re.Match[str]) -> str:
        place = posixpath.normpath(posixpath.join(posixpath.dirname(page.file.dest_uri), image["source"]))
        return (ROOT / "docs" / place).read_text(encoding="utf-8")

    return DRAWING.sub(drawn, html)


def _linked_files(page: File) -> Iterator[str]:
    if page.is_documentation_page():
        for link in LINK.finditer(page.content_string):
            found = (_path_in_repository(page.src_uri, link["target"]) or "").partition("#")[0]
            if found and found not in PLACES and not found.startswith("docs/") and (ROOT / found).is_file():
                yield found


def _path_in_repository(page: str, target: str) -> str | None:
    """What a link means, from the repository's root; None for addresses and for places on the same page."""
    if "://" in target or target.startswith(("#", "mailto:")):
        return None
    origin = PAGES.get(page, f"docs/{page}")
    return posixpath.normpath(posixpath.join(posixpath.dirname(origin), target))


def _place(path: str) -> str:
    """Where the site shows a file of the repository."""
    return f"files/{path.lstrip('.')}.md"


def _as_page(path: str) -> str:
    text = (ROOT / path).read_text(encoding="utf-8")
    not_searched = "---\nsearch:\n  exclude: true\n---\n\n"
    return f"{not_searched}# {path}\n\n````{Path(path).suffix.lstrip('.') or 'text'}\n{text}````\n"
