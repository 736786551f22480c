"""How each kind of ledger entry is undone: one function a kind, for every caller.

A fault's own end, the guardian of a run that was killed, and `readiness heal` weeks later call the same functions, so
that none of them can forget what another knows. Undoing twice is harmless. A process is ended only if it started when
the ledger says: an id that another process has in the meantime is left alone.
"""

from __future__ import annotations

import shutil
import signal
import tempfile
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, assert_never

import psutil

from harness.clock import SystemClock, is_met_within
from harness.errors import FaultError, StackError
from harness.faults.clock_setting import offsets_of, set_right
from harness.faults.disk_room import is_filled, make_room
from harness.faults.ledger import noted_process
from harness.faults.process_limits import is_lowered, restore
from harness.stack.backends.order import carry_out
from harness.stack.backends.process import is_gone, signal_all
from harness.stack.elsewhere import Order
from harness.stack.proxy import ProxyServer
from harness.stack.service import Address

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from harness.faults.ledger import Entry, Ledger

WORK_PREFIX = "readiness-"
"""Every work folder is `<temp>/readiness-<run id>`; nothing else is ever removed."""

_GONE_WITHIN_S = 5.0
_LONGEST_S = 600.0
"""No command of readiness.toml may take longer."""


def undo(entry: Entry) -> list[str]:  # noqa: C901, PLR0911 - one a kind
    """Undo what `entry` announced; return what was undone, a line each, and nothing if nothing was left of it.

    Raises:
        FaultError: If it could not be undone.
    """
    match entry.kind:
        case "toxic":
            return _remove_toxic(entry)
        case "disabled":
            return _enable_proxy(entry)
        case "paused":
            return _thaw(entry)
        case "redis-pause" | "redis-memory" | "postgres-read-only" | "postgres-sessions":
            return _set_right(entry)
        case "limit":
            return _lift(entry)
        case "clock":
            return [f"healed {entry}"] if set_right(entry.facts) else []
        case "disk":
            return [f"healed {entry}"] if make_room(entry.facts) else []
        case "command":
            return _carry_out(entry)
        case "process":
            return _end_process(entry)
        case "containers":
            return _remove_containers(entry)
        case "folder":
            return _remove_folder(entry)
        case _:
            assert_never(entry.kind)


def is_left(entry: Entry) -> bool:  # noqa: PLR0911 - one a kind
    """Tell whether something of what `entry` announced can still be seen; what cannot be asked is not there."""
    match entry.kind:
        case "toxic" | "disabled":
            return _is_hurt(entry)
        case "paused" | "process":
            return "pid" in entry.facts and not all(map(is_gone, family_of(entry)))
        case "limit":
            return is_lowered(family_of(entry), entry.facts)
        case "clock":
            return "container" not in entry.facts and bool(offsets_of(entry.facts).wall_s)
        case "disk":
            return is_filled(entry.facts)
        case "command":
            return True  # nobody can see that it was run, but by the line that says so
        case "containers":
            return _has_containers(entry)
        case "folder":
            return Path(entry.facts["path"]).exists()
        case "redis-pause" | "redis-memory" | "postgres-read-only" | "postgres-sessions":
            return False  # inside a server of the run, which is noted itself, and is what is in the way
        case _:
            assert_never(entry.kind)


def _is_hurt(entry: Entry) -> bool:
    """Tell whether an edge is still hurt; a proxy that is gone does no harm."""
    proxy, edge = _proxy(entry), entry.facts["edge"]
    with suppress(StackError):
        if entry.kind == "disabled":
            return not proxy.is_enabled(edge)
        return entry.facts["toxic"] in {each.name for each in proxy.toxics(edge)}
    return bool(entry.facts.get("lent")) and not _has_gone(entry)


def _has_containers(entry: Entry) -> bool:
    from harness.stack.backends import engine  # noqa: PLC0415 - a Docker client, only where it is needed

    with suppress(StackError), closing(engine.connect(entry.facts["engine"])) as client:
        return bool(engine.names_of(entry.name, client))
    return False


