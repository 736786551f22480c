"""Services of any kind as real processes: they serve, they are told of what they depend on, and errors name the reason."""

from __future__ import annotations

import os
import socket
import stat
import subprocess
import sys

import httpx
import psutil
import pytest
from redis import Redis

from harness.clock import SystemClock, is_met_within
from harness.errors import (
    MissingError,
    NotReadyError,
    SpecError,
    StackError,
    SubjectError,
    UnavailableError,
)
from harness.faults.injection import check_available, injected
from harness.spec.faults import Cpu, Descriptors, Down, Kill, Pause
from harness.spec.system import Part, ProxiedDependency, Subject, System, Worker
from harness.stack.backends.choice import AUTO, CONTAINERS, EMBEDDED, choose, standing
from harness.stack.blueprint import Blueprint
from harness.stack.ports import reserve
from harness.stack.service import Address
from suites.support.faultproxy import is_listening
from suites.support.servers import PROJECT, start_redis, workspace_for

CLOCK = SystemClock()

SERVER = """
import json, os, sys
from http.server import BaseHTTPRequestHandler, HTTPServer

class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        status = int(os.environ.get("STATUS", 200))
        self.send_response(status)
        told = json.dumps({"argv": sys.argv[1:], "value": os.environ.get("VALUE"), "cwd": os.getcwd()}).encode()
        self.send_header("content-length", str(len(told)))
        self.end_headers()
        self.wfile.write(told)

    def log_message(self, *_):
        pass  # a line for each look would push its last words out of what is told

print("serving", flush=True)
HTTPServer((os.environ.get("HOST", "127.0.0.1"), int(sys.argv[1])), Handler).serve_forever()
"""
SERVING = ("python", "-c", SERVER, "{port}", "{replica}")
WAITING = ("python", "-c", "import time; print('waiting', flush=True); time.sleep(60)")


def of(components=(), replicas=1, **subject):
    """Return what a service is to be started as; its health is on every path."""
    subject = Subject(**{"ready": "/", **subject})
    parts = {name: Part() for name in components}
    return Blueprint(system=System(name="test", replicas=replicas, subject=subject, components=parts), seed=1)


def ours():
    """Return what runs below this process."""
    return {child.pid for child in psutil.Process().children(recursive=True)}


@pytest.fixture
def workspace(tmp_path):
    """A place for a stack; whatever happened, nothing of it is left."""
    before = ours()
    with workspace_for(tmp_path) as place:
        yield place
    assert ours() <= before


def refused(blueprint, workspace, error=NotReadyError):
    """Return what is said of a stack that cannot be started, all of which is gone by then."""
    before = ours()
    with pytest.raises(error) as caught:
        with standing(EMBEDDED, blueprint, workspace=workspace, clock=CLOCK):
            pass
    assert ours() <= before
    return str(caught.value)


def test_a_command_serves_and_is_told_what_it_needs(workspace):
    """In any language: placeholders in its arguments and its environment, and a folder of its own."""
    blueprint = of(("redis",), command=SERVING, environment={"VALUE": "{redis.url}"}, folder="suites", replicas=2)

    with standing(EMBEDDED, blueprint, workspace=workspace, clock=CLOCK) as stack:
        told = httpx.get(stack.base_url, trust_env=False).json()
        edges = {edge.name: edge.listen for edge in stack.edges}

    assert told["argv"][1] in {"replica-1", "replica-2"}
    assert told["value"] == f"redis://{edges[told['argv'][1] + '.redis']}/0"
    assert told["cwd"] == str(PROJECT / "suites")


@pytest.mark.parametrize(
    ("name", "factory"), [("suites.support.wsgi:application", False), ("suites.support.wsgi:create_application", True)]
)
def test_a_wsgi_application_serves(workspace, name, factory):
    """Made by a function, or there already."""
    with standing(EMBEDDED, of(wsgi=name, factory=factory), workspace=workspace, clock=CLOCK) as stack:
        assert httpx.get(stack.base_url, trust_env=False).text == "wsgi"
        assert "waitress" in stack.services["replica-1"].version()


