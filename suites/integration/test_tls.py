"""A service on https is believed by its certificate, or not asked: by the load, by a locustfile, and by what waits for it."""

from __future__ import annotations

import ssl
from contextlib import contextmanager

import pytest
import trustme
from pydantic import ValidationError

from harness.clock import SystemClock
from harness.errors import LoadError, SpecError
from harness.load.engine import LoadPlan, apply_load
from harness.plan import check_faults, source_of
from harness.spec.load import Load
from harness.spec.system import Settings, Subject
from harness.stack.health_probe import seconds_to_answer
from harness.stack.service import Address
from harness.stack.subjects import health
from harness.stack.subjects.external import address_of_service
from harness.stack.tls import Tls
from suites.integration.test_load_login import ENTERING, SENDS
from suites.support.members import PASSWORD, members

CLOCK = SystemClock()
FAST = "from locust import FastHttpUser as User"
PATIENT = "from locust import HttpUser as User"
FILE = """
{first}
from locust import task

class Somebody(User):
    {own}
    @task
    def ask(self):
        self.client.get("/health")
"""


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    """An authority of our own, and the file by which it is known."""
    authority, file = trustme.CA(), tmp_path_factory.mktemp("authority") / "ca.pem"
    authority.cert_pem.write_to_path(str(file))
    return authority, file


@contextmanager
def serving(authority, name="localhost"):
    """Serve members over TLS, as who the certificate says."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority[0].issue_cert(name).configure_cert(context)
    with members(context) as service:
        yield service


def plan_of(url, ca, **told):
    load = Load.model_validate({"arrivals_per_s": 60, "max_in_flight": 8} | told)
    load = load.asking((), load.told)
    known = {"PASSWORD": PASSWORD}
    return LoadPlan(base_url=url, load=load, lasts_s=0.5, seed=7, calibration_s=0.0, ca=ca and str(ca), secrets=known)


def pressed(plan, folder):
    with apply_load(plan, folder=folder, clock=CLOCK) as pressure:
        return pressure.finish()


def test_users_log_in_and_ask_over_tls(authority, tmp_path):
    """Each request and each step of the login, on connections that know whom they speak with."""
    asked = {"name": "look", "path": "/of/{user}"}
    with serving(authority) as service:
        login = {"users": 2, "steps": ENTERING, "sends": SENDS}
        result = pressed(plan_of(service.base_url, authority[1], requests=[asked], login=login), tmp_path)
    assert sorted(service.entered) == ["member-1", "member-2"]
    assert result.tally.ok == result.tally.issued == len(service.asked) > 10


@pytest.mark.parametrize(("name", "is_known"), [("localhost", False), ("elsewhere.example", True)])
def test_who_is_not_believed_is_not_asked(authority, tmp_path, name, is_known):
    """Another's certificate, or one of an authority that is not named, is no answer: each request has failed."""
    with serving(authority, name) as service:
        result = pressed(plan_of(service.base_url, authority[1] if is_known else None), tmp_path)
    assert result.tally.failed == result.tally.issued > 10
    assert not result.samples.records["status"].any()


@pytest.mark.parametrize(
    ("first", "own", "is_known", "is_asked"),
    [
        (FAST, "", True, True),
        (FAST, "", False, False),
        (FAST, "insecure = True", False, True),
        (PATIENT, "", True, True),
        (PATIENT, "", False, False),
    ],
)
def test_a_locustfile_believes_whom_the_plan_does(authority, tmp_path, first, own, is_known, is_asked):
    """Locust's own fast client believes everybody; here only a file that says so does."""
    (tmp_path / "users.py").write_text(FILE.format(first=first, own=own))
    plan = plan_of("", None)
    with serving(authority) as service:
        plan = LoadPlan(
            base_url=service.base_url, load=Load(arrivals_per_s=60, locustfile="users.py", max_in_flight=8), lasts_s=0.5,
            seed=7, calibration_s=0.0, ca=str(authority[1]) if is_known else None, project=str(tmp_path),
        )  # fmt: skip
        result = pressed(plan, tmp_path)
    assert (result.tally.ok == result.tally.issued) is is_asked
    assert (result.tally.failed == result.tally.issued) is not is_asked


def test_what_waits_for_a_service_knows_it_too(authority, tmp_path):
    """It is ready by its answer over TLS, a look takes its time there, and one that is not believed says why."""
    probe = health("/health", "")
    with serving(authority) as service:
        subject = Subject.model_validate({"external": service.base_url, "ca": authority[1].name, "ready": "/health"})
        known = address_of_service(subject, authority[1].parent)
        unknown = Address(known.host, known.port, Tls())
        assert probe.is_answering(known)
        assert 0 < seconds_to_answer(known, probe.question) < 5
        assert not probe.is_answering(unknown)
        assert "CERTIFICATE_VERIFY_FAILED" in probe.seen(unknown)
        with pytest.raises(ssl.SSLError, match="CERTIFICATE_VERIFY_FAILED"):
            seconds_to_answer(unknown, probe.question)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"client": "lean"}, 'client = "lean" is done on bare sockets'),
        ({"ca": "/no/such/file.pem"}, "nobody can be believed: .*No such file"),
        ({"ca": __file__}, "nobody can be believed: .*"),
    ],
)
def test_a_load_that_cannot_speak_tls_is_refused(changes, said):
    """Before anything is sent."""
    told = {"ca": None} | changes
    with pytest.raises(LoadError, match=said):
        plan_of("https://localhost:1", **told).check()


SETTINGS = {
    "system": {"name": "shop", "subject": {"external": "https://localhost"}},
    "objectives": ({"sli": "errors", "max": "1%"},),
    "profiles": {"quick": {"stretch": 1.0}},
}
SCENARIO = """
scenario: slow
story: Clients on a bad line take their answers in drips.
load: {arrivals_per_s: 10, client: lean}
phases:
  - {name: baseline, lasts: 10s}
  - {name: fault, lasts: 10s, faults: [{kind: slow-readers, asks: root, connections: 10, rate: 100B/s}]}
  - {name: recovery, lasts: 5s}
"""


def test_what_is_done_on_bare_sockets_is_refused_at_collection(tmp_path):
    """With its line: neither a client nor a fault of the load that speaks no TLS is started."""
    source, settings = source_of(SCENARIO, tmp_path / "slow.yaml"), Settings.model_validate(SETTINGS)
    with pytest.raises(SpecError) as refused:
        check_faults(source, settings, "quick")
    assert str(refused.value).count("done on bare sockets, which speak no TLS") == 2
    assert "slow.yaml:4: load.client" in str(refused.value)


@pytest.mark.parametrize(
    ("told", "said"),
    [
        ({"external": "http://127.0.0.1:8000", "ca": "ca.pem"}, "ca says whom to believe on https"),
        ({"command": ("true", "{port}"), "ca": "ca.pem"}, "ca is for an external subject on https"),
        ({"external": "ftp://127.0.0.1:8000"}, "write http://127.0.0.1:PORT or https://HOST"),
        ({"external": "https://127.0.0.1:8000/api"}, "without a path"),
    ],
)
def test_an_address_that_cannot_be_judged_is_refused(told, said):
    """And so is an authority where nobody would ask for one."""
    with pytest.raises(ValidationError, match=said):
        Subject.model_validate(told)


def test_a_port_that_is_not_said_is_the_usual_one():
    """443 on https, 80 on http."""
    assert Subject.model_validate({"external": "https://Staging.example"}).external == "https://staging.example:443"
    assert Subject.model_validate({"external": "http://staging.example"}).external == "http://staging.example:80"
