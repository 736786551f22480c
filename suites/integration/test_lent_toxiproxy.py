"""A Toxiproxy that somebody else runs is used as it stands, and given back as it was; one that is not clean is refused."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from contextlib import contextmanager

import pytest
from redis import Redis

from harness.clock import SystemClock, is_met_within
from harness.errors import FaultError, FaultProxyError, UnavailableError
from harness.faults.action import Site
from harness.faults.healing import heal
from harness.faults.injection import action_for, check_available, injected
from harness.faults.ledger import read_ledger
from harness.faults.undo import is_left
from harness.options import settings_of
from harness.spec.external import Toxiproxy
from harness.spec.faults import Down, Kill, Latency, Reset, StaleConnections
from harness.spec.system import Subject, System
from harness.stack.backends.choice import EMBEDDED, standing
from harness.stack.backends.lent import Lent
from harness.stack.blueprint import Blueprint, targets_of
from suites.support.elsewhere import SomebodyElses
from suites.support.faultproxy import free_port, started
from suites.support.servers import PROJECT, start_redis, workspace_for

CLOCK = SystemClock()
LATE, GONE = Latency(kind="latency", target="redis", delay="150ms"), Down(kind="down", target="redis")
TOXIC = {"name": "theirs", "type": "latency", "stream": "downstream", "attributes": {"latency": 5}}


@pytest.fixture(scope="module")
def redis():
    with start_redis() as port:
        yield port


@pytest.fixture(scope="module")
def subject(tmp_path_factory):
    """A service that runs already."""
    running = SomebodyElses(tmp_path_factory.mktemp("theirs"), free_port())
    running.run("start")
    yield running
    running.run("stop")


@pytest.fixture(scope="module")
def server():
    """Their Toxiproxy, for all tests that leave it as it was."""
    with started("ours", "-proxy-metrics") as running:
        yield running


@pytest.fixture
def theirs(server, redis):
    """It has a proxy before Redis, and one that is nobody's business here."""
    server.must("POST", "/proxies", {"name": "shop_redis", "listen": "127.0.0.1:0", "upstream": f"127.0.0.1:{redis}"})
    server.must("POST", "/proxies", {"name": "other", "listen": "127.0.0.1:0", "upstream": "127.0.0.1:1"})
    server.must("POST", "/proxies/other/toxics", TOXIC)
    yield server
    server.forget_all()


def listed(server):
    """Return every proxy with its toxics, as its owner sees them."""
    return server.must("GET", "/proxies")


def system(subject, server, **edge):
    lent = {
        "address": f"http://127.0.0.1:{server.port}",
        "edges": {"redis": {"proxy": "shop_redis", **edge}},
    }
    said = {"external": f"http://127.0.0.1:{subject.port}", "ready": "/", "toxiproxy": lent}
    return System(name="staged", subject=Subject.model_validate(said))


@contextmanager
def standing_on(subject, server, **edge):
    blueprint = Blueprint(system=system(subject, server, **edge), seed=1)
    with workspace_for(run_id="a-run") as workspace:
        with standing(EMBEDDED, blueprint, workspace=workspace, clock=CLOCK) as stack:
            yield stack


def refusal(subject, server, **edge):
    with pytest.raises(FaultProxyError) as told:
        with standing_on(subject, server, **edge):
            pass
    return told.value


@pytest.mark.parametrize("fault", [LATE, GONE, Reset(kind="reset", target="subject.redis")], ids=str)
def test_a_path_is_hurt_by_its_proxy_and_given_back_as_it_was(theirs, subject, redis, ledger, fault):
    """Its own name and ours are two; what crosses is counted, and no other proxy is touched."""
    before = listed(theirs)
    with standing_on(subject, theirs) as stack:
        (edge,) = stack.edges
        assert (edge.name, edge.listen.port) == (
            "subject.redis",
            int(before["shop_redis"]["listen"].rpartition(":")[2]),
        )
        with injected(fault, into=stack, ledger=ledger, clock=CLOCK) as injection:
            assert injection.observe().is_delivered, injection.doses
            hurt = listed(theirs)
            assert hurt["other"] == before["other"]
            assert hurt["shop_redis"] != before["shop_redis"]
            names = [each["name"] for each in hurt["shop_redis"]["toxics"]]
            assert names == ([] if fault is GONE else ["readiness-a-run-fault-1"])
        assert injection.crossed_bytes == (None if fault is GONE else 0), "our looks are no traffic"
        assert listed(theirs) == before
        with Redis(port=edge.listen.port) as client:
            assert client.ping()

    assert listed(theirs) == before
    assert [entry for entry in read_ledger(ledger.path).left if entry.kind != "process"] == []


