"""Whether what was asked for again happened once: a client that heard no answer submits again, and must not pay twice.

What several requests of one key are about is one thing, however many answers accepted it, and under whatever ids.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

import numpy as np

from harness.measure.invariants.finding import Counterexample, Finding
from harness.measure.invariants.tasks_done_once import effect_of

if TYPE_CHECKING:
    from harness.history.accounts import Account
    from harness.history.history import History
    from harness.spec.load import Load


def no_duplicate_effect(load: Load, history: History) -> Finding:
    """Look for an effect that happened more than once.

    One thing counts as checked if it was asked for at least twice, and the service said how often it happened.
    """
    things = _things(load, history)
    told = [(rows, accounts) for rows, accounts in things if any(_counts(each) for each in accounts)]
    broken = [(rows, accounts) for rows, accounts in told if max(n for each in accounts for n in _counts(each)) > 1]
    first = min(broken, key=lambda thing: thing[0][0], default=None)
    return Finding(
        checked=sum(len(rows) > 1 for rows, _ in told),
        broken=len(broken),
        first=None if first is None else _counterexample(load, history, *first),
        wanted="nothing that was accepted was asked for again; send fewer keys, for longer",
    )


def _things(load: Load, history: History) -> list[tuple[list[int], list[Account]]]:
    """Return, for each thing that requests may share, the rows of all requests for it, and all accounts of it."""
    samples = history.samples
    names = {each.name for each in load.asked if each.settles is not None and each.settles.is_repeatable}
    accounts: defaultdict[tuple[str, int], list[Account]] = defaultdict(list)
    for account in history.accounts:
        record = samples.records[account.samples[0]]
        accounts[samples.operations[record["operation"]], int(record["key"])].append(account)
    rows: defaultdict[tuple[str, int], list[int]] = defaultdict(list)
    was_sent = ~np.isnan(samples.records["sent_s"])
    for row in np.flatnonzero(samples.is_named("operation", samples.operations, list(names)) & was_sent).tolist():
        record = samples.records[row]
        rows[samples.operations[record["operation"]], int(record["key"])].append(row)
    return [(rows[thing], known) for thing, known in accounts.items() if thing[0] in names]


def _counts(account: Account) -> list[int]:
    return [count for count in account.effects if count is not None]


def _counterexample(load: Load, history: History, rows: list[int], accounts: list[Account]) -> Counterexample:
    record = history.samples.records[rows[0]]
    name = history.samples.operations[record["operation"]]
    worst = max(accounts, key=lambda account: max(_counts(account), default=0))
    times = max(_counts(worst))
    ids = ", ".join(repr(each.id) for each in accounts)
    sentence = (
        f"key {record['key']}: {effect_of(load, history, worst, worst.effects.index(times))} says that the {name} has "
        f"happened {times} times; it was asked for {len(rows)} times from {record['sent_s']:.3f} s on (sample "
        f"{rows[0]}), and accepted as {ids}"
    )
    return Counterexample(sentence=sentence, samples=tuple(rows))