def is_held(entry: Entry, others: Iterable[Entry]) -> bool:
    """Tell whether another entry that is still open asks for the very same: it must not be undone before that one is.

    Two faults may disable one proxy; whichever ends first leaves it as the other needs it.
    """
    return any((other.kind, other.facts) == (entry.kind, entry.facts) for other in others)


def take_back(noted: list[Entry], ledger: Ledger, *, is_there: Callable[[Entry], bool]) -> None:
    """Undo what one fault has noted, newest first, and strike each entry once it is seen to be gone.

    Args:
        noted: What is to be undone; empty afterwards.
        ledger: Where it was noted; what another open entry of it holds as well stays.
        is_there: Tells whether what an entry announced can still be seen after it was undone.

    Raises:
        FaultError: If it can.
    """
    while noted:
        entry = noted[-1]
        if not is_held(entry, ledger.beside(entry)):
            undo(entry)
            if is_there(entry):
                raise _still_there(entry)
        ledger.strike(noted.pop())


def _still_there(entry: Entry) -> FaultError:
    fix = "run `readiness heal`; see proxy.log"
    return FaultError(f"the fault is still there: {entry}", where=entry.name, fix=fix)


@contextmanager
def _unless_it_is_gone(entry: Entry) -> Iterator[None]:
    """Let a fault proxy be that does not answer: it is gone, and does no harm. But one that is lent outlives us.

    Raises:
        FaultError: If that one does not say that it has no such proxy any more.
    """
    try:
        yield
    except StackError as error:
        if entry.facts.get("lent") and not _has_gone(entry):
            raise FaultError(error.what, where=str(entry), fix=error.fix) from error


def _has_gone(entry: Entry) -> bool:
    """Tell whether a lent server says that it has no such proxy; what does not answer has said nothing."""
    with suppress(StackError):
        return entry.facts["edge"] not in _proxy(entry).shown()
    return False


def _remove_toxic(entry: Entry) -> list[str]:
    """Remove a toxic, and see it gone: a proxy may say yes and do nothing."""
    proxy, edge, toxic = _proxy(entry), entry.facts["edge"], entry.facts["toxic"]
    with _unless_it_is_gone(entry):
        proxy.remove(edge, toxic)
        if toxic in {each.name for each in proxy.toxics(edge)}:
            raise _still_there(entry)
        return [f"healed {entry}"]
    return []


def _enable_proxy(entry: Entry) -> list[str]:
    """Enable a proxy, and see that it is: as above."""
    proxy, edge = _proxy(entry), entry.facts["edge"]
    with _unless_it_is_gone(entry):
        proxy.enable(edge)
        if not proxy.is_enabled(edge):
            raise _still_there(entry)
        return [f"healed {entry}"]
    return []


def _thaw(entry: Entry) -> list[str]:
    """Let go on what was frozen; a process or container that is gone, or runs, is as good."""
    if "container" in entry.facts:
        from harness.stack.backends import engine  # noqa: PLC0415 - most guardians never need a Docker client

        with suppress(StackError), closing(engine.connect(entry.facts["engine"])) as client:
            return [f"healed {entry}"] if engine.thaw(entry.facts["container"], client) else []
        return []
    family = family_of(entry)
    signal_all(family, signal.SIGCONT)
    return [f"healed {entry}"] if family else []


def _set_right(entry: Entry) -> list[str]:
    """Have the very server that was told something unlearn it; one that is gone, or was started anew, is as good."""
    from harness.faults import postgres_server, redis_server  # noqa: PLC0415 - most guardians never need their clients

    undoing = {
        "redis-pause": redis_server.let_answer,
        "redis-memory": redis_server.restore_memory,
        "postgres-read-only": postgres_server.restore_writes,
        "postgres-sessions": postgres_server.end_sessions,
    }
    return [f"healed {entry}"] if undoing[entry.kind](entry.facts) else []


