"""What the log of queries keeps and says: numbers by statement, slow queries, requests that repeat themselves."""

from __future__ import annotations

import asyncio
import tracemalloc
from pathlib import Path

import pytest

from fixtures.reference.core.query import Place, QueryLog, QueryPolicy, Repeat, SlowQuery, Watched
from fixtures.reference.core.query.settings import QuerySettings
from harness.clock import FakeClock

BY_KEY = "SELECT value FROM items WHERE id = $1"
HERE = Place("here.py", 1)


class Watching:
    """A log on a fake clock, and what it told."""

    def __init__(self, **policy) -> None:
        self.clock = FakeClock(100.0)
        self.slow: list[SlowQuery] = []
        self.repeats: list[Repeat] = []
        self.log = QueryLog(
            QueryPolicy(**policy), clock=self.clock, on_slow=self.slow.append, on_repeat=self.repeats.append
        )

    def ran(self, times: int = 1, *, elapsed_s: float = 0.001, sql: str = BY_KEY, binds=(1,)) -> None:
        for _ in range(times):
            self.log.record(sql, binds, elapsed_s=elapsed_s, rows=1, place=HERE)


def test_log_counts_by_statement_and_keeps_no_value():
    """Two texts of one statement are one; what they were asked with is nowhere in what is kept."""
    watching = Watching()

    watching.log.record("SELECT a FROM t WHERE s = 'secret-1'", elapsed_s=0.02, rows=3, place=HERE)
    watching.log.record("select a from t where s = 'secret-2'", elapsed_s=0.2, rows=2, failed=True, place=HERE)
    watching.ran()

    first, second = watching.log.statements()
    assert (first.calls, first.failed, first.slow, first.rows) == (2, 1, 1, 5)
    assert (first.total_s, first.max_s) == (pytest.approx(0.22), 0.2)
    assert (first.fingerprint, first.sql) == ("select a from t where s = ?", "SELECT a FROM t WHERE s = $1")
    assert len(first.id) == 16
    assert second.fingerprint == "select value from items where id = ?"
    assert (watching.log.calls, watching.log.failed) == (3, 1)
    assert "secret" not in repr((watching.log.statements(), watching.log.slow()))


@pytest.mark.parametrize(("elapsed_s", "is_slow"), [(0.1, False), (0.1001, True)])
def test_query_is_slow_beyond_the_limit(elapsed_s, is_slow):
    """100 ms is not; more is, and says of what statement, from where, and what the limit was."""
    watching = Watching()

    with watching.log.scope("GET /items"):
        watching.ran(elapsed_s=elapsed_s)

    assert [(slow.elapsed_s, slow.limit_s, slow.place, slow.scope) for slow in watching.slow] == (
        [(elapsed_s, 0.1, HERE, "GET /items")] if is_slow else []
    )
    assert watching.log.slow() == tuple(watching.slow)


def test_query_is_slow_beyond_three_times_its_own_p99():
    """After 128 runs of 4 ms one of 20 ms is slow for it, one of 10 ms is not, nor is 20 ms for another statement."""
    watching = Watching()
    watching.ran(128, elapsed_s=0.004)

    watching.ran(elapsed_s=0.010)
    watching.ran(elapsed_s=0.020, sql="SELECT 1")
    assert watching.slow == []

    watching.ran(elapsed_s=0.020)
    assert [slow.elapsed_s for slow in watching.slow] == [0.020]
    assert 0.012 <= watching.slow[0].limit_s <= 0.012 * 1.2


def test_query_that_is_always_slow_is_slow():
    """A statement that takes 200 ms each time is slow each time, whatever its own p99."""
    watching = Watching()

    watching.ran(300, elapsed_s=0.2)

    assert len(watching.slow) == 300
    assert watching.log.statements()[0].slow == 300


def test_query_that_is_quick_is_never_slow():
    """After runs of 50 µs one of 4 ms is a pause of the process, not the database's."""
    watching = Watching()
    watching.ran(200, elapsed_s=0.00005)

    watching.ran(elapsed_s=0.005)
    assert watching.slow == []

    watching.ran(elapsed_s=0.0051)
    assert len(watching.slow) == 1


def test_query_with_few_runs_has_no_p99():
    """Ninety-nine prove nothing."""
    watching = Watching()
    watching.ran(99, elapsed_s=0.004)
    watching.ran(elapsed_s=0.09)

    assert watching.slow == []
    assert watching.log.statements()[0].p99_s is not None
    watching = Watching()
    watching.ran(99, elapsed_s=0.004)
    assert watching.log.statements()[0].p99_s is None


