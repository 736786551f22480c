"""The `http-stub` as a process of its own: what clients see of it over real connections."""

from __future__ import annotations

import json
import socket
import time

import httpx
import pytest

from harness.spec.system import Part
from harness.stack.components import COMPONENTS
from harness.stack.conversation import converse
from harness.testing import started

LATE_S = 0.2
FILE = f"""\
[[answers]]
path = "/rates/{{currency}}"
json = {{ currency = "{{currency}}", rate = 1.1 }}

[[answers]]
path = "/late"
after = "{LATE_S}s"
body = "late"

[[answers]]
method = "POST"
path = "/charge"
status = 201
"""


@pytest.fixture(scope="module")
def stub(tmp_path_factory):
    """One for all tests of this file."""
    project = tmp_path_factory.mktemp("project")
    (project / "answers.toml").write_text(FILE)
    component = COMPONENTS["http-stub"].of(Part(answers="answers.toml"))
    with started(component, name="rates", project=project) as service:
        yield service


@pytest.fixture
def client(stub):
    with httpx.Client(base_url=f"http://{stub.direct}", trust_env=False) as client:
        yield client


def rest_of(connection):
    """Return what comes until the other side ends it."""
    with connection.makefile("rb") as said:
        return said.read()


def counted(client):
    return client.get("/-/counts").json()["answered"]


def test_it_answers_as_its_file_says(stub, client):
    """With what the path had; it says what it is, and is asked for nothing by being looked at."""
    before = counted(client)["GET /rates/{currency}"]

    assert client.get("/rates/CHF", params={"day": "1"}).json() == {"currency": "CHF", "rate": 1.1}
    assert client.head("/rates/CHF").headers["content-length"] == "32"
    assert stub.is_ready()
    assert stub.version().startswith("http-stub of 3 answers, Python 3.")
    assert counted(client)["GET /rates/{currency}"] == before + 2


def test_many_requests_share_a_connection(stub):
    """Sent at once, they are answered in their order, also where one takes its time; the last one ends it."""
    paths = ["/rates/a", "/late", "/rates/b"]
    asked = b"".join(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode() for path in paths)
    with socket.create_connection((stub.direct.host, stub.direct.port), timeout=5) as connection:
        connection.sendall(asked + b"GET /rates/c HTTP/1.1\r\nConnection: close\r\n\r\n")
        said = rest_of(connection)

    found = [said.index(word) for word in (b'"a"', b"late", b'"b"', b'"c"')]
    assert found == sorted(found)


def test_one_that_is_late_keeps_nobody_waiting(stub, client):
    """It takes as long as its file says, and no longer; another connection is answered meanwhile."""
    began_s = time.perf_counter()
    with socket.create_connection((stub.direct.host, stub.direct.port), timeout=5) as connection:
        connection.sendall(b"GET /late HTTP/1.0\r\n\r\n")
        assert client.get("/rates/x").status_code == 200
        assert time.perf_counter() - began_s < LATE_S
        assert rest_of(connection).endswith(b"late")
    assert time.perf_counter() - began_s >= LATE_S


@pytest.mark.parametrize("content", [b"x" * 100_000, [b"in ", b"pieces"]], ids=["a length", "chunks"])
def test_bodies_are_taken(client, content):
    """Of either form; the connection goes on behind them."""
    assert client.post("/charge", content=iter(content) if isinstance(content, list) else content).status_code == 201
    assert client.get("/rates/x").status_code == 200


def test_a_client_that_holds_its_body_back_is_told_to_go_on(stub):
    """Once."""
    head = b"POST /charge HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nConnection: close\r\nContent-Length: 2\r\n\r\n"
    with socket.create_connection((stub.direct.host, stub.direct.port), timeout=5) as connection:
        connection.sendall(head)
        assert connection.recv(1000) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(b"o")
        connection.sendall(b"k")
        assert rest_of(connection).startswith(b"HTTP/1.1 201 Created\r\n")


def test_what_nothing_answers_is_in_its_log(stub, client):
    """So that a path that was forgotten is found."""
    answer = client.get("/forgotten")

    assert (answer.status_code, answer.json()) == (404, {"error": "the file of answers has nothing for GET /forgotten"})
    assert client.get("/-/counts").json()["unknown"]["GET /forgotten"] == 1
    assert "nothing answers GET /forgotten" in stub.logs()


def test_what_is_no_request_is_refused_and_ends_the_connection(stub):
    """It is no crash of it, either."""
    heard = converse(stub.direct, b"EHLO there\r\n\r\n", within_s=5)

    assert (heard.ended, stub.is_ready()) == ("closed", True)


def test_a_replica_is_told_where_it_is():
    """By its placeholders."""
    given = COMPONENTS["http-stub"].placeholders("rates", type("At", (), {"host": "127.0.0.1", "port": 8}))

    assert given == {"rates.host": "127.0.0.1", "rates.port": "8", "rates.url": "http://127.0.0.1:8"}


def test_in_a_container_it_is_any_python_with_the_same_script_and_answers(tmp_path):
    """Nothing of the harness is installed there."""
    (tmp_path / "answers.toml").write_text(FILE)
    recipe = COMPONENTS["http-stub"].of(Part(answers="answers.toml")).contained("rates", "python:3")
    script, said = recipe.command[2], recipe.command[-1]

    assert "import harness" not in recipe.files[script]
    assert "from harness" not in recipe.files[script]
    assert [each["path"] for each in json.loads(recipe.files[said](tmp_path))] == [
        "/rates/{currency}",
        "/late",
        "/charge",
    ]
