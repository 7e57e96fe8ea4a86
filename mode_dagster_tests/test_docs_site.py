"""The documentation builds as a site without a warning, and asks nobody else for anything when it is read."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from mode_dagster_tests.browser import CHROMIUM, browser

ROOT = Path(__file__).parent.parent
ASKED_FOR = {
    "html": r"""<(?:link|script|img|iframe|source|video|audio|object|embed|use|image)\b[^>]*?"""
    r"""\b(?:src|href|srcset|data)=["']?((?:https?:)?//[^"'\s>]+)""",
    "css": r"""(?:@import|url\()\s*["']?((?:https?:)?//[^"')\s]+)""",
}
"""Addresses that a browser opens by itself, by kind of file; links that a reader clicks are none."""


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]
    # without the theme's advertisement, a failure shows what is wrong
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    built = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, encoding="utf-8", check=False)
    assert built.returncode == 0, built.stdout + built.stderr
    return folder


def pages(site: Path) -> dict[str, str]:
    return {str(page.relative_to(site)): page.read_text(encoding="utf-8") for page in site.rglob("*.html")}


def test_nothing_is_asked_of_the_network_when_a_page_is_read(site):
    for kind, pattern in ASKED_FOR.items():
        for file in site.rglob(f"*.{kind}"):
            assert not re.findall(pattern, file.read_text(encoding="utf-8")), file
    # the theme's script fetches a drawing program where a page has such a drawing, and counts of stars for a repository
    for name, page in pages(site).items():
        assert 'class="mermaid"' not in page, name
        assert 'data-md-component="source"' not in page, name


def test_every_page_is_in_the_menu(site):
    menu = set(re.findall(r'<a href="([\w-]+\.html)" class="md-nav__link', pages(site)["index.html"]))
    shown = {name for name in pages(site) if "/" not in name} - {"404.html", "index.html"}
    assert shown <= menu


def test_links_lead_to_pages_and_places_that_are_there(site):
    found = pages(site)
    for name, page in found.items():
        if name == "404.html":  # its links are those of the server's root
            continue
        for target in re.findall(r'<a [^>]*?href="([^"]+)"', page):
            if re.match(r"[a-z]+:|//", target):
                continue
            path, _, anchor = target.partition("#")
            linked = (site / name).parent.joinpath(path).resolve() if path else site / name
            assert linked.exists(), f"{name}: {target}"
            if anchor and linked.suffix == ".html":
                there = found[str(linked.relative_to(site.resolve()))]
                assert f'id="{anchor}"' in there or anchor == "__skip", f"{name}: {target}"


def test_drawings_are_in_the_page_and_link_to_its_tables(site):
    page = pages(site)["assets.html"]
    assert re.search(r'<svg class="drawing".*<a href="#report_schedules">', page, flags=re.S)


def test_files_of_the_repository_are_shown_where_a_page_links_to_them(site):
    assert 'href="files/mode_dagster/models/report_health.sql.html"' in pages(site)["model-reference.html"]
    assert "failing_streak" in pages(site)["files/mode_dagster/models/report_health.sql.html"]


def test_a_broken_link_is_refused(tmp_path):
    """Proof that the site is strict."""
    shutil.copytree(ROOT / "docs", tmp_path / "docs")
    for part in (
        "mkdocs.yml",
        "mode_dagster",
        "SECURITY.md",
        "CONTRIBUTING.md",
        "CHANGELOG.md",
        "deploy",
        "benchmarks",
    ):
        (tmp_path / part).symlink_to(ROOT / part)
    (tmp_path / "docs" / "index.md").write_text("# Here\n\n[there](operations.md#nowhere)\n", encoding="utf-8")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path / "site")]
    built = subprocess.run(command, cwd=tmp_path, capture_output=True, encoding="utf-8", check=False)
    assert built.returncode != 0
    assert "nowhere" in built.stderr


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium found")
def test_search_works_from_disk(site, tmp_path):
    with browser(tmp_path / "profile") as page:
        page.open(f"{(site / 'index.html').as_uri()}?q=accept_shrunk", "matching documents", "Messages")