def test_p99_is_looked_at_every_sixty_four_runs():
    """A look costs as much as twenty runs: until the next one the limit stays, however slow the runs have become (QO3)."""
    watching = Watching()
    watching.ran(128, elapsed_s=0.001)
    watching.ran(63, elapsed_s=0.004)

    watching.ran(elapsed_s=0.010)
    assert [slow.limit_s for slow in watching.slow] == [0.005]

    watching.ran(elapsed_s=0.010)
    assert len(watching.slow) == 1


def test_p99_is_of_nearest_rank():
    """With 1 in 100 slow it is the quick one; with 2 in 100 the slow one; at most a fifth above what was."""
    for slow, expected in ((1, 0.001), (2, 0.05)):
        watching = Watching()
        watching.ran(100 - slow, elapsed_s=0.001)
        watching.ran(slow, elapsed_s=0.05)

        assert expected <= watching.log.statements()[0].p99_s <= expected * 1.2


def test_p99_forgets_what_is_two_windows_old():
    """A statement that has become slower is measured by what it is now."""
    watching = Watching(window_s=60)
    watching.ran(128, elapsed_s=0.004)

    watching.clock.advance(60)
    watching.ran()
    assert watching.log.statements()[0].p99_s is not None
    watching.clock.advance(60)
    watching.ran()
    assert watching.log.statements()[0].p99_s is None

    watching.ran(elapsed_s=0.09)
    assert watching.slow == []


def test_p99_forgets_all_after_a_long_silence():
    """What was before two windows without a run counts no more."""
    watching = Watching(window_s=60)
    watching.ran(128, elapsed_s=0.004)

    watching.clock.advance(120)
    watching.ran()

    assert watching.log.statements()[0].p99_s is None


def test_request_that_asks_for_five_keys_repeats_itself():
    """Four do not; the finding says what, where, how often, for how long, and which key."""
    watching = Watching()
    for keys in (4, 5):
        with watching.log.scope("GET /list"):
            for key in range(keys):
                watching.ran(binds=(key,), elapsed_s=0.002)

    (repeat,) = watching.repeats
    assert (repeat.calls, repeat.column, repeat.place, repeat.scope) == (5, "items.id", HERE, "GET /list")
    assert repeat.total_s == pytest.approx(0.01)
    assert repeat.sql == BY_KEY


def test_request_that_asks_for_one_key_often_asks_for_others_as_well():
    """Thirty runs for one key hide none of the four that follow, each for another."""
    watching = Watching()
    with watching.log.scope("GET /list"):
        watching.ran(30, binds=(0,))
        for key in range(1, 5):
            watching.ran(binds=(key,))

    assert [repeat.calls for repeat in watching.repeats] == [34]


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT count(*) FROM orders WHERE status = $1",
        "SELECT sum(total) FROM orders WHERE status = $1",
        "SELECT * FROM orders WHERE status = $1 ORDER BY at DESC LIMIT 1",
    ],
)
def test_one_row_proves_no_key_where_there_is_never_more(sql):
    """A count by status, or the newest of each: a status is no key for that."""
    watching = Watching()
    with watching.log.scope("GET /dashboard"):
        for status in range(6):
            watching.ran(sql=sql, binds=(status,))

    assert watching.repeats == []


def test_repeats_are_told_when_the_request_is_over():
    """And each request's, while the log keeps the worst of a place and how many there were."""
    watching = Watching()
    for keys in (6, 9, 7):
        with watching.log.scope("GET /list"):
            for key in range(keys):
                watching.ran(binds=(key,))
            assert len(watching.repeats) == len(watching.log.repeats()) or keys != 6

    assert [repeat.calls for repeat in watching.repeats] == [6, 9, 7]
    assert [(repeat.calls, repeat.requests) for repeat in watching.log.repeats()] == [(9, 3)]


def test_scope_ends_with_an_error_as_well():
    """A request that fails has repeated itself all the same, and the next query is in none."""
    watching = Watching()
    with pytest.raises(RuntimeError):
        with watching.log.scope("GET /list"):
            for key in range(5):
                watching.ran(binds=(key,))
            raise RuntimeError

    assert len(watching.repeats) == 1
    watching.ran(9)
    assert len(watching.repeats) == 1


