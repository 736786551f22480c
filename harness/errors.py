"""What can go wrong in the harness itself, as one tree.

HarnessError                 what happened, where, how to fix it; exit 3
├── SpecError                a scenario, readiness.toml or an option cannot be understood
│   └── MultipleSpecError    the same, several times in one file
├── StackError               what is to run cannot be had, or does not do as it is told
│   ├── MissingError         a program, a package or an image is not there
│   ├── NotReadyError        a component died while starting, or is not ready in time
│   │   ├── SubjectError     the judged service did, by itself: the verdict is `fail`
│   │   └── StarvedError     it is not ready in time for want of processors that strangers took: `inconclusive`
│   ├── FaultProxyError      the fault proxy does not do as it is told
│   ├── BesideError          another run is measuring on this machine
│   └── RefusedError         the operating system refused, such as room on a disk
├── FaultError               a fault could not be injected, its dose was not seen, or it could not be undone
├── UnavailableError         a fault cannot be done on this machine or backend: the verdict is `inconclusive`
├── DoomedError              no load from this machine could prove anything: the verdict is `inconclusive`
├── AbortedError             what the scenario gives up for came about while it was under way
├── LoadError                the load generator could not start, died, or lost count
└── ReportError              a report or a bundle cannot be written or read

Interrupted                  a signal asked the run to end (a KeyboardInterrupt); exit 128 + signal

Each class has a `kind`, one word that outlives rewordings: evidence, Allure's categories and other programs tell
failures apart by it, never by their text.

A broken promise of the *judged* service is not an error: it is the verdict `fail`. So is a service that does not start.
"""

from __future__ import annotations

import difflib
import errno
import signal
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import ClassVar

_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def told(what: str, *, where: str, fix: str) -> str:
    """Return an error as it is told: a line for what happened, and one each for where and how to fix it, if known."""
    return "\n  ".join([what, *([f"where: {where}"] if where else []), *([f"fix:   {fix}"] if fix else [])])


class HarnessError(Exception):
    """Say what happened, where, and how to fix it.

    Attributes:
        kind: The class's own word.
        what: One clause, lower case, naming the offender.
        where: A file and key path, a component, or an address.
        fix: What the reader can do next.
    """

    kind: ClassVar[str] = "harness"

    def __init__(self, what: str, *, where: str, fix: str) -> None:
        super().__init__(told(what, where=where, fix=fix))
        self.what = what
        self.where = where
        self.fix = fix


class SpecError(HarnessError):
    """A scenario, readiness.toml or an option cannot be understood."""

    kind = "spec"


class MultipleSpecError(SpecError):
    """Several mistakes at once, so that fixing a file does not take one start of the program for each.

    Attributes:
        mistakes: Each of them; at least two.
    """

    def __init__(self, mistakes: Sequence[SpecError]) -> None:
        first = mistakes[0]
        super().__init__(f"{len(mistakes)} mistakes; the first: {first.what}", where=first.where, fix=first.fix)
        self.mistakes = tuple(mistakes)

    def __str__(self) -> str:
        return "\n".join([f"{len(self.mistakes)} mistakes", *(f"- {mistake}" for mistake in self.mistakes)])


def all_of(mistakes: Sequence[SpecError]) -> SpecError:
    """Return one error that tells all of `mistakes`, of which there is at least one."""
    return mistakes[0] if len(mistakes) == 1 else MultipleSpecError(mistakes)


def nearest(word: str, known: Sequence[str]) -> str:
    """Say what `word` may have meant, and everything that is known."""
    by_small_letters = {each.lower(): each for each in known}
    close = difflib.get_close_matches(word.lower(), by_small_letters, n=1)
    guess = f"did you mean {by_small_letters[close[0]]!r}? " if close else ""
    return f"{guess}known: {', '.join(known)}"


class StackError(HarnessError):
    """What is to run cannot be had, or does not do as it is told."""

    kind = "stack"


class MissingError(StackError):
    """A program, a package or an image is not there."""

    kind = "missing"


class NotReadyError(StackError):
    """A component died while starting, or is not ready in time."""

    kind = "not-ready"


class SubjectError(NotReadyError):
    """The judged service died while starting, or is not ready in time, by itself: the verdict is `fail`."""

    kind = "subject"


class StarvedError(NotReadyError):
    """The judged service is not ready in time, and strangers took the processors: the verdict is `inconclusive`."""

    kind = "starved"


class FaultProxyError(StackError):
    """The fault proxy does not do as it is told."""

    kind = "fault-proxy"


class BesideError(StackError):
    """Another run is measuring on this machine, and two would measure each other."""

    kind = "beside"


class RefusedError(StackError):
    """The operating system refused, such as room on a disk."""

    kind = "refused"


def is_full(error: OSError) -> bool:
    """Tell whether there is no room left where something was to be written."""
    return error.errno in _NO_ROOM


def refusal(error: OSError) -> RefusedError:
    """Return what the operating system refused, such as room on a disk, as an error that says how to fix it."""
    return RefusedError(
        f"the system refused: {error.strerror or error}",
        where=str(error.filename or "a file that was open already"),
        fix="make room there, or point TMPDIR and --out elsewhere"
        if is_full(error)
        else "see what stands in the way there",
    )


class FaultError(HarnessError):
    """A fault could not be injected, its dose was not seen, or it could not be undone."""

    kind = "fault"


class UnavailableError(HarnessError):
    """A fault cannot be done on this machine or backend; nothing was started, and the verdict is `inconclusive`."""

    kind = "unavailable"


class DoomedError(HarnessError):
    """No load from this machine could prove anything; not one request was sent, and the verdict is `inconclusive`."""

    kind = "doomed"


class AbortedError(HarnessError):
    """What the scenario gives up for came about while it was under way; everything was undone."""

    kind = "aborted"


class LoadError(HarnessError):
    """The load generator could not start, died, or lost count."""

    kind = "load"


class ReportError(HarnessError):
    """A report or a bundle cannot be written or read."""

    kind = "report"


class Interrupted(KeyboardInterrupt):
    """A signal asked the run to end; everything is undone while this travels up.

    Attributes:
        signal: The signal, whose exit code is 128 + its number (POSIX shells' habit).
    """

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.signal = signal.Signals(number)

    @property
    def exit_code(self) -> int:
        """Return 130 for SIGINT, 143 for SIGTERM."""
        return 128 + self.signal
