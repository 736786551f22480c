"""Whether everything that was accepted was done, and once: a 202 is a promise that outlives the process that gave it.

A task is lost if the service knows of it no longer, or if it never ends: its worker died with it, and nobody took it
over. A task that is done and has no effect was lost where nobody looks; one whose effect happened twice was done twice.
One that was done late waited for others: a queue that stops for a task which cannot be done keeps all behind it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from harness.history.accounts import SETTLED, Fate
from harness.measure.invariants.finding import Counterexample, Finding
from harness.spec.quantity import duration_text
from harness.spec.requests import ID, KEY

if TYPE_CHECKING:
    from harness.history.accounts import Account
    from harness.history.history import History
    from harness.spec.invariant import TasksDoneOnce
    from harness.spec.load import Load


def tasks_done_once(invariant: TasksDoneOnce, load: Load, history: History) -> Finding:
    """Look for what was accepted and is lost, never ends, was late, has no effect, or has one more than once.

    One counts as checked if the service said what became of it, and how long it took where that is promised; where
    faults were injected, only if it was accepted after the first of them, since a loss is what they are there for.
    """
    began_s = min((mark.injected_s for mark in history.faults), default=-np.inf)
    known = [account for account in history.accounts if account.fate is not Fate.UNKNOWN]
    told = [each for each in known if invariant.each is None or each.took_s is not None or each.fate is not Fate.DONE]
    checked = [account for account in told if accepted_s(history, account.samples[0]) >= began_s]
    broken = [account for account in known if wrong_with(account, invariant.each) is not None]
    first = min(broken, key=lambda account: (accepted_s(history, account.samples[0]), account.id), default=None)
    return Finding(
        checked=len(checked),
        broken=len(broken),
        first=None if first is None else _counterexample(invariant, load, history, first),
        wanted=_wanted(history),
    )


def wrong_with(account: Account, each_s: float | None) -> str | None:
    """Return what must not have become of it, in a few words; None if nothing is wrong.

    Args:
        account: What the service says of it.
        each_s: How long it may take to be done, seconds; None if that is not promised.
    """
    if account.fate is Fate.GONE:
        return "is gone"
    if account.fate is Fate.PENDING:
        return f"is still {account.state}"
    if (place := misdone(account)) is not None:
        times = account.effects[place]
        return f"has happened {times} times" if times else "is done, and has not happened"
    if account.amiss:
        return f"is {account.state}, and {account.amiss[0]}"
    if each_s is not None and account.took_s is not None and account.took_s > each_s:
        return f"was done after {account.took_s:.3f} s, where {duration_text(each_s)} is allowed"
    return None


def misdone(account: Account) -> int | None:
    """Return which of its effects has not happened as often as it should have, the worst; None if all have."""
    least = 1 if account.fate is Fate.DONE else 0
    off = [place for place, count in enumerate(account.effects) if count is not None and not least <= count <= 1]
    return max(off, key=lambda place: abs((account.effects[place] or 0) - 1), default=None)


def accepted_s(history: History, row: int) -> float:
    """Return when the answer of a sample was there, seconds since the origin."""
    record = history.samples.records[row]
    return float(record["intended_s"] + record["latency_s"])


def effect_of(load: Load, history: History, account: Account, place: int) -> str:
    """Return where one of its effects stands, as far as its key tells."""
    record = history.samples.records[account.samples[0]]
    name = history.samples.operations[record["operation"]]
    settles = next(each.settles for each in load.asked if each.name == name)
    path = settles.effects[place] if settles else ""
    return path.replace(f"{{{KEY}}}", str(record["key"])).replace(f"{{{ID}}}", account.id)


def _counterexample(invariant: TasksDoneOnce, load: Load, history: History, account: Account) -> Counterexample:
    row = account.samples[0]
    record = history.samples.records[row]
    name = history.samples.operations[record["operation"]]
    what, place = wrong_with(account, invariant.each), misdone(account) if account.fate in SETTLED else None
    where = "" if place is None else f", as {effect_of(load, history, account, place)} says"
    sentence = (
        f"key {record['key']}: the {name} sent at {record['sent_s']:.3f} s and accepted at "
        f"{accepted_s(history, row):.3f} s (sample {row}) as {account.id!r} {what}{where}, asked at "
        f"{account.asked_s or 0.0:.3f} s"
    )
    return Counterexample(sentence=sentence, samples=account.samples)


def _wanted(history: History) -> str:
    if not history.accounts:
        return "nothing was accepted that could be asked for; send requests that the service accepts"
    since = f" since {history.faults[0].fault} began" if history.faults else ""
    return f"of nothing that was accepted{since} the service said what became of it; let it answer, and ask for longer"
