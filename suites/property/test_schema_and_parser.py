"""The schema that editors check by against the parser that runs go by: it refuses nothing that the parser takes.

The other direction holds as far as a schema can see: keys that are unknown, missing, or of another type.
"""

from __future__ import annotations

import copy
from functools import cache

from hypothesis import event, given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from harness.errors import SpecError
from harness.spec.document import Document, read_yaml
from harness.spec.parser import validated
from harness.spec.schema import MODELS, schema_of
from harness.spec.toml import read_toml
from suites.support.servers import PROJECT

RICH = """\
scenario: all-at-once
story: A little of everything that a file can say.
load:
  arrivals_per_s: 200
  schedule: {kind: step, steps: [{at: 1s, per_s: 300}]}
  arrivals: constant
  client: lean
  requests:
    - {name: write, method: PUT, path: "/items/{key}", body: "{unique}", headers: {a: b}, weight: 1, writes: ""}
    - {name: read, path: "/items/{key}", keys: {first: 0, count: 5, zipf: 0.5}, reads: /value}
  headers: {cache: x-cache, hits: [l1], replica: x-replica}
  max_in_flight: 5
  drain: 2s
phases:
  - {name: baseline, lasts: 30s}
  - name: fault
    lasts: 10s
    faults:
      - {kind: down, target: redis}
      - {kind: latency, target: replica-1.redis, delay: 400ms, jitter: 10ms, at: 1s, until: 9s}
      - {kind: blackhole, target: postgres, for: 4s}
      - {kind: bandwidth, target: redis, rate: 100KB/s}
      - {kind: limit-data, target: redis, size: 1KB}
      - {kind: slow-start, target: replica-2, delay: 1s, at: 2s}
  - {name: recovery, lasts: 8s}
objectives:
  - {sli: slow, over: 100ms, max: 5%, of: read, during: fault}
  - {sli: hits, min: 70%, of: [read], levels: [l1]}
invariants:
  - {kind: no-acknowledged-write-lost, within: 5s, stale_from: [stale]}
sometimes:
  - {kind: grows, metric: calls_total, labels: {breaker: redis}, by: 2}
  - {kind: answered, by: replica-1, during: recovery}
  - {kind: metric, metric: open, at_least: 0.5, during: fault}
tier: P1
catches: [{defect: never-opens, by: slow}]
answers: [timeouts are set]
"""
EXAMPLES = {
    "scenario": read_yaml(RICH, name="rich").data,
    "settings": read_toml((PROJECT / "readiness.toml").read_text(), name="readiness.toml").data,
}

TRICKY = st.sampled_from(
    [
        *(None, True, False, 0, 1, -1, 0.5, 3.0, 10**400, 1e300, "", " ", "1", "0.5", "true", "null"),
        *("0s", "5s", " 5 s ", "5 S", "5", "1e3s", "٣s", "1.5min", "+1s", ".5s", "5s\n"),
        *("1KB", "1 B", "1.5KB", "0.1B", "10KB/s", " 10 KB / s ", "10KB/ms", "10"),
        *("0%", "5%", "5 %", "100%", "101%", "-1%", "٣%"),
        *("P0", "p0", "redis", "Redis", "../redis", "replica-1.redis", "a.b.c", "x" * 64, "/a b", "/{kee}", "a\x00b"),
        *([], [1], ["a"], {}, {"kind": "down"}, {"a": "b"}, {"kind": "down", "target": "redis"}),
    ]
)
WHATEVER = st.one_of(
    TRICKY, st.text(max_size=8), st.integers(), st.floats(allow_nan=False, allow_infinity=False), st.booleans()
)


@cache
def schema(of):
    """Compile it once."""
    return Draft202012Validator(schema_of(MODELS[of]))


def is_parsed(of, data):
    """Tell whether the parser takes it."""
    try:
        validated(MODELS[of], Document("made", data, {}))
    except SpecError:
        return False
    return True


def places(data, path=()):
    """Return the path of everything in a document."""
    yield path
    inside = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    for key, value in inside:
        yield from places(value, (*path, key))


def at(data, path):
    """Return what stands at a path."""
    for key in path:
        data = data[key]
    return data


NAMED_BY_THEIR_AUTHOR = {
    "headers",
    "labels",
    "environment",
    "defects",
    "workers",
    "proxies",
    "components",
    "profiles",
    "standbys",
    "echoes",
}
"""Keys of mappings whose own keys are names; `load.headers` and `system.headers` are none of these."""


def is_of_the_language(path):
    """Tell whether the keys of a mapping are those of the language."""
    return not path or path[-1] not in NAMED_BY_THEIR_AUTHOR or path in {("load", "headers"), ("system", "headers")}


OF = st.sampled_from(sorted(EXAMPLES))


def test_the_examples_are_taken_by_both():
    """Else what is done to them below shows nothing."""
    assert {of: is_parsed(of, data) for of, data in EXAMPLES.items()} == {"scenario": True, "settings": True}
    assert {of: schema(of).is_valid(data) for of, data in EXAMPLES.items()} == {"scenario": True, "settings": True}


@given(of=OF, data=st.data())
def test_the_schema_takes_whatever_the_parser_takes(of, data):
    """Any one value of a file replaced by another."""
    document = copy.deepcopy(EXAMPLES[of])
    *way, last = data.draw(st.sampled_from([path for path in places(document) if path]))
    at(document, way)[last] = data.draw(WHATEVER)

    takes = is_parsed(of, document)
    event(f"the parser {'takes' if takes else 'refuses'} it")
    assert schema(of).is_valid(document) or not takes


@given(of=OF, data=st.data())
def test_both_refuse_a_key_that_nobody_knows(of, data):
    """Wherever keys are those of the language."""
    document = EXAMPLES[of]
    mappings = [path for path in places(document) if isinstance(at(document, path), dict)]
    path = data.draw(st.sampled_from([path for path in mappings if is_of_the_language(path)]))
    broken = copy.deepcopy(document)
    at(broken, path)["no-such-key"] = data.draw(WHATEVER)

    assert not is_parsed(of, broken)
    assert not schema(of).is_valid(broken)


@given(of=OF, data=st.data())
def test_both_refuse_a_number_where_a_text_is_and_a_text_where_a_number_is(of, data):
    """What stands in quotes is a text; neither of the two guesses."""
    document = copy.deepcopy(EXAMPLES[of])
    scalars = [path for path in places(document) if isinstance(at(document, path), str | int | float)]
    *way, last = data.draw(st.sampled_from(scalars))
    was = at(document, way)[last]
    at(document, way)[last] = 7 if isinstance(was, str) else str(was)

    assert not is_parsed(of, document)
    assert not schema(of).is_valid(document)


@given(data=st.data())
def test_both_refuse_a_file_that_lacks_what_it_must_say(data):
    """A scenario, and in it a phase, a fault, a promise."""
    document = copy.deepcopy(EXAMPLES["scenario"])
    needed = [((), key) for key in ("scenario", "story", "load", "phases")]
    needed += [(("phases", 1), "lasts"), (("phases", 1, "faults", 0), "target"), (("objectives", 0), "max")]
    path, key = data.draw(st.sampled_from(needed))
    del at(document, path)[key]

    assert not is_parsed("scenario", document)
    assert not schema("scenario").is_valid(document)
