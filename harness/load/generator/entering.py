"""Users log in, before there is a load: by the client that the load is sent with, and some at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gevent.pool import Pool
from geventhttpclient import HTTPClient
from locust.contrib.fasthttp import FAILURE_EXCEPTIONS

from harness.load.clients import LOGINS_AT_A_TIME, LoginAnswer, logged_in
from harness.load.generator.users import believing

if TYPE_CHECKING:
    from collections.abc import Mapping

    from harness.load.filling import Clients
    from harness.load.plan import LoadPlan


def entered(plan: LoadPlan) -> Clients:
    """Let the users of a plan log in, and return those who send its requests.

    Raises:
        LoadError: If one cannot.
    """
    client = HTTPClient.from_url(
        plan.base_url,
        concurrency=LOGINS_AT_A_TIME,
        connection_timeout=plan.connect_within_s,
        network_timeout=plan.answer_within_s,
        ssl_context_factory=believing(plan),
    )

    def ask(method: str, path: str, headers: Mapping[str, str], body: bytes | None) -> LoginAnswer | None:
        try:
            response = client.request(method, path, body=body or b"", headers=dict(headers))
            content = bytes(response.read())
        except FAILURE_EXCEPTIONS:
            return None
        pairs = [(name.lower(), value) for name, value in response.items()]
        cookies = tuple(value for name, value in pairs if name == "set-cookie")
        return LoginAnswer(response.status_code, dict(pairs), cookies, content)

    try:
        return logged_in(plan.load, plan.secrets, ask, mark=plan.mark, at_once=Pool(LOGINS_AT_A_TIME).imap)
    finally:
        client.close()
