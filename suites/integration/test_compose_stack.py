"""A compose project on a real engine: its own services, found by their own names, and the fault proxy between them."""

from __future__ import annotations

import os
import secrets
import shutil
from contextlib import closing, contextmanager
from dataclasses import replace
from unittest import mock

import httpx
import pytest

from harness.clock import SystemClock, is_met_within
from harness.errors import NotReadyError, SpecError, StackError, SubjectError
from harness.faults.injection import injected
from harness.faults.ledger import Ledger
from harness.options import settings_of
from harness.spec.faults import Blackhole, Down, Kill, Latency, Pause, Reset, Restart
from harness.stack.backends import engine
from harness.stack.backends.choice import AUTO, CONTAINERS, EMBEDDED, choose, prepare, standing
from harness.stack.backends.images import resolve
from harness.stack.blueprint import Blueprint, edges_of, processes_of
from suites.support.servers import PROJECT, workspace_for
from suites.support.stack import DUMMY, need_containers

CLOCK = SystemClock()

BESIDE = """\
services:
  sessions:
    image: ${REDIS_IMAGE}
    networks: [kept]
    volumes: ["kept:/srv/kept"]
    mem_limit: 64m
    hostname: sessions-host
  web:
    networks: {default: null, kept: {aliases: [shop]}}
    volumes: ["./prices.env:/etc/prices.env:ro"]
networks: {kept: {internal: true}}
volumes: {kept: null}
"""


@pytest.fixture(scope="module")
def images():
    """Name the images that stand in for those of a registry: ours, and the reference service's, which has the clients."""
    need_containers()
    with closing(engine.connect()) as client:
        found = resolve(client, DUMMY, PROJECT)
    named = {"BASE": found["service"], "REDIS_IMAGE": found["redis"], "POSTGRES_IMAGE": found["postgres"]}
    with mock.patch.dict(os.environ, named):
        yield named


@pytest.fixture(scope="module")
def project(images, tmp_path_factory):
    """The project of fixtures/foreign, with a second store on the port of the first."""
    folder = shutil.copytree(PROJECT / "fixtures/foreign/compose", tmp_path_factory.mktemp("compose") / "prices")
    (folder / "compose.override.yaml").write_text(BESIDE)
    return folder


@contextmanager
def running(project, tmp_path):
    """Have a project run; when it has ended, or has not started, nothing of it is left on the engine."""
    system = settings_of(project).system
    choice = choose(AUTO, system, project)
    prepare(choice, system, project, lambda _said: None)
    blueprint = Blueprint(system=system, seed=1)
    with workspace_for(tmp_path) as workspace:
        try:
            with standing(
                choice.backend, blueprint, workspace=replace(workspace, project=project), clock=CLOCK
            ) as stack:
                assert left_of(workspace.run_id)
                yield stack, system
        finally:
            assert left_of(workspace.run_id) == []


def left_of(run_id):
    """Name each container, network and volume of a run."""
    with closing(engine.connect()) as client:
        volumes = client.volumes.list(filters={"label": f"{engine.RUN_LABEL}={run_id}"})
        return [*engine.names_of(run_id, client), *(each.name for each in volumes)]


@pytest.fixture(scope="module")
def prices(project, tmp_path_factory):
    """It, running."""
    with running(project, tmp_path_factory.mktemp("logs")) as found:
        yield found


def test_a_compose_file_runs_in_containers_only(tmp_path):
    """Local processes are refused by name, and `auto` needs no second thought."""
    shutil.copytree(PROJECT / "fixtures/foreign/compose", tmp_path / "prices")
    system = settings_of(tmp_path / "prices").system

    assert choose(AUTO, system, tmp_path).backend == CONTAINERS
    with pytest.raises(SpecError, match="a compose file runs in containers only"):
        choose(EMBEDDED, system, tmp_path)


def test_no_engine_is_said_without_a_way_out_that_is_none(tmp_path, monkeypatch):
    """There are no local processes to fall back to."""
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/docker.sock")
    system = settings_of(PROJECT / "fixtures/foreign/compose").system

    with pytest.raises(StackError, match="no Docker engine answers") as caught:
        prepare(choose(AUTO, system, PROJECT), system, PROJECT, lambda _: None)

    assert "embedded" not in caught.value.fix


def inside(stack, name, script):
    """Run Python in a service's container; return what it says, or how it failed."""
    with closing(engine.connect()) as client:
        container = client.containers.get(stack.services[name].identity()["container"])
        status, said = container.exec_run(["python3", "-c", script])
    return said.decode().strip() if status == 0 else f"failed: {said.decode().splitlines()[-1]}"


def asked(stack):
    return httpx.get(f"{stack.base_url}/prices/7", trust_env=False, timeout=10)


def test_it_runs_as_its_file_says_and_faults_know_all_of_it(prices):
    """What a plan was checked against is what stands; the job is over, and every part says when it began."""
    stack, system = prices

    assert {*stack.services} == {*processes_of(system)}
    assert {(edge.client, edge.server) for edge in stack.edges} == {*edges_of(system)}
    assert {part.part for part in stack.startup} == {*processes_of(system), "table"}
    assert all(part.took_s > 0 and part.version for part in stack.startup)
    assert all(service.is_ready() for service in stack.services.values())
    assert asked(stack).status_code == 200


