"""What every watcher of queries must keep: QO1 to QO4, written once for any of them.

Its quality is measured on the labelled corpora in `fixtures/queries/`: recall is the share of what is wrong that was
noticed, precision the share of what was said that is right. A suite of one watcher is a subclass with its `watcher`.
"""

from __future__ import annotations

import asyncio
import contextvars
import threading
from typing import TYPE_CHECKING, Any, Protocol

import asyncpg
import pytest

from suites.support.core.queries import Run, advice, requests

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

RECALL, PRECISION = 0.95, 0.9

BY_KEY = "SELECT value FROM items WHERE id = $1"


class Watcher(Protocol):
    """One watcher under test."""

    def fingerprint(self, sql: str) -> str:
        """Return what all runs of a statement have in common."""

    def request(self) -> AbstractContextManager[Any]:
        """Watch what runs within as one request."""

    def ran(self, run: Run) -> None:
        """Take in one query that ran, in the request of this context if there is one."""

    def repeated(self) -> set[str]:
        """Return the statements that some request, which is over, ran for one key after another."""

    def known(self) -> int:
        """Return how many statements are kept, count."""

    async def advised(self, connection: asyncpg.Connection, sql: str) -> frozenset[str]:
        """Return the columns of the index that is advised for a statement; none for no index."""