def _lift(entry: Entry) -> list[str]:
    """Let a process have again what it had before; one that is gone, or was started anew, is as good."""
    return [f"healed {entry}"] if restore(family_of(entry), entry.facts) else []


def _carry_out(entry: Entry) -> list[str]:
    """Run the command that brings back what runs elsewhere; it does no harm where that runs already."""
    order = order_of(entry)
    ended = carry_out(order)
    if not ended.is_well:
        what = f"{entry.name} could not be brought back: `{order}` {ended}"
        raise FaultError(what, where=f"{entry.kind} {entry.name}", fix=ended.last_words)
    return [f"healed {entry.kind} {entry.name}: ran `{order}`"]


def order_of(entry: Entry) -> Order:
    """Return the command that an entry notes.

    Raises:
        FaultError: If it notes none that could be run.
    """
    argv, folder, within_s = (entry.facts.get(key) for key in ("argv", "folder", "within_s"))
    is_argv = isinstance(argv, list) and bool(argv) and all(isinstance(each, str) for each in (*argv, folder))
    if not is_argv or not isinstance(within_s, float | int) or not 0 < within_s <= _LONGEST_S:
        fix = "look at that ledger, and undo by hand what it names"
        raise FaultError("the ledger notes no command that could be run", where=str(entry), fix=fix)
    return Order(tuple(map(str, argv or ())), str(folder), float(within_s))


def _proxy(entry: Entry) -> ProxyServer:
    return ProxyServer(Address(entry.facts["api_host"], int(entry.facts["api_port"])))


def _end_process(entry: Entry) -> list[str]:
    return end_processes(family_of(entry), where=str(entry))


def family_of(entry: Entry) -> list[psutil.Process]:
    """Find the process that an entry names, if it is still the same one, and all below it."""
    with suppress(psutil.NoSuchProcess):
        process = noted_process(entry.facts)
        return [process, *process.children(recursive=True)] if process else []
    return []


def end_processes(processes: Sequence[psutil.Process], *, where: str) -> list[str]:
    """End `processes` with SIGKILL; return a line for each that was not gone already, once all are.

    Raises:
        FaultError: If one does not end.
    """
    lines = [f"ended process {process.pid} ({_name(process)})" for process in processes if not is_gone(process)]
    for process in processes:
        with suppress(psutil.NoSuchProcess, psutil.AccessDenied):  # what would not end is told below
            process.kill()  # psutil looks at the start time first
    if not is_met_within(lambda: all(map(is_gone, processes)), deadline_s=_GONE_WITHIN_S, clock=SystemClock()):
        pids = " ".join(str(process.pid) for process in processes if not is_gone(process))
        raise FaultError(f"processes {pids} would not end", where=where, fix=f"end them by hand: kill -9 {pids}")
    return lines


def _name(process: psutil.Process) -> str:
    try:
        return str(process.name())
    except psutil.Error:
        return "gone"


def _remove_containers(entry: Entry) -> list[str]:
    """Remove whatever on an engine carries the label of the run, whose id is the entry's name."""
    from harness.stack.backends import engine  # noqa: PLC0415 - most guardians never need a Docker client

    try:
        with closing(engine.connect(entry.facts["engine"])) as client:
            return engine.remove_all_of(entry.name, client)
    except StackError as error:
        raise FaultError(error.what, where=f"{entry}", fix=error.fix) from error


def _remove_folder(entry: Entry) -> list[str]:
    path = Path(entry.facts["path"])
    if not is_work_folder(path):
        raise FaultError(
            f"the ledger asks to remove {path}, which is no work folder", where=str(entry), fix="look at that ledger"
        )
    if not path.exists():
        return []
    shutil.rmtree(path, ignore_errors=True)
    return [f"removed {path}"]


def is_work_folder(path: Path) -> bool:
    """Tell whether `path` is a folder that a run may have made for its data."""
    return path.parent == Path(tempfile.gettempdir()) and path.name.startswith(WORK_PREFIX) and not path.is_symlink()
