"""What every kind of fault must keep: it is noted before it is done, seen while it is there, and gone afterwards."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from harness.errors import FaultError
from harness.faults.action import Site
from harness.faults.injection import action_for, unavailable
from harness.faults.ledger import Ledger, read_ledger
from harness.faults.undo import undo
from harness.spec.phase import Phase
from harness.stack.ready import wait_until_ready

if TYPE_CHECKING:
    from harness.clock import Clock
    from harness.faults.action import Action
    from harness.faults.ledger import Entry, Kind
    from harness.spec.faults import SystemFault
    from harness.stack.stack import Stack

LONG_ENOUGH = "1h"


def check_action(fault: SystemFault, stack: Stack, ledger: Ledger, clock: Clock) -> str | None:
    """See that a kind of fault is one like every other.

    It must survive a file; be noted in the ledger before it is done, if anything of it can outlive the run; be seen
    while it is there, and not before or after; tell its own looks from traffic; end twice without harm; be undone by
    its ledger entries alone; and refuse a target that is not there.

    Args:
        fault: One of the kind, with a target that `stack` has.
        stack: All of it well, and without any other traffic.
        ledger: Open, and without an entry of a fault.
        clock: The time.

    Returns:
        Why the stack's backend cannot do it, in which case nothing was tried; None if it can, and keeps all of this.

    Raises:
        AssertionError: If one of these does not hold; it says which.
    """
    _check_survives_a_file(fault)
    reason = unavailable(fault, stack.backend)
    if reason is not None:
        _hold(reason.strip(), "it is unavailable and does not say why")
        return reason
    _check_refuses_a_wrong_target(fault, stack, clock)
    noted = _check_comes_and_goes(fault, stack, ledger, clock)
    if noted:
        _check_is_noted_first(fault, stack, ledger, clock)
        _check_is_undone_by_its_entries(fault, stack, ledger, clock)
    return None


def _check_survives_a_file(fault: SystemFault) -> None:
    phase = Phase.model_validate({"name": "fault", "lasts": LONG_ENOUGH, "faults": [fault.model_dump(mode="json")]})
    _hold(phase.faults == (fault,), "written to a file and read again, it is another fault")
    _hold(str(fault).startswith(fault.target), f"its sentence does not begin with its target: {str(fault)!r}")
    _hold(fault.look_s >= 0, f"a look at its dose takes {fault.look_s} s")


def _check_refuses_a_wrong_target(fault: SystemFault, stack: Stack, clock: Clock) -> None:
    nowhere = fault.model_copy(update={"target": "nowhere"})
    try:
        action_for(nowhere, Site("fault-1", stack, clock))
    except FaultError as error:
        _hold("nothing to hit" in error.what, f"of a target that is not there it says {error.what!r}")
    else:
        raise AssertionError("a target that is not there is taken for one")


def _check_comes_and_goes(fault: SystemFault, stack: Stack, ledger: Ledger, clock: Clock) -> list[Entry]:
    """See it come, stay and go; return what it noted."""
    action, before = action_for(fault, Site("fault-1", stack, clock)), _open(ledger)
    action.end(ledger)  # never began: harmless
    _hold(not action.observe().is_delivered, "its dose is seen before it begins")
    try:
        action.begin(ledger)
        noted = [entry for entry in _open(ledger) if entry not in before and entry.kind != "process"]
        began_bytes = action.crossed_bytes()
        first, second = action.observe(), action.observe()
        _hold(first.is_delivered and second.is_delivered, f"its dose is not seen: {first.seen}; {second.seen}")
        _hold(first.seen.strip(), "it does not say what it saw")
        _hold(action.crossed_bytes() == began_bytes, "its own looks pass for traffic")
    finally:
        action.end(ledger)
    _check_is_gone(action, ledger, noted, "after its end")
    wait_until_ready(list(stack.services.values()), clock=clock)
    action.end(ledger)  # twice: harmless
    return noted


def _check_is_noted_first(fault: SystemFault, stack: Stack, ledger: Ledger, clock: Clock) -> None:
    """See that what cannot be noted is not done: a run that dies there would leave it for ever."""
    action = action_for(fault, Site("fault-1", stack, clock))
    try:
        action.begin(_FullLedger())
    except FaultError:
        _hold(not action.observe().is_delivered, "it is done though it could not be noted")
    else:
        action.end(ledger)
        raise AssertionError("it begins though it could not be noted")


def _check_is_undone_by_its_entries(fault: SystemFault, stack: Stack, ledger: Ledger, clock: Clock) -> None:
    """See that the guardian, which has the ledger alone, can undo it."""
    action, before = action_for(fault, Site("fault-1", stack, clock)), _open(ledger)
    try:
        action.begin(ledger)
        noted = [entry for entry in _open(ledger) if entry not in before and entry.kind != "process"]
        for entry in noted:
            undo(entry)
            undo(entry)  # twice: the run's own end may come after the guardian
        _hold(not action.observe().is_delivered, "it is still there when all its ledger entries are undone")
    finally:
        action.end(ledger)
    _check_is_gone(action, ledger, noted, "after its entries were undone")


def _check_is_gone(action: Action, ledger: Ledger, noted: list[Entry], when: str) -> None:
    seen = action.observe()
    _hold(not seen.is_delivered, f"its dose is still seen {when}: {seen.seen}")
    left = [str(entry) for entry in _open(ledger) if entry in noted]
    _hold(not left, f"it left in the ledger {when}: {', '.join(left)}")


def _open(ledger: Ledger) -> list[Entry]:
    return list(read_ledger(ledger.path).left)


class _FullLedger(Ledger):
    """A ledger on a full disk."""

    def __init__(self) -> None:
        """Have no file."""
        self.run_id = "test-of-a-full-disk"

    def note(self, kind: Kind, name: str, **facts: Any) -> Entry:  # noqa: ARG002 - nothing can be noted
        """Refuse, as a full disk does."""
        raise FaultError("cannot write the ledger: no space left", where="a test's ledger", fix="none: it is a test's")


def _hold(condition: object, sentence: str) -> None:
    if not condition:
        raise AssertionError(sentence)
