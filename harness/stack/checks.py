"""What of a system can be known to be wrong before anything starts, with the line of readiness.toml that says it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.errors import SpecError
from harness.stack.blueprint import ALWAYS_THERE, Blueprint, replicas_of, unknown_kind
from harness.stack.components import COMPONENTS
from harness.stack.placeholders import unknown_in
from harness.stack.service import LOOPBACK, Address

if TYPE_CHECKING:
    from collections.abc import Iterator

    from harness.spec.document import Document
    from harness.spec.system import System


def mistakes_in(system: System, document: Document) -> Iterator[SpecError]:
    """Yield what the stack cannot make of a system.

    Args:
        system: As readiness.toml describes it.
        document: The same with its lines.
    """
    mistakes = list(_of_components(system, document))
    yield from mistakes
    if not mistakes:  # what a component that is not there would give is not a second mistake
        yield from _of_placeholders(system, document)


def _of_components(system: System, document: Document) -> Iterator[SpecError]:
    taken = {*ALWAYS_THERE, *replicas_of(system)}
    for name, kind in system.kinds.items():
        path = ("system", "components", name)
        if kind not in COMPONENTS:
            yield unknown_kind(kind, where=document.place((*path, "kind") if system.components[name].kind else path))
        if name in taken:
            what = f"a component cannot be called {name!r}: the stack has one of that name itself"
            yield SpecError(what, where=document.place(path), fix=f'give it another name, and kind = "{kind}"')


def _of_placeholders(system: System, document: Document) -> Iterator[SpecError]:
    anywhere = dict.fromkeys(system.kinds, Address(LOOPBACK, 1))
    known = Blueprint(system=system, seed=0).placeholders("replica-1", anywhere)
    for variable, text in system.subject.environment.items():
        where = document.place(("system", "subject", "environment", variable))
        yield from unknown_in(text, known, where=where)
