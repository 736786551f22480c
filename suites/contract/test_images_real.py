"""The images that a containers stack runs, official or our own: each role starts, answers, and ends as asked.

They are reached from a container that shares their network, so that it does not matter where the engine's network is.
What is not there is not built here: `nox -s images` does that.
"""

from __future__ import annotations

import io
import os
import shutil
import signal
import subprocess
import sys
import tarfile
from contextlib import contextmanager
from pathlib import Path

import pytest

from harness.clock import SystemClock, is_met_within
from harness.errors import StackError
from harness.spec.parser import read_settings
from harness.spec.system import Subject, System
from harness.stack.backends import engine
from harness.stack.backends.images import made, missing, resolve
from harness.stack.backends.images.plan import FAMILY, ROLE_LABEL

PROJECT = Path(__file__).parents[2]
SYSTEM = read_settings(PROJECT / "readiness.toml").system
CLOCK = SystemClock()

CONFIGURATION = b"""\
pid /tmp/nginx.pid;
events {}
http {
    client_body_temp_path /tmp/a; proxy_temp_path /tmp/b; fastcgi_temp_path /tmp/c; uwsgi_temp_path /tmp/d;
    scgi_temp_path /tmp/e;
    server { listen 8080; location / { return 200; } }
}
"""

EVERYWHERE = "0.0.0.0"  # noqa: S104 - in a container that nobody else can reach

_STARTUP = b"\0\0\0\x17\0\3\0\0user\0postgres\0\0"
"""Source: PostgreSQL 18, 54.7 Message Formats, StartupMessage."""

# What the containers backend runs, what it asks, and what the answer holds.
SERVERS = {
    "redis": (
        ["redis-server", "--bind", EVERYWHERE, "--port", "6379", "--save", "", "--appendonly", "no", "--protected-mode", "no"],
        (6379, b"INFO server\r\n", b"redis_version:8.2."),
    ),
    "postgres": (
        ["postgres", "-c", "shared_buffers=32MB", "-c", "max_connections=60"],
        (5432, _STARTUP, b"server_version\x0018."),  # told once somebody is let in
    ),
    "nginx": (
        ["nginx", "-e", "stderr", "-c", "/etc/readiness/nginx.conf", "-g", "daemon off;"],
        (8080, b"GET / HTTP/1.0\r\n\r\n", b"Server: nginx/1."),
    ),
    "proxy": (
        ["-host", EVERYWHERE, "-port", "8474", "-proxy-metrics", "-seed", "1"],
        (8474, b"GET /version HTTP/1.0\r\n\r\n", b'{"version": "2.12.0"}'),
    ),
    "service": (
        None,  # as its Dockerfile says
        (8000, b"GET /health/live HTTP/1.0\r\n\r\n", b'{"status":"alive"'),
    ),
}  # fmt: skip

STOP_SIGNALS = {"postgres": "SIGINT", "nginx": "SIGQUIT"}
"""By role, where it is not SIGTERM: what the server calls fast, and graceful."""

_ASK = """
import socket, sys
port, question, expected = int(sys.argv[1]), bytes.fromhex(sys.argv[2]), bytes.fromhex(sys.argv[3])
said = b""
with socket.create_connection(("127.0.0.1", port), timeout=2) as asked:
    asked.sendall(question)
    while expected not in said and (more := asked.recv(4096)):
        said += more
print(said.decode("latin-1"))
"""

_LOOK = """
import os, sys
from importlib.util import find_spec
import fixtures.defects.redis_no_timeout, fixtures.reference.app as app, suites.support.dummy
print(open(app.__file__, "rb").read().hex() == sys.argv[1])
print(os.path.exists(app.__cached__), os.access("/srv/service", os.W_OK))
print([name for name in ("pip", "pytest", "harness") if find_spec(name)])
print(os.path.exists("/wheels"), os.getuid())
"""


@pytest.fixture(scope="module")
def client():
    """The engine, where one answers."""
    try:
        connected = engine.connect()
    except StackError as error:
        pytest.skip(f"{error.what} ({error.where})")
    yield connected
    connected.close()


@pytest.fixture(scope="module")
def images(client):
    """An image for each role, where all are there or can be pulled."""
    try:
        return resolve(client, SYSTEM, PROJECT)
    except StackError as error:
        pytest.skip(f"{error.what}; nox -s images")


