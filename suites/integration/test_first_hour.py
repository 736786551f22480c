"""The mistakes of a first hour: each is told in one message, with what, where and how to fix it, and as early as it can be.

A small project that would pass, and one mistake at a time. What can be known without starting anything is told by the
command within two seconds of its start: of its own, in processor time, since others may have the machine meanwhile.
"""

from __future__ import annotations

import os
import re
import resource
import socket
import subprocess
import sys
from dataclasses import replace

import pytest

from harness.clock import SystemClock
from harness.errors import SubjectError
from harness.spec.parser import read_settings
from harness.stack.backends.choice import EMBEDDED
from harness.stack.blueprint import Blueprint
from harness.verdict.judge import judge
from suites.support.made import Stretch, history_of, scenario_of
from suites.support.servers import workspace_for
from suites.support.stack import standing

PATIENCE_S = 60.0
AT_ONCE_S = 2.0
AT_ONCE_STARTS = 20
"""A command that reads a project's files takes eight to fifteen times as long as one that says its version (2026-11, with
and without compiled modules); what starts anything takes a hundred times as long."""

SERVICE = """\
def create_app():
    async def app(scope, receive, send):
        if scope["type"] == "lifespan":
            while (message := await receive())["type"] != "lifespan.shutdown":
                await send({"type": "lifespan.startup.complete"})
            return await send({"type": "lifespan.shutdown.complete"})
        status = {"/": 200, "/health": 200, "/broken": 500}.get(scope["path"], 404)
        await send({"type": "http.response.start", "status": status, "headers": []})
        await send({"type": "http.response.body", "body": b"ok"})
    return app
"""
SETTINGS = """\
[system]
name = "shop"
replicas = 1
components = {}

[system.subject]
app = "shop:create_app"
ready = "/health"
ready_within = "1s"

[[objectives]]
sli = "errors"
max = "1%"

[profiles.quick]
stretch = 1.0
"""
SCENARIO = """\
scenario: calm
story: Nothing is broken.
load: {arrivals_per_s: 100}
phases:
  - {name: baseline, lasts: 4s}
  - {name: after, lasts: 1s}
"""
EXTERNAL = ('name = "shop"\nreplicas = 1\ncomponents = {}', 'name = "shop"\nallowed_hosts = ["shop.invalid"]')


@pytest.fixture
def project(tmp_path):
    """A project that would pass."""
    (tmp_path / "shop.py").write_text(SERVICE)
    (tmp_path / "readiness.toml").write_text(SETTINGS)
    (tmp_path / "scenarios").mkdir()
    (tmp_path / "scenarios/calm.yaml").write_text(SCENARIO)
    return tmp_path


def edited(project, file, old, new):
    text = (project / file).read_text()
    assert text.count(old) == 1
    (project / file).write_text(text.replace(old, new))


def readiness(folder, *words):
    """Run the command; return its exit code, all that it said, and the processor time that it and its children took."""
    began_s = _used_s()
    ended = subprocess.run(
        [sys.executable, "-c", "from harness.cli import main; main()", *words],
        cwd=folder, capture_output=True, text=True, check=False, timeout=PATIENCE_S,
        env={name: value for name, value in os.environ.items() if name != "SHOP_TOKEN"},
    )  # fmt: skip
    return ended.returncode, ended.stdout + ended.stderr, _used_s() - began_s


def _used_s():
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


