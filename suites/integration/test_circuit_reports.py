"""Asking replicas what their circuit breakers did: real answers over HTTP, and a run in which one of them is killed."""

from __future__ import annotations

import json
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import TYPE_CHECKING

import pytest

from harness.clock import FakeClock, SystemClock
from harness.experiment import RunContext, run_experiment
from harness.history.circuits import Circuit, CircuitState, Stay
from harness.spec.scenario import Scenario
from harness.stack.circuits import circuit_report
from harness.stack.ports import reserve
from harness.stack.service import LOOPBACK, Address
from harness.verdict.judge import judge
from harness.verdict.outcome import Outcome
from suites.support.made import plan_for
from suites.support.servers import PROJECT
from suites.support.stack import DUMMY

if TYPE_CHECKING:
    from collections.abc import Iterator

PATH = "/breakers"
CLOSED = {"state": "closed", "ago_s": 50.0, "admitted": 900}
WELL = {
    "breakers": {
        "redis": {"stays": [CLOSED, {"state": "open", "ago_s": 20.25, "rest_s": 1.5, "admitted": 0}]},
        "postgres": {"forgotten": 3, "stays": [{"state": "half_open", "ago_s": 1}]},
    }
}


class Telling(ThreadingHTTPServer):
    """A service that answers one path."""

    def __init__(self) -> None:
        super().__init__((LOOPBACK, 0), _Handler)
        self.status, self.body = 200, b""

    @property
    def address(self) -> Address:
        return Address(LOOPBACK, self.server_port)


class _Handler(BaseHTTPRequestHandler):
    server: Telling

    def do_GET(self) -> None:
        self.send_response(self.server.status if self.path == PATH else 404)
        self.send_header("content-length", str(len(self.server.body)))
        self.end_headers()
        self.wfile.write(self.server.body)

    def log_message(self, *_: object) -> None:
        """Log nothing."""


@pytest.fixture
def service() -> Iterator[Telling]:
    with Telling() as running:
        thread = Thread(target=running.serve_forever)
        thread.start()
        yield running
        running.shutdown()
        thread.join()


def asked(address, *, now_s=100.0):
    return circuit_report("replica-1", address, PATH, FakeClock(now_s).now)


def test_what_is_told_is_laid_on_the_runs_own_time(service):
    """How long ago each state began is counted from the moment of the question."""
    service.body = json.dumps(WELL).encode()

    told = asked(service.address)

    assert (told.replica, told.asked_s, told.error) == ("replica-1", 100.0, "")
    assert told.circuits == (
        Circuit(
            name="redis",
            forgotten=0,
            stays=(
                Stay(state=CircuitState.CLOSED, began_s=50.0, admitted=900),
                Stay(state=CircuitState.OPEN, began_s=79.75, admitted=0, rest_s=1.5),
            ),
        ),
        Circuit(name="postgres", forgotten=3, stays=(Stay(state=CircuitState.HALF_OPEN, began_s=99.0),)),
    )


def test_a_moment_is_known_to_half_of_what_the_question_took(service):
    """The middle of the question is when it was answered."""
    service.body = json.dumps(WELL).encode()
    moments = iter([10.0, 10.5])

    told = circuit_report("replica-1", service.address, PATH, lambda: next(moments))

    assert told.asked_s == 10.25
    assert told.circuits[1].stays[0].began_s == 9.25


@pytest.mark.parametrize(
    ("said", "why"),
    [
        pytest.param("ok", "GET /breakers says of its answer: Invalid JSON", id="no JSON"),
        pytest.param({}, "says of breakers: Field required", id="nothing"),
        pytest.param({"breakers": {"redis": {"stays": []}}}, "says of breakers.redis.stays: ", id="no state"),
        pytest.param(
            {"breakers": {"redis": {"stays": [CLOSED | {"state": "ajar"}]}}},
            "says of breakers.redis.stays.0.state: Input should be 'closed', 'open' or 'half_open'",
            id="no such state",
        ),
        pytest.param(
            {"breakers": {"redis": {"stays": [CLOSED | {"since": 4}]}}},
            "says of breakers.redis.stays.0.since: Extra inputs",
            id="unknown key",
        ),
        pytest.param(
            {"breakers": {"redis": {"stays": [CLOSED | {"ago_s": -0.1}]}}}, "greater than or equal to 0", id="to come"
        ),
        pytest.param(
            {"breakers": {"redis": {"stays": [CLOSED, CLOSED | {"ago_s": 50.1}]}}}, "not in the order of time", id="unordered"
        ),
    ],
)  # fmt: skip
def test_an_answer_that_is_none_is_told_with_its_place(service, said, why):
    """It is the service's to mend, and evidence of nothing."""
    service.body = json.dumps(said).encode() if isinstance(said, dict) else said.encode()

    told = asked(service.address)

    assert why in told.error
    assert told.circuits == ()


def test_a_service_that_does_not_tell_is_told_of(service):
    service.status = 503

    assert asked(service.address).error == "GET /breakers was answered with 503"
    assert asked(reserve()).error == "GET /breakers was not answered (ConnectError)"


class Silent:
    """A listener that tells nothing."""

    def message(self, text: str) -> None:
        """Let it pass."""

    def heartbeat(self, **_: object) -> None:
        """Let it pass."""


def test_a_replica_is_asked_before_it_is_lost_and_all_are_at_the_end(embedded_stack, ledger, tmp_path):
    """What the killed one had told counts, what its successor tells as well, and between them there is a gap."""
    system = DUMMY.model_copy(update={"subject": DUMMY.subject.model_copy(update={"breakers": "/breakers"})})
    context = RunContext(
        run_id=ledger.run_id, system=system, project=PROJECT, backend="embedded", defect=None, ledger=ledger,
        clock=SystemClock(), listener=Silent(),
    )  # fmt: skip
    scenario = Scenario.model_validate(
        {
            "scenario": "killed",
            "story": "A replica is killed.",
            "load": {"arrivals_per_s": 50, "drain": "1s"},
            "phases": [
                {"name": "baseline", "lasts": "1s"},
                {
                    "name": "fault",
                    "lasts": "4s",
                    "faults": [
                        {"kind": "pause", "target": "replica-2", "for": "3s"},
                        {"kind": "kill", "target": "replica-1", "at": "1s", "for": "2s"},
                    ],
                },
                {"name": "recovery", "lasts": "1s"},
            ],
            "objectives": [{"sli": "errors", "max": "50%"}],
            "invariants": [{"kind": "breaker-trace", "rest": "1s", "probes": 1}],
        }
    )

    history = run_experiment(plan_for(scenario), context, tmp_path, on=embedded_stack)

    assert [(report.replica, report.error) for report in history.circuits] == [
        ("replica-1", ""), ("replica-1", ""), ("replica-2", ""),
    ]  # fmt: skip
    killed, anew, _ = history.circuits
    (mark,) = [each for each in history.faults if each.kind == "kill"]
    assert mark.planned[0] <= killed.asked_s < mark.injected_s
    assert mark.healed_s - 5 < anew.circuits[0].stays[0].began_s
    assert killed.asked_s < anew.circuits[0].stays[0].began_s < anew.asked_s
    claim = next(claim for claim in judge(scenario, history, confidence=0.95).claims if claim.sli == "breaker-trace")
    assert claim.outcome is Outcome.INCONCLUSIVE
    assert "no breaker left its state" in claim.sentence
