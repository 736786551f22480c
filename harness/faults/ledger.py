"""The write-ahead ledger: what must be undone is on disk before it is done.

One JSON line an entry, flushed to the disk before the action it announces. What reads it afterwards, the guardian at
once or `readiness heal` next week, finds every process, folder and fault that has no matching `undone` line, and undoes
them in reverse order. The vocabulary is closed: a ledger can ask for nothing but what `Entry` names.
"""

from __future__ import annotations

import json
import os
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal, get_args

import psutil

from harness.errors import FaultError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from io import FileIO
    from pathlib import Path

_SAME_START_S = 0.05
"""Start times are told in ticks of 10 ms."""

Kind = Literal[
    "process",
    "folder",
    "toxic",
    "disabled",
    "paused",
    "containers",
    "redis-pause",
    "redis-memory",
    "postgres-read-only",
    "postgres-sessions",
    "limit",
    "clock",
    "disk",
    "command",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One thing that must be undone.

    Attributes:
        number: Its place in the ledger.
        kind: `process` (end it), `folder` (remove it), `toxic` (remove it), `disabled` (enable the proxy), `paused`
            (thaw the process and all below it, or the container), `containers` (remove whatever on an engine carries
            the run's label), `redis-pause` (let a Redis answer again), `redis-memory` (give it its room back),
            `postgres-read-only` (let a PostgreSQL take writes again), `postgres-sessions` (end what a fault has opened
            there), `limit` (give a process and all below it what they might have before), `clock` (set the wall clock
            of a replica right), `disk` (remove the file that fills it), `command` (run what brings back a process that
            runs elsewhere).
        name: What people call it.
        facts: What undoing needs: `pid`, `started_s`; `path`; `api_host`, `api_port`, `edge`, `toxic`; `engine`,
            `container`; `host`, `port` and `run_id` of a Redis, `blocks`, `lasts_s`, `maxmemory`, `policy`; `host`,
            `port` and `cluster` of a PostgreSQL, `former`, `held`; `application`; `limit`, `lowered` and `former`;
            `file` and `monotonic_s`; `folder` and `file` of a disk, beside `pid` and `started_s` of what keeps it;
            `argv`, `folder` and `within_s` of a command.
    """

    number: int
    kind: Kind
    name: str
    facts: dict[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        detail = ", ".join(f"{key} {value}" for key, value in sorted(self.facts.items()))
        return f"{self.kind} {self.name} ({detail})"


class Ledger:
    """A ledger that is being written; only the run that made it appends to it."""

    def __init__(self, path: Path, run_id: str) -> None:
        """Begin a ledger.

        Raises:
            FaultError: If there is one already: two runs of one id would undo each other's doing.
        """
        self.path = path
        self.run_id = run_id
        self._numbers = 0
        self._open: dict[int, Entry] = {}
        if path.is_file() and path.stat().st_size:
            fix = "let the run choose its own id, or give it another folder: --out FOLDER"
            raise FaultError(f"a run called {run_id} has been here", where=str(path), fix=fix)
        self._append({"run": run_id, "pid": os.getpid(), "started_s": psutil.Process().create_time()})

    def note(self, kind: Kind, name: str, **facts: Any) -> Entry:
        """Announce something that must be undone, and return when the disk has it."""
        self._numbers += 1
        entry = Entry(number=self._numbers, kind=kind, name=name, facts=facts)
        self._append({"do": asdict(entry)})
        self._open[entry.number] = entry
        return entry

    def note_process(self, name: str, pid: int) -> Entry:
        """Announce a process that has just started, with its start time: an id alone may be another process's later."""
        return self.note("process", name, pid=pid, started_s=psutil.Process(pid).create_time())

    def beside(self, entry: Entry) -> list[Entry]:
        """Return all other entries that are still open."""
        return [other for other in self._open.values() if other.number != entry.number]

    def open_faults(self) -> list[Entry]:
        """Return the entries that are still open and are a fault's doing: what a stack is made of is none."""
        return [entry for entry in self._open.values() if entry.kind not in ("process", "folder", "containers")]

    def strike(self, entry: Entry) -> None:
        """Note that it is undone."""
        self._append({"undone": entry.number})
        del self._open[entry.number]

    def close(self) -> None:
        """Note that nothing is left to undo, if that is so; otherwise the guardian sees what there is.

        Processes are not struck one by one: each ends with the stack that it belongs to.
        """
        if all(entry.kind == "process" for entry in self._open.values()):
            self._append({"closed": True})

    def _append(self, line: dict[str, Any]) -> None:
        try:
            self.path.touch(0o644)  # what it says is undone in our name: nobody else may write it, whatever the umask
            with self.path.open("ab", buffering=0) as file:
                _write_whole(file, (json.dumps(line, sort_keys=True) + "\n").encode())
        except OSError as error:  # what cannot be noted must not be done
            raise FaultError(
                f"cannot write the ledger: {error.strerror}",
                where=str(self.path),
                fix="make room on that disk, or choose another folder: --out FOLDER",
            ) from error


def _write_whole(file: FileIO, data: bytes) -> None:
    """Append `data` and flush it to the disk, or nothing of it: half a line would spoil the one that comes next."""
    before = file.tell()
    try:
        while data:
            data = data[file.write(data) :]
        os.fsync(file.fileno())
    except OSError:
        with suppress(OSError):
            file.truncate(before)
        raise


@dataclass(frozen=True, slots=True)
class LedgerSnapshot:
    """What a ledger on disk says.

    Attributes:
        path: The ledger.
        run_id: The run that wrote it.
        pid: Its process.
        started_s: When that process had started, wall clock; an id alone may be another process's by now.
        is_closed: Whether the run ended in order, or was healed.
        left: What is not undone, newest first: the order of undoing.
    """

    path: Path
    run_id: str
    pid: int
    started_s: float
    is_closed: bool
    left: tuple[Entry, ...]

    def is_running(self) -> bool:
        """Tell whether the run that wrote it is still alive."""
        try:
            process = psutil.Process(self.pid)
            is_same = abs(process.create_time() - self.started_s) < 1
            return is_same and process.status() != psutil.STATUS_ZOMBIE
        except psutil.Error:
            return False


def noted_process(facts: Mapping[str, Any]) -> psutil.Process | None:
    """Return the process that facts name by `pid` and `started_s`; None if it is gone, or another one by now."""
    with suppress(psutil.NoSuchProcess):
        process = psutil.Process(int(facts["pid"]))
        return process if abs(process.create_time() - float(facts["started_s"])) < _SAME_START_S else None
    return None


def read_ledger(path: Path) -> LedgerSnapshot:
    """Read a ledger, also one that a dying run left with half a last line.

    One without a single whole line is as good as closed: nothing is done before it is noted.

    Raises:
        FaultError: If it cannot be read, or says something that no ledger of ours says.
    """
    head: dict[str, Any] = {}
    is_closed, noted = False, dict[int, Entry]()
    try:
        lines = _whole_lines(path)
        if not lines:
            return LedgerSnapshot(path, path.parent.name, pid=0, started_s=0.0, is_closed=True, left=())
        for line in lines:
            head = line if "run" in line else head
            is_closed = is_closed or "closed" in line
            if "do" in line:
                entry = _entry(line["do"])
                noted[entry.number] = entry
            noted.pop(line.get("undone", 0), None)
        snapshot = LedgerSnapshot(path, str(head["run"]), int(head["pid"]), float(head["started_s"]), is_closed, ())
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        fix = "undo by hand what it names, then delete it"
        raise FaultError(f"cannot read the ledger: {error}", where=str(path), fix=fix) from error
    return snapshot if is_closed else replace(snapshot, left=tuple(reversed(noted.values())))


def close_ledger(snapshot: LedgerSnapshot) -> None:
    """Note in a dead run's ledger that everything in it is undone; a reading meanwhile sees all of it."""
    whole = _whole(snapshot.path.read_bytes().decode())
    with snapshot.path.open("r+b", buffering=0) as file:
        file.truncate(len(whole.encode()))  # half a last line, if there is one
        file.seek(0, os.SEEK_END)
        _write_whole(file, b'{"closed": true}\n')


def _whole_lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in _whole(path.read_text(encoding="utf-8")).splitlines()]


def _whole(text: str) -> str:
    """Cut half a last line off: what was not flushed to its end had not been done yet."""
    return text[: text.rfind("\n") + 1]


def _entry(said: dict[str, Any]) -> Entry:
    if said["kind"] not in get_args(Kind):
        raise ValueError(f"unknown kind of entry {said['kind']!r}")
    return Entry(**said)
