"""Whether everything that was accepted was done, and once: a 202 is a promise that outlives the process that gave it.

A task is lost if the service knows of it no longer, or if it never ends: its worker died with it, and nobody took it
over. A task that is done and has no effect was lost where nobody looks; one whose effect happened twice was done twice.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from harness.history.accounts import Fate
from harness.measure.invariants.finding import Counterexample, Finding
from harness.spec.requests import ID, KEY

if TYPE_CHECKING:
    from harness.history.accounts import Account
    from harness.history.history import History
    from harness.spec.load import Load


def tasks_done_once(load: Load, history: History) -> Finding:
    """Look for what was accepted and is lost, never ends, has no effect, or has one more than once.

    One counts as checked if the service said what became of it; where faults were injected, only if it was accepted
    after the first of them, since a loss is what they are there for.
    """
    began_s = min((mark.injected_s for mark in history.faults), default=-np.inf)
    known = [account for account in history.accounts if account.fate is not Fate.UNKNOWN]
    checked = [account for account in known if accepted_s(history, account.samples[0]) >= began_s]
    broken = [account for account in known if wrong_with(account) is not None]
    first = min(broken, key=lambda account: (accepted_s(history, account.samples[0]), account.id), default=None)
    return Finding(
        checked=len(checked),
        broken=len(broken),
        first=None if first is None else _counterexample(load, history, first),
        wanted=_wanted(history),
    )


def wrong_with(account: Account) -> str | None:
    """Return what must not have become of it, in a word or two; None if nothing is wrong."""
    most = max((count for count in account.effects if count is not None), default=0)
    if account.fate is Fate.GONE:
        return "is gone"
    if account.fate is Fate.PENDING:
        return f"is still {account.state}"
    if most > 1:
        return f"has happened {most} times"
    if account.fate is Fate.DONE and 0 in account.effects:
        return "is done, and has not happened"
    return None


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


def _counterexample(load: Load, history: History, account: Account) -> Counterexample:
    row = account.samples[0]
    record = history.samples.records[row]
    name = history.samples.operations[record["operation"]]
    where = ""
    if account.fate in {Fate.DONE, Fate.DEAD}:
        places = [place for place, count in enumerate(account.effects) if count is not None]
        worst = max(places, key=lambda place: abs((account.effects[place] or 0) - 1))
        where = f", as {effect_of(load, history, account, worst)} says"
    sentence = (
        f"key {record['key']}: the {name} sent at {record['sent_s']:.3f} s and accepted at "
        f"{accepted_s(history, row):.3f} s (sample {row}) as {account.id!r} {wrong_with(account)}{where}, asked at "
        f"{account.asked_s or 0.0:.3f} s"
    )
    return Counterexample(sentence=sentence, samples=account.samples)


def _wanted(history: History) -> str:
    if not history.accounts:
        return "nothing was accepted that could be asked for; send requests that the service accepts"
    since = f" since {history.faults[0].fault} began" if history.faults else ""
    return f"of nothing that was accepted{since} the service said what became of it; let it answer, and ask for longer"
