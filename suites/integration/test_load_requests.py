"""What is declared is what is sent, to the byte, by each kind of user; what answers tell is read off the named headers."""

from __future__ import annotations

import re
from collections import Counter

import httptools
import pytest

from harness.clock import SystemClock
from harness.load.engine import LoadPlan, apply_load
from harness.spec.load import Load
from harness.spec.objective import Late
from suites.support.httpserver import http_server

CLOCK = SystemClock()
REQUESTS = [
    {
        "name": "create", "method": "POST", "path": "/things?of={unique}", "weight": 3,
        "headers": {"Content-Type": "application/json", "x-once": "{key}/{unique}"},
        "body": '{"näme": "{unique}", "of": {"key": {key}}}', "keys": {"first": 500, "count": 20},
    },
    {"name": "look", "path": "/things/{key}/100%", "weight": 5, "headers": {"User-Agent": "one-of-us"}},
    {"name": "clear", "method": "DELETE", "path": "/things", "weight": 1},
    {"name": "touch", "method": "POST", "path": "/touch", "weight": 1},
]  # fmt: skip


class Heard:
    """The requests that came in on a connection; its parser calls the methods whose names begin with `on_`."""

    def __init__(self, data):
        self.requests = []
        self.parser = httptools.HttpRequestParser(self)
        self.parser.feed_data(data)

    def on_message_begin(self):
        self.url, self.headers, self.body = b"", [], b""

    def on_url(self, url):
        self.url += url

    def on_header(self, name, value):
        self.headers.append((name.decode().lower(), value.decode()))

    def on_body(self, body):
        self.body += body

    def on_message_complete(self):
        method = self.parser.get_method().decode()
        assert max(Counter(name for name, _ in self.headers).values()) == 1, f"a header said twice: {self.headers}"
        self.requests.append((method, self.url.decode(), dict(self.headers), self.body.decode()))


@pytest.fixture(params=["fast", "lean"])
def client(request):
    """Each kind of user."""
    return request.param


def pressed(folder, client, **told):
    load = Load.model_validate({"arrivals_per_s": 300, "client": client, "keys": {"first": 7, "count": 3}} | told)
    with http_server("fast") as server:
        plan = LoadPlan(base_url=server.base_url, load=load, lasts_s=1.5, seed=7, calibration_s=0.0)
        with apply_load(plan, folder=folder, clock=CLOCK) as pressure:
            result = pressure.finish()
        requests = [request for data in server.heard() for request in Heard(data).requests]
    assert result.tally.ok == result.tally.issued == len(requests) > 300
    return result.samples, requests


def test_what_is_declared_is_what_is_sent(tmp_path, client):
    """Methods, paths, headers and bodies, each filled in; the weights share them out."""
    _, requests = pressed(tmp_path, client, requests=REQUESTS)

    created = [each for each in requests if (each[0], each[1][:10]) == ("POST", "/things?of")]
    looked = [each for each in requests if each[0] == "GET"]
    others = [each[:2] for each in requests if each not in created and each not in looked]
    for _, path, headers, body in created:
        unique = path.removeprefix("/things?of=")
        key = headers["x-once"].removesuffix(f"/{unique}")
        assert re.fullmatch(r"[0-9a-f]+-\d+", unique)
        assert body == f'{{"näme": "{unique}", "of": {{"key": {key}}}}}'
        assert 500 <= int(key) < 520
        assert headers["content-type"] == "application/json"
    assert {headers["user-agent"] for _, _, headers, _ in looked} == {"one-of-us"}
    assert {path for _, path, _, _ in looked} == {f"/things/{key}/100%" for key in (7, 8, 9)}
    assert {body for _, _, _, body in looked} == {""}
    assert set(others) == {("DELETE", "/things"), ("POST", "/touch")}
    assert {headers["content-length"] for method, path, headers, _ in requests if path == "/touch"} == {"0"}
    assert len(looked) / len(requests) == pytest.approx(0.5, abs=0.1)


def test_a_unique_value_is_in_one_request_of_a_run(tmp_path, client):
    """No two have the same, and each sample has the key that its request carried."""
    samples, requests = pressed(tmp_path, client, requests=REQUESTS[:1])

    assert len({path for _, path, _, _ in requests}) == len(requests)
    sent = Counter(int(headers["x-once"].partition("/")[0]) for _, _, headers, _ in requests)
    assert Counter(samples.records["key"].tolist()) == sent


def test_no_cookie_comes_back(tmp_path, client):
    """What takes a seat next has nothing to do with what sat there before; a session would bind it to one replica."""
    _, requests = pressed(tmp_path, client, max_in_flight=20)

    assert not any("cookie" in headers for _, _, headers, _ in requests)


def test_what_has_no_key_has_none_in_its_sample(tmp_path, client):
    """-1, whatever was drawn for it."""
    samples, _ = pressed(tmp_path, client, requests=REQUESTS[2:])

    assert set(samples.records["key"]) == {-1}
    assert len(samples.of("clear")) + len(samples.of("touch")) == len(samples)


@pytest.mark.parametrize(
    ("headers", "told"),
    [
        pytest.param(
            {"cache": "X-Cache", "replica": "x-replica", "version": "x-version"}, ("l1", "only", 3), id="named"
        ),
        pytest.param({"cache": "x-replica", "version": "x-cache"}, ("only", "", -1), id="named otherwise"),
        pytest.param({"cache": "content-length"}, ("2", "", -1), id="any header"),
        pytest.param({}, ("", "", -1), id="none named"),
    ],
)
def test_answers_are_read_off_the_named_headers(tmp_path, client, headers, told):
    """Case does not count; what is not named is not told, whatever the answer says."""
    samples, _ = pressed(tmp_path, client, headers=headers)

    records = samples.records
    assert {samples.sources[index] for index in records["source"]} == {told[0]}
    assert {samples.replicas[index] for index in records["replica"]} == {told[1]}
    assert set(records["version"]) == {told[2]}


def test_where_nothing_is_declared_the_root_is_asked(tmp_path, client):
    """And nothing else."""
    samples, requests = pressed(tmp_path, client)

    assert {each[:2] for each in requests} == {("GET", "/")}
    assert len(samples.of("root")) == len(samples)


def test_a_refusal_is_as_good_as_it_is_expected(tmp_path, client):
    """The server refuses every fifth: the one who expects it has proper answers, the other failures; both are answered."""
    requests = [{"name": "lenient", "path": "/a", "expects": [200, 500]}, {"name": "strict", "path": "/b"}]
    load = Load.model_validate({"arrivals_per_s": 200, "client": client, "requests": requests})
    with http_server("errors") as server:
        plan = LoadPlan(base_url=server.base_url, load=load, lasts_s=1.0, seed=7, calibration_s=0.0)
        with apply_load(plan, folder=tmp_path, clock=CLOCK) as pressure:
            samples = pressure.finish().samples

    lenient, strict = samples.of("lenient"), samples.of("strict")
    assert set(lenient.records["status"]) == set(strict.records["status"]) == {200, 500}
    assert lenient.is_ok().all()
    assert (strict.is_ok() == (strict.records["status"] == 200)).all()
    assert samples.is_answered().all()
    assert not Late(sli="late", over="5s", max="1%").counts(samples).any()