@pytest.fixture
def project(tmp_path):
    """A project with a Dockerfile of its own."""
    shutil.copy(PROJECT / "readiness.toml", tmp_path)
    text = (tmp_path / "readiness.toml").read_text().replace("fixtures/images/service/Dockerfile", "Dockerfile")
    (tmp_path / "readiness.toml").write_text(text)
    return tmp_path


@contextmanager
def running(client, image, command=None, **options):
    """Run a container that nobody else can reach, and take it away."""
    options = {"network_mode": "none", "labels": {ROLE_LABEL: "test"}, **options}
    container = client.containers.create(image, command, **options)
    try:
        yield container
    finally:
        container.remove(force=True, v=True)


@contextmanager
def serving(client, images, role):
    """Run the server of a role, as the containers backend does."""
    command, _ = SERVERS[role]
    environment = {"POSTGRES_HOST_AUTH_METHOD": "trust"} if role == "postgres" else {}
    with running(client, images[role], command, environment=environment) as container:
        if role == "nginx":
            container.put_archive("/etc", tar_of("readiness/nginx.conf", CONFIGURATION))
        container.start()
        yield container


def tar_of(name, content):
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        entry = tarfile.TarInfo(name)
        entry.size = len(content)
        tar.addfile(entry, io.BytesIO(content))
    return packed.getvalue()


def answer_of(client, images, container, port, question, expected):
    """Ask a container's server from beside it; return what it said, or what went wrong."""
    beside = {"network_mode": f"container:{container.id}"}
    command = ["python3", "-c", _ASK, str(port), question.hex(), expected.hex()]
    with running(client, images["base"], command, **beside) as asking:
        asking.start()
        asking.wait(timeout=20)
        return asking.logs().decode("latin-1")


def output_of(client, image, command):
    with running(client, image, command) as container:
        container.start()
        status = container.wait(timeout=20)["StatusCode"]
        return status, container.logs().decode()


@pytest.mark.parametrize("role", SERVERS)
def test_a_server_answers_and_ends_as_asked(client, images, role):
    """It is process 1, so that it hears its signal: a stop takes a moment, not ten seconds and SIGKILL."""
    _, asked = SERVERS[role]
    with serving(client, images, role) as container:
        assert is_met_within(
            lambda: asked[-1].decode() in answer_of(client, images, container, *asked),
            deadline_s=30,
            clock=CLOCK,
        ), container.logs().decode()
        began_s = CLOCK.now()
        container.stop(timeout=10)
        took_s = CLOCK.now() - began_s

        assert container.wait(timeout=10)["StatusCode"] == 0
        assert took_s < 5
        assert container.image.attrs["Config"].get("StopSignal", "SIGTERM") == STOP_SIGNALS.get(role, "SIGTERM")


@pytest.mark.parametrize("role", ["base", *SERVERS])
def test_our_own_images_are_nobodys_and_say_what_they_are(client, images, role):
    """A numeric user, so that no image's list of users decides; a label, so that they can be found."""
    reference = images[role]
    if not reference.startswith(FAMILY):
        pytest.skip(f"{reference} is official")
    configuration = client.images.get(reference).attrs["Config"]

    assert configuration["User"] == "10001:10001"
    assert configuration["Labels"][ROLE_LABEL] == role


def test_the_base_is_a_python_that_can_also_wait(client, images):
    """What sandboxes need."""
    assert output_of(client, images["base"], ["python3", "-c", "print(6 * 7)"]) == (0, "42\n")
    assert output_of(client, images["base"], ["sleep", "0"]) == (0, "")


def test_the_service_holds_what_it_runs_and_no_more(client, images):
    """Its sources as they are here, everything compiled, no pip, no tests, nothing that it may change."""
    source = (PROJECT / "fixtures/reference/app.py").read_bytes().hex()

    status, said = output_of(client, images["service"], ["python", "-c", _LOOK, source])

    assert (status, said.split("\n")) == (0, ["True", "True False", "[]", "False 10001", ""])


def test_the_services_health_is_asked_by_itself(client, images):
    """HEALTHCHECK in exec form; the same question as an orchestrator's."""
    configuration = client.images.get(images["service"]).attrs["Config"]
    check = configuration["Healthcheck"]["Test"]
    with serving(client, images, "service") as container:
        assert check[0] == "CMD"
        assert is_met_within(lambda: container.exec_run(check[1:]).exit_code == 0, deadline_s=30, clock=CLOCK)
        assert container.exec_run([*check[1:-1], check[-1].replace("/live", "/nowhere")]).exit_code != 0
    assert not any("PASSWORD" in variable for variable in configuration["Env"])


