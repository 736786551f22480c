"""A Chaos Toolkit experiment becomes a scenario that means the same, or is refused, all of it at once."""

from __future__ import annotations

import inspect
import json
import re
from pathlib import Path

import pytest
from chaostoxi.proxy import actions as proxy_actions
from chaostoxi.toxic import actions as toxic_actions
from typer.testing import CliRunner

from harness.cli import app
from harness.errors import MultipleSpecError, SpecError
from harness.exchange.experiment import read_experiment
from harness.exchange.node import read_document
from harness.exchange.scenario import name_of, scenario_text
from harness.exchange.toxics import CREATED
from harness.options import settings_of
from harness.plan import plan_of, source_of
from harness.spec.document import MAX_BYTES, Document
from suites.support.chaostoolkit import (
    ACTIONS,
    DISABLED,
    ENABLED,
    PROBES,
    SLOW,
    SLOW_GONE,
    TOXICS,
    action,
    experiment,
    probe,
    python,
)
from suites.support.servers import PROJECT

EXAMPLE = PROJECT / "docs/examples/exchange/redis-slow.json"
SETTINGS = settings_of(PROJECT)
NAME = Path("made.yaml")


def made(data, **choices):
    """Return the scenario, as its own file says it, planned as `readiness run --collect-only` plans it."""
    text = scenario_text(read_experiment(Document("made.json", data, {})), **choices)
    source = source_of(text, NAME)
    plan_of(source, SETTINGS, profile="quick", seed=1)
    return source.scenario


def refused(data, **choices):
    """Return what is refused, each as `place: what`."""
    with pytest.raises(SpecError) as raised:
        read_experiment(Document("made.json", data, {}), **choices)
    error = raised.value
    mistakes = error.mistakes if isinstance(error, MultipleSpecError) else [error]
    assert all(mistake.fix for mistake in mistakes)
    return [f"{mistake.where.removeprefix('made.json: ')}: {mistake.what}" for mistake in mistakes]


def faults(scenario):
    return [str(fault) for phase in scenario.phases for fault in phase.faults]


def promised(scenario):
    return [f"{each} during {each.during}" for each in scenario.objectives]


def lengths(scenario):
    return {phase.name: phase.lasts for phase in scenario.phases}


def test_the_example_is_the_page(monkeypatch):
    """What docs/exchange.md shows is what the command prints, of the file beside it."""
    monkeypatch.chdir(PROJECT)
    shown = re.findall(r"```yaml\n(# Imported from.*?)```", (PROJECT / "docs/exchange.md").read_text(), re.DOTALL)

    said = CliRunner().invoke(app, ["import", str(EXAMPLE.relative_to(PROJECT)), "--proxy", "cache=redis"])

    assert (said.exit_code, [said.stdout]) == (0, shown)


def test_a_fault_left_to_the_rollbacks_is_there_when_the_hypothesis_is_looked_at_again():
    """Chaos Toolkit looks before it rolls back; so the promise is about the end of the phase `fault`."""
    scenario = made(experiment(action(SLOW, after=10), probes=[probe(timeout=1)], rollbacks=[action(SLOW_GONE)]))

    assert faults(scenario) == ["redis +400ms"]
    assert lengths(scenario) == {"warmup": 4, "baseline": 24, "fault": 20, "recovery": 8}
    assert promised(scenario) == [
        "answers errors < 1% during baseline",
        "answers slow (over 1s) < 1% during baseline",
        "answers errors < 1% after 10s during fault",
        "answers slow (over 1s) < 1% after 10s during fault",
        "recovery < 5s during recovery",
    ]


def test_a_fault_that_the_method_undoes_is_over_when_it_looks():
    """The wait before it looks is what the service is given to recover."""
    method = [action(DISABLED, before=2, after=10), action(ENABLED, after=7)]
    scenario = made(experiment(*method, probes=[probe()]))

    assert faults(scenario) == ["redis down at 2s"]
    assert lengths(scenario) == {"warmup": 4, "baseline": 24, "fault": 12, "recovery": 12}
    assert promised(scenario)[1:] == ["answers errors < 1% after 7s during recovery", "recovery < 7s during recovery"]