def test_a_service_finds_the_proxy_by_the_name_of_another_and_nothing_past_it(prices):
    """Its settings are those of the file, and the other one's own address leads nowhere from there."""
    stack, _ = prices
    edge = next(each for each in stack.edges if each.name == "replica-1.cache")
    with closing(engine.connect()) as client:
        of_cache = client.containers.get(stack.services["cache"]._sandbox.id)
        (network,) = of_cache.attrs["NetworkSettings"]["Networks"].values()

    assert inside(stack, "replica-1", "import os; print(os.environ['REDIS_URL'])") == "redis://cache:6379/0"
    assert inside(stack, "replica-1", "import socket; print(socket.gethostbyname('cache'))") == edge.client_address.host
    past = f"import socket; socket.create_connection(('{network['IPAddress']}', 6379), 1)"
    assert inside(stack, "replica-1", past).startswith("failed: ")


def test_two_stores_on_one_port_are_two(prices):
    """Each by its name; what is written to one is not in the other."""
    stack, _ = prices
    script = (
        "import redis; a, b = (redis.Redis(host=h) for h in ('cache', 'sessions'));"
        "a.set('whose', 'cache'); b.set('whose', 'sessions'); print(a.get('whose'), b.get('whose'))"
    )

    assert inside(stack, "replica-1", script) == "b'cache' b'sessions'"


def test_mounts_limits_and_names_of_the_file_are_there(prices):
    """A file that can only be read, a fresh volume, a limit, a host's name, and no more rights than at first."""
    stack, _ = prices
    assert "REDIS_URL=" in inside(stack, "replica-1", "print(open('/etc/prices.env').read())")
    assert inside(stack, "sessions", "import socket; print(socket.gethostname())") == "sessions-host"
    with closing(engine.connect()) as client:
        (of_web,) = client.containers.get(stack.services["replica-1"].identity()["container"]).attrs["Mounts"]
        attrs = client.containers.get(stack.services["sessions"].identity()["container"]).attrs
        (mount,) = attrs["Mounts"]
        assert client.volumes.get(mount["Name"]).attrs["Labels"].keys() == {engine.RUN_LABEL}
    assert of_web["RW"] is False
    assert (attrs["HostConfig"]["Memory"], mount["Destination"]) == (64 << 20, "/srv/kept")
    assert "no-new-privileges:true" in attrs["HostConfig"]["SecurityOpt"]


def test_what_clients_send_on_open_connections_is_counted_by_edge(prices):
    """Two edges on one port are told apart: each has an address of its own."""
    stack, _ = prices
    before = {name: stack.proxy.client_bytes(name) for name in ("replica-1.cache", "replica-1.sessions")}

    assert asked(stack).status_code == 200

    assert is_met_within(
        lambda: stack.proxy.client_bytes("replica-1.cache") > before["replica-1.cache"], deadline_s=5, clock=CLOCK
    )
    assert stack.proxy.client_bytes("replica-1.sessions") == before["replica-1.sessions"]


@pytest.mark.parametrize(
    ("fault", "source"),
    [
        pytest.param(Down(kind="down", target="cache"), "database", id="down"),
        pytest.param(Blackhole(kind="blackhole", target="replica-1.cache"), "database", id="silent"),
        pytest.param(Latency(kind="latency", target="cache", delay="200ms"), "database", id="late"),
        pytest.param(Reset(kind="reset", target="replica-1.cache"), "database", id="reset"),
        pytest.param(Down(kind="down", target="worker.cache"), "redis", id="down for another"),
        pytest.param(Kill(kind="kill", target="cache"), "database", id="killed"),
        pytest.param(Pause(kind="pause", target="cache"), "database", id="frozen"),
        pytest.param(Kill(kind="kill", target="worker"), "redis", id="another killed"),
        pytest.param(Restart(kind="restart", target="database"), None, id="restarted"),
    ],
)
def test_a_fault_is_there_is_met_by_the_service_and_is_gone_afterwards(prices, tmp_path, fault, source):
    """Seen through the service's own door; the service is as well as before when it has ended."""
    stack, _ = prices
    assert is_met_within(lambda: asked(stack).headers.get("x-from") == "redis", deadline_s=10, clock=CLOCK)
    ledger = Ledger(tmp_path / "ledger.jsonl", f"test-{secrets.token_hex(4)}")

    with injected(fault, into=stack, ledger=ledger, clock=CLOCK) as injection:
        assert injection.observe().is_delivered
        if source:
            assert asked(stack).headers.get("x-from") == source

    assert is_met_within(lambda: asked(stack).headers.get("x-from") == "redis", deadline_s=20, clock=CLOCK)
    assert not ledger.open_faults()


@pytest.mark.parametrize(
    ("more", "error", "said"),
    [
        (
            "services: {table: {command: [python, -c, \"raise SystemExit('no such table')\"]}}",
            SubjectError,
            r"table failed \(exit 1\)[\s\S]*no such table",
        ),
        (
            "services: {database: {healthcheck: {test: [CMD, 'false'], interval: 100ms, retries: 1}}}",
            NotReadyError,
            "database is not healthy: its check says 'unhealthy'",
        ),
        (
            "services: {web: {command: [python, -c, 'print(6 * 7); 1 / 0'], restart: 'no'}}",
            SubjectError,
            "replica-1 died",
        ),
    ],
    ids=["a job that fails", "never healthy", "a judged service that dies"],
)
def test_a_start_that_fails_says_which_service_and_why_and_leaves_nothing(images, tmp_path, more, error, said):
    """With its last words; the judged system's own doing is told from others'."""
    folder = shutil.copytree(PROJECT / "fixtures/foreign/compose", tmp_path / "prices")
    (folder / "compose.override.yaml").write_text(f"{more}\n")
    seen = []

    with pytest.raises(error, match=said) as caught:
        with running(folder, tmp_path) as found:
            seen.append(found)

    assert not seen
    assert isinstance(caught.value, SubjectError) is (error is SubjectError)
