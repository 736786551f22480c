"""Logins and secrets as readiness.toml and scenarios declare them: every word that nobody would know is told."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from harness.errors import SpecError
from harness.load.clients import cookies_in, login_lasts_s
from harness.load.filling import Clients, filling
from harness.options import settings_of
from harness.spec.load import Load
from harness.spec.login import Login, unknown_words
from harness.spec.requests import DeclaredRequest

SETTINGS = """
[system]
name = "shop"
{system}
[system.components]
[system.subject]
command = ["true", "{{port}}"]
[[system.requests]]
name = "buy"
method = "POST"
path = "/buy"
{request}
{after}
[[objectives]]
sli = "errors"
max = "1%"
[profiles.quick]
stretch = 1.0
"""
STEP = {"path": "/login", "takes": {"token": "/token"}}


def settings(folder, system="", request="", after=""):
    (folder / "readiness.toml").write_text(SETTINGS.format(system=system, request=request, after=after))
    return settings_of(folder)


def refused(folder, **told):
    with pytest.raises(SpecError) as caught:
        settings(folder, **told)
    return str(caught.value)


@pytest.mark.parametrize(
    ("steps", "said"),
    [
        (
            [{"path": "/{login.token}"}],
            "step 1, POST /{login.token}, says {login.token}, which no step before it takes",
        ),
        ([{"path": "/{key}"}], "says {key}, which no step"),
        ([STEP | {"headers": {"x": "{login.token}"}}], "says {login.token}, which no step"),
        ([STEP | {"headers": {"x": "{login.cookies}"}}], "says {login.cookies}, which no step"),
        ([STEP, {"path": "/{login.other}"}], "step 2, POST /{login.other}, says {login.other}"),
        ([{"path": "/", "takes": {"cookies": "/a"}}], "{login.cookies} is all cookies that were set"),
        ([{"path": "/{secret.PASSWORD}"}], "unknown placeholder {secret.PASSWORD}"),
        ([{"path": "/", "body": "{secret.not-a-name}"}], None),
        ([{"path": "/", "takes": {"a": {"header": "x", "cookie": "y"}}}], "stands in one place"),
        ([], "at least 1 item"),
    ],
)
def test_a_step_says_what_it_was_told_before(steps, said):
    """What no step before it takes, it cannot know; a brace before anything else is itself."""
    if said is None:
        assert Login.model_validate({"steps": steps}).steps
        return
    with pytest.raises(ValidationError, match=re.escape(said)):
        Login.model_validate({"steps": steps})


def test_the_words_of_a_login_are_known_to_requests(tmp_path):
    """What a step takes, all cookies, and the number of the user; secrets that are named."""
    told = settings(
        tmp_path,
        system='secrets = ["PASSWORD"]',
        request='headers = { a = "{login.token} {login.cookies} {user}", b = "{secret.PASSWORD}" }',
        after='[[system.login.steps]]\npath = "/login"\nbody = "{secret.PASSWORD}"\ntakes = { token = "/token" }',
    )
    assert told.system.login is not None
    assert told.system.login.tells == {"login.token", "login.cookies"}
    load = Load(arrivals_per_s=1).asking(told.system.requests, told.system.headers, told.system.login)
    assert load.login == told.system.login


@pytest.mark.parametrize(
    ("told", "said"),
    [
        ({"request": 'body = "{user}"'}, "the request buy says {user}, which is not known: nobody logs in"),
        ({"request": 'body = "{login.token}"'}, "says {login.token}, which is not known: nobody logs in"),
        ({"request": 'headers = { a = "{secret.TOKEN}" }'}, '[system] secrets = ["TOKEN"]'),
        (
            {"request": 'body = "{login.tokn}"', "after": '[[system.login.steps]]\npath = "/login"'},
            "let a step of the login take it: takes = { tokn = ... }",
        ),
        (
            {"after": '[system.login.sends]\na = "{login.token}"\n[[system.login.steps]]\npath = "/"'},
            "sends says {login.token}, which is not known",
        ),
        ({"after": '[[system.login.steps]]\npath = "/"\nbody = "{secret.P}"'}, "the login says {secret.P}"),
    ],
)
def test_a_word_that_nobody_would_know_is_told(tmp_path, told, said):
    """Which request says it, and where it would be declared."""
    assert said in refused(tmp_path, **told)


def test_what_users_send_is_said_once(tmp_path):
    """Every request has the headers of the login, but for those that say the same themselves; also what asks later."""
    login = Login.model_validate(
        {"steps": [STEP], "sends": {"Authorization": "Bearer {login.token}", "x-user": "{user}"}}
    )
    settles = {"id": "/id", "path": "/tasks/{id}", "state": "/s", "done": ("ok",), "effects": ("/e",), "count": "/n"}
    requests = (
        DeclaredRequest.model_validate({"name": "own", "path": "/", "headers": {"authorization": "none"}}),
        DeclaredRequest.model_validate({"name": "task", "method": "POST", "path": "/t", "settles": settles}),
    )
    load = Load(arrivals_per_s=1).asking(requests, Load(arrivals_per_s=1).told, login)
    own, task = load.asked
    assert own.headers == {"authorization": "none", "x-user": "{user}"}
    assert task.headers == {"Authorization": "Bearer {login.token}", "x-user": "{user}"}
    assert task.settles is not None
    assert task.settles.headers == task.headers
    assert load.asking((), load.told) == load, "saying it twice changes nothing"
    assert list(unknown_words(load.asked, login, ())) == []


def test_a_locustfile_logs_in_by_itself():
    """A login beside it would be heard by nobody; one of readiness.toml is for other scenarios."""
    login = Login.model_validate({"steps": [STEP]})
    with pytest.raises(ValidationError, match="a locustfile and login are two answers"):
        Load(arrivals_per_s=1, locustfile="users.py", login=login)
    pressing = Load(arrivals_per_s=1, locustfile="users.py")
    assert pressing.asking((), pressing.told, login).login is None


def test_a_value_of_a_key_is_no_users():
    """Whether a value was lost is known by its key alone."""
    told = {"name": "look", "path": "/of/{user}/{key}", "reads": "/value"}
    with pytest.raises(ValidationError, match="its path is another one for each user"):
        DeclaredRequest.model_validate(told)


def test_a_body_may_stand_in_a_file(tmp_path):
    """It is read with readiness.toml, and held to what a body beside it is held to."""
    (tmp_path / "bodies").mkdir()
    (tmp_path / "bodies/buy.json").write_text('{"id": "{unique}", "näme": "ü"}')
    told = settings(tmp_path, request='body_file = "bodies/buy.json"\nechoes = { "/id" = "{unique}" }')
    (request,) = told.system.requests
    assert request.body == '{"id": "{unique}", "näme": "ü"}'
    assert request.body_file is None


@pytest.mark.parametrize(
    ("body", "request_", "said"),
    [
        (None, 'body_file = "buy.json"', "cannot read the file: No such file or directory"),
        (b"\xff\xfe", 'body_file = "buy.json"', "it is not UTF-8"),
        (b"{unknown}", 'body_file = "buy.json"', "unknown placeholder {unknown}"),
        (b"{user}", 'body_file = "buy.json"', "the request buy says {user}, which is not known"),
        (b"x" * 1_000_001, 'body_file = "buy.json"', "has 1 000 001 bytes"),
        (b"{}", 'body_file = "../buy.json"', "leads elsewhere"),
        (b"{}", 'body_file = "buy.json"\nbody = "{}"', "two answers to one question"),
        (b"{}", 'body_file = "buy.json"\nechoes = { "/id" = "{unique}" }', "its answer is to echo {unique}"),
    ],
)
def test_a_file_that_is_no_body_is_refused_with_its_line(tmp_path, body, request_, said):
    """Before anything starts: which file, and which line names it."""
    if body is not None:
        (tmp_path / "buy.json").write_bytes(body)
    told = refused(tmp_path, request=request_)
    assert said in told
    assert "readiness.toml:" in told


@pytest.mark.parametrize(("users", "lasts_s"), [(1, 10.0), (8, 10.0), (9, 20.0), (16, 20.0), (1000, 1250.0)])
def test_logins_may_take_as_long_as_their_answers(users, lasts_s):
    """Eight at a time, each two steps of at most five seconds."""
    login = Login.model_validate({"users": users, "steps": [STEP, STEP]})
    assert login_lasts_s(login, 5.0) == lasts_s
    assert login_lasts_s(None, 5.0) == 0.0


def test_cookies_are_names_and_values():
    """What else is said of them is for browsers; the last of a name counts; what is no pair is none."""
    said = ["a=1; Path=/; HttpOnly", "b = x=y ;Secure", "a=2", "nothing", "=v"]
    assert cookies_in(said) == {"a": "2", "b": "x=y"}


PIECES = st.sampled_from(
    ["{key}", "{unique}", "{user}", "{login.a}", "{secret.S}", "%", "%d", "%s", "{", "}", "{ x}", "é"]
)
VALUES = st.text(st.characters(codec="ascii", exclude_characters="\n\r"), max_size=5)


@given(
    pieces=st.lists(PIECES, max_size=8),
    key=st.integers(0, 10**6),
    number=st.integers(0, 10**6),
    told=st.lists(VALUES, min_size=1, max_size=4),
    secret=VALUES,
)
def test_a_template_is_its_pieces_filled_in(pieces, key, number, told, secret):
    """Whatever stands beside the words, and whatever is told, comes out as it is: percent signs and braces as well."""
    clients = Clients({"S": secret}, [{"login.a": each} for each in told])
    whose = number % len(told)
    values = {
        "{key}": str(key),
        "{unique}": f"7-{number}",
        "{user}": str(whose + 1),
        "{login.a}": told[whose],
        "{secret.S}": secret,
    }
    joined = " ".join(pieces)
    assert filling(joined, "7", clients)(key, number) == " ".join(values.get(each, each) for each in pieces)
