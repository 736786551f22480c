"""A service as a local process: in a session of its own, dead when we die, restartable on the same address."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from harness.clock import SystemClock, is_met_within
from harness.errors import StackError
from harness.spec.faults.target import ENDS_WITHIN_S
from harness.stack.service import SERVICE_ANSWERS_WITHIN_S, Address, Usage, Workspace, cannot_reload

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from harness.stack.recipe import Recipe

RUN_MARK = "READINESS_RUN"
"""Environment variable of every process that we start; one that does not carry our run's id is never touched."""

_LAUNCHER = str(Path(__file__).with_name("launcher.py"))
_INHERITED = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "LD_LIBRARY_PATH", "SYSTEMROOT", "COVERAGE_PROCESS_START")
_HELD_WITHIN_S = 5.0


def spawn(
    argv: Sequence[str],
    *,
    workspace: Workspace,
    log: Path,
    environment: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    user: str | None = None,
    death_signal: signal.Signals = signal.SIGKILL,
    held: bool = False,
    disk: int | None = None,
) -> subprocess.Popen[bytes]:
    """Start a marked child in a session of its own, which dies with us; its output is appended to `log`.

    One that is `held` stops itself before it becomes the program, and goes on at SIGCONT. It sees the disk that the
    process `disk` keeps, if one is named.

    Call this from the main thread: on Linux the child's life is tied to the thread that started it.
    """
    launched = tied(argv, user=user, death_signal=death_signal, held=held, disk=disk)
    with log.open("ab") as sink:
        return subprocess.Popen(
            launched,
            stdin=subprocess.DEVNULL,
            stdout=sink,
            stderr=subprocess.STDOUT,
            cwd=cwd or workspace.work,
            env={**child_environment(workspace.run_id), **(environment or {})},
            start_new_session=True,
        )


def tied(
    argv: Sequence[str],
    *,
    user: str | None = None,
    death_signal: signal.Signals = signal.SIGKILL,
    held: bool = False,
    disk: int | None = None,
) -> list[str]:
    """Return the command that becomes `argv`, whose program is an absolute path, and ends when this process does.

    See `spawn` for the arguments, and for the thread that must start it.
    """
    launcher = [sys.executable, "-I", "-S", _LAUNCHER, str(os.getpid()), str(int(death_signal))]
    return [*launcher, user or "-", "held" if held else "-", str(disk or "-"), *argv]


def child_environment(run_id: str) -> dict[str, str]:
    """Return the few variables that a child needs, and our mark; secrets of the caller stay with the caller."""
    kept = {name: os.environ[name] for name in _INHERITED if name in os.environ}
    return {**kept, RUN_MARK: run_id, "PYTHONUNBUFFERED": "1", "PYTHONDONTWRITEBYTECODE": "1"}