def test_init_runs_once_before_the_first_replica(workspace):
    """In its order, with what the service is told; it finds the components, and how long it took is noted."""
    seed = "import os, redis; redis.Redis.from_url(os.environ['VALUE']).rpush('seeds', '{}')"
    init = tuple(("python", "-c", seed.format(word)) for word in ("first", "second"))
    blueprint = of(("redis",), command=SERVING, init=init, environment={"VALUE": "{redis.url}"}, replicas=2)

    with standing(EMBEDDED, blueprint, workspace=workspace, clock=CLOCK) as stack:
        where = stack.services["redis"].direct
        with Redis(host=where.host, port=where.port) as client:
            assert client.lrange("seeds", 0, -1) == [b"first", b"second"]
        parts = [part.part for part in stack.startup]

    assert parts.index("redis") < parts.index("init-1") < parts.index("init-2") < parts.index("replica-1")


def test_workers_run_beside_the_replicas_and_can_be_hit(workspace, ledger):
    """Each has a name and a path of its own; one that was killed is started again."""
    blueprint = of(("redis",), command=SERVING, workers={"mailer": Worker(command=WAITING, count=2)})

    with standing(EMBEDDED, blueprint, workspace=workspace, clock=CLOCK) as stack:
        assert {"mailer-1", "mailer-2"} <= set(stack.services)
        assert {"mailer-1.redis", "mailer-2.redis"} <= {edge.name for edge in stack.edges}
        kill = Kill(kind="kill", target="mailer-2")
        with injected(kill, into=stack, ledger=ledger, clock=CLOCK) as injection:
            assert injection.observe().is_delivered
            assert not stack.services["mailer-2"].is_alive()
            assert stack.services["mailer-1"].is_alive()
        assert stack.services["mailer-2"].is_alive()
        with injected(Pause(kind="pause", target="mailer-1"), into=stack, ledger=ledger, clock=CLOCK) as injection:
            assert injection.observe().is_delivered
            assert not stack.services["mailer-1"].is_ready()
        assert stack.services["mailer-1"].is_ready()


EXITS = ("python", "-c", "import sys; print('no such table'); sys.exit(3)", "{port}")
ELSEWHERE = ("python", "-c", SERVER, "0", "{port}")


@pytest.mark.parametrize(
    ("subject", "told"),
    [
        pytest.param({"command": EXITS}, ["replica-1 died while starting: exit 3", "| no such table"], id="exits"),
        pytest.param({"command": ELSEWHERE, "ready_within": "1500ms"}, ["no healthy answer within 1.5 s: it listens on 127.0.0.1:", ", not on 127.0.0.1:", "| serving"], id="listens elsewhere"),
        pytest.param({"command": (*WAITING, "{port}"), "ready_within": "500ms"}, ["within 0.5 s: it listens nowhere, and should on 127.0.0.1:", "| waiting"], id="listens nowhere"),
        pytest.param({"command": SERVING, "environment": {"STATUS": "503"}, "ready_within": "1500ms"}, ["within 1.5 s: GET / was answered with 503", "| serving"], id="never ready"),
        pytest.param({"command": SERVING, "init": (("python", "-c", "print('relation exists'); 1/0"),)}, ["init-1 failed (exit 1)", "readiness.toml: system.subject.init[0]", "| relation exists", "| ZeroDivisionError"], id="init fails"),
        pytest.param({"command": SERVING, "init": (("python", "-c", "pass"), WAITING), "init_within": "500ms"}, ["init-2 took longer than 0.5 s", "system.subject.init[1]", "| waiting"], id="init hangs"),
        pytest.param({"command": SERVING, "init": (("python", "-c", "import os; os.kill(os.getpid(), 9)"),)}, ["init-1 failed (ended by SIGKILL)", "(it wrote nothing)"], id="init is killed"),
        pytest.param({"command": SERVING, "workers": {"mailer": {"command": EXITS}}}, ["mailer-1 died while starting: exit 3", "| no such table"], id="worker exits"),
    ],
)  # fmt: skip
def test_a_service_that_does_not_come_up_is_told_in_one_message(workspace, subject, told):
    """Which process, what was seen of it, and the last lines that it wrote."""
    said = refused(of(**subject), workspace, SubjectError)

    assert [part for part in told if part not in said] == []


