"""Users log in once each, before the load; what they are told is in what they send, and secrets are in nothing else."""

from __future__ import annotations

from collections import Counter

import pytest

from harness.clock import SystemClock
from harness.errors import LoadError
from harness.experiment.settling import Entry
from harness.history.echoes import OWN
from harness.load.clients import logged_in
from harness.load.engine import LoadPlan, apply_load
from harness.spec.load import Load
from harness.stack.service import Address
from suites.support.members import PASSWORD, members

CLOCK = SystemClock()
FORM, WELL = {"method": "GET", "path": "/form"}, {"method": "GET", "path": "/health"}
ENTERING = [
    FORM | {"takes": {"csrf": "/csrf"}},
    {
        "path": "/login",
        "headers": {"cookie": "{login.cookies}", "x-csrf": "{login.csrf}"},
        "body": '{"name": "member-{user}", "password": "{secret.PASSWORD}"}',
        "takes": {"token": "/token/value"},
    },
]
SENDS = {"authorization": "Bearer {login.token}", "cookie": "{login.cookies}"}
REQUESTS = [
    {"name": "look", "path": "/of/{user}/{key}", "echoes": {"/owner": "member-{user}"}, "weight": 3},
    {"name": "make", "method": "POST", "path": "/things", "body": '{"of": "member-{user}", "id": "{unique}"}'},
]


def plan_of(url, client="fast", *, users=3, steps=ENTERING, secrets=None, **told):
    said = {
        "arrivals_per_s": 100,
        "requests": REQUESTS,
        "client": client,
        "login": {"users": users, "steps": steps, "sends": SENDS},
    }
    load = Load.model_validate(said | told).asking((), Load(arrivals_per_s=1).told)
    known = {"PASSWORD": PASSWORD} if secrets is None else secrets
    return LoadPlan(
        base_url=url, load=load, lasts_s=0.5, seed=7, calibration_s=0.0, secrets=known, compares_echoes=True
    )


def pressed(plan, folder):
    with apply_load(plan, folder=folder, clock=CLOCK) as pressure:
        return pressure.finish()


def logged_in_at(url, secrets=None, **changes):
    """Let the users log in by a plain client, as they do once more when a load is over."""
    plan, (host, port) = plan_of(url, secrets=secrets, **changes), url.removeprefix("http://").split(":")
    return logged_in(plan.load, plan.secrets, Entry(Address(host, int(port)), within_s=5.0), mark=plan.mark)


@pytest.mark.parametrize("client", ["fast", "lean"])
def test_each_user_logs_in_once_and_they_ask_in_turn(tmp_path, client):
    """Three members, each with its own session in a header and a cookie; a third of all requests is each one's.

    Neither the password nor a session stands in what the load leaves behind.
    """
    with members() as service:
        plan = plan_of(service.base_url, client)
        result = pressed(plan, tmp_path)
    assert sorted(service.entered) == ["member-1", "member-2", "member-3"]
    assert result.tally.ok == result.tally.issued == len(service.asked) > 20
    turns = Counter(name for name, *_ in service.asked)
    assert max(turns.values()) - min(turns.values()) <= 1
    assert all(name in body for name, method, _, body in service.asked if method == "POST")
    assert all(path.startswith(f"/of/{name[-1]}/") for name, method, path, _ in service.asked if method == "GET")
    kept = [path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()]
    assert kept
    assert not any(PASSWORD.encode() in data or b"Bearer" in data for data in kept)
    assert PASSWORD not in repr(plan)


def test_an_answer_of_another_user_is_known(tmp_path):
    """Whose answer it is, is compared with the user that asked: here each answer is another's but one of three."""
    requests = [{"name": "look", "path": "/of/{user}/{key}", "echoes": {"/owner": "member-1"}}]
    with members() as service:
        result = pressed(plan_of(service.base_url, requests=requests), tmp_path)
    assert len(result.echoes) == result.tally.ok
    is_own = result.echoes.records["place"] == OWN
    assert abs(int((~is_own).sum()) - 2 * int(is_own.sum())) <= 2


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"secrets": {"PASSWORD": "wrong one"}}, "cannot log in: POST /login answered 403"),
        ({"steps": [{"path": "/nowhere"}]}, "cannot log in: POST /nowhere answered 401"),
        ({"steps": [FORM | {"expects": [302]}]}, "cannot log in: GET /form answered 200"),
        ({"steps": [FORM | {"takes": {"token": "/no/such"}}]}, "the answer to GET /form has no value at '/no/such'"),
        ({"steps": [FORM | {"takes": {"token": {"header": "x-no"}}}]}, "the answer to GET /form has no header 'x-no'"),
        ({"steps": [FORM | {"takes": {"token": {"cookie": "x-no"}}}]}, "the answer to GET /form has no cookie 'x-no'"),
        ({"steps": [WELL | {"takes": {"token": "/is"}}]}, "was given no cookie\n"),
        ({"steps": [WELL, FORM | {"headers": {"cookie": "{login.cookies}"}}]}, "was given no cookie before GET /form"),
    ],
)
def test_a_login_that_fails_is_told(changes, said):
    """Which user, which step, and what was answered."""
    with members() as service, pytest.raises(LoadError, match=said) as refused:
        logged_in_at(service.base_url, **changes)
    assert refused.value.what.startswith("user 1 ")
    assert refused.value.where == "before the load: [system.login]"


def test_what_is_told_may_stand_in_a_header_or_a_cookie():
    """Each is known by its own name afterwards, and all cookies by theirs, the last value of each."""
    takes = {"theme": {"cookie": "theme"}, "length": {"header": "Content-Length"}, "all": ""}
    with members() as service:
        clients = logged_in_at(service.base_url, users=2, steps=[FORM | {"takes": takes}])
    assert clients.told(0, "login.theme") == "dark"
    assert clients.told(1, "login.length") == "16"
    assert clients.told(1, "login.all") == '{"csrf": "c-17"}'
    assert clients.told(0, "login.cookies") == "csrf=c-17; theme=dark"
    assert [clients.user(number) for number in range(4)] == [1, 2, 1, 2]


def test_a_refused_login_ends_a_load_before_its_first_request(tmp_path):
    """Nothing is asked then."""
    with members() as service, pytest.raises(LoadError, match=r"cannot log in: POST /login answered 403"):
        pressed(plan_of(service.base_url, secrets={"PASSWORD": "wrong one"}), tmp_path)
    assert service.asked == []


def test_a_login_that_nobody_answers_is_told():
    """No connection, no session."""
    with members() as service:
        url = service.base_url
    with pytest.raises(LoadError, match=r"got no answer to GET /form"):
        logged_in_at(url)


def test_a_secret_that_is_no_line_is_refused_by_its_name():
    """A key from a file ends in a line break, which would end the header; its value is not shown."""
    requests = [{"name": "look", "path": "/", "headers": {"x-key": "{secret.KEY}"}}]
    plan = plan_of("http://127.0.0.1:9", requests=requests, secrets={"PASSWORD": PASSWORD, "KEY": "seven-keys\n"})
    with pytest.raises(LoadError, match="the value of KEY cannot stand in a header") as refused:
        plan.check()
    assert "seven" not in str(refused.value)