def test_faults_overlap_as_their_pauses_say():
    """Each begins at the sum of the pauses before it, and ends where it is undone; a `reset` undoes all."""
    down = python(ACTIONS, "modify_proxy", proxy_name="postgres", enabled=False)
    up = python(ACTIONS, "modify_proxy", proxy_name="postgres", enabled=True)
    method = [action(SLOW, after=4), action(down, after=5), action(up, after=3), action(python(ACTIONS, "reset"))]

    assert faults(made(experiment(*method))) == ["redis +400ms", "postgres down at 4s until 9s"]

    both = [action(SLOW, after=4), action(down, after=5), action(python(ACTIONS, "reset"), after=6)]
    assert faults(scenario := made(experiment(*both))) == ["redis +400ms", "postgres down at 4s"]
    assert lengths(scenario)["fault"] == 9


def test_without_a_fault_nothing_but_the_baseline_is_judged():
    """An experiment may have no method; then there is nothing to recover from."""
    scenario = made(experiment(probes=[probe()]))

    assert list(lengths(scenario)) == ["warmup", "baseline"]
    assert promised(scenario) == ["answers errors < 1% during baseline"]


@pytest.mark.parametrize(
    ("strategy", "phases"),
    [
        ("default", ["baseline", "fault"]),
        ("before-method-only", ["baseline"]),
        ("after-method-only", ["fault"]),
        ("during-method-only", ["fault"]),
        ("continuously", ["baseline", "fault", "fault"]),
        ("skip", []),
    ],
)
def test_the_hypothesis_is_looked_at_when_its_strategy_says(strategy, phases):
    """Looked at during the method, the whole phase counts; looked at after it, what follows the method's end."""
    runtime = {"hypothesis": {"strategy": strategy}}
    scenario = made(experiment(action(SLOW, after=10), probes=[probe()], runtime=runtime))

    assert [each.during for each in scenario.objectives if each.sli == "errors"] == phases
    afters = {each.after for each in scenario.objectives if each.sli == "errors" and each.during == "fault"}
    assert afters == {"during-method-only": {0}, "continuously": {0, 10}}.get(
        strategy, {10} if "fault" in phases else set()
    )


def test_phases_are_long_enough_for_the_load():
    """A tenth of the load takes ten times as long to prove the same; so do ten probes that share it."""
    assert lengths(made(experiment(probes=[probe()]), arrivals_per_s=20))["baseline"] == 240
    many = experiment(action(DISABLED, after=5), probes=[probe(name=f"item {number}") for number in range(10)])
    assert lengths(made(many)) == {"warmup": 4, "baseline": 45, "fault": 50, "recovery": 8}


@pytest.mark.parametrize(
    ("function", "arguments", "fault"),
    [
        ("create_latency_toxic", {"latency": 400, "jitter": 50}, "redis +400ms ± 50ms"),
        ("create_bandwith_degradation_toxic", {"rate": 100}, "redis at 100KB/s"),
        ("create_timeout_toxic", {"timeout": 0}, "redis accepts and answers nothing"),
        ("create_slicer_toxic", {"average_size": 64, "size_variation": 0, "delay": 10_000}, "redis answers in pieces of 64B every 10ms"),
        ("create_limiter_toxic", {"bytes_limit": 1500}, "redis ends after 1.5KB"),
        ("create_toxic", {"toxic_type": "latency", "attributes": {"latency": 1234}}, "redis +1.234s"),
        ("create_toxic", {"toxic_type": "timeout", "stream": "upstream", "attributes": {"timeout": 0}}, "redis accepts and hears nothing"),
        ("create_toxic", {"toxic_type": "timeout"}, "redis accepts and answers nothing"),
        ("create_toxic", {"toxic_type": "reset_peer", "stream": "upstream", "toxicity": 1.0, "attributes": {"timeout": 250}}, "redis resets after 250ms"),
    ],
)  # fmt: skip
def test_a_toxic_is_the_fault_that_adds_the_same_toxic(function, arguments, fault):
    """With the same attributes, in the units of Toxiproxy: milliseconds, KB/s, and microseconds for a slicer."""
    created = python(TOXICS, function, for_proxy="redis", toxic_name="t", **arguments)

    assert faults(made(experiment(action(created, after=5)))) == [fault]


