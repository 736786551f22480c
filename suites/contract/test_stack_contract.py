"""The seam of harness/stack: what every backend promises of its services and its stack, held on real ones."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import httpx
import psutil
import pytest
from redis import Redis

from harness.clock import SystemClock, is_met_within
from harness.errors import StackError, SubjectError
from harness.faults.injection import injected
from harness.spec.faults import Down, Kill, Latency
from harness.spec.system import Part, Subject, System
from harness.stack import proxy
from harness.stack.backends import engine
from harness.stack.backends.choice import CONTAINERS, standing
from harness.stack.blueprint import Blueprint, targets_of
from harness.stack.ports import reserve
from harness.stack.ready import wait_until_ready
from harness.stack.service import LOOPBACK
from suites.support.servers import workspace_for
from suites.support.stack import DOCKERFILE, DUMMY, OF_DUMMIES

CLOCK = SystemClock()
FIRST, SECOND = {"redis", "proxy", "postgres"}, {"replica-1", "replica-2", "nginx"}
NAMES = sorted(FIRST | SECOND)


@pytest.fixture
def left(backend):
    """Return what a run has left: processes of ours, or whatever carries its label on the engine."""
    before = psutil.Process().children(recursive=True)

    def of_run(run_id):
        if backend != CONTAINERS:
            return [child for child in psutil.Process().children(recursive=True) if child not in before]
        marked = {"label": f"{engine.RUN_LABEL}={run_id}"}
        client = engine.connect()
        try:
            found = [
                *client.containers.list(all=True, filters=marked, ignore_removed=True),
                *client.networks.list(filters=marked),
                *client.volumes.list(filters=marked),
            ]
            return [each.name for each in found]
        finally:
            client.close()

    return of_run


def test_the_whole_system_answers_through_its_entry(stack):
    """A request passes nginx, an edge and a replica."""
    answer = httpx.get(stack.base_url, trust_env=False)

    assert (answer.status_code, answer.text) == (200, "ok")


def test_services_start_in_the_order_of_their_needs(stack):
    """Replicas and nginx need the rest; each part says when it began, how long it took, and what it is."""
    names = [part.part for part in stack.startup]

    assert (set(names[:3]), set(names[3:])) == (FIRST, SECOND)
    assert max(part.began_s for part in stack.startup[:3]) < min(part.began_s for part in stack.startup[3:])
    assert all(part.took_s > 0 and part.version for part in stack.startup)


def test_what_a_fault_can_hit_is_known_before_it_runs(stack):
    """A plan is refused for a target that the stack would not have, and for no other."""
    edges = {edge.server for edge in stack.edges} | {edge.name for edge in stack.edges}

    kill, down = Kill(kind="kill", target="redis"), Down(kind="down", target="redis")
    latency = Latency(kind="latency", target="redis", delay="400ms")

    assert set(targets_of(kill, DUMMY)) == set(stack.services)
    assert set(targets_of(down, DUMMY)) == set(targets_of(latency, DUMMY)) == edges


def test_every_edge_has_a_proxy_of_its_own(stack):
    """Replica to redis, replica to postgres, nginx to replica."""
    names = {edge.name for edge in stack.edges}

    assert names == {
        *("replica-1.redis", "replica-2.redis", "replica-1.postgres", "replica-2.postgres"),
        *("nginx.replica-1", "nginx.replica-2"),
    }
    assert (
        len({edge.listen for edge in stack.edges}) == len({edge.client_address for edge in stack.edges}) == len(names)
    )
    assert [edge.name for edge in stack.edges_into("redis")] == ["replica-1.redis", "replica-2.redis"]
    assert [edge.name for edge in stack.edges_into("replica-2.redis")] == ["replica-2.redis"]


def test_everything_is_reached_on_loopback_only(stack):
    """Not one address of ours can be reached from another machine."""
    reached = [service.direct for service in stack.services.values()]
    reached += [edge.listen for edge in stack.edges]
    ports = {address.port for address in reached}
    listening = [c.laddr for c in psutil.net_connections("inet") if c.status == psutil.CONN_LISTEN]

    assert {address.host for address in reached} == {LOOPBACK}
    assert ports <= {address.port for address in listening}
    assert {address.ip for address in listening if address.port in ports} == {LOOPBACK}


@pytest.mark.parametrize("name", NAMES)
def test_a_service_is_ready_answers_and_says_what_it_uses(stack, name):
    """The read-only half of the contract."""
    service = stack.services[name]

    assert service.name == name
    assert service.is_ready()
    assert service.question
    assert 0 < service.round_trip_s(service.direct) < 5
    assert service.version()
    assert service.usage().memory_bytes > 1 << 20
    assert isinstance(service.logs(), str)


def test_work_shows_in_what_a_service_uses(stack):
    """Processor time is counted from its start; it grows with every question, and is seen once it fills a tick."""
    service = stack.services["replica-1"]
    before_s = service.usage().cpu_s

    def has_worked():
        for _ in range(50):
            service.round_trip_s(service.direct)
        return service.usage().cpu_s > before_s

    assert is_met_within(has_worked, deadline_s=20, clock=CLOCK)


def test_what_a_service_is_sent_is_counted_also_where_no_edge_leads_into_it(stack):
    """What clients ask of nginx passes it on; our own questions to it do not count."""
    before_bytes = {name: stack.sent_bytes(name) for name in NAMES}
    stack.services["nginx"].round_trip_s(stack.entry)
    assert {name: stack.sent_bytes(name) for name in NAMES} == before_bytes

    httpx.get(stack.base_url, trust_env=False)

    def has_grown():
        return {name for name in NAMES if stack.sent_bytes(name) > before_bytes[name]}

    assert is_met_within(lambda: "nginx" in has_grown(), deadline_s=5, clock=CLOCK)
    assert len(has_grown()) == 2, "nginx, and the replica that it asked"

    (door,) = stack.edges_into("replica-1.redis")
    before_bytes = {name: stack.sent_bytes(name) for name in NAMES}
    with Redis(host=door.listen.host, port=door.listen.port) as replica:
        replica.ping()
    assert is_met_within(lambda: "redis" in has_grown(), deadline_s=5, clock=CLOCK)
    assert has_grown() == {"redis"}, "what a replica sends itself is no need of it"


def test_a_replica_that_is_late_is_given_nothing_while_another_has_less_to_do(stack, ledger):
    """As long as one request is under way there, all that come one by one go to the other: nobody takes turns with it."""

    def asked_of_the_late_one():
        return stack.sent_bytes("nginx.replica-2")

    late = Latency(kind="latency", target="nginx.replica-2", delay="2s")
    with injected(late, into=stack, ledger=ledger, clock=CLOCK), ThreadPoolExecutor() as clients:
        before_bytes = asked_of_the_late_one()
        waiting = [clients.submit(httpx.get, stack.base_url, trust_env=False) for _ in range(2)]
        assert is_met_within(
            lambda: asked_of_the_late_one() > before_bytes and any(each.done() for each in waiting),
            deadline_s=5, clock=CLOCK,
        )  # fmt: skip
        held_bytes = asked_of_the_late_one()
        statuses = [httpx.get(stack.base_url, trust_env=False).status_code for _ in range(9)]

        assert statuses == [200] * 9
        assert asked_of_the_late_one() == held_bytes
        assert not all(each.done() for each in waiting), "the late one was asked all the while"


def test_every_edge_leads_to_its_service(stack):
    """What answers behind each door is what stands there."""
    for edge in stack.edges:
        assert stack.services[edge.server].round_trip_s(edge.listen) > 0


@pytest.mark.parametrize("name", ["redis", "replica-1", "nginx", "postgres"])
def test_a_killed_service_refuses_and_comes_back_on_the_same_address(stack, name):
    """At once, not after a time-out; and clients need not be told a new address."""
    service = stack.services[name]
    address = service.direct

    service.kill()
    assert not service.is_alive()
    assert not service.is_ready()
    assert service.usage().memory_bytes == 0
    began_s = CLOCK.now()
    with pytest.raises(ConnectionError):
        service.round_trip_s(address)
    assert CLOCK.now() - began_s < 1

    service.start()
    wait_until_ready([service], clock=CLOCK)
    assert service.direct == address


@pytest.mark.parametrize("name", ["redis", "replica-1"])
def test_what_is_behind_an_edge_dies_and_comes_back(stack, name):
    """The way through the proxy also refuses at once, and finds the service again."""
    edge = next(each for each in stack.edges if each.server == name)
    service = stack.services[name]

    service.restart()
    wait_until_ready([service], clock=CLOCK)
    assert service.round_trip_s(edge.listen) > 0

    service.kill()
    began_s = CLOCK.now()
    with pytest.raises(ConnectionError):
        service.round_trip_s(edge.listen)
    assert CLOCK.now() - began_s < 1
    service.start()
    wait_until_ready([service], clock=CLOCK)


def test_a_service_that_was_asked_to_end_is_gone_and_starts_again(stack):
    """The polite way; what it wrote is still there."""
    service = stack.services["redis"]

    service.stop()
    assert not service.is_alive()
    service.stop()  # twice is harmless

    service.start()
    wait_until_ready([service], clock=CLOCK)
    assert "bye bye" in service.logs(200)


def test_a_paused_service_is_silent_and_answers_again(stack):
    """Its connections stay open; nobody answers."""
    service = stack.services["redis"]

    service.pause()
    try:
        assert service.is_alive()
        assert not service.is_ready()
    finally:
        service.resume()

    assert is_met_within(service.is_ready, deadline_s=5, clock=CLOCK)


def test_a_paused_service_can_be_killed(stack):
    """And it does not come back frozen."""
    service = stack.services["redis"]

    service.pause()
    service.kill()
    assert not service.is_alive()

    service.start()
    wait_until_ready([service], clock=CLOCK)


def test_a_service_that_is_held_is_there_and_does_not_listen(backend, stack):
    """Until it is let go; on containers it is refused, with what to use instead."""
    service = stack.services["replica-2"]
    if backend == CONTAINERS:
        with pytest.raises(StackError, match="cannot be held"):
            service.start(held=True)
        return
    service.kill()
    service.start(held=True)
    assert service.is_alive()
    with pytest.raises(ConnectionRefusedError):
        service.round_trip_s(service.direct)

    service.resume()
    wait_until_ready([service], clock=CLOCK)


def test_starting_twice_is_refused(stack):
    """Two servers on one address would be a riddle."""
    with pytest.raises(StackError, match="redis runs already"):
        stack.services["redis"].start()


def test_nothing_is_left_when_a_stack_ends(backend, left, tmp_path):
    """No process or container, no port, no file outside its folders; and the logs are kept."""
    with workspace_for(tmp_path) as workspace, standing(backend, OF_DUMMIES, workspace=workspace, clock=CLOCK) as stack:
        assert len(left(workspace.run_id)) >= len(NAMES)
        entry = stack.entry

    assert left(workspace.run_id) == []
    assert not workspace.work.exists()
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"http://{entry}", trust_env=False)
    assert {f"{name}.log" for name in NAMES} <= {path.name for path in tmp_path.iterdir()}
    assert "ready to accept connections" in (tmp_path / "postgres.log").read_text()


def test_a_part_that_dies_at_start_is_named_with_its_last_words(backend, left, tmp_path):
    """And what had been started before it is gone."""
    dies = ("python", "-c", "import nowhere", "{port}")
    gone = DUMMY.subject.model_copy(update={"app": None, "command": dies})
    broken = DUMMY.model_copy(update={"subject": gone})

    with workspace_for(tmp_path) as workspace:
        with pytest.raises(SubjectError, match=r"replica-[12] died while starting") as caught:
            with standing(backend, Blueprint(system=broken, seed=1), workspace=workspace, clock=CLOCK):
                pass

        assert "No module named 'nowhere'" in str(caught.value)
        assert left(workspace.run_id) == []


SERVER = """
import os, sys
from http.server import BaseHTTPRequestHandler, HTTPServer