def test_scope_within_a_scope_is_a_request_of_its_own():
    """What runs in it is not the outer one's, which goes on afterwards."""
    watching = Watching()
    with watching.log.scope("outer"):
        for key in range(3):
            watching.ran(binds=(key,))
        with watching.log.scope("inner"):
            for key in range(3, 6):
                watching.ran(binds=(key,))
        assert watching.repeats == []
        for key in range(6, 8):
            watching.ran(binds=(key,))

    assert [(repeat.scope, repeat.calls) for repeat in watching.repeats] == [("outer", 5)]


async def test_scope_that_is_over_takes_no_more():
    """What a request has left running adds nothing to it, not even to its number of queries (QO4)."""
    watching = Watching()
    is_over = asyncio.Event()

    async def go_on() -> None:
        await is_over.wait()
        watching.ran(9)

    with watching.log.scope("GET /list") as scope:
        watching.ran()
        task = asyncio.create_task(go_on())
        await asyncio.sleep(0)
    is_over.set()
    await task

    assert scope.calls == 1
    assert watching.log.calls == 10


def test_binds_that_cannot_be_hashed_are_told_apart():
    """A list within a mapping is a value like any other."""
    watching = Watching()
    with watching.log.scope("GET /list"):
        for key in range(5):
            watching.ran(sql="SELECT a FROM t WHERE id = %(key)s", binds={"key": [key]})

    assert len(watching.repeats) == 1


@pytest.mark.parametrize("error", [RuntimeError, asyncio.CancelledError])
@pytest.mark.parametrize("listener", ["on_slow", "on_repeat"])
def test_listener_that_fails_hurts_no_query(listener, error, caplog):
    """What was found is kept, and the error is in the log."""

    def fail(_finding: object) -> None:
        raise error("cannot hear")

    log = QueryLog(QueryPolicy(), clock=FakeClock(), **{listener: fail})
    with log.scope("GET /list"):
        for key in range(5):
            log.record(BY_KEY, (key,), elapsed_s=0.2, rows=1, place=HERE)

    assert (len(log.slow()), len(log.repeats())) == (5, 1)
    assert "cannot hear" in caplog.text


class Incomparable:
    """A bind with the hash of all others of its class, which fails when it is compared."""

    def __hash__(self) -> int:
        return 1

    def __eq__(self, other: object) -> bool:
        raise RuntimeError("cannot compare")


def test_binds_that_fail_hurt_no_query(caplog):
    """The query is counted, and the error is in the log."""
    watching = Watching()

    with watching.log.scope("GET /list"):
        for _ in range(3):
            watching.ran(binds=(Incomparable(),))

    assert watching.log.calls == 3
    assert "cannot compare" in caplog.text


def test_parser_that_fails_hurts_no_request(caplog, monkeypatch):
    """What a request returns is its own, whatever comes of looking at its queries."""
    watching = Watching()

    def fail(*_: object, **__: object) -> None:
        raise TypeError("cannot parse")

    monkeypatch.setattr("sqlglot.parse_one", fail)
    with watching.log.scope("GET /list"):
        for key in range(5):
            watching.ran(binds=(key,))

    assert watching.repeats == []
    assert "cannot parse" in caplog.text


def test_log_forgets_the_statements_that_were_used_least_lately():
    """A tenth of them, when there are too many; those in use stay, with their numbers."""
    watching = Watching(max_statements=20)
    for n in range(60):
        watching.ran(sql=f"SELECT a{n} FROM t")  # noqa: S608 - not run
        watching.ran()
        watching.clock.advance(1)

    views = watching.log.statements()
    assert len(views) <= 20
    assert watching.log.forgotten >= 40
    assert next(view for view in views if view.sql == BY_KEY).calls == 60


def test_log_is_bounded_in_memory():
    """Fifty thousand different texts, long ones, slow ones, in one request: a few megabytes, and no growth (QO3)."""
    watching = Watching(max_statements=100, max_texts=100, max_chars=200, max_in_scope=100, max_findings=50)
    sizes = []
    tracemalloc.start()
    try:
        with watching.log.scope("GET /list"):
            for part in range(2):
                for n in range(1000):
                    watching.ran(sql=f"SELECT a{part}_{n} FROM t -- {'x' * 1000}", elapsed_s=0.2, binds=(n,))  # noqa: S608 - not run
                    watching.ran(sql=f"SELECT b FROM t WHERE c = '{part}_{n}{'x' * 100}'", binds=())  # noqa: S608 - not run
                watching.slow.clear()
                sizes.append(tracemalloc.get_traced_memory()[0])
    finally:
        tracemalloc.stop()

    assert sizes[1] <= 3e6
    assert sizes[1] - sizes[0] <= 100e3
    assert len(watching.log.slow()) == 50
    assert watching.log.untold == 1901


