"""What is released: the same bytes from every machine, nothing missing or too much, and by workflows that are tight."""

import hashlib
import os
import re
import subprocess
import tarfile
import tomllib
import zipfile
from email.parser import BytesParser
from pathlib import Path

import pytest
import yaml
from packaging.metadata import Metadata
from packaging.specifiers import SpecifierSet
from packaging.version import Version

from mode_dagster.new_project import SHARED
from mode_dagster_tests.distribution import ROOT, build, copy_sources, sources

PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
VERSION = PYPROJECT["project"]["version"]
NAME = f"mode_dagster-{VERSION}"
WHEEL, SDIST = f"{NAME}-py3-none-any.whl", f"{NAME}.tar.gz"
WORKFLOWS = {path.name: path.read_text(encoding="utf-8") for path in (ROOT / ".github/workflows").glob("*.yml")}
pytestmark = pytest.mark.skipif(not (ROOT / ".git").exists(), reason="a sdist has no version control and no workflows")


def jobs(workflow: str) -> dict[str, dict]:
    return yaml.safe_load(WORKFLOWS[workflow])["jobs"]


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> Path:
    """Folders `one` and `two` with what two people build in two years, and `again` with the wheel of the sdist."""
    folder = tmp_path_factory.mktemp("built")
    copy_sources(folder / "a", private=False, modified=1_000_000_000)
    copy_sources(folder / "elsewhere/b", private=True, modified=1_700_000_000)
    build(folder / "a", folder / "one")
    build(folder / "elsewhere/b", folder / "two")
    with tarfile.open(folder / "one" / SDIST) as archive:
        archive.extractall(folder, filter="data")
    build(folder / NAME, folder / "again", "-t", "wheel")
    return folder


def test_two_builds_are_the_same_byte_for_byte(built):
    one, two, again = (
        {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in (built / name).iterdir()}
        for name in ("one", "two", "again")
    )
    assert set(one) == {WHEEL, SDIST}
    assert one == two
    assert again == {WHEEL: one[WHEEL]}


def test_the_wheel_has_the_package_and_nothing_else(built):
    package = {name for name in sources() if name.startswith("mode_dagster/")}
    shared = {f"mode_dagster/project_template/{name}" for name in SHARED}
    about = {"METADATA", "RECORD", "WHEEL", "entry_points.txt", "licenses/LICENSE"}
    with zipfile.ZipFile(built / "one" / WHEEL) as archive:
        assert set(archive.namelist()) == package | shared | {f"{NAME}.dist-info/{name}" for name in about}
        for name, origin in SHARED.items():
            assert archive.read(f"mode_dagster/project_template/{name}") == (ROOT / origin).read_bytes()


def test_the_sdist_has_all_but_what_only_the_repositorys_host_reads(built):
    kept = {name for name in sources() if not name.startswith((".ci/", ".github/"))}
    with tarfile.open(built / "one" / SDIST) as archive:
        assert {member.name.removeprefix(f"{NAME}/") for member in archive.getmembers()} == kept | {"PKG-INFO"}


def test_what_the_index_will_show_is_valid_and_complete(built):
    with zipfile.ZipFile(built / "one" / WHEEL) as archive:
        text = archive.read(f"{NAME}.dist-info/METADATA")
        scripts = archive.read(f"{NAME}.dist-info/entry_points.txt").decode()
    metadata = Metadata.from_email(text, validate=True)
    assert str(metadata.version) == VERSION
    assert metadata.license_expression == "Apache-2.0"
    assert metadata.license_files == ["LICENSE"]
    assert metadata.description_content_type == "text/markdown"
    assert BytesParser().parsebytes(text).get_payload(decode=True) == (ROOT / "README.md").read_bytes()
    assert len(metadata.requires_dist) >= len(PYPROJECT["project"]["dependencies"])
    assert not [requirement for requirement in metadata.requires_dist if requirement.url]
    assert "mode-dagster = mode_dagster.cli:main" in scripts