EARLY = [
    pytest.param("readiness.toml", "shop:create_app", "shop:creat_app", "shop has no creat_app", "readiness.toml: system.subject.app", "did you mean 'create_app'?", id="application"),
    pytest.param("readiness.toml", "shop:create_app", "shp:create_app", "there is no module shp", "readiness.toml: system.subject.app", "did you mean 'shop'?", id="module"),
    pytest.param("shop.py", "def create_app", "import payments_of_nobody\n\n\ndef create_app", "shop imports payments_of_nobody, which is not there", "shop.py:1", "system.subject.python", id="import"),
    pytest.param("readiness.toml", 'ready = "/health"', 'secrets = ["SHOP_TOKEN"]', "the secret SHOP_TOKEN is not set", "readiness.toml: system.subject.secrets", "set the variable SHOP_TOKEN", id="variable"),
    pytest.param("readiness.toml", "replicas = 1", "replcas = 1", "unknown key 'replcas'", "readiness.toml:3: system.replcas", "did you mean 'replicas'?", id="typo"),
    pytest.param("scenarios/calm.yaml", "{name: baseline, lasts", "{name: baseline, last", "unknown key 'last'", "calm.yaml:5: phases[0].last", "did you mean 'lasts'?", id="typo in a scenario"),
    pytest.param("scenarios/calm.yaml", "lasts: 1s}", "lasts: 1s}\nobjectives:\n  - {sli: errors, max: 0.001%}", "needs 299 572 error-free requests, this profile sends 400", "calm.yaml:8: objectives[0]", "loosen the promise", id="impossible objective"),
    pytest.param("scenarios/calm.yaml", "{arrivals", "{locustfile: users.py, arrivals", "the locustfile is no Python: invalid syntax", "users.py:2", "mend that line", id="locustfile"),
    pytest.param("scenarios/calm.yaml", "lasts: 4s}", "lasts: 4s, faults: [{kind: down, target: rediss}]}", "there is no 'rediss'", "calm.yaml:5: phases[0].faults[0].target", "known: nginx.replica-1", id="dependency"),
    pytest.param("readiness.toml", "components = {}", "components = {rediss = {}}", "unknown component 'rediss'", "readiness.toml:4: system.components.rediss", "did you mean 'redis'?", id="component"),
    pytest.param("scenarios/calm.yaml", "arrivals_per_s: 100", "arrivals_per_s: 0", "arrivals_per_s is 0, and should be greater than 0", "calm.yaml:3: load.arrivals_per_s", "write one that is greater than 0", id="zero arrivals"),
    pytest.param("scenarios/calm.yaml", "lasts: 4s", "lasts: -4s", "not a duration: '-4s' is below zero", "calm.yaml:5: phases[0].lasts", "leave the minus out", id="negative duration"),
    pytest.param("readiness.toml", 'ready = "/health"', 'folder = "srvice"', "there is no folder srvice", "readiness.toml:8: system.subject.folder", "name one below", id="folder"),
]  # fmt: skip


@pytest.fixture(scope="module")
def at_once_s(tmp_path_factory):
    """Return how long a message may take that needs nothing started, on this machine as busy as it is."""
    folder = tmp_path_factory.mktemp("version")
    starts_s = [
        readiness(folder, "--version")[2] for _ in range(3)
    ]  # one of a tenth of a second is off by half of that
    return max(AT_ONCE_S, AT_ONCE_STARTS * max(starts_s))


def is_one_message(said, what, where, fix):
    """See that it is told once: what happened, where, and how to fix it, each on a line of its own."""
    lines = [line.strip() for line in said.splitlines()]
    assert sum(what in line for line in lines) == 1, said
    assert next(line for line in lines if line.startswith("where:")).endswith(where), said
    assert fix in next(line for line in lines if line.startswith("fix:")), said
    assert "Traceback" not in said


@pytest.mark.parametrize(("file", "old", "new", "what", "where", "fix"), EARLY)
def test_what_needs_nothing_started_is_told_at_once(project, at_once_s, file, old, new, what, where, fix):
    """Exit code 3, and no folder of a run: nothing was seen."""
    (project / "users.py").write_text("import os\nfrom locust import\n")
    edited(project, file, old, new)

    code, said, took_s = readiness(project, "run", "--backend", "embedded", "--no-allure")

    assert code == 3, said
    is_one_message(said, what, where, fix)
    assert took_s < at_once_s, (took_s, at_once_s)
    assert not list(project.glob("reports/runs/*"))


@pytest.mark.parametrize(
    ("gone", "what", "where", "fix"),
    [
        ("readiness.toml", "there is no readiness.toml here", "readiness.toml", "`readiness init` writes one"),
        ("scenarios/calm.yaml", "there is no scenario", "scenarios", "run where readiness.toml lies"),
    ],
)
def test_what_is_not_there_is_told_at_once(project, at_once_s, gone, what, where, fix):
    """The file, or what should be in the folder."""
    (project / gone).unlink()

    code, said, took_s = readiness(project, "run")

    assert code == 3
    is_one_message(said, what, where, fix)
    assert took_s < at_once_s, (took_s, at_once_s)