class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("content-length", "0")
        self.end_headers()

HTTPServer((os.environ["HOST"], int(sys.argv[1])), Handler).serve_forever()
"""
SEED = "import os, socket; socket.create_connection(os.environ['REDIS'].split(':')).sendall(b'SET seeded yes\\r\\n')"


def of_commands(**more):
    """Return a service of plain programs: a replica, what seeds Redis before it, and a worker beside it."""
    subject = {
        "command": ("python", "-c", SERVER, "{port}"),
        "ready": "/",
        "init": (("python", "-c", SEED),),
        "workers": {
            "mailer": {"command": ("python", "-c", "import time; print('waiting', flush=True); time.sleep(600)")}
        },
        "environment": {"HOST": "{host}", "REDIS": "{redis.host}:{redis.port}"},
        "dockerfile": DOCKERFILE,
        **more,
    }
    components = {"redis": Part()}
    return Blueprint(system=System(name="test", replicas=1, subject=Subject(**subject), components=components), seed=1)


def test_a_service_of_commands_runs_alike_on_both(backend, left, tmp_path):
    """Init has run once, the worker runs and can be killed and frozen, and each process has a path of its own."""
    with workspace_for(tmp_path) as workspace:
        with standing(backend, of_commands(), workspace=workspace, clock=CLOCK) as stack:
            redis, worker = stack.services["redis"].direct, stack.services["mailer-1"]
            with Redis(host=redis.host, port=redis.port) as client:
                assert client.get("seeded") == b"yes"
            assert httpx.get(stack.base_url, trust_env=False).status_code == 200
            assert {"replica-1.redis", "mailer-1.redis"} <= {edge.name for edge in stack.edges}
            assert "init-1" in [part.part for part in stack.startup]
            worker.pause()
            with pytest.raises(TimeoutError):
                worker.round_trip_s(worker.direct)
            assert not worker.is_ready()
            worker.resume()
            worker.kill()
            with pytest.raises(ConnectionRefusedError):
                worker.round_trip_s(worker.direct)
            worker.start()
            wait_until_ready([worker], clock=CLOCK)
        assert left(workspace.run_id) == []


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ({"init": (("python", "-c", "print('no table'); raise SystemExit(3)"),)}, ["init-1 failed (exit 3)", "| no table"]),
        ({"init": (("python", "-c", "import time; print('slow', flush=True); time.sleep(60)"),), "init_within": "2s"}, ["init-1 took longer than 2 s", "| slow"]),
        ({"command": ("python", "-c", "print('no table'); raise SystemExit(3)", "{port}")}, ["replica-1 died while starting: exit 3", "| no table"]),
        ({"workers": {"mailer": {"command": ("python", "-c", "print('no table'); raise SystemExit(3)")}}}, ["mailer-1 died while starting: exit 3", "| no table"]),
        ({"ready_within": "3s", "ready": "/", "command": ("python", "-c", "import time; print('deaf', flush=True); time.sleep(60)", "{port}")}, ["replica-1 gave no healthy answer within 3 s", "| deaf"]),
    ],
    ids=["init fails", "init hangs", "exits", "worker exits", "deaf"],
)  # fmt: skip
def test_a_command_that_does_not_come_up_is_told_alike_on_both(backend, left, tmp_path, more, told):
    """In one message, with its last words; and nothing is left."""
    with workspace_for(tmp_path) as workspace:
        with pytest.raises(SubjectError) as caught:
            with standing(backend, of_commands(**more), workspace=workspace, clock=CLOCK):
                pass
        assert [part for part in told if part not in str(caught.value)] == []
        assert left(workspace.run_id) == []


def test_only_the_components_that_are_named_are_started(backend, left, tmp_path):
    """A second one of a kind is another one: it has an edge of its own, and keeps its own keys."""
    names = {"redis": Part(), "sessions": Part(kind="redis")}
    of_two = Blueprint(system=DUMMY.model_copy(update={"components": names}), seed=1)

    with workspace_for(tmp_path) as workspace:
        with standing(backend, of_two, workspace=workspace, clock=CLOCK) as stack:
            assert set(stack.services) == {"redis", "sessions", "proxy", *SECOND}
            assert {edge.name for edge in stack.edges if edge.client == "replica-1"} == {
                "replica-1.redis",
                "replica-1.sessions",
            }
            first, second = stack.services["redis"].direct, stack.services["sessions"].direct
            with Redis(host=first.host, port=first.port) as one, Redis(host=second.host, port=second.port) as other:
                one.set("key", "value")
                assert (one.get("key"), other.get("key")) == (b"value", None)
        assert left(workspace.run_id) == []


def test_a_proxy_that_does_not_listen_is_not_ready():
    """toxiproxy-python answers None for it, which is easily taken for an answer."""
    assert not proxy.is_answering(reserve())