def test_what_is_there_is_kept(client, images):
    """The second time takes a moment, and asks nobody."""
    began_s = CLOCK.now()

    again = list(made(client, SYSTEM, PROJECT, say=pytest.fail))

    assert {each.role: each.reference for each in again} == {role: images[role] for role in ["base", *SERVERS]}
    assert {each.how for each in again} == {"kept"}
    assert CLOCK.now() - began_s < 5


def test_a_changed_source_needs_another_image(client, images, tmp_path):
    """A stale image would be judged in the name of new code."""
    for name in (".dockerignore", "fixtures", "suites/support"):
        source = PROJECT / name
        shutil.copytree(source, tmp_path / name) if source.is_dir() else shutil.copy(source, tmp_path)
    assert resolve(client, SYSTEM, tmp_path) == images

    changed = tmp_path / "fixtures/reference/core/cache/_memory.py"
    changed.write_text(changed.read_text() + "\n")

    assert missing(client, SYSTEM, tmp_path) == ["service"]
    with pytest.raises(StackError, match="no image for service"):
        resolve(client, SYSTEM, tmp_path)


def test_a_step_that_fails_is_quoted(client, images, project):
    """With the last words of the build, and which Dockerfile it was."""
    (project / "Dockerfile").write_text("ARG BASE\nFROM ${BASE}\nRUN echo this is why && exit 7\n")
    system = System(name="test", subject=Subject(app="service:app", dockerfile="Dockerfile"))

    with pytest.raises(StackError) as caught:
        list(made(client, system, project, roles=["service"], say=lambda _: None))

    assert "non-zero code: 7" in caught.value.what
    assert "Dockerfile of service" in caught.value.where
    assert "| this is why" in caught.value.fix


def test_a_dockerfile_that_is_none_is_told(client, images, project):
    """By the engine's own words."""
    (project / "Dockerfile").write_text("FROM ${BASE\n")
    system = System(name="test", subject=Subject(app="service:app", dockerfile="Dockerfile"))

    with pytest.raises(StackError, match=r"could not build the image of service|cannot be built"):
        list(made(client, system, project, roles=["service"], say=lambda _: None))


def readiness_images(project, *arguments, **environment):
    """Start `readiness images` in a project."""
    return subprocess.Popen(
        [sys.executable, "-c", "from harness.cli import main; main()", "images", *arguments],
        cwd=project,
        env={**os.environ, "PYTHONPATH": str(PROJECT), **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_a_signal_leaves_nothing_half(client, images, project):
    """No folder, no container, no image."""
    place = project / "tmp"
    place.mkdir()
    (project / ".dockerignore").write_text("tmp\n")
    (project / "Dockerfile").write_text("ARG BASE\nFROM ${BASE}\nRUN sleep 60\n")
    with readiness_images(project, "--role", "service", TMPDIR=str(place)) as command:
        line = next(line for line in command.stdout if "building" in line)
        assert is_met_within(lambda: sleepers(client), deadline_s=20, clock=CLOCK)
        command.send_signal(signal.SIGINT)
        command.communicate(timeout=20)

    assert command.returncode == 130
    assert list(place.iterdir()) == []
    assert is_met_within(lambda: not sleepers(client), deadline_s=20, clock=CLOCK)
    assert not any(line.split()[-1] in image.tags for image in client.images.list())


def sleepers(client):
    """Return the containers in which a build sleeps."""
    return [
        each for each in client.containers.list(all=True, ignore_removed=True) if "sleep 60" in str(each.attrs["Args"])
    ]


def test_without_an_engine_there_is_one_clear_message(project):
    """Exit 3, and what to do."""
    with readiness_images(project, DOCKER_HOST=f"unix://{project}/nothing.sock") as command:
        _, said = command.communicate(timeout=30)

    assert command.returncode == 3
    assert "error: no Docker engine answers" in said
    assert "nothing.sock" in said


def test_one_role_is_made_with_the_base_that_it_needs(client, images, project):
    """A table of what became of each."""
    (project / "Dockerfile").write_text("FROM scratch\n")
    with readiness_images(project, "--local", "--role", "redis") as command:
        said, _ = command.communicate(timeout=60)

    assert command.returncode == 0
    assert [line.split()[:2] for line in said.splitlines()[-2:]] == [["base", "kept"], ["redis", "kept"]]
