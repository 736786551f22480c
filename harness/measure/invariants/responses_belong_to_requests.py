"""Whether every answer was that of its request: not another key's, not another tenant's.

A service mixes answers up where requests share what carries them: a connection on which a reply is still to come, a
cache under a key that says too little. The answer looks well, and its status is 200; only what it says of itself tells.

An answer was put to the test if something else had been asked for before it came: only then could it have been
another's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from harness.history.echoes import OWN
from harness.measure.invariants.finding import Counterexample, Finding
from harness.spec.requests import KEY, UNIQUE, placeholders_in

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from harness.history.history import History
    from harness.spec.load import Load
    from harness.spec.requests import DeclaredRequest


def responses_belong_to_requests(load: Load, history: History) -> Finding:
    """Look for answers that say that they are another's.

    Where faults were injected, only answers after the first of them count as checked: a mix-up is what they are there
    for.
    """
    began_s = min((mark.injected_s for mark in history.faults), default=-np.inf)
    echoes, samples = history.echoes.records, history.samples.records
    asked = samples[echoes["sample"]]
    answered_s = asked["intended_s"] + asked["latency_s"]
    was_tested = (answered_s > _first_other_s(load, history)[echoes["sample"]]) & (answered_s >= began_s)
    broken = np.flatnonzero(echoes["place"] != OWN)
    first = broken[np.argmin(answered_s[broken])] if len(broken) else None
    return Finding(
        checked=int(was_tested.sum()),
        broken=len(broken),
        first=None if first is None else _counterexample(load, history, int(first)),
        wanted=_wanted(history),
    )


def _first_other_s(load: Load, history: History) -> NDArray[np.float64]:
    """Return, for each request that is to be echoed, when something else was first asked for; infinite if never."""
    samples = history.samples
    sent_s = np.where(np.isnan(samples.records["sent_s"]), np.inf, samples.records["sent_s"])
    whose = _identities(load, history)
    first_s = np.full(whose.max(initial=-1) + 1, np.inf)
    is_known = whose >= 0
    np.minimum.at(first_s, whose[is_known], sent_s[is_known])
    earliest, second = np.argsort(first_s, kind="stable")[:2] if len(first_s) > 1 else (0, None)
    if second is None:
        return np.full(len(samples), np.inf)
    of_another_s: NDArray[np.float64] = np.where(whose == earliest, first_s[second], first_s[earliest])
    return of_another_s


def _identities(load: Load, history: History) -> NDArray[np.int64]:
    """Return a number for what each request's answer is to echo, the same for the same; -1 for nothing."""
    samples = history.samples
    numbers = np.full(len(samples), -1, dtype=np.int64)
    known: dict[tuple[tuple[str, str], ...], int] = {}
    for request in load.asked:
        if not request.echoes:
            continue
        rows = np.flatnonzero(samples.is_named("operation", samples.operations, [request.name]))
        keys, which = np.unique(samples.records["key"][rows], return_inverse=True)
        of_key = [known.setdefault(_filled(request, key), len(known)) for key in keys.tolist()]
        numbers[rows] = np.array(of_key, dtype=np.int64)[which]
    alone = np.flatnonzero(
        samples.is_named("operation", samples.operations, [each.name for each in load.asked if _is_unique(each)])
    )
    numbers[alone] = len(known) + np.arange(len(alone))
    return numbers


def _is_unique(request: DeclaredRequest) -> bool:
    """Tell whether no two answers to this kind of request echo the same."""
    return any(UNIQUE in placeholders_in(template) for template in request.echoes.values())


def _filled(request: DeclaredRequest, key: int) -> tuple[tuple[str, str], ...]:
    """Return what an answer to a request for `key` echoes, as far as the key tells."""
    return tuple((pointer, template.replace(f"{{{KEY}}}", str(key))) for pointer, template in request.echoed)


def _counterexample(load: Load, history: History, number: int) -> Counterexample:
    """Return the answer of a row of the echoes, and the last request before it whose answer it could be."""
    samples, echo = history.samples, history.echoes.records[number]
    row, told = int(echo["sample"]), history.echoes.told[echo["told"]]
    record = samples.records[row]
    name = samples.operations[record["operation"]]
    request = next(each for each in load.asked if each.name == name)
    pointer, own = _filled(request, int(record["key"]))[echo["place"]]
    replica = samples.replicas[record["replica"]]
    answered_s = float(record["intended_s"] + record["latency_s"])
    sentence = (
        f"key {record['key']}: {_asking(history, row)} was answered{f' by {replica}' if replica else ''} with "
        f"{pointer} = {told!r}, where its own is {own!r}"
    )
    other = _asked_for(load, history, pointer, told, answered_s)
    if other is None:
        return Counterexample(sentence=sentence, samples=(row,))
    sentence += f": that is what {_asking(history, other)} asked for"
    return Counterexample(sentence=sentence, samples=(row, other))


def _asked_for(load: Load, history: History, pointer: str, told: str, until_s: float) -> int | None:
    """Return the last request sent before `until_s` whose answer is to echo `told`; None if there is none."""
    samples = history.samples
    found: list[tuple[float, int]] = []
    for request in load.asked:
        is_before = samples.records["sent_s"] < until_s
        rows = np.flatnonzero(samples.is_named("operation", samples.operations, [request.name]) & is_before)
        keys = np.unique(samples.records["key"][rows])
        same = [key for key in keys.tolist() if (pointer, told) in _filled(request, key)]
        rows = rows[np.isin(samples.records["key"][rows], same)]
        found += [(float(samples.records["sent_s"][row]), int(row)) for row in rows]
    return max(found, default=(0.0, None))[1]


def _asking(history: History, row: int) -> str:
    record = history.samples.records[row]
    name, answered_s = history.samples.operations[record["operation"]], record["intended_s"] + record["latency_s"]
    return f"the {name} sent at {record['sent_s']:.3f} s and answered at {answered_s:.3f} s (sample {row})"


def _wanted(history: History) -> str:
    if not len(history.echoes):
        return "no answer told what was asked for; see that `echoes` of the requests names where your service says it"
    since = f" since {history.faults[0].fault} began" if history.faults else ""
    return f"no answer came{since} when anything else had been asked for; ask for more than one key, for longer"