@pytest.mark.parametrize("command", [EXITS, (*WAITING, "{port}")], ids=["exits", "listens nowhere"])
def test_a_port_that_a_stranger_has_taken_is_no_doing_of_the_service(workspace, monkeypatch, command):
    """It cannot listen there, whether it ends or not."""
    with socket.create_server(("127.0.0.1", 0)) as stranger:
        taken = Address(*stranger.getsockname())
        monkeypatch.setattr("harness.stack.subjects.reserve", lambda: taken)
        with pytest.raises(NotReadyError) as caught:
            with standing(EMBEDDED, of(command=command, ready_within="500ms"), workspace=workspace, clock=CLOCK):
                pass

    assert not isinstance(caught.value, SubjectError)
    assert "replica-1" in caught.value.what


def test_a_component_that_does_not_start_is_no_doing_of_the_service(workspace, monkeypatch):
    """Its port is taken."""
    with socket.create_server(("127.0.0.1", 0)) as stranger:
        taken = Address(*stranger.getsockname())
        monkeypatch.setattr("harness.stack.components.redis.reserve", lambda: taken)
        with pytest.raises(NotReadyError, match="redis died while starting") as caught:
            with standing(EMBEDDED, of(("redis",), command=SERVING), workspace=workspace, clock=CLOCK):
                pass

    assert not isinstance(caught.value, SubjectError)


@pytest.mark.parametrize(
    ("subject", "key"),
    [
        ({"command": ("readiness-no-such", "{port}")}, "system.subject.command"),
        ({"command": ("./no-such", "{port}")}, "system.subject.command"),
        ({"command": SERVING, "init": (("readiness-no-such",),)}, "system.subject.init[0]"),
        ({"command": SERVING, "workers": {"mailer": {"command": ("readiness-no-such",)}}}, "system.subject.workers.mailer"),
    ],
)  # fmt: skip
def test_a_program_that_is_not_there_is_told_before_anything_starts(workspace, subject, key):
    """With the key that names it, and where it was looked for."""
    said = refused(of(("redis",), **subject), workspace, MissingError)

    assert "no-such to run" in said
    assert f"readiness.toml: {key}" in said
    assert list(workspace.logs.glob("*.log")) == []


def test_a_program_that_cannot_be_run_is_told(workspace, tmp_path):
    """By the system's own reason: here a script for an interpreter that is not there."""
    script = tmp_path / "serve"
    script.write_text("#!/no/such/interpreter\n")
    script.chmod(script.stat().st_mode | stat.S_IXUSR)
    path = os.path.relpath(script, PROJECT)

    assert f"| cannot run {PROJECT}/{path}: No such file or directory" in refused(
        of(command=(path, "{port}")), workspace
    )


def test_ctrl_c_during_init_leaves_nothing(workspace):
    """What init had started itself goes too."""
    script = "import subprocess, sys; child = subprocess.Popen(['sleep', '60']); print('begun', child.pid, flush=True); child.wait()"
    blueprint, log, before = (
        of(command=SERVING, init=(("python", "-c", script),)),
        workspace.logs / "init-1.log",
        ours(),
    )

    class Interrupting(SystemClock):
        """Ctrl-C, as soon as init is under way."""

        def sleep(self, seconds):
            if log.exists() and "begun" in log.read_text():
                raise KeyboardInterrupt
            super().sleep(seconds)

    with pytest.raises(KeyboardInterrupt):
        with standing(EMBEDDED, blueprint, workspace=workspace, clock=Interrupting()):
            pass

    pid = int(log.read_text().split()[1])
    assert is_met_within(lambda: not psutil.pid_exists(pid), deadline_s=5, clock=CLOCK)
    assert ours() <= before


