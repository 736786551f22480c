"""The labelled corpora of queries, read: what was asked, and what should be said of it; and our own watcher of them."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from fixtures import queries
from fixtures.reference.core.query import Place, QueryLog, QueryPolicy, Verdict, advise, fingerprint
from harness.clock import FakeClock

if TYPE_CHECKING:
    from collections.abc import Iterator

FOLDER = Path(queries.__path__[0])


@dataclass(frozen=True)
class Run:
    """One query that ran, and the line that asked."""

    sql: str
    binds: Any
    rows: int | None
    file: str
    line: int


@dataclass(frozen=True)
class Request:
    """One request and what it asked; `hard` says why the rule is known to get it wrong."""

    case: str
    is_n_plus_one: bool
    hard: str | None
    runs: tuple[Run, ...]


@dataclass(frozen=True)
class Wanted:
    """One statement, and the columns of the index that it wants; none for no index, as where one covers them."""

    sql: str
    columns: frozenset[str]
    is_covered: bool
    hard: str | None


def requests() -> list[Request]:
    """Return the requests of `repeats.yaml`, each with all its runs."""
    return [
        Request(
            each["case"],
            each["n_plus_one"],
            each.get("hard"),
            tuple(run for told in each["runs"] for run in _runs_of(told)),
        )
        for each in yaml.safe_load((FOLDER / "repeats.yaml").read_text(encoding="utf-8"))
    ]


def advice() -> tuple[str, list[Wanted]]:
    """Return the schema of `advice.yaml`, and its statements."""
    told = yaml.safe_load((FOLDER / "advice.yaml").read_text(encoding="utf-8"))
    return told["schema"], [
        Wanted(each["sql"], frozenset(each["wants"]), each.get("covered", False), each.get("hard"))
        for each in told["statements"]
    ]


class OurWatcher:
    """`fixtures/reference/core/query`."""

    fingerprint = staticmethod(fingerprint)

    def __init__(self) -> None:
        self.log = QueryLog(QueryPolicy(), clock=FakeClock())

    @contextmanager
    def request(self) -> Iterator[None]:
        with self.log.scope("request"):
            yield

    def ran(self, run: Run) -> None:
        self.log.record(run.sql, run.binds, elapsed_s=0.001, rows=run.rows, place=Place(run.file, run.line))

    def repeated(self) -> set[str]:
        return {repeat.sql for repeat in self.log.repeats()}

    def known(self) -> int:
        return len(self.log.statements())

    async def advised(self, connection: Any, sql: str) -> frozenset[str]:
        said = await advise(connection, sql, QueryPolicy())
        return frozenset(said.columns) if said.verdict is Verdict.ADVISED else frozenset()


def _runs_of(told: dict[str, Any]) -> list[Run]:
    each = told.get("each", [None])
    keys = range(1, each + 1) if isinstance(each, int) else each
    file, line = told["at"].rsplit(":", 1)
    return [
        Run(told["sql"].replace("{}", str(key)), _filled(told.get("binds", []), key), told.get("rows"), file, int(line))
        for key in keys
    ]


def _filled(binds: Any, key: Any) -> Any:
    if binds == "{}":
        return key
    if isinstance(binds, list):
        return [_filled(each, key) for each in binds]
    if isinstance(binds, dict):
        return {name: _filled(each, key) for name, each in binds.items()}
    return binds
