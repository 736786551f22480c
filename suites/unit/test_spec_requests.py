"""What may be declared of requests and headers, and what cannot be told is refused where it is promised."""

from __future__ import annotations

import json

import pytest

from harness.errors import MultipleSpecError, SpecError
from harness.options import settings_of
from harness.plan import plan_of, read_source
from harness.spec.objective import Hits
from harness.spec.requests import DeclaredRequest, value_at
from harness.spec.scenario import Scenario
from harness.spec.schema1 import upgraded
from suites.support.items import HEADERS, READ

SETTINGS = """\
[system]
name = "shop"

[system.subject]
app = "shop:create_app"

[[system.requests]]
name = "order"
method = "POST"
path = "/orders"
body = '{"id": "{unique}"}'

[[system.requests]]
name = "look"
path = "/things/{key}"
weight = 9

[system.headers]
cache = "cf-cache-status"
hits = ["HIT"]
replica = "via"

[[objectives]]
sli = "hits"
min = "50%"

[profiles.quick]
stretch = 1.0
"""
SETTLES = 'id = "/task", path = "/tasks/{id}", state = "/state", done = ["done"], count = "/version"'
SCENARIO = """\
scenario: calm
story: Nothing is broken, and all is well.
load:
  arrivals_per_s: 500
phases:
  - {name: baseline, lasts: 60s}
objectives:
  - {sli: errors, max: 1%}
"""


def planned(folder, *, settings=SETTINGS, scenario=SCENARIO):
    (folder / "readiness.toml").write_text(settings)
    (folder / "calm.yaml").write_text(scenario)
    source = read_source(folder / "calm.yaml")
    return plan_of(source, settings_of(folder), profile="quick", seed=1)


def refused(folder, **files):
    """Return what is wrong, where, and how to fix it."""
    with pytest.raises(SpecError) as error:
        planned(folder, **files)
    assert not isinstance(error.value, MultipleSpecError), str(error.value)
    return error.value.what, error.value.where.removeprefix(f"{folder}/"), error.value.fix


def test_a_plan_says_what_is_asked_and_what_answers_tell(tmp_path):
    """Evidence needs no other file: requests, headers, what a hit is, and of which requests."""
    scenario = planned(tmp_path).scenario

    assert [request.name for request in scenario.load.asked] == ["order", "look"]
    assert scenario.load.told.cache == "cf-cache-status"
    (hits,) = (each for each in scenario.objectives if isinstance(each, Hits))
    assert (hits.of, hits.levels) == ("look", ("HIT",))
    assert Scenario.model_validate(scenario.model_dump(mode="json")) == scenario


def test_half_a_character_is_a_value_like_another():
    """JSON may escape half of one (RFC 8259, section 8.2), which no text in UTF-8 can hold; it breaks no generator."""
    half = value_at("/a", b'{"a": "\\ud800"}')

    assert half is not None
    assert half.decode(errors="replace") == "\N{REPLACEMENT CHARACTER}" * 3


def test_what_is_echoed_is_in_the_same_order_in_evidence():
    """A sample says by a number which of its echoes was another's, and JSON is written with sorted keys."""
    request = DeclaredRequest(name="read", path="/{key}", echoes={"/tenant": "blue", "/id": "{key}"})
    again = DeclaredRequest.model_validate_json(json.dumps(request.model_dump(mode="json"), sort_keys=True))

    assert again.echoed == request.echoed == (("/id", "{key}"), ("/tenant", "blue"))


def test_a_scenario_may_ask_otherwise(tmp_path):
    """Its own requests instead of those that are declared; two that a cache may answer are two."""
    asking = "  requests:\n    - {name: home, path: /}\n    - {name: news, path: /news}\nphases:"
    scenario = planned(tmp_path, scenario=SCENARIO.replace("phases:", asking)).scenario

    assert scenario.load.cacheable == ("home", "news")
    assert next(each.of for each in scenario.objectives if isinstance(each, Hits)) == ("home", "news")


def test_a_scenario_may_be_told_otherwise(tmp_path):
    """Its own headers instead of those that are declared, all of them."""
    telling = SCENARIO.replace("phases:", "  headers: {cache: age-of, hits: [young]}\nphases:")
    scenario = planned(tmp_path, scenario=telling).scenario

    assert (scenario.load.told.cache, scenario.load.told.replica) == ("age-of", None)
    assert next(each.levels for each in scenario.objectives if isinstance(each, Hits)) == ("young",)


