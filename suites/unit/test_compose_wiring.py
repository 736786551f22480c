"""Who reaches whom in a system of a compose file, what faults can hit there, and in which order it starts."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import SpecError
from harness.options import settings_of
from harness.spec.composed import Composed, ComposeService, Condition, HealthCheck
from harness.spec.faults import Down, Flush, Kill, SlowStart
from harness.spec.system import Part, Subject, System
from harness.stack.blueprint import edges_of, processes_of, replicas_of, targets_of, why_out_of_reach
from harness.stack.wiring import called, rooms_of, steps_of, unwired, wiring_of
from suites.support.servers import PROJECT


def service(name, **says):
    return ComposeService(name=name, line=f"compose.yaml: services.{name}", **{"image": "shop", **says})


WEB = service("web", ports=(8000,), environment={"CACHE": "redis://cache:6379"})
CACHE, DATABASE = service("cache", image="redis:8"), service("database", image="own/postgres@sha256:0")
WORKER = service("worker", count=2)


def system_of(*services, replicas=None, components=None, judged="web"):
    """A system that is those services."""
    said = {} if replicas is None else {"replicas": replicas}
    said |= {} if components is None else {"components": components}
    subject = Subject(service=judged, port=8000)
    system = System(name="shop", subject=subject, compose="compose.yaml", **said)
    return system.with_composed(Composed(file="compose.yaml", services={each.name: each for each in services}))


SHOP = system_of(WEB, WORKER, CACHE, DATABASE, replicas=2)


def doors_of(system, client):
    return {door.server: door for door in wiring_of(system).doors() if door.client == client}


def mistakes(*services, **how):
    system = system_of(*services, **how)
    return [each.what for each in unwired(system, system.composed)]


def test_each_process_has_an_edge_of_its_own_to_each_service_that_it_may_reach():
    """As many replicas as are asked for, and as many workers as the file says; each by the names of the file."""
    clients = ["replica-1", "replica-2", "worker-1", "worker-2"]

    assert edges_of(SHOP) == [
        *((client, server) for client in clients for server in ("cache", "database")),
        *(("nginx", "replica-1"), ("nginx", "replica-2")),
    ]
    assert processes_of(SHOP) == [
        "worker-1",
        "worker-2",
        "cache",
        "database",
        "replica-1",
        "replica-2",
        "nginx",
        "proxy",
    ]
    assert targets_of(Down(kind="down", target="x"), SHOP)[:2] == ["cache", "database"]
    assert "worker-2.cache" in targets_of(Down(kind="down", target="x"), SHOP)
    assert {*targets_of(Kill(kind="kill", target="x"), SHOP)} == {*processes_of(SHOP)}


def test_the_file_says_how_many_replicas_there_are_where_readiness_toml_does_not():
    """One, if neither does."""
    assert replicas_of(system_of(WEB)) == ["replica-1"]
    assert len(replicas_of(system_of(replace(WEB, count=3)))) == 3
    assert len(replicas_of(system_of(replace(WEB, count=3), replicas=2))) == 2


def test_the_judged_service_is_reached_by_its_name_and_its_paths_are_not_hurt_there():
    """What other services ask of it is its load too: its own paths are those of the load balancer."""
    door = doors_of(SHOP, "worker-1")["web"]

    assert (door.port, door.names, door.is_edge) == (8000, ("web",), False)


def test_what_ends_by_itself_has_passages_and_is_no_target():
    """By the time that something is hurt it is gone."""
    table = service("table")
    web = replace(WEB, waits={"table": Condition.COMPLETED})
    system = system_of(web, table, CACHE)

    assert not doors_of(system, "table")["cache"].is_edge
    assert "table" not in processes_of(system)
    assert ("table", "cache") not in edges_of(system)


def test_a_store_calls_nobody_unless_its_settings_name_somebody():
    """Redis is asked, and asks nobody; a replica of it is told of its primary."""
    follower = service("follower", image="redis:8", command=("redis-server", "--replicaof", "cache", "6379"))
    system = system_of(WEB, CACHE, DATABASE, follower)

    assert not doors_of(system, "cache")
    assert set(doors_of(system, "follower")) == {"cache"}


@pytest.mark.parametrize("text", ["redis://cache:6379/0", "cache", "a@cache/x", "cache,other"])
def test_a_name_in_a_setting_is_a_word_of_its_own(text):
    """However it is written."""
    assert set(doors_of(system_of(WEB, CACHE, replace(DATABASE, environment={"A": text})), "database")) == {"cache"}


@pytest.mark.parametrize("text", ["cached", "my-cache", "cache.example.org", "CACHE", ""])
def test_a_part_of_another_word_is_no_name(text):
    """Nor the name of a machine elsewhere."""
    assert not doors_of(system_of(WEB, CACHE, replace(DATABASE, environment={"A": text})), "database")


def test_services_without_a_common_network_do_not_reach_each_other():
    """As in the engine."""
    front, back = replace(WEB, networks=frozenset({"front", "back"})), replace(CACHE, networks=frozenset({"back"}))
    outside = service("outside", networks=frozenset({"front"}), ports=(80,))

    system = system_of(front, back, outside)

    assert set(doors_of(system, "replica-1")) == {"cache", "outside"}
    assert set(doors_of(system, "outside")) == {"web"}


def test_a_service_is_reached_by_every_name_that_it_has():
    """Its own, its aliases, and what a client calls it by a link."""
    web = replace(WEB, links={"store": "cache"})

    door = doors_of(system_of(web, replace(CACHE, aliases=("redis", "cache"))), "replica-1")["cache"]

    assert door.names == ("cache", "redis", "store")


def test_two_services_on_one_port_are_in_two_rooms():
    """A network holds the proxy once, with one address; each port of one service is in its one room."""
    other = replace(CACHE, name="sessions")
    system = system_of(WEB, CACHE, other, DATABASE)

    assert {name: door.room for name, door in doors_of(system, "replica-1").items()} == {
        "cache": 0,
        "sessions": 1,
        "database": 0,
    }


@given(st.dictionaries(st.text("abc", min_size=1), st.lists(st.integers(1, 5), min_size=1, max_size=3), max_size=6))
def test_no_two_services_in_one_room_listen_on_one_port(ports):
    """Whatever they listen on; and the first room is used before the second."""
    rooms = rooms_of(ports)

    for room in rooms.values():
        listening = [port for name, own in ports.items() if rooms[name] == room for port in {*own}]
        assert len(listening) == len({*listening})
    assert sorted({*rooms.values()}) == [*range(len({*rooms.values()}))]
    assert max(rooms.values(), default=0) < max(1, len(ports))


@st.composite
def waiting(draw):
    """Services of which each may wait for those before it."""
    names = draw(st.lists(st.sampled_from("abcdefgh"), unique=True, min_size=1))
    found = {}
    for number, name in enumerate(names):
        others = draw(st.sets(st.sampled_from(names[:number]))) if number else set()
        found[name] = service(name, waits={other: draw(st.sampled_from(list(Condition))) for other in sorted(others)})
    return {name: found[name] for name in draw(st.permutations(names))}


@given(waiting())
def test_each_service_starts_once_and_after_all_that_it_waits_for(services):
    """What is to be healthy or over is waited for in the step in which it is needed, or before."""
    started, awaited = [], set()
    for step in steps_of(services):
        awaited |= {*step.awaits}
        for name in step.starts:
            for other, until in services[name].waits.items():
                assert other in started
                assert until is Condition.STARTED or (other, until) in awaited
        started += step.starts
    assert sorted(started) == sorted(services)


def test_only_what_is_asked_for_is_waited_for():
    """That something was started needs no waiting, so that a race that production has is not hidden."""
    services = {"web": replace(WEB, waits={"cache": Condition.STARTED}), "cache": replace(CACHE, health=HealthCheck())}

    assert [step.awaits for step in steps_of(services)] == [(), ()]
    assert [step.starts for step in steps_of(services)] == [("cache",), ("web",)]


@pytest.mark.parametrize(
    ("name", "ours"),
    [("cache", "cache"), ("my_Cache", "my-cache"), ("nginx", "nginx-service"), ("replica-1", "replica-1-service"),
     ("a.b", "a-b"), ("Proxy", "proxy-service")],
)  # fmt: skip
def test_a_service_is_called_as_targets_are_written(name, ours):
    """And never as something that the harness has already."""
    assert called(name) == ours


def test_a_service_that_listens_in_several_places_is_asked_about():
    """A fault would miss half of what reaches it; what is known for its kind is hurt where that kind listens."""
    api = service("api", ports=(9000, 9001))

    assert mistakes(WEB, api) == ["api listens on 9000 and 9001, and faults hit one of them"]
    assert mistakes(WEB, replace(CACHE, ports=(6379, 9121))) == []
    told = system_of(WEB, api, components={"api": Part(port=9001)})
    assert wiring_of(told).main["api"] == 9001
    assert not list(unwired(told, told.composed))
    assert [door.is_edge for door in wiring_of(told).doors() if door.client == "replica-1"] == [True, False]


def test_what_readiness_toml_says_of_a_service_comes_before_its_image():
    """Its kind, and where it listens."""
    system = system_of(WEB, service("kv", image="own"), components={"kv": Part(kind="redis", port=7000)})

    wiring = wiring_of(system)

    assert (wiring.kinds, wiring.main["kv"]) == ({"kv": "redis"}, 7000)
    assert mistakes(WEB, components={"kv": Part(kind="redis")}) == ["compose.yaml has no service 'kv'"]


def test_what_cannot_be_wired_is_told():
    """Several of what others reach, two by one name, a name that no target can have, a job that is judged."""
    assert mistakes(WEB, replace(CACHE, count=2)) == [
        "2 of cache would share the name by which others reach it, and a path leads to one"
    ]
    assert mistakes(WEB, service("a_b"), service("a-b")) == ["a-b and a_b are both called 'a-b' here"]
    assert mistakes(WEB, service("a" * 31)) == [f"faults cannot hit what is called {'a' * 31!r}"]
    assert mistakes(WEB, service("x", waits={"web": Condition.COMPLETED})) == [
        "web ends by itself, and cannot be judged"
    ]


def test_data_of_a_compose_file_s_services_is_out_of_reach():
    """Whose it is, and who may change it, is not known; that is a lack of means, and no slip in a scenario."""
    flush = Flush(kind="flush", target="cache")

    assert "the compose file's own" in why_out_of_reach(flush, SHOP)
    assert targets_of(flush, SHOP) == []
    assert why_out_of_reach(Down(kind="down", target="cache"), SHOP) is None


def test_what_listens_nowhere_cannot_be_seen_to_start_late():
    """As a worker of ours."""
    assert "worker-1" not in targets_of(SlowStart(kind="slow-start", target="x", delay="1s"), SHOP)


SETTINGS = """\
[system]
name = "shop"
{system}
[system.subject]
ready = "/health"
{subject}
[[objectives]]
sli = "errors"
max = "1%"
[profiles.quick]
stretch = 1.0
"""


@pytest.mark.parametrize(
    ("system", "subject", "said"),
    [
        ('compose = "compose.yaml"', 'app = "a:b"', "nothing which of it is judged"),
        ("", 'service = "web"\nport = 8000', "write both"),
        ('compose = "compose.yaml"', 'service = "web"', "service and port go together"),
        ('compose = "compose.yaml"', 'service = "web"\nport = 1\ninit = [["a"]]', "init stands in the compose file"),
        ('compose = "compose.yaml"', 'service = "web"\nport = 1\nworkers = {}', "workers stands in the compose file"),
        ('compose = "compose.yaml"\nstandbys = {redis = "asynchronous"}', 'service = "web"\nport = 1', "standbys"),
        ('compose_profiles = ["x"]', 'app = "a:b"', "compose_profiles are those of a compose file"),
        ('compose = "../compose.yaml"', 'service = "web"\nport = 1', "leads elsewhere"),
        ("components = {redis = {port = 1}}", 'app = "a:b"', "port is for services of a compose file"),
    ],
)
def test_what_does_not_go_together_in_readiness_toml_is_told(tmp_path, system, subject, said):
    """With its line, before the compose file is read."""
    (tmp_path / "readiness.toml").write_text(SETTINGS.format(system=system, subject=subject))

    with pytest.raises(SpecError, match=said) as caught:
        settings_of(tmp_path)

    assert "readiness.toml:" in str(caught.value)


def test_mistakes_of_the_compose_file_are_told_with_the_settings(tmp_path):
    """So that `readiness lint` and a run tell them before anything starts."""
    text = SETTINGS.format(system='compose = "compose.yaml"', subject='service = "web"\nport = 8000')
    (tmp_path / "readiness.toml").write_text(text)

    with pytest.raises(SpecError, match="cannot be read"):
        settings_of(tmp_path)
    (tmp_path / "compose.yaml").write_text("services:\n  web:\n    image: a\n    pid: host\n")
    with pytest.raises(SpecError, match=r"compose\.yaml:4: services\.web\.pid"):
        settings_of(tmp_path)


def test_the_project_beside_the_others_is_read(monkeypatch):
    """As it stands in the repository, without a variable."""
    for name in ("BASE", "REDIS_IMAGE", "POSTGRES_IMAGE", "COMPOSE_PROFILES"):
        monkeypatch.delenv(name, raising=False)

    system = settings_of(PROJECT / "fixtures/foreign/compose").system

    assert edges_of(system) == [
        *((client, server) for client in ("replica-1", "worker") for server in ("cache", "database")),
        ("nginx", "replica-1"),
    ]
    assert system.composed.jobs == {"table"}
    assert system.composed.services["web"].environment["REDIS_URL"] == "redis://cache:6379/0"
    assert not system.composed.notes
