"""Faults of the load: whatever they are, they change nothing beside their windows, and a seed repeats them."""

from __future__ import annotations

import dataclasses

import numpy as np
from hypothesis import example, given
from hypothesis import strategies as st

from harness.load.arrivals import PATIENT_S
from harness.load.plan import LoadPlan
from harness.spec.faults import Cancellations, GreedyClient, HotKey, Retries, SlowReaders, Spike
from harness.spec.faults.traffic import TrafficWindow
from harness.spec.load import Load
from suites.property.test_load_arrivals import requests_of

LASTS_S = 6.0

LOADS = st.builds(
    Load,
    arrivals_per_s=st.floats(1, 300),
    arrivals=st.sampled_from(["poisson", "constant"]),
    requests=st.lists(st.floats(0.1, 10), min_size=1, max_size=3).map(requests_of),
    schedule=st.sampled_from(
        [
            {"kind": "constant"},
            {"kind": "ramp", "over": "5s", "to_per_s": 0},
            {"kind": "sine", "swing": "100%", "period": "3s"},
        ]
    ),
)
SPIKES = st.floats(1.01, 9).map(lambda times: Spike(kind="spike", times=times)) | st.floats(0.1, 900).map(
    lambda rate: Spike(kind="spike", rate=f"{rate:.3f}/s")
)
GREEDY = st.floats(0.1, 900).map(lambda rate: GreedyClient(kind="greedy-client", asks="r0", rate=f"{rate:.3f}/s"))
HOT = st.integers(1, 100).map(lambda percent: HotKey(kind="hot-key", share=f"{percent}%"))
CANCELLED = st.tuples(st.integers(1, 100), st.integers(1, 4999)).map(
    lambda drawn: Cancellations(kind="cancellations", share=f"{drawn[0]}%", after=f"{drawn[1]}ms")
)
BESIDE = st.sampled_from(
    [
        Retries(kind="retries", times=3),
        SlowReaders(kind="slow-readers", connections=9, rate="9B/s", asks="r0"),
    ]
)
WINDOWS = st.tuples(st.floats(0, 5), st.floats(0.01, 2)).map(lambda span: (span[0], min(LASTS_S, sum(span))))


def plan_of(load, seed, fault, window):
    starts_s, ends_s = window
    traffic = (TrafficWindow(id="fault-1", starts_s=starts_s, ends_s=ends_s, fault=fault),)
    return LoadPlan(base_url="http://127.0.0.1:1", load=load, lasts_s=LASTS_S, seed=seed, traffic=traffic)


@given(LOADS, st.integers(0, 2**31), SPIKES | GREEDY | HOT | CANCELLED | BESIDE, WINDOWS)
@example(
    Load(arrivals_per_s=1.5, requests=requests_of([1.0]), schedule={"kind": "ramp", "over": "5s", "to_per_s": 0}),
    0,
    Spike(kind="spike", times=2.0),
    (4.999999999999999, 5.999999999999999),
)
def test_a_fault_of_the_load_changes_its_window_and_nothing_else(load, seed, fault, window):
    """Ordered, numbered once, the same again from the same seed; and as many more as it says that it makes."""
    plan = plan_of(load, seed, fault, window)
    plain, hurt, again = (
        each.arrivals() for each in (dataclasses.replace(plan, traffic=()), plan, dataclasses.replace(plan))
    )
    starts_s, ends_s = window

    for column, same in zip(hurt.columns, again.columns, strict=True):
        assert (column == same).all()
    for beside in ("ending", "beginning"):
        moment_s = starts_s if beside == "ending" else ends_s
        for column, usual in zip(
            getattr(hurt, beside)(moment_s).columns, getattr(plain, beside)(moment_s).columns, strict=True
        ):
            assert (column == usual).all()
    assert (np.diff(hurt.intended_s) >= 0).all()
    assert len(np.unique(hurt.numbers)) == len(hurt)
    impatient = int((hurt.patiences_s < PATIENT_S).sum())
    unjudged, chance = fault.unjudged(load, starts_s, ends_s), 6 * np.sqrt(len(hurt.between(starts_s, ends_s))) + 6
    assert abs(impatient - unjudged) <= chance
    expected = load.expected(starts_s, ends_s) + fault.more(load, starts_s, ends_s)
    slack = 2.0 + 1e-6 if load.arrivals == "constant" else 6 * np.sqrt(expected) + 6  # of two metronomes at most
    assert abs(len(hurt.between(starts_s, ends_s)) - expected) <= slack