def test_where_nothing_is_declared_the_root_is_asked(tmp_path):
    """`GET /`: a service without one fails, and is not called ready for answering that it is."""
    settings = (
        SETTINGS.partition("[[system.requests]]")[0] + "[system.headers]" + SETTINGS.partition("[system.headers]")[2]
    )

    (request,) = planned(tmp_path, settings=settings).scenario.load.asked

    assert (request.method, request.path) == ("GET", "/")


def test_a_locustfile_asks_instead(tmp_path):
    """What it asks cannot be known beforehand: any name may be promised of, and hits are counted of all of it."""
    asking = SCENARIO.replace("phases:", "  locustfile: shop.py\nphases:").replace("max: 1%", "max: 1%, of: anything")
    scenario = planned(tmp_path, scenario=asking).scenario

    assert scenario.load.asked == scenario.load.requests == ()
    assert next(each.of for each in scenario.objectives if isinstance(each, Hits)) is None


@pytest.mark.parametrize(
    ("old", "new", "what", "where", "fix"),
    [
        ("{unique}", "{uniqe}", "unknown placeholder {uniqe}", "readiness.toml:11: system.requests[0].body", "did you mean '{unique}'? known: {key}, {unique}"),
        ("{key}", "{id}", "unknown placeholder {id}", "readiness.toml:15: system.requests[1].path", "known: {key}, {unique}"),
        ('"POST"', '"post"', "unknown method 'post'", "readiness.toml:9: system.requests[0].method", "did you mean 'POST'?"),
        ('"POST"', '"GET"', "a GET with a body is answered as its server pleases", "readiness.toml:7: system.requests[0]", "POST it"),
        ("weight = 9", "weight = -1", "weight is -1, and should be greater than or equal to 0", "readiness.toml:16: system.requests[1].weight", ""),
        ("weight = 9", "wieght = 9", "unknown key 'wieght'", "readiness.toml:16: system.requests[1].wieght", "did you mean 'weight'?"),
        ("weight = 9", "keys = {first = 2147483647, count = 2}", "the last key would be 2147483648", "readiness.toml:16: system.requests[1].keys", "keys end at 2147483647"),
        ('name = "look"', 'name = "order"', "the request order is there twice", "readiness.toml:7: system.requests", "a name of its own"),
        ('"/orders"', '"orders"', "String should match pattern '^/'", "readiness.toml:10: system.requests[0].path", ""),
        ('"/orders"', '"/my orders"', "is no path", "readiness.toml:10: system.requests[0].path", "percent-encode it"),
        ('"/orders"', '"/bücher"', "is not one line of printable ASCII", "readiness.toml:10: system.requests[0].path", "encode it"),
        ("weight = 9", 'headers = {x = "a\\nb"}', "is not one line of printable ASCII", "readiness.toml:16: system.requests[1].headers.x", "encode it"),
        ("weight = 9", 'headers = {Host = "a"}', "the load generator says 'Host' itself", "readiness.toml:16: system.requests[1].headers.Host", "leave it out"),
        ('cache = "cf-cache-status"\n', "", "hits are values of the header `cache`, which is not named", "readiness.toml:18: system.headers", "name it"),
        ('cache = "cf-cache-status"\nhits = ["HIT"]\n', "", "`hits > 50%` is told by the response header of a cache, and none is named", "readiness.toml:22: objectives[0].sli", "[system.headers] with cache"),
        ('hits = ["HIT"]\n', "", "`hits > 50%` does not know which values of cf-cache-status are hits", "readiness.toml:23: objectives[0].sli", "levels: [LEVEL]"),
        ('sli = "hits"', 'sli = "hits"\nof = "lok"', "`hits > 50%` is about the request 'lok', which is not asked", "readiness.toml:25: objectives[0].of", "did you mean 'look'? known: order, look"),
        ("weight = 9", 'writes = "/a"', "it has no body, and so no value to write", "readiness.toml:13: system.requests[1]", ""),
        ("weight = 9", 'reads = "a"', "String should match pattern", "readiness.toml:16: system.requests[1].reads", ""),
        ("weight = 9", 'echoes = {"id" = "{key}"}', "String should match pattern", "readiness.toml:16: system.requests[1].echoes.id", ""),
        ("weight = 9", 'echoes = {"/id" = "{kee}"}', "unknown placeholder {kee}", "readiness.toml:16: system.requests[1].echoes./id", "did you mean '{key}'?"),
        ("weight = 9", 'echoes = {"/id" = "{unique}"}', "its answer is to echo {unique}, which it does not say", "readiness.toml:13: system.requests[1]", "ask for what is to be echoed"),
        ("weight = 9", f"settles = {{{SETTLES}, effects = []}}", "should have at least 1 item", "readiness.toml:16: system.requests[1].settles.effects", ""),
        ("weight = 9", f'settles = {{{SETTLES}, effects = ["/of/{{idd}}"]}}', "unknown placeholder {idd}", "readiness.toml:16: system.requests[1].settles.effects[0]", "did you mean '{id}'? known: {key}, {unique}, {user}, {id}, {login.NAME}"),
        ("weight = 9", f'settles = {{{SETTLES}, effects = ["of/{{id}}"]}}', "String should match pattern", "readiness.toml:16: system.requests[1].settles.effects[0]", ""),
        ("weight = 9", 'reads = ""\nwrites = ""', "it writes a value or reads one", "readiness.toml:13: system.requests[1]", "declare two"),
        ('path = "/orders"', 'path = "/orders"\nwrites = "/id"', "a value belongs to a key, and it asks for none", "readiness.toml:7: system.requests[0]", "put {key}"),
        ('path = "/orders"', 'path = "/orders/{key}"\nwrites = "/a/b"', "its body has no value at '/a/b' to write", "readiness.toml:7: system.requests[0]", "point at one"),
        ("""'{"id": "{unique}"}'""", """'{"id": "{key}"}'\nwrites = "/id\"""", "it writes the same value again and again", "readiness.toml:7: system.requests[0]", "put {unique} in it"),
        ('path = "/things/{key}"', 'path = "/things/{key}"\nmethod = "DELETE"', "`hits > 50%` is about what a cache may answer, and no request is a GET", "readiness.toml:25: objectives[0].sli", "of: order"),
    ],
)  # fmt: skip
def test_a_mistake_in_the_settings_is_named_placed_and_fixed(tmp_path, old, new, what, where, fix):
    """Each with its line."""
    assert SETTINGS.count(old) >= 1
    said = refused(tmp_path, settings=SETTINGS.replace(old, new, 1))

    assert what in said[0]
    assert said[1] == where
    assert fix in said[2]