@pytest.mark.parametrize(
    ("function", "arguments", "why"),
    [
        ("create_latency_toxic", {"latency": 0}, "greater than 0"),
        ("create_latency_toxic", {"latency": 0.5}, "no whole number"),
        ("create_latency_toxic", {"latency": 100, "jitter": 99}, "cannot be told from no fault"),
        ("create_latency_toxic", {"latency": True}, "True is no number"),
        ("create_latency_toxic", {"latency": 400, "stream": "upstream"}, "unknown key 'stream'"),
        ("create_slow_connection_close_toxic", {"delay": 5}, "'slow_close' is no fault here"),
        ("create_timeout_toxic", {"timeout": 500}, "it also ends connections"),
        ("create_slicer_toxic", {"average_size": 64, "size_variation": 8, "delay": 10_000}, "vary in size"),
        ("create_slicer_toxic", {"average_size": 64, "size_variation": 0, "delay": 10}, "greater than or equal to 0.005"),
        ("create_limiter_toxic", {"bytes_limit": 10**8}, "less than or equal to 50000"),
        ("create_toxic", {}, "missing key 'toxic_type'"),
        ("create_toxic", {"toxic_type": "noop"}, "'noop' is no fault here"),
        ("create_toxic", {"toxic_type": "latancy"}, "unknown toxic_type 'latancy'"),
        ("create_toxic", {"toxic_type": "latency", "attributes": {"rate": 5}}, "unknown key 'rate'"),
        ("create_toxic", {"toxic_type": "latency", "stream": "upstream", "attributes": {"latency": 5}}, "not injected upstream"),
        ("create_toxic", {"toxic_type": "reset_peer", "attributes": {"timeout": 5}}, "not injected downstream"),
        ("create_toxic", {"toxic_type": "latency", "toxicity": 0.5, "attributes": {"latency": 5}}, "below 1"),
        ("create_storm", {}, "has no function 'create_storm'"),
    ],
)  # fmt: skip
def test_a_toxic_that_is_no_fault_here_is_refused(function, arguments, why):
    """With the reason, at its own place."""
    created = python(TOXICS, function, for_proxy="redis", toxic_name="t", **arguments)

    (said,) = refused(experiment(action(created, after=5)))

    assert said.startswith("method[0].provider")
    assert why in said


def test_the_functions_of_chaostoolkit_toxiproxy_are_those_that_are_read():
    """Every function that adds a toxic, with every argument that it takes, of the package that people have installed."""
    functions = {name: getattr(toxic_actions, name) for name in toxic_actions.__all__}
    own = {"for_proxy", "toxic_name", "configuration"}
    arguments = {name: set(inspect.signature(function).parameters) - own for name, function in functions.items()}

    assert set(functions) == {*CREATED, "create_toxic", "delete_toxic"}
    assert {name: set(CREATED[name][1]) for name in CREATED} == {name: arguments[name] for name in CREATED}
    assert set(proxy_actions.__all__) == {
        "create_proxy",
        "disable_proxy",
        "enable_proxy",
        "modify_proxy",
        "delete_proxy",
        "reset",
    }


@pytest.mark.parametrize(
    ("tolerance", "why"),
    [
        (200, None),
        (204, None),
        ([200, 201, 204], None),
        ({"type": "range", "range": [200, 299], "target": "status"}, None),
        (404, "not one of success"),
        (True, "more than an answer's status"),
        ("200", "more than an answer's status"),
        ([200, 503], "not one of success"),
        ([], "not one of success"),
        ({"type": "range", "range": [200, 300], "target": "status"}, "not one of success"),
        ({"type": "range", "range": [200], "target": "status"}, "not one of success"),
        ({"type": "range", "range": [0, 1], "target": "body"}, "more than an answer's status"),
        ({"type": "regex", "pattern": "ok", "target": "body"}, "more than an answer's status"),
        ({"type": "jsonpath", "path": "$.x"}, "more than an answer's status"),
        ({"type": "probe", "name": "x", "provider": {}}, "more than an answer's status"),
    ],
)
def test_a_tolerance_of_success_is_a_promise_and_no_other_is(tolerance, why):
    """A success of the load is an answer of 2xx."""
    data = experiment(probes=[probe(tolerance=tolerance)])

    if why is None:
        assert promised(made(data)) == ["answers errors < 1% during baseline"]
    else:
        (said,) = refused(data)
        assert said.startswith("steady-state-hypothesis.probes[0].tolerance: ")
        assert why in said