class LocalProcess:
    """One recipe, running. Implements `Service`."""

    def __init__(self, recipe: Recipe, workspace: Workspace) -> None:
        self._recipe = recipe
        self._workspace = workspace
        self._child: subprocess.Popen[bytes] | None = None

    @property
    def name(self) -> str:
        """Its name, unique in its stack."""
        return self._recipe.name

    @property
    def direct(self) -> Address:
        """Where it listens."""
        return self._recipe.address

    @property
    def log(self) -> Path:
        """The file that it writes to."""
        return self._workspace.logs / f"{self.name}.log"

    def is_ready(self) -> bool:
        """Tell whether it answers its health question."""
        try:
            if not self._recipe.probe.listens:
                return self._seen_running_s() == 0
            return self.is_alive() and self._recipe.probe.is_answering(self.direct)
        except OSError:
            return False

    def is_alive(self) -> bool:
        """Tell whether its main process lives.

        One that died is not waited for: until `kill` has ended its session, its number must not be given away.
        """
        if self._child is None or self._child.returncode is not None:
            return False
        try:
            return not is_gone(psutil.Process(self._child.pid))
        except psutil.NoSuchProcess:
            return False

    @property
    def ready_within_s(self) -> float:
        """How long it may take from its start until it is ready."""
        return self._recipe.ready_within_s

    def why_not_ready(self) -> str:
        """Say how it ended, where else it listens, or what it answers."""
        if not self.is_alive():
            return _how_it_ended(self._child.pid) if self._child else ""
        listens = listening(self._family())
        if str(self.direct) in listens:
            return self._recipe.probe.seen(self.direct)
        places = f"on {', '.join(listens)}, not" if listens else "nowhere, and should"
        return f"it listens {places} on {self.direct}"

    def is_address_taken(self) -> bool:
        """Tell whether something else listens where it should: then it is not its own doing that it is not ready."""
        if str(self.direct) in listening(self._family()):
            return False
        with suppress(OSError), socket.create_connection((self.direct.host, self.direct.port), timeout=1.0):
            return True
        return False

    @property
    def question(self) -> bytes:
        """What `round_trip_s` asks."""
        return self._recipe.probe.question

    @property
    def greets(self) -> bool:
        """Whether it speaks first on a connection."""
        return self._recipe.probe.greets

    def long_question(self, length_bytes: int) -> bytes:
        """Return a question whose answer has at least so many bytes, and ends the connection."""
        return self._recipe.probe.asking_for(length_bytes, self.name)

    def round_trip_s(self, via: Address, *, within_s: float = SERVICE_ANSWERS_WITHIN_S) -> float:
        """Return the seconds that its cheapest question takes through `via`."""
        if not self._recipe.probe.listens:
            return self._seen_running_s()
        return self._recipe.probe.round_trip_s(via, within_s)

    def version(self) -> str:
        """Return what it says it is."""
        return self._recipe.probe.version(self.direct)

    def identity(self) -> dict[str, str | float]:
        """Return its main process, with the time of its start: a number alone may be another's later."""
        if self._child is None or not self.is_alive():
            raise StackError(f"{self.name} does not run", where=str(self.direct), fix=f"see {self.log}")
        return {"pid": self._child.pid, "started_s": psutil.Process(self._child.pid).create_time()}

    def start(self, *, held: bool = False) -> None:
        """Start it on the same address; held, its process waits to become the program until `resume`.

        Raises:
            StackError: If it runs already.
        """
        if self.is_alive():
            raise StackError(f"{self.name} runs already", where=str(self.direct), fix="stop it first")
        self.kill()  # what one that died by itself may have left of its session
        recipe = self._recipe
        self._child = spawn(
            recipe.argv,
            workspace=self._workspace,
            log=self.log,
            environment=recipe.environment,
            cwd=recipe.cwd,
            user=recipe.user,
            death_signal=recipe.death_signal,
            held=held,
            disk=recipe.disk,
        )
        self._workspace.on_spawn(self.name, self._child.pid)
        if held:
            self._wait_until_held(psutil.Process(self._child.pid))

    def life(self) -> str:
        """Return its process and when that was started."""
        identity = self.identity()
        return f"process {identity['pid']} of {identity['started_s']}"

    def children(self) -> frozenset[int]:
        """Return the numbers of those of its family that are not its main process."""
        return frozenset(each.pid for each in self._family()[1:])

    def reload(self) -> None:
        """Send its own signal for this, and do not wait for it."""
        number = self._recipe.reload_signal
        if number is None or not self.is_alive():
            raise cannot_reload(self, "it does not run" if number else "it knows no such order")
        self._signal(number)

    def ask_to_end(self) -> None:
        """Send its own signal for this, and do not wait for it."""
        self.resume()  # a frozen process would never hear the next one
        self._signal(self._recipe.stop_signal)

    def stop(self) -> None:
        """Ask it to end, insist after 5 s, and return when it is gone."""
        if self._child is None:
            return
        self.ask_to_end()
        with suppress(subprocess.TimeoutExpired):
            self._child.wait(ENDS_WITHIN_S)
        self.kill()

    def kill(self) -> None:
        """End its whole session with SIGKILL and return when it is gone.

        Raises:
            StackError: If it does not die.
        """
        if self._child is None:
            return
        family = self._family()
        with suppress(ProcessLookupError):
            os.killpg(self._child.pid, signal.SIGKILL)
        try:
            self._child.wait(ENDS_WITHIN_S)
        except subprocess.TimeoutExpired as error:
            what, fix = f"{self.name} does not die", "see what its process waits for in the kernel"
            raise StackError(what, where=f"process {self._child.pid}", fix=fix) from error
        # Its own children are not ours to wait for, but they hold its sockets until they are gone.
        is_met_within(lambda: all(map(is_gone, family)), deadline_s=ENDS_WITHIN_S, clock=SystemClock(), every_s=0.002)
        self._child = None  # its number may be another process's from here on

    def pause(self) -> None:
        """Freeze its main process, then all below it, whose number grows no more."""
        self._signal(signal.SIGSTOP)
        signal_all(self._family()[1:], signal.SIGSTOP)

    def resume(self) -> None:
        """Undo `pause`; let go what was started held."""
        signal_all(self._family(), signal.SIGCONT)

    def restart(self) -> None:
        """Kill it and start it again on the same address."""
        self.kill()
        self.start()

    def logs(self, tail: int = 20) -> str:
        """Return the last `tail` lines that it wrote."""
        return last_lines(self.log, tail)

    def usage(self) -> Usage:
        """Return what it and its children use."""
        used = [_usage_of(process) for process in self._family()]
        return Usage(sum(each.cpu_s for each in used), sum(each.memory_bytes for each in used))

    def _wait_until_held(self, process: psutil.Process) -> None:
        """Wait until it has stopped itself: to be let go before that would be lost on it."""
        if not is_met_within(
            lambda: process.status() == psutil.STATUS_STOPPED,
            deadline_s=_HELD_WITHIN_S,
            clock=SystemClock(),
            every_s=0.005,
        ):
            raise StackError(f"{self.name} does not stop before its start", where=str(self.log), fix="see its log")

    def _seen_running_s(self) -> float:
        """Look at a process that answers nothing, since it listens nowhere, as if it had been asked: see `Service`."""
        if not self.is_alive():
            raise ConnectionRefusedError(f"{self.name} is not there")
        if any(process.status() == psutil.STATUS_STOPPED for process in self._family()):
            raise TimeoutError(f"{self.name} is frozen")
        return 0.0

    def _family(self) -> list[psutil.Process]:
        """Return its main process and all below it; none if it is not alive."""
        if self._child is None:
            return []
        try:
            main = psutil.Process(self._child.pid)
            return [main, *main.children(recursive=True)]
        except psutil.NoSuchProcess:
            return []

    def _signal(self, number: signal.Signals) -> None:
        if (
            self._child is not None and self._child.returncode is None
        ):  # even a dead one is still there: it was not waited for
            os.kill(self._child.pid, number)


