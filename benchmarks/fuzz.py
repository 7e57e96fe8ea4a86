"""Coverage-guided fuzzing with atheris: readers, pagers, and the lineage of queries.

`python benchmarks/fuzz.py readers|answers|pagers|lineage [--seconds 60] [--runs N] [--seed 1] [--corpus FOLDER]`

Here: what is fed to what. The properties of readers and answers are those of `mode_dagster_tests/test_fuzz.py`, which
hypothesis tries with random data; here what was covered decides what is tried next.
Not here: what was found (docs/quality.md; each finding has a test).

Ends with 0 if nothing was found; else with the traceback, and the bytes in a file `crash-…` or `timeout-…`.
"""

import argparse
import json
import logging
import os
import random
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import atheris
import requests
from requests.adapters import BaseAdapter

os.environ["RUNTIME__REQUEST_MAX_ATTEMPTS"] = "1"
sys.path.insert(0, str(Path(__file__).parents[1]))
with atheris.instrument_imports(include=["mode_dagster.extract", "mode_dagster.lineage"], enable_loader_override=False):
    from mode_dagster.extract import client
    from mode_dagster.extract.endpoints import Pager, Route
    from mode_dagster.extract.errors import ModeError
    from mode_dagster.lineage import Status, parse_query, query
    from mode_dagster.lineage.dialects import ADAPTERS
    from mode_dagster.lineage.worker import RECURSION

from hypothesis import given, settings
from hypothesis import strategies as st

from mode_dagster.settings import Settings
from mode_dagster_tests import test_fuzz
from mode_dagster_tests.test_lineage import PIECES

SLOWEST = 30
"""Seconds that one input may take; a worker of the lineage would have been stopped after ten."""
LONGEST = 4096
MOST_PAGES = 8
WORDS = [*PIECES, "select", "lateral", "unnest", "pivot", "merge into ", "insert into ", "recursive ", "@d", "default"]


class Scripted(BaseAdapter):
    """Stands in for the network: gives the answers in turn, the last one for ever."""

    def __init__(self) -> None:
        super().__init__()
        self.answers: list[tuple[int, bytes]] = []
        self.asked = 0

    def send(self, request: requests.PreparedRequest, *args: object, **kwargs: object) -> requests.Response:
        status, body = self.answers[min(self.asked, len(self.answers) - 1)]
        self.asked += 1
        response = requests.Response()
        response.status_code, response._content, response.url = status, body, request.url or ""
        response.request = request
        return response

    def close(self) -> None:
        """Nothing is open."""


def bodies() -> st.SearchStrategy[bytes]:
    good = st.lists(st.fixed_dictionaries({"token": test_fuzz.texts}), max_size=3).map(
        lambda rows: {"things": rows, "next_page": "?page=7"}
    )
    return st.one_of(test_fuzz.bodies(("things",)), good).map(lambda body: json.dumps(body).encode())


def pagers() -> Callable[[bytes], object]:
    """Any server's answers: a walk of any kind ends, with each row once, or a named error."""
    client.MOST_PAGES = MOST_PAGES
    asking = client.ModeClient(Settings(base_url="http://127.0.0.1/api", workspace="w", username="u", password="p"))
    network = Scripted()
    asking._session.mount("http://", network)

    @settings(deadline=None, database=None)
    @given(
        pager=st.sampled_from(list(Pager)),
        answers=st.lists(st.tuples(st.sampled_from([200, 200, 200, 404, 403, 500]), bodies()), min_size=1, max_size=5),
    )
    def walk(pager: Pager, answers: list[tuple[int, bytes]]) -> None:
        network.answers, network.asked = answers, 0
        selectors = () if pager is Pager.OBJECT else ("things",)
        try:
            rows = asking.read_list(Route("/{workspace}/things", selectors, pager), {}, "list things").rows
            marks = [client.identity(row) for row in rows]
            assert len(marks) == len(set(marks))
        except ModeError as error:
            assert str(error).startswith("Could not list things")  # noqa: PT017
        assert network.asked <= MOST_PAGES + 1

    return walk.hypothesis.fuzz_one_input


def lineage() -> Callable[[bytes], object]:
    """Any text: a status with a reason, and no error that comes from this project's own lines."""
    sys.setrecursionlimit(RECURSION)
    logging.getLogger("sqlglot").setLevel(logging.ERROR)
    adapters = [*ADAPTERS, "?"]
    explain = query.explain

    def explain_others(error: BaseException) -> str:
        if not isinstance(error, RecursionError | MemoryError) and _is_our_own(error):
            raise error
        return explain(error)

    query.explain = explain_others

    def parse(data: bytes) -> None:
        text = data[1:].decode(errors="replace")
        adapter = adapters[data[0] % len(adapters)] if data else None
        found = parse_query(text, adapter, "db", {"d": text})
        assert found.reason or found.status in (Status.PARSED, Status.EMPTY)

    return atheris.instrument_func(parse)


def _is_our_own(error: BaseException) -> bool:
    """Whether the line that raised is this project's."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return trace is not None and "mode_dagster" in trace.tb_frame.f_code.co_filename


TARGETS: dict[str, Callable[[], Callable[[bytes], object]]] = {
    "readers": lambda: test_fuzz.test_any_json_for_any_list_becomes_rows_or_a_named_error.hypothesis.fuzz_one_input,
    "answers": lambda: test_fuzz.test_any_answer_is_a_json_object_or_a_named_error.hypothesis.fuzz_one_input,
    "pagers": pagers,
    "lineage": lineage,
}


def dictionary() -> Iterator[str]:
    """The words that texts are made of, in libFuzzer's form."""
    for word in WORDS:
        yield '"' + "".join(f"\\x{byte:02x}" for byte in word.encode()) + '"\n'


def seeds(target: str, seed: int) -> Iterator[bytes]:
    """Inputs to begin with: what hypothesis can draw from, or words in any order."""
    chance = random.Random(seed)
    for _ in range(40):
        words = chance.choices(WORDS, k=30)
        yield ("A" + "".join(words)).encode() if target == "lineage" else chance.randbytes(1024)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("target", choices=TARGETS)
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--runs", type=int, default=-1, help="inputs, if they end before the seconds do")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--corpus", help="folder of inputs, which grows")
    chosen = parser.parse_args()
    atheris.Setup([sys.argv[0], *options(chosen)], TARGETS[chosen.target]())
    atheris.Fuzz()


def options(chosen: argparse.Namespace) -> list[str]:
    """The arguments of libFuzzer."""
    folder = Path(tempfile.mkdtemp(prefix="fuzz-"))
    words, corpus, begin = folder / "words", Path(chosen.corpus or folder / "corpus"), folder / "seeds"
    words.write_text("".join(dictionary()))
    for place in (corpus, begin):
        place.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(seeds(chosen.target, chosen.seed)):
        (begin / str(number)).write_bytes(seed)
    limits = [f"-max_total_time={chosen.seconds}", f"-runs={chosen.runs}", f"-timeout={SLOWEST}", f"-max_len={LONGEST}"]
    said = ["-rss_limit_mb=4096", f"-dict={words}", f"-seed={chosen.seed}", "-print_final_stats=1", "-verbosity=0"]
    return [*limits, *said, str(corpus), str(begin)]


if __name__ == "__main__":
    main()