def faults(changelog: str, version: str, tag: str = "") -> list[str]:
    """What keeps a changelog from being that of a version, or of the tag that releases it."""
    headings = re.findall(r"^## (.+)$", changelog, re.MULTILINE)
    released = [re.fullmatch(r"(\d+\.\d+\.\d+) \(\d{4}-\d\d-\d\d\)", heading) for heading in headings[1:]]
    if headings[:1] != ["Unreleased"] or not all(released):
        return ["headings are `Unreleased`, then `1.2.3 (2026-12-31)`"]
    versions = [match[1] for match in released if match]
    if sorted(versions, key=Version, reverse=True) != versions:
        return ["the newest version comes first"]
    body = re.split(r"^## .+$", changelog, flags=re.MULTILINE)[1]
    newest = versions[0] if versions else "0"
    if tag:
        return [f"{tag} is not released yet"] * bool((tag, version) != (f"v{newest}", newest) or body.strip())
    if body.strip():
        return [f"{version} is released; what is new needs a higher one"] * (Version(version) <= Version(newest))
    return [f"{version} is nowhere"] * (version != newest)


def test_the_version_is_that_of_the_changelog():
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert faults(changelog, VERSION, os.environ.get("RELEASE", "")) == []


@pytest.mark.parametrize(
    ("changelog", "version", "tag", "fault"),
    [
        ("## Unreleased\n", "0.1.0", "", "0.1.0 is nowhere"),
        ("## Unreleased\nnew\n## 0.1.0 (2026-12-01)\n", "0.1.0", "", "what is new needs a higher one"),
        ("## Unreleased\n## 0.2.0 (2026-12-01)\n", "0.1.0", "", "0.1.0 is nowhere"),
        ("## Unreleased\n## 0.1.0\n", "0.1.0", "", "headings are"),
        ("## Unreleased\n## 0.1.0 (2026-12-01)\n## 0.2.0 (2026-12-02)\n", "0.2.0", "", "newest version comes first"),
        ("## Unreleased\nnew\n", "0.1.0", "v0.1.0", "not released yet"),
        ("## Unreleased\nnew\n## 0.1.0 (2026-12-01)\n", "0.1.0", "v0.1.0", "not released yet"),
        ("## Unreleased\n## 0.1.0 (2026-12-01)\n", "0.1.0", "v0.2.0", "not released yet"),
    ],
)
def test_a_version_that_does_not_fit_the_changelog_is_found(changelog, version, tag, fault):
    (found,) = faults(changelog, version, tag)
    assert fault in found


@pytest.mark.parametrize(
    ("changelog", "version", "tag"),
    [
        ("## Unreleased\nnew\n", "0.1.0", ""),
        ("## Unreleased\nnew\n## 0.1.0 (2026-12-01)\n", "0.2.0", ""),
        ("## Unreleased\n## 0.1.0 (2026-12-01)\n", "0.1.0", "v0.1.0"),
    ],
)
def test_a_version_that_fits_the_changelog_passes(changelog, version, tag):
    assert faults(changelog, version, tag) == []


@pytest.mark.parametrize("name", WORKFLOWS)
def test_a_workflow_may_do_nothing_but_what_each_job_says(name):
    assert yaml.safe_load(WORKFLOWS[name])["permissions"] == {}
    assert "secrets." not in WORKFLOWS[name]
    for job in jobs(name).values():
        assert {"permissions", "timeout-minutes"} <= set(job)
        for step in job["steps"]:
            if step.get("uses", "").startswith("actions/checkout@"):
                assert step["with"]["persist-credentials"] is False


def test_actions_are_pinned_by_commit_and_the_same_everywhere():
    uses = {tuple(found.split("@", 1)) for text in WORKFLOWS.values() for found in re.findall(r"uses: (.+)", text)}
    assert len({action for action, _ in uses}) == len(uses)
    assert all(re.fullmatch(r"[0-9a-f]{40} # v\d+\.\d+\.\d+", pin) for _, pin in uses)