def test_traffic_is_counted_by_the_proxy_of_that_name(theirs, subject, ledger):
    """As on an edge of ours: each question is one PING."""
    with standing_on(subject, theirs) as stack, injected(LATE, into=stack, ledger=ledger, clock=CLOCK) as injection:
        with Redis(port=stack.edges[0].listen.port) as client:
            client.ping()
        injection.observe()

    assert injection.mark().crossed_bytes > 0


def test_one_that_does_not_answer_is_refused(theirs, subject):
    """With what shows that it does."""

    class Nobody:
        port = free_port()

    error = refusal(subject, Nobody)

    assert error.what.startswith("the Toxiproxy does not answer: ")
    assert f"curl http://127.0.0.1:{Nobody.port}/version" in error.fix


def test_what_is_no_toxiproxy_is_refused(theirs, subject):
    """Something answers there, and not as one."""
    assert "does not answer" in refusal(subject, subject).what


def test_a_proxy_that_is_not_there_is_refused_and_not_made(theirs, subject):
    """And those that are there are named."""
    before = listed(theirs)

    error = refusal(subject, theirs, proxy="shop-redis")

    assert error.what == "there is no proxy shop-redis for redis"
    assert error.fix == "make it there, or name another one; there are: other, shop_redis"
    assert listed(theirs) == before


@pytest.mark.parametrize("dirt", [["toxic"], ["disabled"], ["disabled", "toxic"]])
def test_one_that_is_not_clean_is_refused_with_the_commands_that_clean_it(theirs, subject, dirt):
    """Each of them, as they stand, does it; nothing is cleaned unasked."""
    if "toxic" in dirt:
        theirs.must("POST", "/proxies/shop_redis/toxics", TOXIC)
    if "disabled" in dirt:
        theirs.must("POST", "/proxies/shop_redis", {"enabled": False})
    before = listed(theirs)

    error = refusal(subject, theirs)

    assert [f"has a {each}" in error.what or f"is {each}" in error.what for each in dirt] == [True] * len(dirt)
    assert listed(theirs) == before
    for asked in error.fix.split("; "):
        method, body, path = re.fullmatch(r"curl -X (\w+) (?:-d '(.*)' )?http://127.0.0.1:\d+(/\S+)", asked).groups()
        theirs.must(method, path, json.loads(body) if body else None)
    with standing_on(subject, theirs) as stack:
        assert stack.proxy.is_enabled("subject.redis")


def test_one_that_counts_nothing_is_refused(subject, redis):
    """Whether the service met a fault could never be shown."""
    with started("ours") as server:
        asked = {"name": "shop_redis", "listen": "127.0.0.1:0", "upstream": f"127.0.0.1:{redis}"}
        server.must("POST", "/proxies", asked)
        error = refusal(subject, server)

    assert (error.what.partition(",")[0], error.fix) == (
        "the Toxiproxy does not count what crosses it",
        "start it with -proxy-metrics",
    )


def test_a_door_that_leads_nowhere_from_here_is_refused(theirs, subject):
    """It listens there, and is published elsewhere."""
    error = refusal(subject, theirs, listen=f"127.0.0.1:{free_port()}")

    assert error.what.startswith("nothing answers through the proxy shop_redis, at 127.0.0.1:")
    assert "edges.redis.listen" in error.fix


def test_an_end_on_a_machine_that_is_not_named_is_refused(server, subject, redis):
    """A compose file's own names mean nothing here; it is told how to say where it is."""
    server.must("POST", "/proxies", {"name": "shop_redis", "listen": "127.0.0.1:0", "upstream": "redis:6379"})
    try:
        error = refusal(subject, server)
        assert error.what == "the proxy shop_redis says upstream redis:6379, and redis is not said to be yours"
        assert 'edges.redis.upstream = "HOST:PORT"' in error.fix
        server.must("POST", "/proxies/shop_redis", {"upstream": f"127.0.0.1:{redis}"})
        with standing_on(subject, server, upstream=f"127.0.0.1:{redis}") as stack:
            assert stack.services["redis"].direct.port == redis
    finally:
        server.forget_all()


