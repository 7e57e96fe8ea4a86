"""The wheel and the sdist, built and installed as a release does, without a download.

Here: what would be in version control, building, a fresh environment with the wheel in it.
Not here: what is expected of them (`test_distribution`, `test_init`).
"""

import os
import shutil
import stat
import subprocess
import sys
import sysconfig
from collections.abc import Sequence
from importlib.metadata import entry_points
from pathlib import Path

ROOT = Path(__file__).parents[1]


def sources() -> set[str]:
    """The files of the checkout that git knows, or would with the next commit."""
    listing = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(listing, cwd=ROOT, check=True, capture_output=True, text=True).stdout.split("\0")
    return {name for name in names if name and (ROOT / name).is_file()}


def copy_sources(folder: Path, *, private: bool, modified: float) -> None:
    """The checkout anew, as another person has it: with modes and times of that person's machine."""
    for name in sources():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, path)
        path.chmod(path.stat().st_mode & stat.S_IRWXU if private else path.stat().st_mode | stat.S_IWGRP)
        os.utime(path, (modified, modified))


def build(source: Path, into: Path, *options: str, epoch: int = 1_790_000_000) -> None:
    """Builds what `options` say, else the sdist and the wheel."""
    command = [sys.executable, "-m", "hatchling", "build", "-d", str(into), *options]
    environment = {**os.environ, "SOURCE_DATE_EPOCH": str(epoch)}
    subprocess.run(command, cwd=source, check=True, capture_output=True, env=environment)


def fresh_environment(folder: Path, wheel: Path, programs: Sequence[str]) -> Path:
    """The folder of the programs of a new environment with the wheel in it; dependencies are lent, the checkout is not.

    Args:
        folder: Where it is made.
        wheel: What is installed.
        programs: Programs of the dependencies that are wanted there too.
    """
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    (site,) = folder.glob("lib/python*/site-packages")
    (site / "lent.pth").write_text(sysconfig.get_paths()["purelib"])
    place = folder / "bin"
    install = [sys.executable, "-m", "pip", "--python", str(place / "python"), "install", "-q", "--no-deps"]
    subprocess.run([*install, "--no-index", str(wheel)], check=True, capture_output=True)
    for program in entry_points(group="console_scripts"):
        if program.name in programs:
            text = f"from {program.module} import {program.attr}\n{program.attr}()\n"
            (place / program.name).write_text(f"#!{place / 'python'}\n{text}")
            (place / program.name).chmod(0o755)
    return place