def test_a_port_that_is_taken_is_told_at_once(project, at_once_s):
    """What the fault proxy was to listen on: it said only that it could not."""
    edited(project, "readiness.toml", *EXTERNAL)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        paths = (
            f'[system.subject.proxies.redis]\nlisten = "127.0.0.1:{port}"\nupstream = "127.0.0.1:1"\n\n[[objectives]]'
        )
        edited(project, "readiness.toml", 'app = "shop:create_app"', 'external = "http://127.0.0.1:1"')
        edited(project, "readiness.toml", "[[objectives]]", paths)

        code, said, took_s = readiness(project, "run", "--no-allure")

    assert code == 3
    what = f"127.0.0.1:{port} is taken: Address already in use"
    is_one_message(said, what, "readiness.toml: system.subject.proxies.redis.listen", "end what listens there")
    assert took_s < at_once_s, (took_s, at_once_s)


def test_a_machine_without_a_network_is_told_and_not_waited_for(project):
    """A name that nobody knows is asked for once: it was waited for as if it were slow."""
    edited(project, "readiness.toml", *EXTERNAL)
    edited(project, "readiness.toml", 'app = "shop:create_app"', 'external = "http://shop.invalid:8000"')
    edited(project, "readiness.toml", 'ready_within = "1s"', 'ready_within = "10min"')

    code, said, _ = readiness(project, "run", "--no-allure")

    assert code == 3
    what = "the name shop.invalid is not known here"
    is_one_message(said, what, "readiness.toml: system.subject.external", "whether this machine has a network")


def test_a_wrong_ready_path_is_told_with_what_was_answered(project):
    """By the whole command: a service that does not start fails, and its message is in lines, and told once."""
    edited(project, "readiness.toml", 'ready = "/health"', 'ready = "/helth"')

    code, said, _ = readiness(project, "run", "--backend", "embedded", "--no-allure")

    assert code == 1
    assert "✗ fail calm: replica-1 gave no healthy answer within 1 s: GET /helth was answered with 404" in said
    assert said.count("where:") == said.count("fix:") == 1
    hint = "fix: name a path that answers 200 when it can serve, as system.subject.ready of readiness.toml"
    assert re.search(rf"^    {re.escape(hint)}", said, re.MULTILINE), said


@pytest.mark.parametrize(
    ("file", "old", "new", "what", "where", "fix"),
    [
        pytest.param("readiness.toml", 'ready = "/health"', 'ready = "/broken"', "GET /broken was answered with 500", "127.0.0.1:", "system.subject.ready", id="ready answers 500"),
        pytest.param("shop.py", "def create_app", "import os\n\nURL = os.environ['SHOP_URL']\n\n\ndef create_app", "exit 1: KeyError: 'SHOP_URL'", "shop.py:3", "[system.subject.environment]", id="a variable that is not set"),
        pytest.param("shop.py", "def create_app", "import socket\n\nsocket.create_server(('127.0.0.1', {port}))\n\n\ndef create_app", "Address already in use", "shop.py:3", "{port}", id="a port of its own"),
    ],
)  # fmt: skip
def test_what_only_a_start_can_tell_is_told_with_the_services_own_line(
    project, tmp_path, file, old, new, what, where, fix
):
    """What it ended with, where in its code, and what helps."""
    (tmp_path / "logs").mkdir()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        edited(project, file, old, new.replace("{port}", str(taken.getsockname()[1])))
        blueprint = Blueprint(system=read_settings(project / "readiness.toml").system, seed=1)
        with workspace_for(tmp_path / "logs") as workspace, pytest.raises(SubjectError) as refused:
            with standing(EMBEDDED, blueprint, workspace=replace(workspace, project=project), clock=SystemClock()):
                pytest.fail("it stands")

    assert what in refused.value.what
    assert where in refused.value.where
    assert fix in refused.value.fix.partition("its last words")[0]


def test_a_wrong_header_is_told_by_its_key():
    """No answer has it, so that nothing is known of hits: which key names it is said."""
    scenario = scenario_of(faults=False, objectives=[{"sli": "hits", "min": "80%"}])
    history = history_of(scenario, [Stretch(lasts_s=30)])
    history.samples.records["source"] = 0
    unsaid = replace(history, samples=replace(history.samples, sources=("",)))

    (hits,) = judge(scenario, unsaid, confidence=0.95).claims

    assert "in the header that system.headers.cache of readiness.toml names" in hits.sentence
