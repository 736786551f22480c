"""Whatever an experiment of the accepted kind says, it becomes a scenario that is read; whatever is foreign is refused."""

from __future__ import annotations

import copy
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.errors import MultipleSpecError, SpecError
from harness.exchange.experiment import STRATEGIES, read_experiment
from harness.exchange.node import read_document
from harness.exchange.scenario import scenario_text
from harness.spec.document import Document, read_yaml
from harness.spec.parser import validated
from harness.spec.scenario import Scenario
from suites.support.chaostoolkit import ACTIONS, TOXICS, action, experiment, probe, python

PROXIES = ("redis", "Postgres", "replica-1.redis")
WORDS = st.text(max_size=60)
LONGER_THAN_A_LOOK_S = 450
"""The longest look is at a slicer: 40 pieces, ten seconds apart."""

TOXIC = st.one_of(
    st.builds(lambda ms: ("create_latency_toxic", {"latency": ms}), st.integers(5, 60_000)),
    st.builds(lambda kb: ("create_bandwith_degradation_toxic", {"rate": kb}), st.integers(1, 1000)),
    st.builds(lambda size: ("create_limiter_toxic", {"bytes_limit": size}), st.integers(1, 50_000)),
    st.builds(
        lambda size, ms: ("create_slicer_toxic", {"average_size": size, "size_variation": 0, "delay": ms * 1000}),
        st.integers(1, 1000),
        st.integers(5, 10_000),
    ),
    st.builds(
        lambda stream: ("create_toxic", {"toxic_type": "timeout", "stream": stream, "attributes": {"timeout": 0}}),
        st.sampled_from(["upstream", "downstream"]),
    ),
)


@st.composite
def methods(draw):
    """Return a method, and for each fault its proxy, when it begins, and when it ends: None for one that is left."""
    activities, open_, expected, at_s = [], [], [], 0.0
    for number in range(draw(st.integers(0, 5))):
        proxy, (function, arguments) = draw(st.sampled_from(PROXIES)), draw(TOXIC)
        created = python(TOXICS, function, for_proxy=proxy, toxic_name=f"t{number}", **arguments)
        before, after = draw(st.integers(0, 300)) / 10, draw(st.integers(0, 300)) / 10
        activities.append(action(created, before=before, after=after))
        open_.append([number, proxy, at_s + before])
        at_s += before + after
        if draw(st.booleans()):
            last, on, begun_s = open_.pop(draw(st.integers(0, len(open_) - 1)))
            gone = python(TOXICS, "delete_toxic", for_proxy=on, toxic_name=f"t{last}")
            activities.append(action(gone, before=LONGER_THAN_A_LOOK_S))
            at_s += LONGER_THAN_A_LOOK_S
            expected.append((on.lower(), begun_s, at_s))
    expected += [(proxy.lower(), begun_s, None) for _, proxy, begun_s in open_]
    return activities, expected, at_s


PROBES = st.lists(
    st.builds(
        lambda name, path, timeout: probe(f"http://shop:80/{path}", name=name or "x", **({"timeout": timeout} if timeout else {})),
        WORDS,
        st.text(alphabet=st.characters(codec="utf-8", exclude_characters="$"), max_size=30),
        st.none() | st.integers(1, 60),
    ),
    max_size=4,
)  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(
    method=methods(),
    probes=PROBES,
    title=WORDS.filter(lambda text: text and "$" not in text),
    strategy=st.sampled_from(STRATEGIES),
    rate=st.integers(1, 2000),
)
def test_an_accepted_experiment_is_a_scenario_with_the_same_windows(method, probes, title, strategy, rate):
    """Every fault begins and ends when its pauses add up to, on its own proxy; and what is written is read back."""
    activities, expected, lasts_s = method
    for each in probes:
        each["name"] = each["name"].replace("$", "s")
    data = experiment(*activities, probes=probes, title=title, runtime={"hypothesis": {"strategy": strategy}})

    text = scenario_text(read_experiment(Document("made.json", data, {})), arrivals_per_s=rate)
    scenario = validated(Scenario, read_yaml(text, name="made.yaml"))

    (phase,) = [phase for phase in scenario.phases if phase.faults] or [None]
    windows = [(fault.target, fault.at, fault.ends_after_s(phase.lasts)) for fault in phase.faults] if phase else []
    ends_s = phase.lasts if phase else 0.0
    wanted = sorted((on, at, ends_s if end is None else end) for on, at, end in expected)
    assert [target for target, *_ in sorted(windows)] == [target for target, *_ in wanted]
    assert [tuple(times) for _, *times in sorted(windows)] == [pytest.approx(tuple(times)) for _, *times in wanted]
    if any(end is None for _, _, end in expected):
        assert ends_s >= round(lasts_s + 10, 3)
    assert len({request.name for request in scenario.load.requests}) == len(probes)
    errors = [each for each in scenario.objectives if each.sli == "errors"]
    assert (not errors) == (not probes or strategy == "skip")


