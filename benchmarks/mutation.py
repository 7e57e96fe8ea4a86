"""Mutation testing of the pagers, the plan, the ledger, the delete logic and the answers, with mutmut.

`python benchmarks/mutation.py FOLDER --mutmut PATH/bin/mutmut [--sample 30] [--seed 1] [--children 2]`

A copy of what is committed is made in FOLDER. mutmut writes every mutant of the modules below; so many of each module
are drawn, and the quick tests are run against each. What they leave alive meets the tests that load a destination.
Each mutant only meets the tests that reach its function, until one fails.
mutmut 3.8 belongs into an environment of its own, with a pytest before 9.2, that sees this project's packages:
`PATH/bin/pip install mutmut==3.8 'pytest<9.2'` and
`echo $PWD/.venv/lib/python3.11/site-packages > PATH/lib/python3.11/site-packages/project.pth`.

Here: which mutants meet which tests.
Not here: the score, and what the survivors mean (docs/quality.md).
"""

import argparse
import json
import random
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

ROOT = Path(__file__).parents[1]
MODULES = (
    "audit_log",
    "client",
    "due",
    "gone",
    "ledger",
    "limiter",
    "parents",
    "plan",
    "reading",
    "responses",
    "stored",
    "table",
)
QUICK = ("client", "plan", "responses", "rows", "sync")
LOADING = ("plan", "incremental", "lost_access")
UNSTEADY = ("rate_limit", "pauses_all", "grows_back", "retry_after")
"""Tests that measure time, which is not to be had where several run at once."""
SLOW = ("days_of_life",)
SURVIVED, NO_TESTS = 0, 33
"""What mutmut stores of a mutant that no test noticed, and of one that no test reaches."""


def prepare(folder: Path, tests: Sequence[str], without: Sequence[str]) -> None:
    """A copy of what is committed, and what mutmut is to do with it."""
    if not folder.exists():
        subprocess.run(["git", "clone", "--quiet", str(ROOT), str(folder)], check=True)
    config = {
        "source_paths": ["mode_dagster"],
        "only_mutate": [f"mode_dagster/extract/{module}.py" for module in MODULES],
        "also_copy": ["mode_dagster_tests", ".dlt", "deploy"],
        "pytest_add_cli_args": ["-p", "no:cacheprovider", "-k", " and ".join(f"not {name}" for name in without)],
        "pytest_add_cli_args_test_selection": [f"mode_dagster_tests/test_{test}.py" for test in tests],
        "process_isolation": ["forkserver"],
        "timeout_multiplier": ["10"],
        "timeout_constant": ["60"],
    }
    lines = ["[mutmut]"]
    for name, values in config.items():
        several = "".join(f"\n    {value}" for value in values)
        lines.append(f"{name}={values[0] if len(values) == 1 and name.startswith(('process', 'timeout')) else several}")
    (folder / "setup.cfg").write_text("\n".join(lines) + "\n")


def results(folder: Path) -> dict[str, int | None]:
    """Every mutant, and how its tests ended."""
    found: dict[str, int | None] = {}
    for module in MODULES:
        meta = folder / "mutants" / "mode_dagster" / "extract" / f"{module}.py.meta"
        found |= json.loads(meta.read_text())["exit_code_by_key"]
    return found


def module_of(mutant: str) -> str:
    return mutant.split(".")[2]


def draw(mutants: Iterable[str], size: int, seed: int) -> list[str]:
    """So many mutants of each module."""
    chance = random.Random(seed)
    drawn = []
    for module in MODULES:
        own = sorted(mutant for mutant in mutants if module_of(mutant) == module)
        drawn += chance.sample(own, min(size, len(own)))
    return drawn


def test(mutmut: Path, folder: Path, mutants: Sequence[str], children: int) -> list[str]:
    """Those of the mutants that are alive after their tests."""
    command = [str(mutmut), "run", "--max-children", str(children), *mutants]
    with (folder / "mutmut.log").open("w") as log:
        subprocess.run(command, cwd=folder, stdout=log, stderr=subprocess.STDOUT, check=True)
    ended = results(folder)
    return [mutant for mutant in mutants if ended[mutant] in (SURVIVED, NO_TESTS)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--mutmut", type=Path, required=True)
    parser.add_argument("--sample", type=int, default=30)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--children", type=int, default=2)
    chosen = parser.parse_args()
    quick, loading = chosen.folder / "quick", chosen.folder / "loading"
    prepare(quick, QUICK, UNSTEADY)
    test(chosen.mutmut, quick, ["mode_dagster.extract.ledger.x_is_listing__mutmut_1"], chosen.children)
    drawn = draw(results(quick), chosen.sample, chosen.seed)
    alive = test(chosen.mutmut, quick, drawn, chosen.children)
    print(f"{len(alive)} of {len(drawn)} are alive after the quick tests", flush=True)
    if not loading.exists():
        shutil.copytree(quick, loading, ignore=shutil.ignore_patterns("mutants"))
    prepare(loading, LOADING, UNSTEADY + SLOW)
    alive = test(chosen.mutmut, loading, alive, chosen.children)
    show(chosen.mutmut, loading, drawn, alive)


def show(mutmut: Path, folder: Path, drawn: Sequence[str], alive: Sequence[str]) -> None:
    """The score by module, and what the survivors changed."""
    all_of, alive_of = Counter(map(module_of, drawn)), Counter(map(module_of, alive))
    for module in MODULES:
        print(f"{module}: {all_of[module] - alive_of[module]} of {all_of[module]} killed")
    for mutant in alive:
        sys.stdout.flush()
        subprocess.run([str(mutmut), "show", mutant], cwd=folder, check=True)


if __name__ == "__main__":
    main()