@pytest.mark.parametrize(
    ("api", "said", "seen"),
    [
        ("127.0.0.1", "127.0.0.1:26379", "127.0.0.1:26379"),
        ("127.0.0.1", "[::]:26379", "127.0.0.1:26379"),
        ("staging.example", "[::]:26379", "staging.example:26379"),
        ("staging.example", "0.0.0.0:26379", "staging.example:26379"),
        ("staging.example", ":26379", "staging.example:26379"),
        ("staging.example", "127.0.0.1:26379", "staging.example:26379"),
        ("staging.example", "localhost:26379", "staging.example:26379"),
        ("staging.example", "10.0.0.7:26379", "10.0.0.7:26379"),
    ],
)
def test_loopback_of_another_machine_is_never_ours(api, said, seen):
    """What it calls 127.0.0.1 is itself: a Redis that happens to run here would answer in its place."""
    lent = object.__new__(Lent)
    lent.proxy = type("Api", (), {"api": type("At", (), {"host": api})})

    assert lent._from_here(said) == seen


def test_what_only_our_own_proxy_does_is_told_before_anything_starts(theirs, subject):
    """Whether theirs is the real one is not known by then; and no process of it is ours to kill."""
    on = system(subject, theirs)
    with pytest.raises(UnavailableError, match="no toxic of Toxiproxy does that"):
        check_available([StaleConnections(kind="stale-connections", target="redis")], EMBEDDED, on)
    check_available([LATE, GONE], EMBEDDED, on)

    assert targets_of(Kill(kind="kill", target="x"), on) == []
    with pytest.raises(UnavailableError, match=r"no path to postgres \(system.subject.toxiproxy.edges: redis\)"):
        check_available([Down(kind="down", target="postgres")], EMBEDDED, on)


def entries(ledger):
    return [entry for entry in read_ledger(ledger.path).left if entry.kind in ("toxic", "disabled")]


@pytest.mark.parametrize("fault", [LATE, GONE], ids=str)
def test_what_a_dead_run_left_on_it_is_healed_by_its_ledger(theirs, subject, ledger, fault):
    """By its name there; twice is harmless, and what its owner has deleted is as good."""
    before = listed(theirs)
    with standing_on(subject, theirs) as stack:
        action_for(fault, Site("readiness-a-run-fault-1", stack, CLOCK)).begin(ledger)  # and its run dies
        assert listed(theirs) != before
        (entry,) = entries(ledger)
        assert entry.facts["edge"] == "shop_redis"
        assert is_left(entry)

        lines = heal(read_ledger(ledger.path))

        assert [line.startswith("healed ") for line in lines] == [True]
        assert listed(theirs) == before
        assert not is_left(entry)
        theirs.must("DELETE", "/proxies/shop_redis")
        assert heal(read_ledger(ledger.path)) == []
        assert not is_left(entry)


@pytest.mark.parametrize("kind", ["toxic", "disabled"])
def test_one_that_does_not_answer_is_not_taken_for_healed(ledger, kind):
    """Ours dies with its run; theirs comes back, and with it what was left on it."""
    told = {"edge": "shop_redis", "toxic": "t", "api_host": "127.0.0.1", "api_port": free_port(), "lent": True}
    entry = ledger.note(kind, "x", **told)

    with pytest.raises(FaultError, match="the fault proxy could not"):
        heal(read_ledger(ledger.path))

    assert is_left(entry)