FOREIGN = st.one_of(
    st.builds(python, WORDS.filter(lambda word: "chaostoxi" not in word), WORDS),
    st.builds(lambda path: {"type": "process", "path": path}, WORDS),
)


@settings(max_examples=40, deadline=None)
@given(method=methods(), foreign=FOREIGN, place=st.sampled_from(["method", "rollbacks", "probes"]))
def test_a_foreign_provider_is_refused_by_name_wherever_it_stands(method, foreign, place):
    """Beside any number of activities that are accepted, and as the only thing that is refused."""
    strange = action(copy.deepcopy(foreign), **({"tolerance": True, "type": "probe"} if place == "probes" else {}))
    activities = [*method[0], strange] if place == "method" else method[0]
    data = experiment(
        *activities, probes=[strange] if place == "probes" else [], rollbacks=[strange] if place == "rollbacks" else []
    )

    with pytest.raises(SpecError) as raised:
        read_experiment(Document("made.json", data, {}))

    assert not isinstance(raised.value, MultipleSpecError)
    name = foreign.get("path", f"{foreign.get('module')}.{foreign.get('func')}")
    assert repr(name) in raised.value.what
    assert f"{place}[{len(activities) - 1 if place == 'method' else 0}].provider" in raised.value.where


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | WORDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=3),
    max_leaves=10,
)
PATHS = (
    ("title",), ("description",), ("method",), ("method", 0), ("method", 0, "provider"), ("method", 0, "provider", "arguments"),
    ("method", 0, "provider", "arguments", "latency"), ("method", 0, "pauses"), ("method", 0, "pauses", "after"), ("rollbacks",),
    ("steady-state-hypothesis",), ("steady-state-hypothesis", "probes"), ("steady-state-hypothesis", "probes", 0),
    ("steady-state-hypothesis", "probes", 0, "tolerance"), ("steady-state-hypothesis", "probes", 0, "provider"),
    ("steady-state-hypothesis", "probes", 0, "provider", "url"), ("steady-state-hypothesis", "probes", 0, "provider", "headers"),
    ("steady-state-hypothesis", "probes", 0, "provider", "arguments"), ("configuration",), ("runtime",), ("secrets",), ("tags",),
)  # fmt: skip


@settings(max_examples=100, deadline=None)
@given(path=st.sampled_from(PATHS), value=JSON)
def test_any_value_in_any_place_is_read_or_refused(tmp_path_factory, path, value):
    """Never a traceback: what is not a scenario is a SpecError, of the reader or of the scenario's own model."""
    slow = python(TOXICS, "create_latency_toxic", for_proxy="redis", toxic_name="slow", latency=400)
    data = experiment(action(slow, after=5), probes=[probe()], rollbacks=[action(python(ACTIONS, "reset"))])
    *parents, last = path
    holder = data
    for step in parents:
        holder = holder[step]
    holder[last] = value
    file = tmp_path_factory.getbasetemp() / "any.json"
    file.write_text(json.dumps(data))

    try:
        text = scenario_text(read_experiment(read_document(file)))
    except SpecError:
        return
    validated(Scenario, read_yaml(text, name="made.yaml"))