def test_statement_of_which_only_the_beginning_is_looked_at():
    """Texts beyond the limit that begin alike are one statement."""
    watching = Watching(max_chars=50)
    for n in range(5):
        watching.ran(sql="INSERT INTO t VALUES " + ", ".join(["(1, 2)"] * (20 + n)))  # noqa: S608 - not run

    assert [view.calls for view in watching.log.statements()] == [5]


def test_place_is_the_line_that_asks():
    """Not one of this package, and not of a data layer that is named."""
    watching = Watching()
    with watching.log.scope("GET /list"):
        for key in range(5):
            watching.log.record(BY_KEY, (key,), elapsed_s=0.001, rows=1)  # this line

    (repeat,) = watching.repeats
    assert repeat.place.file == __file__
    assert "# this line" in _line(repeat.place)

    layered = Watching(skip_modules=(__name__,))
    with layered.log.scope("GET /list"):
        for key in range(5):
            layered.log.record(BY_KEY, (key,), elapsed_s=0.001, rows=1)
    assert layered.repeats[0].place.file != __file__


class Canned:
    """A connection that answers what it is told to; what is watched is the call, not the answer."""

    def __init__(self, clock: FakeClock) -> None:
        self.clock = clock
        self.asked: list[tuple[str, str, tuple, dict]] = []
        self.error: BaseException | None = None

    def __getattr__(self, method: str):
        async def answer(query: str, *args: object, **options: object):
            await asyncio.sleep(0)
            self.asked.append((method, query, args, options))
            self.clock.advance(0.2)
            if self.error is not None:
                raise self.error
            return {"fetch": ["a", "b"], "fetchrow": None, "fetchval": 5, "execute": "UPDATE 3"}[method]

        return answer


@pytest.mark.parametrize(
    ("method", "answer", "rows"),
    [("fetch", ["a", "b"], 2), ("fetchrow", None, 0), ("fetchval", 5, 1), ("execute", "UPDATE 3", 0)],
)
async def test_watched_connection_answers_as_it_does_and_tells(method, answer, rows):
    """The query, its arguments and options go through; time and rows are told."""
    watching = Watching()
    connection = Canned(watching.clock)

    assert await getattr(Watched(connection, watching.log), method)(BY_KEY, 7, timeout=3) == answer

    assert connection.asked == [(method, BY_KEY, (7,), {"timeout": 3})]
    (view,) = watching.log.statements()
    assert (view.calls, view.failed, view.rows, view.slow) == (1, 0, rows, 1)
    assert view.total_s == pytest.approx(0.2)


@pytest.mark.parametrize("error", [OSError("gone"), asyncio.CancelledError()])
async def test_watched_connection_tells_of_what_failed(error):
    """An error and a cancelled call are runs that failed; they are raised as they are."""
    watching = Watching()
    connection = Canned(watching.clock)
    connection.error = error

    with pytest.raises(type(error)):
        await Watched(connection, watching.log).fetch(BY_KEY, 7)

    (view,) = watching.log.statements()
    assert (view.calls, view.failed) == (1, 1)


async def test_watched_connection_knows_who_asked_through_gather():
    """The line that made the calls, though each runs in a task that this line is not on the stack of."""
    watching = Watching()
    watched = Watched(Canned(watching.clock), watching.log)
    with watching.log.scope("GET /list"):
        await asyncio.gather(*(watched.fetchrow(BY_KEY, key) for key in range(6)))  # this line

    (repeat,) = watching.repeats
    assert "# this line" in _line(repeat.place)


def _line(place: Place) -> str:
    return Path(place.file).read_text(encoding="utf-8").splitlines()[place.line - 1]


def test_settings_say_all_of_the_policy_that_they_name():
    """Each setting reaches the policy, and its default is the policy's, but for what writers are held off."""
    chosen = {
        "slow_s": 0.5,
        "slow_p99_factor": 4.0,
        "repeats": 7,
        "min_rows": 5,
        "min_gain_ratio": 0.3,
        "build_timeout_s": 2.0,
        "max_statements": 77,
    }
    assert QuerySettings.model_fields.keys() == chosen.keys()

    assert QuerySettings(**chosen).policy(skip_modules=("a",)) == QueryPolicy(**chosen, skip_modules=("a",))
    assert QuerySettings().policy() == QueryPolicy(build_timeout_s=0.5)  # writers wait for it, and go on