@pytest.fixture
def running():
    """A service that somebody else has started; its address."""
    address = reserve()
    child = subprocess.Popen(
        [sys.executable, "-c", SERVER, str(address.port)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        assert is_met_within(lambda: is_listening((address.host, address.port)), deadline_s=30, clock=CLOCK)
        yield address
    finally:
        child.kill()
        child.wait()


def external(address, **subject):
    return Blueprint(
        system=System(name="test", subject=Subject(external=f"http://{address}", ready="/", **subject)), seed=1
    )


def test_what_runs_already_is_judged_and_stays(workspace, running, ledger):
    """Its dependency is hurt on the path that it was given; its processes are not ours."""
    with start_redis() as port:
        path = ProxiedDependency(listen=str(reserve()), upstream=f"127.0.0.1:{port}")
        blueprint = external(running, proxies={"redis": path})
        with standing(EMBEDDED, blueprint, workspace=workspace, clock=CLOCK) as stack:
            assert (stack.base_url, set(stack.replicas)) == (f"http://{running}", {"subject"})
            (edge,) = stack.edges
            assert stack.services["redis"].round_trip_s(edge.listen) > 0
            down = Down(kind="down", target="redis")
            with injected(down, into=stack, ledger=ledger, clock=CLOCK) as injection:
                assert injection.observe().is_delivered
            assert stack.services["redis"].round_trip_s(edge.listen) > 0
            assert {(part.part, part.ready_s) for part in stack.startup} == {("redis", None), ("subject", None)}
            with pytest.raises(StackError, match="subject cannot be measured: it was not started here"):
                stack.services["subject"].usage()  # nothing is known of it, which is not nothing
            with pytest.raises(StackError, match="subject cannot be killed: it was not started here"):
                stack.services["subject"].kill()

    assert httpx.get(f"http://{running}", trust_env=False).status_code == 200


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (Kill(kind="kill", target="replica-1"), "replica-1 was not started here: the subject is external"),
        (Down(kind="down", target="postgres"), "given no path to postgres (system.subject.proxies: redis)"),
        (Descriptors(kind="descriptors", target="replica-1"), "its processes are not the harness's"),
    ],
)
def test_what_cannot_be_done_to_what_runs_already_is_said_before_anything_starts(fault, reason):
    """A lack of means is inconclusive, and neither a slip nor a survived fault; what was given a path can be hurt."""
    path = ProxiedDependency(listen=str(reserve()), upstream=str(reserve()))
    system = external(reserve(), proxies={"redis": path}).system

    with pytest.raises(UnavailableError) as caught:
        check_available([fault], EMBEDDED, system)
    assert reason in caught.value.what
    check_available(
        [Down(kind="down", target="redis"), Cpu(kind="cpu", target="machine", strangers=1)], EMBEDDED, system
    )


def test_what_does_not_run_is_told(workspace):
    """In its time."""
    said = refused(external(reserve(), ready_within="300ms"), workspace)

    assert "subject gave no healthy answer within 0.3 s: GET / was not answered" in said


def test_a_path_that_is_taken_is_told(workspace, running):
    """The fault proxy cannot listen where somebody else does: the key is named, before anything starts."""
    taken = ProxiedDependency(listen=str(running), upstream=str(running))

    said = refused(external(running, proxies={"redis": taken}), workspace, StackError)

    assert f"{running} is taken: Address already in use" in said
    assert "readiness.toml: system.subject.proxies.redis.listen" in said


def test_what_runs_already_needs_no_container():
    """And cannot be had in one."""
    system = external(reserve()).system

    assert choose(AUTO, system, PROJECT).backend == EMBEDDED
    with pytest.raises(SpecError, match="runs in no container of ours"):
        choose(CONTAINERS, system, PROJECT)
