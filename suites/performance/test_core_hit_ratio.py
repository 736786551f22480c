"""How much the memory of the core hits, beside the best of four policies, on ten traces made from seeds.

The traces are those that the policy was chosen by, at a fifth of their size, so that all of them take a minute: a skew
of 0.9, 1.0 and 1.1 (Zipf), one of 1.0 with a scan between, and one whose popularity is dealt anew now and then; each
for a memory of a hundredth and of a tenth of all objects.
"""

from __future__ import annotations

from collections import OrderedDict
from math import inf

import numpy as np
import pytest
import theine

from fixtures.reference.core.cache import Document, MemoryLevel, Slot

OBJECTS, REQUESTS = 20_000, 200_000
SCAN_RATIO = 0.2
RESHUFFLED = 10
"""Times that popularity is dealt anew."""
LEAST_OF_BEST = 0.97
BODY = Document(1, b"x" * 100)


def zipf(skew: float, rng: np.random.Generator) -> np.ndarray:
    """Return requests for objects by their rank."""
    weights = np.arange(1, OBJECTS + 1) ** -skew
    return rng.choice(OBJECTS, size=REQUESTS, p=weights / weights.sum())


def scanned(rng: np.random.Generator) -> np.ndarray:
    """Return a skew of 1.0, a fifth of whose requests are for objects that are never asked for again."""
    trace = zipf(1.0, rng)
    at = rng.random(REQUESTS) < SCAN_RATIO
    trace[at] = OBJECTS + np.arange(at.sum())
    return trace


def reshuffled(rng: np.random.Generator) -> np.ndarray:
    """Return a skew of 1.0 whose ranks are dealt anew ten times."""
    parts = np.split(zipf(1.0, rng), RESHUFFLED)
    return np.concatenate([rng.permutation(OBJECTS)[part] for part in parts])


TRACES = {
    "Zipf 0.9": lambda rng: zipf(0.9, rng),
    "Zipf 1.0": lambda rng: zipf(1.0, rng),
    "Zipf 1.1": lambda rng: zipf(1.1, rng),
    "Zipf 1.0 and a scan": scanned,
    "Zipf 1.0, reshuffled": reshuffled,
}


def hits_of_lru(trace: list[str], size: int) -> int:
    held: OrderedDict[str, None] = OrderedDict()
    hits = 0
    for key in trace:
        if key in held:
            hits += 1
            held.move_to_end(key)
            continue
        if len(held) >= size:
            held.popitem(last=False)
        held[key] = None
    return hits


def hits_of_sieve(trace: list[str], size: int) -> int:
    """SIEVE: a queue, and a hand that lets go of the first that was not asked for since it last came by.

    The queue is a ring in the order of insertion, as doubly linked lists of places: before the hand is older.
    """
    older: dict[str, str | None] = {}
    newer: dict[str, str | None] = {}
    asked: dict[str, bool] = {}
    newest = oldest = hand = None
    hits = 0
    for key in trace:
        if key in asked:
            hits += 1
            asked[key] = True
            continue
        if len(asked) >= size:
            hand = hand or oldest
            while asked[hand]:
                asked[hand] = False
                hand = newer[hand] or oldest
            before, after = older.pop(hand), newer.pop(hand)
            del asked[hand]
            if before is None:
                oldest = after
            else:
                newer[before] = after
            if after is None:
                newest = before
            else:
                older[after] = before
            hand = after
        older[key], newer[key], asked[key] = newest, None, False
        if newest is None:
            oldest = key
        else:
            newer[newest] = key
        newest = key
    return hits


def hits_of_theine(trace: list[str], size: int) -> int:
    cache = theine.Cache(size)
    hits = 0
    for key in trace:
        _, hit = cache.get(key)
        if hit:
            hits += 1
        else:
            cache.set(key, BODY)
    cache.close()
    return hits


def hits_of_ours(trace: list[str], size: int) -> int:
    one = MemoryLevel(10**6)
    one.put(trace[0], Slot(BODY, inf, inf))
    memory = MemoryLevel(size * one.used_bytes)  # all keys are of one length
    hits = 0
    for key in trace:
        if memory.get(key) is not None:
            hits += 1
        else:
            memory.put(key, Slot(BODY, inf, inf))
    assert len(memory) == size
    return hits


@pytest.mark.parametrize("size", [OBJECTS // 100, OBJECTS // 10])
@pytest.mark.parametrize("name", TRACES)
def test_it_hits_almost_as_much_as_the_best(name, size, figures):
    """At least 0.97 of the best of LRU, SIEVE, theine (W-TinyLFU) and ours (S3-FIFO), whichever that is."""
    trace = [f"{number:06}" for number in TRACES[name](np.random.default_rng(7))]
    policies = {"ours": hits_of_ours, "LRU": hits_of_lru, "SIEVE": hits_of_sieve, "theine": hits_of_theine}
    ratios = {policy: hits(trace, size) / len(trace) for policy, hits in policies.items()}

    best = max(ratios, key=ratios.__getitem__)
    shown = f"{ratios['ours']:.1%}", f"{best} {ratios[best]:.1%}"
    figures.hold(
        "cache",
        f"hit ratio: {name}, {size / OBJECTS:.0%} held",
        shown,
        ratio=ratios["ours"] / ratios[best],
        at_least=LEAST_OF_BEST,
        source="of the best",
        others={policy: f"{ratio:.1%}" for policy, ratio in ratios.items() if policy not in {"ours", best}},
    )
