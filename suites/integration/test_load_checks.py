"""Checks of an answer: a 200 that means no has failed, for both clients and in every count."""

from __future__ import annotations

import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from pydantic import ValidationError

from harness.clock import SystemClock
from harness.history.samples import SampleOutcome
from harness.load.engine import LoadPlan, apply_load
from harness.spec.load import Load
from harness.spec.requests import Check

CLOCK = SystemClock()


class Speaks(BaseHTTPRequestHandler):
    """It says 200 whatever it means: every third key has an error inside, and tells another's id."""

    protocol_version = "HTTP/1.1"
    wbufsize = -1

    def do_GET(self):
        key = int(self.path.rpartition("/")[2])
        said = {"id": key + 1, "errors": ["no such item"]} if key % 3 == 0 else {"id": key, "is": {"fine": True}}
        body = json.dumps(said).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json; charset=utf-8")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


class Server(ThreadingHTTPServer):
    """One that lets more than five connections wait for their turn, which on a busy machine come at once."""

    request_queue_size = 256


@contextmanager
def serving():
    with Server(("127.0.0.1", 0), Speaks) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def pressed(folder, client, *checks):
    """Return which keys were asked for, and which answers counted as good."""
    request = {"name": "read", "path": "/items/{key}", "checks": list(checks), "keys": {"count": 30, "zipf": 0.0}}
    load = Load.model_validate({"arrivals_per_s": 200, "requests": [request], "client": client})
    with serving() as url:
        plan = LoadPlan(base_url=url, load=load, lasts_s=1.0, seed=7, calibration_s=0.0)
        with apply_load(plan, folder=folder, clock=CLOCK) as pressure:
            result = pressure.finish()
    records = result.samples.records
    assert set(records["status"]) == {200}
    assert result.tally.is_whole
    return records["key"], records["outcome"] == SampleOutcome.OK


@pytest.mark.parametrize("client", ["fast", "lean"])
@pytest.mark.parametrize(
    ("check", "is_good"),
    [
        pytest.param({"at": "/errors", "absent": True}, lambda key: key % 3 != 0, id="no error inside"),
        pytest.param({"at": "/id", "equals": "{key}"}, lambda key: key % 3 != 0, id="its own id"),
        pytest.param({"at": "/is/fine", "equals": "true"}, lambda key: key % 3 != 0, id="JSON that is no text"),
        pytest.param({"at": "", "contains": "no such"}, lambda key: key % 3 == 0, id="in the whole body"),
        pytest.param({"at": "/errors/0", "contains": "such"}, lambda key: key % 3 == 0, id="in a list"),
        pytest.param({"header": "Content-Type", "contains": "json"}, lambda key: key >= 0, id="in a header"),
        pytest.param(
            {"header": "content-type", "equals": "application/json"}, lambda key: key < 0, id="a whole header"
        ),
        pytest.param({"header": "x-error", "absent": True}, lambda key: key >= 0, id="no such header"),
        pytest.param({"header": "content-type", "absent": True}, lambda key: key < 0, id="a header that is there"),
    ],
)
def test_an_answer_that_fails_a_check_has_failed(tmp_path, client, check, is_good):
    """Whatever its status, and however fast it came."""
    keys, good = pressed(tmp_path, client, check)

    assert len(keys) > 100
    assert good.tolist() == [is_good(key) for key in keys.tolist()]


def test_all_checks_have_to_hold(tmp_path):
    """One that fails is enough; none at all leaves it to the status."""
    keys, good = pressed(
        tmp_path, "fast", {"header": "content-type", "contains": "json"}, {"at": "/errors", "absent": True}
    )
    _, without = pressed(tmp_path, "fast")

    assert good.tolist() == [key % 3 != 0 for key in keys.tolist()]
    assert without.all()


@pytest.mark.parametrize(
    ("check", "said"),
    [
        ({"equals": "a"}, "a check looks at one place"),
        ({"at": "/a", "header": "b", "equals": "c"}, "a check looks at one place"),
        ({"at": "/a"}, "it wants nothing"),
        ({"at": "/a", "equals": "b", "absent": True}, "it wants equals and absent"),
        ({"at": "/a", "equals": "{word}"}, "unknown placeholder"),
        ({"at": "a", "equals": "b"}, "pattern"),
        ({"at": "/a", "contains": ""}, "at least 1"),
        ({"at": "/a", "absent": False}, "True"),
    ],
)
def test_a_check_that_could_not_fail_or_hold_is_refused(check, said):
    """With what is wrong in it."""
    with pytest.raises(ValidationError, match=said):
        Check.model_validate(check)
