"""What an `http-stub` makes of its file and of bytes: pure, so without a socket; the running one is in integration/."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import SpecError
from harness.stack.components.http_stub import answers_json
from harness.stack.stub_server import (
    BODY_BYTES_MAX,
    HEAD_BYTES_MAX,
    UNKNOWN_MAX,
    Answer,
    RefusedError,
    Request,
    Stub,
    answer_bytes,
    read_request,
    wants_to_be_told,
)

FILE = """\
[[answers]]
path = "/users/{id}"
json = { id = "{id}", said = "{other}", tags = ["a", 1.5, true] }

[[answers]]
path = "/users/me"
body = "it is {me}"

[[answers]]
method = "POST"
path = "/charge"
status = 201
times = 2
headers = { location = "/charges/1" }

[[answers]]
method = "POST"
path = "/charge"
status = 503
after = "250ms"
body = "later"
"""


@pytest.fixture
def stub(tmp_path):
    (tmp_path / "answers.toml").write_text(FILE)
    return Stub(json.loads(answers_json("answers.toml", tmp_path)))


def ask(stub, path, method="GET"):
    return stub.answer(Request(method, path, is_last=False))


def test_what_a_path_had_is_filled_in(stub):
    """In JSON as JSON has it, so that no value of a path can break it; a name that the path has not stays as it is."""
    answer = ask(stub, '/users/a"b\\')

    assert json.loads(answer.body) == {"id": 'a"b\\', "said": "{other}", "tags": ["a", 1.5, True]}
    assert answer.headers["content-type"] == "application/json"


def test_a_part_that_is_said_as_it_is_comes_first(stub):
    """Wherever it stands in the file; and text is text."""
    answer = ask(stub, "/users/me")

    assert (answer.body, answer.headers["content-type"]) == (b"it is {me}", "text/plain; charset=utf-8")


def test_answers_of_one_path_take_turns(stub):
    """Two in a row, then the third, and again; each has its own time, and none but its own content type."""
    seen = [ask(stub, "/charge", "POST") for _ in range(6)]

    assert [answer.status for answer in seen] == [201, 201, 503, 201, 201, 503]
    assert [answer.after_s for answer in seen[:3]] == [0.0, 0.0, 0.25]
    assert seen[0].headers == {"location": "/charges/1"}


@pytest.mark.parametrize("path", ["/users", "/users/1/2", "/users/1/", "/other", "/user/1"])
def test_what_nothing_answers_is_told_and_counted(stub, path, capsys):
    """Its log says it once, however often it is asked."""
    assert [ask(stub, path).status for _ in range(2)] == [404, 404]
    assert stub.counts()["unknown"] == {f"GET {path}": 2}
    assert capsys.readouterr().out == f"nothing answers GET {path}\n"


def test_another_method_is_told_which_there_are(stub):
    """As RFC 9110 (15.5.6) has it; a HEAD is a GET."""
    refused = ask(stub, "/users/1", "PUT")

    assert (refused.status, refused.headers["allow"]) == (405, "GET")
    assert ask(stub, "/users/1", "HEAD").status == 200
    assert stub.counts() == {
        "answered": {"GET /users/me": 0, "GET /users/{id}": 1, "POST /charge": 0},
        "unknown": {"PUT /users/1": 1},
    }


def test_paths_with_ids_that_nothing_answers_fill_no_memory(stub, capsys):
    """So many are known by name; those that are go on counting."""
    for number in range(UNKNOWN_MAX + 5):
        ask(stub, f"/nothing/{number}")
    ask(stub, "/nothing/0")

    unknown = stub.counts()["unknown"]
    assert (len(unknown), unknown["GET /nothing/0"]) == (UNKNOWN_MAX, 2)
    assert len(capsys.readouterr().out.splitlines()) == UNKNOWN_MAX


WHOLE = [
    (b"GET /a?b=c#d HTTP/1.1\r\nHost: x\r\n\r\n", Request("GET", "/a", is_last=False)),
    (b"GET / HTTP/1.0\r\n\r\n", Request("GET", "/", is_last=True)),
    (b"GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n", Request("GET", "/", is_last=False)),
    (b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n", Request("GET", "/", is_last=True)),
    (b"POST / HTTP/1.1\r\nContent-Length: 5\r\n\r\nhello", Request("POST", "/", is_last=False)),
    (
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5;x=y\r\nhello\r\nA\r\n0123456789\r\n0\r\n\r\n",
        Request("POST", "/", is_last=False),
    ),
    (
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\nsum: 1\r\nb: 2\r\n\r\n",
        Request("POST", "/", is_last=False),
    ),
]


@pytest.mark.parametrize(("data", "request_"), WHOLE)
def test_a_request_is_whole_at_its_last_byte_and_no_sooner(data, request_):
    """Wherever what comes is cut; and the next one begins behind it."""
    assert [read_request(data[:length]) for length in range(len(data))] == [None] * len(data)
    assert read_request(data + b"GET") == (request_, len(data))
    assert read_request(b"before" + data, 6) == (request_, 6 + len(data))


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"GET /\r\n\r\n", 400),
        (b"GET / HTTP/2.0\r\n\r\n", 400),
        (b"GET x HTTP/1.1\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nno colon\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\n folded: x\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nhost : x\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\nx", 400),
        (b"POST / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\nx", 400),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: gzip\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nContent-Length: +1\r\n\r\nx", 400),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\n", 400),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nxyz\r\n", 400),
        (b"POST / HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % (BODY_BYTES_MAX + 1), 413),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n" % (BODY_BYTES_MAX + 1), 413),
        (b"GET / HTTP/1.1\r\nx: " + b"y" * HEAD_BYTES_MAX, 431),
    ],
)
def test_what_is_no_request_is_refused(data, status):
    """By the status of RFC 9110, as soon as it can be known."""
    with pytest.raises(RefusedError) as caught:
        read_request(data)

    assert caught.value.status == status


@given(
    st.binary(max_size=200),
    st.sampled_from([b"", b"GET / HTTP/1.1\r\n", b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"]),
)
def test_any_bytes_are_a_request_or_not(rest, head):
    """They never raise anything else, and what was read of them was there."""
    try:
        found = read_request(head + rest)
    except RefusedError:
        return
    assert found is None or 0 < found[1] <= len(head + rest)


@pytest.mark.parametrize(
    ("answer", "method", "is_last", "sent"),
    [
        (Answer(200, {"x": "y"}, b"ok"), "GET", False, b"HTTP/1.1 200 OK\r\nx: y\r\ncontent-length: 2\r\n\r\nok"),
        (Answer(200, {}, b"ok"), "HEAD", False, b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n"),
        (Answer(204, {}, b""), "GET", True, b"HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n"),
        (Answer(599, {}, b""), "GET", False, b"HTTP/1.1 599 \r\ncontent-length: 0\r\n\r\n"),
    ],
)
def test_an_answer_says_where_it_ends(answer, method, is_last, sent):
    """By its length, or by having none; a HEAD is told the length alone."""
    assert answer_bytes(answer, Request(method, "/", is_last=is_last)) == sent


def test_who_holds_its_body_back_is_told_to_go_on():
    """When the head is whole, and not of an earlier request's."""
    head = b"PUT / HTTP/1.1\r\nExpect: 100-Continue\r\nContent-Length: 1\r\n\r\n"

    assert wants_to_be_told(head, 0)
    assert not wants_to_be_told(head[:-1], 0)
    assert not wants_to_be_told(head, len(head))
    assert not wants_to_be_told(b"PUT / HTTP/1.1\r\nContent-Length: 1\r\n\r\n", 0)


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ('path = "nothing"', "answers.toml:2: answers[0].path"),
        ('path = "/a?b=c"', "is no path"),
        ('path = "/a{b}"', "let {name} be a whole part"),
        ('path = "/{a}/{a}"', "has a name twice"),
        ('path = "/-/health"', "the stub says of itself"),
        ('path = "/a"\nbody = "x"\njson = {a = 1}', "two answers to one question"),
        ('path = "/a"\nstatus = 204\nbody = "x"', "an answer of 204 has no body"),
        ('path = "/a"\nheaders = {Content-Length = "1"}', "the stub says 'Content-Length' itself"),
        ('path = "/a"\njson = {at = 2026-01-01}', "json holds what JSON has not"),
        ('path = "/a"\njson = {at = nan}', "json holds what JSON has not"),
        ('path = "/a"\nafter = 1', "not a duration"),
        ('path = "/a"\nstatu = 200', "did you mean 'status'?"),
    ],
)
def test_a_mistake_in_the_file_is_told_with_its_line(tmp_path, said, told):
    """As in every file of the project."""
    (tmp_path / "answers.toml").write_text(f"[[answers]]\n{said}\n")

    with pytest.raises(SpecError) as caught:
        answers_json("answers.toml", tmp_path)

    assert told in str(caught.value)
    assert "answers.toml:" in str(caught.value)