def test_a_probe_is_asked_by_its_path_with_its_query_and_headers():
    """The host of its URL is left out; what a load would fill in is encoded, or refused."""
    data = experiment(
        probes=[
            probe("https://shop/a b/{key}?q=1", arguments={"name": "ü", "page": 2}, headers={"accept": "${kind}"}),
            probe("http://shop", name="The ROOT!"),
        ],
        configuration={"kind": "text/html"},
    )

    one, other = made(data).load.requests

    assert (one.name, one.path, one.headers) == (
        "answers",
        "/a%20b/%7Bkey%7D?q=1&name=%C3%BC&page=2",
        {"accept": "text/html"},
    )
    assert (other.name, other.path) == ("the-root-2", "/")


FOREIGN = python("os", "system", command="true")


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (experiment(action(FOREIGN)), "method[0].provider: the python provider 'os.system' is foreign code"),
        (experiment(probes=[{**probe(), "provider": FOREIGN}]), "steady-state-hypothesis.probes[0].provider: the python provider 'os.system' is foreign code"),
        (experiment(rollbacks=[action(FOREIGN)]), "rollbacks[0].provider: the python provider 'os.system' is foreign code"),
        (experiment(action({"type": "process", "path": "rm"})), "method[0].provider: the process provider 'rm' is a foreign program"),
        (experiment(action({"type": "http", "url": "http://x"})), "method[0].provider: an http provider is no fault"),
        (experiment(action({"type": "grpc"})), "method[0].provider: the provider 'grpc' is unknown"),
        (experiment(action({})), "method[0].provider: missing key 'type'"),
        (experiment(action(SLOW, after=5, background=True)), "method[0].background: an activity in the background has no place in the order of the others"),
        (experiment(action(SLOW, after=5, controls=[{"name": "x"}])), "method[0].controls: `controls` cannot be honoured"),
        (experiment(action({**SLOW, "secrets": ["s"]}, after=5), secrets={"s": {}}), "secrets: `secrets` cannot be honoured"),
        (experiment(controls=[{"name": "x"}]), "controls: `controls` cannot be honoured"),
        (experiment({"ref": "earlier"}), "method[0].ref: `ref` cannot be honoured"),
        (experiment(roll_backs=[]), "made.json: unknown key 'roll_backs'"),
        (experiment(runtime={"rollbacks": {"strategy": "never"}}), "runtime.rollbacks.strategy: faults that stay are refused"),
        (experiment(runtime={"hypothesis": {"strategy": "often"}}), "runtime.hypothesis.strategy: unknown strategy 'often'"),
        (experiment(rollbacks=[action(SLOW)]), "rollbacks[0].provider: chaostoxi.toxic.actions.create_latency_toxic is no way back"),
        (experiment(action(SLOW_GONE)), "method[0]: there is no toxic 'slow' on 'redis' to delete"),
        (experiment(action(SLOW, after=5), action(SLOW, after=5)), "method[1].provider.arguments: the toxic 'slow' is on 'redis' already"),
        (experiment(action(SLOW, after=1), action(SLOW_GONE)), "method[1]: the fault of method[0] would be over after 1 s, before it could be seen"),
        (experiment(action(DISABLED), action(ENABLED)), "method[1]: the fault of method[0] would be over after 0 s, before it could be seen"),
        (experiment(action(python(ACTIONS, "delete_proxy", proxy_name="redis"))), "method[0]: a proxy that is deleted has no way back"),
        (experiment(action(python(ACTIONS, "modify_proxy", proxy_name="redis", upstream_address="x:1"))), "method[0].provider.arguments.upstream_address: `upstream_address` cannot be honoured"),
        (experiment(action(python(ACTIONS, "disable_proxy", proxy_name="Ω"))), "method[0].provider.arguments.proxy_name: the proxy 'Ω' names no target"),
        (experiment(action(SLOW, after=-1)), "method[0].pauses.after: -1 is no number from 0 to 3600"),
        (experiment(action(SLOW, after="${wait}"), configuration={"wait": {"type": "env", "key": "WAIT"}}), "method[0].pauses.after: `wait` is no literal of `configuration`"),
        (experiment(probes=[probe(timeout=[1, 2])]), "steady-state-hypothesis.probes[0].provider.timeout: [1, 2] is no number from 0 to 60"),
        (experiment(probes=[probe(timeout=0)]), "steady-state-hypothesis.probes[0].provider.timeout: no answer comes within 0 s"),
        (experiment(probes=[probe(method="POST")]), "steady-state-hypothesis.probes[0].provider.method: a probe that sends 'POST' changes what it looks at"),
        (experiment(probes=[probe(max_retries=3)]), "steady-state-hypothesis.probes[0].provider.max_retries: `max_retries` cannot be honoured"),
        (experiment(probes=[probe("file:///etc/passwd")]), "steady-state-hypothesis.probes[0].provider.url: this is no URL over HTTP"),
        (experiment(probes=[probe(headers={"x": "{key}"})]), "steady-state-hypothesis.probes[0].provider.headers: the header 'x' has a word in braces, which a load would fill in"),
        (experiment(probes=[action(DISABLED, tolerance=True)]), "steady-state-hypothesis.probes[0].type: an action is no part of a hypothesis"),
        (experiment(probes=[{**probe(), "provider": python(PROBES, "get_proxy_attribute", proxy_name="redis", attribute="listen")}]), "steady-state-hypothesis.probes[0].provider: what chaostoxi.proxy.probes.get_proxy_attribute looks at is no promise of a service"),
    ],
)  # fmt: skip
def test_what_does_not_mean_the_same_is_refused_by_name(data, said):
    """With its place in the experiment, and what to do instead."""
    assert refused(data) == [said]