SETTINGS = """
[system]
name = "staged"
{allowed}
[system.subject]
external = "http://127.0.0.1:80"
[system.subject.toxiproxy]
address = "{address}"
edges = {{ {edges} }}
{more}
[[objectives]]
sli = "errors"
max = "1%"
[profiles.quick]
stretch = 1.0
"""
LOCAL, REDIS = "http://127.0.0.1:8474", 'redis = { proxy = "shop" }'


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ({"address": "http://tox.example:8474"}, "it is on another machine, tox.example, which is not said to be yours to hurt\n  where: readiness.toml:8: system.subject.toxiproxy.address"),
        ({"edges": 'redis = { proxy = "shop", listen = "db.example:1" }'}, "another machine, db.example"),
        ({"edges": 'redis = { proxy = "shop", upstream = "db.example:1" }'}, "another machine, db.example"),
        ({"address": "http://127.0.0.1:8474/proxies"}, "write http://HOST:PORT, without a path"),
        ({"address": "https://127.0.0.1:8474"}, "write http://HOST:PORT"),
        ({"edges": 'redis = { proxy = "shop", listen = "26379" }'}, "'26379' is no address"),
        ({"edges": 'redis = { proxy = "a/../b" }'}, "system.subject.toxiproxy.edges.redis.proxy"),
        ({"edges": 'redis = { proxy = "subject.redis" }'}, "would be taken for one of the harness's own"),
        ({"edges": 'redis = { proxy = "shop" }, cache = { proxy = "shop", kind = "redis" }'}, "two edges are the same proxy, shop"),
        ({"edges": 'rediss = { proxy = "shop" }'}, "unknown component 'rediss'"),
        ({"edges": 'replicas = { proxy = "shop", kind = "redis" }'}, "nothing else can be called 'replicas'"),
        ({"edges": ""}, "system.subject.toxiproxy.edges"),
        ({"more": '[system.subject.proxies.redis]\nlisten = "127.0.0.1:1"\nupstream = "127.0.0.1:2"'}, "proxies and toxiproxy are two answers"),
    ],
)  # fmt: skip
def test_a_toxiproxy_that_cannot_be_is_told(tmp_path, said, told):
    """Before anything starts, with its line."""
    text = SETTINGS.format(**{"allowed": "", "address": LOCAL, "edges": REDIS, "more": "", **said})
    (tmp_path / "readiness.toml").write_text(text)

    with pytest.raises(Exception, match=re.escape(told)):
        _read(tmp_path)


def _read(folder):
    try:
        return settings_of(folder)
    except Exception as error:
        raise AssertionError(str(error).replace(f"{folder}/", "")) from error


def test_a_toxiproxy_on_a_machine_that_is_named_is_taken(tmp_path):
    """As a service there is."""
    allowed = 'allowed_hosts = ["tox.example"]'
    text = SETTINGS.format(allowed=allowed, address="http://Tox.example:8474/", edges=REDIS, more="")
    (tmp_path / "readiness.toml").write_text(text)

    lent = settings_of(tmp_path).system.subject.toxiproxy

    assert isinstance(lent, Toxiproxy)
    assert lent.address == "http://tox.example:8474"


KILLED = """
import os, signal, sys
from pathlib import Path
from harness.clock import SystemClock
from harness.faults.guardian import guarded
from harness.faults.injection import injected
from harness.faults.ledger import Ledger
from harness.spec.faults import Latency
from harness.spec.system import System
from harness.stack.backends.choice import standing
from harness.stack.blueprint import Blueprint
from suites.support.servers import workspace_for

system = System.model_validate_json(sys.argv[2])
ledger = Ledger(Path(sys.argv[1]), "killed")
with guarded(ledger.path), workspace_for() as workspace:
    with standing("embedded", Blueprint(system=system, seed=1), workspace=workspace, clock=SystemClock()) as stack:
        with injected(Latency(kind="latency", target="redis", delay="100ms"), into=stack, ledger=ledger, clock=SystemClock()):
            os.kill(os.getpid(), signal.SIGKILL)
"""


def test_the_guardian_gives_it_back_after_a_sigkill(theirs, subject, tmp_path):
    """Clean, and with every proxy where it was."""
    before, path = listed(theirs), tmp_path / "ledger.jsonl"
    told = system(subject, theirs).model_dump_json(exclude_unset=True)

    command = [sys.executable, "-c", KILLED, str(path), told]
    kept_here = {**os.environ, "TMPDIR": str(tmp_path)}  # what it cannot take along when it is killed
    run = subprocess.run(command, cwd=PROJECT, env=kept_here, check=False, capture_output=True)

    assert run.returncode == -signal.SIGKILL, run.stderr.decode()
    assert is_met_within(lambda: read_ledger(path).is_closed, deadline_s=15, clock=CLOCK)
    assert listed(theirs) == before
    assert "healed toxic" in path.with_name("guardian.log").read_text()