HITLESS = SETTINGS.replace('sli = "hits"\nmin = "50%"', 'sli = "errors"\nmax = "1%"')
HEADLESS = HITLESS.partition("[system.headers]")[0] + "[[objectives]]" + HITLESS.partition("[[objectives]]")[2]


@pytest.mark.parametrize(
    ("settings", "old", "new", "what", "where", "fix"),
    [
        (HEADLESS, "max: 1%}", "max: 1%}\n  - {sli: hits, min: 1%}", "`hits > 1%` is told by the response header of a cache", "calm.yaml:9: objectives[1].sli", "readiness.toml"),
        (HEADLESS, "max: 1%}", "max: 1%}\nsometimes:\n  - {kind: answered, by: replica-1, during: baseline}", "`replica-1 answered` is told by a response header", "calm.yaml:10: sometimes[0].by", 'replica = "HEADER"'),
        (SETTINGS, "max: 1%}", "max: 1%, of: oder}", "is about the request 'oder'", "calm.yaml:8: objectives[0].of", "did you mean 'order'?"),
        (SETTINGS, "phases:", "  requests: [{name: a, path: /, method: DELETE}]\nphases:", "no request is a GET", "calm.yaml:3: load", "of: a"),
        (SETTINGS, "phases:", "  locustfile: a.py\n  requests: [{name: a, path: /}]\nphases:", "two answers to what is asked", "calm.yaml:3: load", "keep the one"),
        (SETTINGS, "phases:", "  requests: [{name: a, path: '/{kye}'}]\nphases:", "unknown placeholder {kye}", "calm.yaml:5: load.requests[0].path", "did you mean '{key}'?"),
        (SETTINGS, "objectives:", "invariants:\n  - {kind: no-acknowledged-write-lost}\nobjectives:", "and no request writes or reads one", "calm.yaml:8: invariants[0].kind", 'writes = "/MEMBER"'),
        (SETTINGS.replace("weight = 9", 'reads = "/a"'), "objectives:", "invariants:\n  - {kind: no-acknowledged-write-lost}\nobjectives:", "and no request writes one", "calm.yaml:8: invariants[0].kind", 'writes = "/MEMBER"'),
        (SETTINGS, "phases:", "  writes: 10%\nphases:", "unknown key 'writes'", "calm.yaml:5: load.writes", "requests"),
    ],
)  # fmt: skip
def test_a_mistake_in_a_scenario_is_named_placed_and_fixed(tmp_path, settings, old, new, what, where, fix):
    """At collection, before anything starts."""
    said = refused(tmp_path, settings=settings, scenario=SCENARIO.replace(old, new, 1))

    assert what in said[0]
    assert said[1] == where
    assert fix in said[2]


