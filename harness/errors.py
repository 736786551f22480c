"""What can go wrong in the harness itself, as one tree.

HarnessError                 what happened, where, how to mend it; exit 3
├── SpecError                a scenario, readiness.toml or an option cannot be understood
├── StackError               a component is missing, cannot start, died, or is not ready in time
├── FaultError               a fault could not be injected, its dose was not seen, or it could not be undone
├── LoadError                the load generator could not start, died, or lost count
└── ReportError              a report or a bundle cannot be written or read

Interrupted                  a signal asked the run to end (a KeyboardInterrupt); exit 128 + signal

A broken promise of the *judged* service is not an error: it is the verdict `fail`.
"""

from __future__ import annotations

import signal


class HarnessError(Exception):
    """Say what happened, where, and how to mend it.

    Attributes:
        what: One clause, lower case, naming the offender.
        where: A file and key path, a component, or an address.
        mend: What the reader can do next.
    """

    def __init__(self, what: str, *, where: str, mend: str) -> None:
        super().__init__(f"{what}\n  where: {where}\n  mend:  {mend}")
        self.what = what
        self.where = where
        self.mend = mend


class SpecError(HarnessError):
    """A scenario, readiness.toml or an option cannot be understood."""


class StackError(HarnessError):
    """A component is missing, cannot start, died, or is not ready in time."""


class FaultError(HarnessError):
    """A fault could not be injected, its dose was not seen, or it could not be undone."""


class LoadError(HarnessError):
    """The load generator could not start, died, or lost count."""


class ReportError(HarnessError):
    """A report or a bundle cannot be written or read."""


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
