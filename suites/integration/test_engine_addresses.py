"""Where the Docker engine is: what was chosen counts, what cannot be read is said, and `auto` never fails over it."""

from __future__ import annotations

import hashlib
import json
import threading
from contextlib import closing, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from harness.errors import StackError
from harness.stack.backends import engine
from harness.stack.backends.choice import AUTO, CONTAINERS, EMBEDDED, Choice, choose, prepare
from suites.support.servers import PROJECT
from suites.support.stack import DUMMY

OURS = "0123456789abcdef" * 4
MOUNTS = (
    "603 590 254:1 /var/lib/docker/containers/{id}/resolv.conf /etc/resolv.conf rw,relatime - ext4 /dev/vda1 rw\n"
    "604 590 254:1 /var/lib/docker/containers/{id}/hostname /etc/hostname rw,relatime - ext4 /dev/vda1 rw\n"
    "605 590 254:1 /var/lib/docker/containers/{other}/config.json /srv/look rw,relatime - ext4 /dev/vda1 rw\n"
).format(id=OURS, other="f" * 64)


@pytest.fixture
def configured(tmp_path, monkeypatch):
    """A folder of docker's configuration; a context is written with its name and what its metadata says."""
    monkeypatch.delenv("DOCKER_HOST", raising=False)
    monkeypatch.delenv("DOCKER_CONTEXT", raising=False)
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))

    def written(name, metadata):
        folder = tmp_path / "contexts/meta" / hashlib.sha256(name.encode()).hexdigest()
        folder.mkdir(parents=True)
        (folder / "meta.json").write_text(metadata if isinstance(metadata, str) else json.dumps(metadata))
        return tmp_path

    return written


def at(host):
    return {"Name": "any", "Metadata": {}, "Endpoints": {"docker": {"Host": host, "SkipTLSVerify": False}}}


def is_told_and_not_raised(said):
    """See that `auto` takes local processes and says why, and that who asks for containers is told with a way out."""
    choice = choose(AUTO, DUMMY, PROJECT)
    with pytest.raises(StackError, match=said) as refused:
        prepare(Choice(CONTAINERS, "as asked for"), DUMMY, PROJECT, lambda _said: None)

    assert choice.backend == EMBEDDED
    assert choice.why == refused.value.what
    assert "--backend embedded" in refused.value.fix
    return refused.value


def test_a_variable_chooses_a_context_before_the_configuration_does(configured, monkeypatch):
    """As for docker itself: DOCKER_HOST, DOCKER_CONTEXT, `docker context use`, the usual socket."""
    configured("set", at("unix:///set.sock"))
    folder = configured("named", at("unix:///named.sock"))
    seen = [engine.address()]
    (folder / "config.json").write_text('{"currentContext": "set"}')
    seen.append(engine.address())
    monkeypatch.setenv("DOCKER_CONTEXT", "named")
    seen.append(engine.address())
    monkeypatch.setenv("DOCKER_HOST", "unix:///host.sock")
    seen.append(engine.address())
    monkeypatch.delenv("DOCKER_HOST")
    monkeypatch.setenv("DOCKER_CONTEXT", "default")

    assert seen == ["unix:///var/run/docker.sock", "unix:///set.sock", "unix:///named.sock", "unix:///host.sock"]
    assert engine.address() == "unix:///var/run/docker.sock"


@pytest.mark.parametrize("chosen_by", ["DOCKER_CONTEXT", "config.json: currentContext"])
def test_a_context_that_is_not_there_is_told_by_its_name(configured, monkeypatch, tmp_path, chosen_by):
    """With who chose it: removed contexts stay in configurations, and in shells."""
    if chosen_by == "DOCKER_CONTEXT":
        monkeypatch.setenv("DOCKER_CONTEXT", "gone")
    else:
        (tmp_path / "config.json").write_text('{"currentContext": "gone"}')

    refused = is_told_and_not_raised("there is no docker context 'gone'")

    assert refused.where.endswith(chosen_by)


@pytest.mark.parametrize(
    "metadata", ["{", "[]", "null", "{}", '{"Endpoints": []}', '{"Endpoints": {"docker": null}}', "\xff"]
)
def test_damaged_metadata_is_told_with_its_file(configured, monkeypatch, metadata):
    """Whatever stands there instead."""
    configured("bad", metadata)
    monkeypatch.setenv("DOCKER_CONTEXT", "bad")

    refused = is_told_and_not_raised("the docker context 'bad' cannot be read")

    assert refused.where.endswith("meta.json")


@pytest.mark.parametrize("said", ["{", "[]", '{"currentContext": null}'])
def test_a_damaged_configuration_chooses_nothing(configured, tmp_path, said):
    """As for docker's own libraries."""
    (tmp_path / "config.json").write_text(said)

    assert engine.address() == "unix:///var/run/docker.sock"


@pytest.mark.parametrize("host", ["tcp://localhost:abc", "tcp://localhost:99999", "tcp://", "tcp://[::1", "://x"])
def test_an_address_that_is_none_is_told(configured, monkeypatch, host):
    """Before anybody is asked there."""
    monkeypatch.setenv("DOCKER_HOST", host)
    assert is_told_and_not_raised("is no address of a Docker engine").where == "DOCKER_HOST, or the docker context"


@contextmanager
def engine_that_knows(containers):
    """An engine that tells of some containers which network they have, by their ids, and of no other."""

    class Engine(BaseHTTPRequestHandler):
        def do_GET(self):
            number = self.path.split("/")[-2]
            if self.path.endswith("/version"):
                self._answer(200, {"ApiVersion": "1.41"})
            elif number in containers:
                self._answer(200, {"Id": number, "HostConfig": {"NetworkMode": containers[number]}})
            else:
                self._answer(404, {"message": f"No such container: {number}"})

        def _answer(self, code, body):
            said = json.dumps(body).encode()
            self.send_response(code)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(said)))
            self.end_headers()
            self.wfile.write(said)

        def log_message(self, *_):
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Engine) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            with closing(engine.connect(f"tcp://127.0.0.1:{server.server_port}")) as client:
                yield client
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.parametrize("mode", ["bridge", "shop_default", "container:pause"])
def test_inside_one_of_its_containers_its_ports_cannot_be_reached(tmp_path, mode):
    """As where CI gives a job the engine's socket: told before anything starts, and not after waiting for a port."""
    (tmp_path / "mountinfo").write_text(MOUNTS)
    with engine_that_knows({OURS: mode}) as client, pytest.raises(StackError, match=OURS[:12]) as refused:
        engine.check_is_reached(client, tmp_path / "mountinfo")

    assert "--network host" in refused.value.fix


@pytest.mark.parametrize(
    ("containers", "mounts"),
    [
        pytest.param({OURS: "host"}, MOUNTS, id="on the machine's own network"),
        pytest.param({}, MOUNTS, id="around an engine of its own"),
        pytest.param({"f" * 64: "bridge"}, MOUNTS, id="beside what is mounted for another reason"),
        pytest.param({OURS: "bridge"}, "22 1 254:1 / / rw - ext4 /dev/vda1 rw\n", id="in none"),
        pytest.param({OURS: "bridge"}, None, id="where no kernel tells"),
    ],
)
def test_elsewhere_they_can(tmp_path, containers, mounts):
    """Nothing is refused on a mere suspicion."""
    if mounts is not None:
        (tmp_path / "mountinfo").write_text(mounts)
    with engine_that_knows(containers) as client:
        engine.check_is_reached(client, tmp_path / "mountinfo")