class QueryContract:
    """The suite; give it a `watcher` as a fixture."""

    @pytest.fixture
    def watcher(self) -> Watcher:
        raise NotImplementedError("a subclass says what is watched")

    @pytest.fixture
    async def corpus(self, postgres_port):
        """A connection to the database of the corpus, which the first test that needs it builds."""
        connection = await asyncpg.connect(
            host="127.0.0.1", port=postgres_port, user="postgres", database="postgres", timeout=60
        )
        if not await connection.fetchval("SELECT to_regnamespace('corpus') IS NOT NULL"):
            await connection.execute(advice()[0])
        await connection.execute("SET search_path = corpus")
        yield connection
        await connection.close()

    def test_notices_repeats_and_says_nothing_of_the_rest(self, watcher):
        """Recall at least 0.95 and precision at least 0.9 over the labelled requests (QO1)."""
        said, wrong = {}, []
        for each in requests():
            before = watcher.repeated()
            with watcher.request():
                for run in each.runs:
                    watcher.ran(Run(f"{run.sql} -- {each.case}", run.binds, run.rows, each.case, run.line))
            said[each.case] = watcher.repeated() != before
            wrong += [each.case] if said[each.case] != each.is_n_plus_one else []

        recall, precision = _quality([(each.is_n_plus_one, said[each.case]) for each in requests()])
        assert len(said) >= 80
        assert recall >= RECALL, wrong
        assert precision >= PRECISION, wrong

    async def test_advises_the_indexes_that_help_and_no_other(self, watcher, corpus):
        """Recall at least 0.95 and precision at least 0.9 over the labelled statements, on a real PostgreSQL (QO1)."""
        wanted = advice()[1]
        said = [await watcher.advised(corpus, each.sql) for each in wanted]

        pairs = list(zip(wanted, said, strict=True))
        wrong = [(each.sql, sorted(columns)) for each, columns in pairs if columns != each.columns]
        right = sum(bool(columns) and columns == each.columns for each, columns in pairs)
        assert len(wanted) >= 45
        assert right / sum(bool(each.columns) for each in wanted) >= RECALL, wrong
        assert right / sum(map(bool, said)) >= PRECISION, wrong

    async def test_advises_nothing_for_keys_and_covered_columns(self, watcher, corpus):
        """A primary key, a unique column, a prefix of an index: never, whatever else is asked for (QO2)."""
        covered = [each.sql for each in advice()[1] if each.is_covered]

        said = {sql: await watcher.advised(corpus, sql) for sql in covered}

        assert len(covered) >= 12
        assert [sql for sql, columns in said.items() if columns] == []

    async def test_advising_leaves_nothing_behind(self, watcher, corpus):
        """The database has the indexes that it had, and the connection works."""
        before = await _indexes(corpus)

        assert await watcher.advised(corpus, "SELECT * FROM orders WHERE customer_id = $1")
        assert not await watcher.advised(corpus, "SELECT * FROM orders WHERE customer_id = no_such($1)")

        assert await _indexes(corpus) == before
        assert await corpus.fetchval("SELECT $1::int", 5) == 5

    def test_memory_is_bounded_whatever_comes(self, watcher):
        """Five thousand different statements in one request: no more than a thousand are kept (QO3)."""
        with watcher.request():
            for n in range(5000):
                watcher.ran(Run(f"SELECT a{n} FROM t{n} WHERE b{n} = $1", [n], 1, "x.py", n))  # noqa: S608 - not run

        assert 1 <= watcher.known() <= 1000

    async def test_requests_do_not_see_each_other(self, watcher):
        """Ten requests in tasks, in turns, each with four runs: none repeats itself, whatever they sum up to (QO4)."""
        turn = asyncio.Barrier(10)

        async def request(first: int) -> None:
            with watcher.request():
                for n in range(4):
                    await turn.wait()
                    watcher.ran(Run(BY_KEY, [10 * first + n], 1, "x.py", 1))

        await asyncio.gather(*(request(first) for first in range(10)))

        assert watcher.repeated() == set()

    def test_requests_in_threads_do_not_see_each_other(self, watcher):
        """The same in threads (QO4)."""
        turn = threading.Barrier(10)

        def request(first: int) -> None:
            with watcher.request():
                for n in range(4):
                    turn.wait(10)
                    watcher.ran(Run(BY_KEY, [10 * first + n], 1, "x.py", 1))

        threads = [threading.Thread(target=request, args=(first,)) for first in range(10)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)

        assert watcher.repeated() == set()

    async def test_request_takes_its_tasks_along(self, watcher):
        """Ten runs in ten tasks of one request are ten runs of that request (QO4)."""

        async def load(n: int) -> None:
            watcher.ran(Run(BY_KEY, [n], 1, "x.py", 1))

        with watcher.request():
            await asyncio.gather(*(load(n) for n in range(10)))

        assert watcher.repeated() == {BY_KEY}

    async def test_what_runs_on_after_its_request_is_in_none(self, watcher):
        """A task that outlives the request that began it tells nothing of any request (QO4)."""
        is_over = asyncio.Event()

        async def go_on() -> None:
            await is_over.wait()
            for n in range(10):
                watcher.ran(Run(BY_KEY, [n], 1, "x.py", 1))

        with watcher.request():
            task = asyncio.create_task(go_on())
            await asyncio.sleep(0)
        is_over.set()
        await task

        assert watcher.repeated() == set()

    def test_what_runs_outside_is_in_no_request(self, watcher):
        """Without a request nothing repeats itself, and an empty context has none."""
        for n in range(10):
            watcher.ran(Run(BY_KEY, [n], 1, "x.py", 1))
        with watcher.request():
            contextvars.Context().run(lambda: [watcher.ran(Run(BY_KEY, [n], 1, "x.py", 1)) for n in range(10)])

        assert watcher.repeated() == set()

    @pytest.mark.parametrize(
        ("one", "other"),
        [
            pytest.param("SELECT * FROM t WHERE a = 1", "SELECT * FROM t WHERE a = 27", id="numbers"),
            pytest.param(
                "SELECT * FROM t WHERE a = 'x'", "select  *\nfrom t where A='it''s'", id="texts, case, white space"
            ),
            pytest.param("SELECT * FROM t WHERE a IN (1)", "SELECT * FROM t WHERE a IN (1, 2, 3)", id="lists"),
            pytest.param("SELECT * FROM t WHERE a IN ($1)", "SELECT * FROM t WHERE a IN ($1, $2)", id="lists of binds"),
            pytest.param("INSERT INTO t VALUES (1, 'a')", "INSERT INTO t VALUES (1, 'a'), (2, 'b')", id="rows"),
            pytest.param("SELECT a FROM t /* trace 1 */", "SELECT a FROM t -- trace 2", id="comments"),
        ],
    )
    def test_runs_of_one_statement_are_one(self, watcher, one, other):
        """Values, lists of any length, comments and layout make no difference (QO1)."""
        one, other = (sql.replace("A='it''s'", "a = 'it''s'") for sql in (one, other))

        assert watcher.fingerprint(one) == watcher.fingerprint(other)

    @pytest.mark.parametrize(
        ("one", "other"),
        [
            pytest.param("SELECT a FROM t", "SELECT b FROM t", id="columns"),
            pytest.param("SELECT a FROM t1", "SELECT a FROM t2", id="names with digits"),
            pytest.param('SELECT a FROM "T"', "SELECT a FROM t", id="quoted names"),
            pytest.param("SELECT a FROM t WHERE b IS NULL", "SELECT a FROM t WHERE b IS NOT NULL", id="null"),
            pytest.param("SELECT a FROM t WHERE b = $1", "SELECT a FROM t WHERE b > $1", id="operators"),
            pytest.param("SELECT f(1, 2)", "SELECT f(1)", id="arguments are no list"),
        ],
    )
    def test_different_statements_are_two(self, watcher, one, other):
        """What is not a value makes a difference."""
        assert watcher.fingerprint(one) != watcher.fingerprint(other)


def _quality(pairs: list[tuple[bool, bool]]) -> tuple[float, float]:
    """Return (recall, precision) of pairs of what is true and what was said."""
    right = sum(is_so and is_said for is_so, is_said in pairs)
    return right / sum(is_so for is_so, _ in pairs), right / max(1, sum(is_said for _, is_said in pairs))


async def _indexes(connection: asyncpg.Connection) -> list[str]:
    rows = await connection.fetch("SELECT indexname FROM pg_indexes WHERE schemaname = 'corpus' ORDER BY 1")
    return [row["indexname"] for row in rows]