def test_all_that_no_answer_could_tell_is_told_at_once(tmp_path):
    """Fixing a file does not take a start for each."""
    scenario = SCENARIO.replace(
        "max: 1%}", "max: 1%, of: a}\n  - {sli: hits, min: 1%}\n  - {sli: slow, over: 1s, max: 1%, of: b}"
    )

    with pytest.raises(MultipleSpecError) as error:
        planned(tmp_path, settings=HEADLESS, scenario=scenario)

    assert [mistake.where.rpartition("/")[2] for mistake in error.value.mistakes] == [
        "calm.yaml:8: objectives[0].of",
        "calm.yaml:9: objectives[1].sli",
        "calm.yaml:10: objectives[2].of",
    ]


@pytest.mark.parametrize(("writes", "names"), [("10%", ["write", "read"]), ("0%", ["read"]), ("100%", ["write"])])
def test_a_scenario_of_schema_1_says_what_it_left_unsaid(writes, names):
    """Its share of writes becomes requests of the same share, and the headers of its time are named."""
    load = {"arrivals_per_s": 100, "writes": writes, "keys": {"count": 5, "zipf": 1.0}, "locustfile": None}
    old = {
        "scenario": "old",
        "story": "It ran long ago.",
        "load": load,
        "phases": [{"name": "baseline", "lasts": "9s"}],
    }

    scenario = Scenario.model_validate(upgraded(old))

    assert [request.name for request in scenario.load.asked] == names
    assert scenario.load.share_of(["write"]) == float(writes[:-1]) / 100
    assert scenario.load.told == HEADERS
    assert scenario.load.keys.count == 5
    assert upgraded(scenario.model_dump(mode="json")) == scenario.model_dump(mode="json")


def test_a_locustfile_of_schema_1_stays_one():
    """It asked for itself then as well."""
    load = {"arrivals_per_s": 100, "writes": "10%", "locustfile": "shop.py"}
    old = {
        "scenario": "old",
        "story": "It ran long ago.",
        "load": load,
        "phases": [{"name": "baseline", "lasts": "9s"}],
    }

    assert Scenario.model_validate(upgraded(old)).load.asked == ()


@pytest.mark.parametrize(
    ("pointer", "body", "value"),
    [
        ("", b"\xffany", b"\xffany"),
        ("/a", b'{"a": "\\u00e9"}', "é".encode()),
        ("/a/1", b'{"a": [0, {"c": 1, "b": null}]}', b'{"b": null, "c": 1}'),
        ("/a~1b/~0", b'{"a/b": {"~": true}}', b"true"),
        ("/", b'{"": 1}', b"1"),
        ("/a", b"{}", None),
        ("/a/b", b'{"a": 1}', None),
        ("/2", b"[0, 1]", None),
        ("/x", b"[0, 1]", None),
        ("/a", b"no json", None),
        ("/a", b"\xff", None),
        ("/a", b"[" * 100_000, None),
    ],
)
def test_a_value_is_found_where_a_pointer_points(pointer, body, value):
    """As RFC 6901 says; anything else is no value, and never an exception."""
    assert value_at(pointer, body) == value


def test_a_key_of_a_read_only_template():
    """Only what asks for one of many has a key."""
    assert READ.has_key
    assert not READ.model_copy(update={"path": "/items/{unique}"}).has_key
    assert READ.model_copy(update={"path": "/", "headers": {"x": "{key}"}}).has_key


def test_bare_ids_of_defects_in_older_evidence_are_left_out():
    """They named no promise, and told readers alone; what names one stays."""
    named = {"defect": "redis-no-timeout", "by": "slow"}

    assert upgraded({"catches": ["redis-no-timeout", named]}) == {"catches": [named]}
    assert upgraded({"catches": "redis-no-timeout"}) == {"catches": "redis-no-timeout"}
    assert upgraded("no scenario") == "no scenario"