def signal_all(processes: Iterable[psutil.Process], number: signal.Signals) -> None:
    """Send a signal to each of `processes` that is still there."""
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.send_signal(number)  # psutil looks at the start time first


def _how_it_ended(pid: int) -> str:
    """Say how a child ended that was not waited for; it still is not."""
    try:
        ended = os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except (AttributeError, ChildProcessError):  # macOS has it from Python 3.13 on
        return ""
    if ended is None:
        return ""
    return f"exit {ended.si_status}" if ended.si_code == os.CLD_EXITED else signal.Signals(ended.si_status).name


def listening(family: Iterable[psutil.Process]) -> list[str]:
    """Return where processes listen, as `host:port`; one that has ended listens nowhere."""
    found = set()
    for process in family:
        with suppress(psutil.Error):
            found |= {each.laddr for each in process.net_connections("tcp") if each.status == psutil.CONN_LISTEN}
    return [str(Address(*each)) for each in sorted(found)]


def _usage_of(process: psutil.Process) -> Usage:
    """Return what one process uses; nothing if it ended meanwhile, as a backend of Postgres does with its client."""
    try:
        with process.oneshot():
            times = process.cpu_times()
            return Usage(times.user + times.system, process.memory_info().rss)
    except psutil.NoSuchProcess:
        return Usage(0.0, 0)


def is_gone(process: psutil.Process) -> bool:
    """Tell whether a process holds nothing any more: it is not there, or only waits to be reaped."""
    try:
        return bool(process.status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True


def last_lines(log: Path, tail: int) -> str:
    """Return the last `tail` lines of a log, or nothing if there is none."""
    try:
        return "\n".join(log.read_text(errors="replace").splitlines()[-tail:])
    except FileNotFoundError:
        return ""