def test_all_refusals_are_told_at_once():
    """One start of the program, not one for each."""
    method = [action(FOREIGN), action(SLOW, after="soon"), action({"type": "process", "path": "rm"})]

    assert [
        each.split(":")[0] for each in refused(experiment(*method, dry="actions", probes=[probe(tolerance=500)]))
    ] == [
        "dry",
        "steady-state-hypothesis.probes[0].tolerance",
        "method[0].provider",
        "method[1].pauses.after",
        "method[2].provider",
    ]


def test_what_is_seen_to_anyway_is_passed_over_and_says_so():
    """Set-up of proxies, looks at them, tags: the scenario's comments name each."""
    looks = python(PROBES, "proxy_exist", proxy_name="redis")
    creates = python(ACTIONS, "create_proxy", proxy_name="redis", upstream_host="redis", upstream_port=6379)
    data = experiment(
        action(creates),
        {"type": "probe", "name": "p", "provider": looks},
        probe(),
        action(SLOW, after=5),
        rollbacks=[action(python(ACTIONS, "reset")), action(python(ACTIONS, "delete_proxy", proxy_name="redis"))],
        tags=["x"],
    )
    text = scenario_text(read_experiment(Document("made.json", data, {})))

    assert faults(made(data)) == ["redis +400ms"]
    passed = re.findall(r"^# Passed over: (\S+)", text, re.MULTILINE)
    assert passed == ["`tags`:", "method[0]:", "method[1]:", "method[2]:", "rollbacks[0]:", "rollbacks[1]:"]


