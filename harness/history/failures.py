"""Why an experiment broke off, as values: a failure keeps its kind, so that no later stage reads it from prose."""

from __future__ import annotations

from dataclasses import dataclass

from harness.errors import HarnessError, refusal, told

INTERRUPTED = "interrupted"
UNKNOWN = "unknown"
"""Of a failure in a history of schema 1, which held its text alone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """One reason why an experiment broke off.

    Its text form is the error's own.

    Attributes:
        kind: The error class's stable word, such as `not-ready` or `load`; `interrupted` for a signal.
        what: One clause that names the offender.
        where: A file and key path, a component, or an address; empty if there is none.
        fix: What the reader can do next; empty if there is nothing.
    """

    kind: str
    what: str
    where: str = ""
    fix: str = ""

    def __str__(self) -> str:
        return told(self.what, where=self.where, fix=self.fix)


def failure_of(error: HarnessError | OSError | KeyboardInterrupt) -> Failure:
    """Return the record of what ended an experiment."""
    if isinstance(error, KeyboardInterrupt):
        return Failure(kind=INTERRUPTED, what=f"the experiment was cut short: {str(error) or 'interrupted'}")
    said = refusal(error) if isinstance(error, OSError) else error
    return Failure(kind=said.kind, what=said.what, where=said.where, fix=said.fix)