@pytest.mark.parametrize("name", WORKFLOWS)
def test_what_a_workflow_calls_is_there(name):
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert all(f"\n{target}:" in makefile for target in re.findall(r"\bmake ([a-z-]+)", WORKFLOWS[name]))
    for script in re.findall(r"(?<!\S)(\.github/\S+\.sh)", WORKFLOWS[name]):
        assert os.access(ROOT / script, os.X_OK)


def test_nothing_is_published_that_was_not_tried_and_signed():
    release = jobs("release.yml")
    assert {name: job.get("needs", []) for name, job in release.items()} == {
        "build": [],
        "install": "build",
        "attest": ["build", "install"],
        "publish": ["build", "attest"],
        "announce": ["build", "publish"],
    }
    assert release["publish"]["environment"] == "pypi"
    writes = {
        (name, what) for name, job in release.items() for what, how in job["permissions"].items() if how == "write"
    }
    assert writes == {
        ("attest", "id-token"),
        ("attest", "attestations"),
        ("publish", "id-token"),
        ("announce", "contents"),
    }


def test_what_a_measurement_leaves_behind_is_no_source():
    left = [".coverage", ".coverage.host.pid4711.XmTnqFix", ".coverage.host.pid4711.XmTnqFix.HSF11nz7"]
    done = subprocess.run(["git", "check-ignore", *left], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.stdout.split() == left


def test_every_job_of_ci_must_be_green():
    ci = jobs("ci.yml")
    assert set(ci["all-green"]["needs"]) == set(ci) - {"all-green"}
    assert f'"{" ".join(["success"] * len(ci["all-green"]["needs"]))}"' in ci["all-green"]["steps"][0]["run"]


def test_every_python_that_is_promised_is_tried_with_the_lowest_and_newest_dependencies():
    prefix = "Programming Language :: Python :: "
    promised = [name.removeprefix(prefix) for name in PYPROJECT["project"]["classifiers"] if name.startswith(prefix)]
    allowed = SpecifierSet(PYPROJECT["project"]["requires-python"])
    assert [minor for minor in range(30) if allowed.contains(f"3.{minor}.0")] == [int(one[2:]) for one in promised]
    for job in (jobs("ci.yml")["install"], jobs("release.yml")["install"]):
        assert job["strategy"]["matrix"] == {"python": promised, "versions": ["lowest", "locked", "newest"]}
    assert jobs("ci.yml")["test"]["strategy"]["matrix"]["python"] == promised


def test_dependencies_are_audited_weekly_and_none_is_passed_over():
    triggers = yaml.safe_load(WORKFLOWS["ci.yml"])[True]  # YAML 1.1 takes `on` for a truth value
    assert triggers["schedule"]
    audits = [step["run"] for step in jobs("ci.yml")["audit"]["steps"] if "pip-audit" in step.get("run", "")]
    assert [re.findall(r"\S+\.lock", audit) for audit in audits] == [["requirements.lock"], ["requirements-dev.lock"]]
    assert all({"--strict", "--require-hashes", "--disable-pip"} <= set(audit.split()) for audit in audits)


def test_uv_is_the_same_everywhere_and_locked_by_hash_before_it_installs_the_rest():
    locked = re.compile(
        r"^uv==(\S+) \\\n(?:    --hash=sha256:[0-9a-f]{64} \\\n)*    --hash=sha256:[0-9a-f]{64}\n", re.M
    )
    versions = [locked.findall((ROOT / lock).read_text()) for lock in ("requirements.lock", "requirements-dev.lock")]
    assert versions[0] == versions[1]
    assert set(versions[0]) == set(re.findall(r"uv==(\S+)", "".join(WORKFLOWS.values())))