def test_a_proxy_is_what_it_is_said_to_be():
    """By its own name, or by what --proxy says; one that stands before nothing is refused with what is known."""
    data = experiment(action(python(ACTIONS, "disable_proxy", proxy_name="Cache Proxy"), after=5))
    document = Document("made.json", data, {})

    assert read_experiment(document).method.windows[0].fault.target == "cache-proxy"
    assert read_experiment(document, {"Cache Proxy": "redis"}, ["redis"]).method.windows[0].fault.target == "redis"
    assert refused(data, known=["redis"]) == [
        "method[0].provider.arguments.proxy_name: the proxy 'Cache Proxy' stands before nothing here"
    ]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        pytest.param('{"a": "' + "x" * MAX_BYTES + '"}', "larger than 1 MiB", id="huge"),
        pytest.param('{"a": ' * 40 + "1" + "}" * 40, "nested deeper than 32", id="deep"),
        pytest.param('{"a": ' + "[" * 100_000, "nested deeper than 32", id="deep enough to overflow a stack"),
        pytest.param('{"a": "\\"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[["}', "unknown key 'a'", id="deep in a string"),
        pytest.param('{"a": 1, "a": 2}', "'a' is there twice", id="twice"),
        pytest.param('{"a": NaN}', "NaN is no number", id="not a number"),
        pytest.param('{"a": ' + "9" * 5000 + "}", "not JSON", id="a number of 5000 digits"),
        pytest.param('{"a": 1', "not JSON", id="cut short"),
        pytest.param("a: &x [*x]", "anchors and aliases", id="an alias"),
        pytest.param("a: !!python/object/apply:os.system [true]", "refused", id="a tag"),
        pytest.param("- 1", "a list where keys with values are expected", id="a list"),
        pytest.param("{}", "missing key 'title'", id="nothing"),
        pytest.param(
            '{"title": "t", "method": {}}', "a mapping where a list is expected", id="a method that is no list"
        ),
        pytest.param('{"title": 5, "method": [1]}', "a number where a text is expected", id="a title that is no text"),
    ],
)
def test_hostile_files_are_refused(tmp_path, text, why):
    """Size, depth, types: told, never a traceback."""
    (tmp_path / "x.json").write_text(text)

    with pytest.raises(SpecError) as raised:
        read_experiment(read_document(tmp_path / "x.json"))

    assert why in str(raised.value)


def test_json_that_is_no_yaml_is_read(tmp_path):
    """Indented by tabs; and the same in YAML, where places have lines."""
    data = experiment(probes=[probe(tolerance=404)])
    (tmp_path / "x.json").write_text(json.dumps(data, indent="\t"))
    (tmp_path / "x.yaml").write_text("title: x\nmethod: []\nnonsense: 1\n")

    with pytest.raises(SpecError, match="not one of success"):
        read_experiment(read_document(tmp_path / "x.json"))
    with pytest.raises(SpecError, match="unknown key 'nonsense'"):
        read_experiment(read_document(tmp_path / "x.yaml"))


def test_words_that_could_deceive_stay_words(tmp_path):
    """A title with a line break, quotes and control characters neither ends a comment nor a text."""
    title = 'x"\nscenario: other\x1b[31m\u202e # y'
    scenario = made(experiment(probes=[probe()], title=title, description=f"{title} and more: [a, {{b}}]"))

    assert scenario.scenario == "x-scenario-other-31m-y"
    assert scenario.story == 'x" scenario: other # y and more: [a, {b}]'
    assert name_of("Ω") == "imported-experiment"
    assert [made(experiment(probes=[probe()], title=word)).scenario for word in ("64", "Yes", "1e5")] == [
        "64",
        "yes",
        "1e5",
    ]


def test_a_file_that_is_there_is_replaced_only_by_force(tmp_path, monkeypatch):
    """And one in a folder that is not there is refused by the system, with exit code 3."""
    monkeypatch.chdir(PROJECT)
    place = tmp_path / "x.yaml"

    def run(*more):
        return CliRunner().invoke(app, ["import", str(EXAMPLE), "--proxy", "cache=redis", "--to", *more])

    assert run(str(place)).exit_code == 0
    written = place.read_text()
    place.write_text("mine")
    assert isinstance(run(str(place)).exception, SpecError)
    assert place.read_text() == "mine"
    assert run(str(place), "--force").exit_code == 0
    assert place.read_text() == written
    assert isinstance(run(str(tmp_path / "no/x.yaml")).exception, FileNotFoundError)


def test_what_could_not_be_proved_is_refused_before_it_is_written(tmp_path, monkeypatch):
    """Faults that hide each other have a place in the scenario, and nothing is written."""
    monkeypatch.chdir(PROJECT)
    file, place = tmp_path / "x.json", tmp_path / "x.yaml"
    file.write_text(json.dumps(experiment(action(SLOW), action(DISABLED, after=5))))

    said = CliRunner().invoke(app, ["import", str(file), "--to", str(place)])

    assert "cannot be seen while" in str(said.exception)
    assert not place.exists()
    with pytest.raises(SpecError, match="not said to be anything"):
        CliRunner().invoke(app, ["import", str(file), "--proxy", "redis"], catch_exceptions=False)
