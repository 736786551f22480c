"""The fault proxy's server, and the one place that speaks to it: toxiproxy-python, hardened.

What toxiproxy-python 0.1.1 does on its own, and what is done about it here: its server address is a class attribute,
shared by all instances (set under a lock for every call); no request has a time-out (5 s); a 5xx answer passes as
success (raised); it honours HTTP_PROXY even for loopback (ignored); `add_toxic` returns nothing and `down()` enables
what was disabled before (not used).
"""

from __future__ import annotations

import json
import re
import sys
import threading
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import requests
import toxiproxy.api
from toxiproxy import Toxiproxy
from toxiproxy.api import APIConsumer
from toxiproxy.exceptions import InvalidToxic, NotFound, ProxyExists

from harness.errors import FaultProxyError, StackError
from harness.stack import meter
from harness.stack.health_probe import HealthProbe
from harness.stack.http_client import http_question
from harness.stack.ports import reserve
from harness.stack.recipe import ContainerRecipe, Recipe
from harness.stack.service import ANYWHERE, LOOPBACK, Address

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from toxiproxy.proxy import Proxy

PORT = 8474
"""Where its API listens in a container."""

METER_PORT = 8475
"""Where the meter in its sandbox listens."""

ANSWER_WITHIN_S = 5.0
"""A frozen server must not freeze the harness (Toxiproxy 2.12 can freeze for good when a reader stalls)."""


class _HardenedRequests:
    """Stands where toxiproxy-python expects the module `requests`: time-outs, no environment, 5xx raises."""

    def __init__(self) -> None:
        self._session = requests.Session()
        self._session.trust_env = False

    def get(self, url: str, **options: Any) -> requests.Response:
        return self._ask("GET", url, options)

    def post(self, url: str, **options: Any) -> requests.Response:
        return self._ask("POST", url, options)

    def delete(self, url: str, **options: Any) -> requests.Response:
        return self._ask("DELETE", url, options)

    def _ask(self, method: str, url: str, options: Mapping[str, Any]) -> requests.Response:
        response = self._session.request(method, url, **{"timeout": ANSWER_WITHIN_S, **options})
        if response.status_code >= 500:
            response.raise_for_status()
        return response


toxiproxy.api.requests = _HardenedRequests()
_SPEAKING = threading.Lock()
_NO_ANSWER = (KeyError, ValueError, TypeError, AttributeError)
"""What toxiproxy-python makes of an answer that no Toxiproxy gives."""
_ANY_PORT = Address(LOOPBACK, 0)
_CROSSED = r'^toxiproxy_proxy_received_bytes_total{{direction="upstream",.*proxy="{edge}".*}} (\S+)$'


@dataclass(frozen=True, slots=True)
class Toxic:
    """One toxic on one edge.

    Attributes:
        edge: The proxy's name.
        name: Unique on its edge.
        kind: Toxiproxy's type: `latency`, `timeout`, …
        attributes: Whole numbers in Toxiproxy's own units.
        stream: `downstream` hurts answers, `upstream` questions.
    """

    edge: str
    name: str
    kind: str
    attributes: Mapping[str, int] = field(default_factory=dict)
    stream: str = "downstream"


@dataclass(frozen=True, slots=True)
class Shown:
    """A proxy as its server shows it.

    Attributes:
        listen: Where it listens, as that machine sees it.
        upstream: Where it leads, as that machine sees it.
        is_enabled: Whether it listens now.
    """

    listen: str
    upstream: str
    is_enabled: bool


class ProxyServer:
    """A running fault proxy, ours or Toxiproxy, by the address of its API.

    Args:
        api: Where its API listens.
        open_bytes: What clients have sent through an edge on connections that are still open, where the server counts
            only those that have ended, as Toxiproxy does; ours counts all.
        called: What each edge is called there, where its proxies are somebody else's; by default as itself.
    """

    def __init__(
        self,
        api: Address,
        open_bytes: Callable[[str], int] = lambda _edge: 0,
        called: Mapping[str, str] | None = None,
    ) -> None:
        self.api = api
        self._open_bytes = open_bytes
        self._called = called or {}
        self.is_lent = called is not None
        self._own_bytes: Counter[str] = Counter()

    def called(self, edge: str) -> str:
        """Return what the proxy of an edge is called on the server, and so in the ledger."""
        return self._called.get(edge, edge)

    def shown(self) -> dict[str, Shown]:
        """Return every proxy of the server, by its name there."""
        with self._speaking("list its proxies") as server:
            found = server.proxies().values()
        return {each.name: Shown(each.listen, each.upstream, bool(each.enabled)) for each in found}

    def create(self, name: str, upstream: Address, listen: Address = _ANY_PORT) -> Address:
        """Put a proxy before `upstream`; return the address where it listens."""
        with self._speaking(f"create the proxy {name}") as server:
            created = server.create(upstream=str(upstream), name=name, listen=str(listen))
        host, _, port = created.listen.rpartition(":")
        return Address(host, int(port))

    def disable(self, name: str) -> None:
        """Refuse new connections on a proxy and cut open ones."""
        with self._speaking(f"disable {name}") as server:
            self._proxy(server, name).disable()

    def enable(self, name: str) -> None:
        """Listen again, on the same address."""
        with self._speaking(f"enable {name}") as server:
            self._proxy(server, name).enable()

    def lead(self, name: str, upstream: Address) -> None:
        """Lead what comes through a proxy elsewhere, and end what is open; it listens where it did, toxics and all.

        Raises:
            FaultProxyError: If it does not; a proxy may say yes and do nothing.
        """
        with self._speaking(f"lead {name} to {upstream}") as server:
            wire = self._proxy(server, name).name  # it is there
            APIConsumer.post(f"/proxies/{wire}", json={"upstream": str(upstream)})
            if (leads := self._proxy(server, name).upstream) != str(upstream):
                raise ValueError(f"it still leads to {leads}")

    def upstream(self, name: str) -> str:
        """Return where a proxy leads, as `host:port`."""
        with self._speaking(f"look at {name}") as server:
            return str(self._proxy(server, name).upstream)

    def add(self, toxic: Toxic) -> None:
        """Hurt an edge."""
        with self._speaking(f"add {toxic.name} to {toxic.edge}") as server:
            self._proxy(server, toxic.edge).add_toxic(
                name=toxic.name, type=toxic.kind, stream=toxic.stream, attributes=dict(toxic.attributes)
            )

    def remove(self, edge: str, toxic: str) -> None:
        """Stop hurting an edge; one that is hurt no more, or is gone, is as good."""
        with self._speaking(f"remove {toxic} from {edge}") as server:
            proxy = server.get_proxy(self.called(edge))
            if proxy is not None and proxy.get_toxic(toxic) is not None:
                proxy.destroy_toxic(toxic)

    def toxics(self, edge: str) -> list[Toxic]:
        """Return the toxics on an edge."""
        with self._speaking(f"list the toxics of {edge}") as server:
            found = self._proxy(server, edge).toxics().values()
        return [Toxic(edge, each.name, each.type, each.attributes, each.stream) for each in found]

    def is_enabled(self, name: str) -> bool:
        """Tell whether a proxy listens."""
        with self._speaking(f"look at {name}") as server:
            return bool(self._proxy(server, name).enabled)

    def note_question(self, edge: str, length_bytes: int) -> None:
        """Remember that the harness itself sent so much through a proxy: its looks are no traffic of a client's."""
        with _SPEAKING:  # several edges are looked at together
            self._own_bytes[edge] += length_bytes

    def client_bytes(self, edge: str) -> int:
        """Return how many bytes clients have sent through a proxy so far, the harness's own questions aside.

        What the harness has just asked may be counted a moment later, and is missing here until then.
        """
        return self.crossed_bytes(edge) - self._own_bytes[edge]

    def crossed_bytes(self, edge: str) -> int:
        """Return how many bytes have been sent through a proxy so far, by anything that connects to it."""
        return self._crossed([edge])[edge]

    def all_client_bytes(self, edges: Iterable[str]) -> dict[str, int]:
        """Return the same as `client_bytes` of several edges, asked of the server at once."""
        return {edge: crossed - self._own_bytes[edge] for edge, crossed in self._crossed(list(edges)).items()}

    def _crossed(self, edges: Sequence[str]) -> dict[str, int]:
        with self._speaking(f"count what crossed {', '.join(edges)}"):
            metrics = APIConsumer.get("/metrics").text
        # Toxiproxy has a count for each place that a proxy has led to.
        counted = {edge: self._counted(edge, metrics) for edge in edges}
        return {
            edge: sum(int(float(each)) for each in found) + self._open_bytes(edge) for edge, found in counted.items()
        }

    def _counted(self, edge: str, metrics: str) -> list[str]:
        return re.findall(_CROSSED.format(edge=re.escape(self.called(edge))), metrics, re.MULTILINE)

    def version(self) -> str:
        """Return the version that the server claims."""
        with self._speaking("ask its version") as server:
            answer = server.version()  # None, not an error, if nothing listens
            if answer is None:
                raise requests.ConnectionError("nothing listens there")
            return str(json.loads(answer)["version"])

    def _proxy(self, server: Toxiproxy, name: str) -> Proxy:
        found = server.get_proxy(self.called(name))
        if found is None:
            raise NotFound(f"no proxy {name}".encode())
        return found

    @contextmanager
    def _speaking(self, what: str) -> Iterator[Toxiproxy]:
        """Point the client at this server, and turn every way to fail into one error."""
        with _SPEAKING:
            server = Toxiproxy()
            server.update_api_consumer(self.api.host, self.api.port)
            try:
                yield server
            except (requests.RequestException, InvalidToxic, NotFound, ProxyExists, *_NO_ANSWER) as error:
                log = "its own log" if self.is_lent else "proxy.log"
                fix = f"see {log}; if it hangs, restart it: toxics of a frozen server cannot be removed"
                raise FaultProxyError(
                    f"the fault proxy could not {what}: {error}", where=str(self.api), fix=fix
                ) from error


def local(address: Address, seed: int) -> Recipe:
    """Describe our own fault proxy as a local process."""
    options = ["-host", address.host, "-port", str(address.port), "-seed", str(seed), "-proxy-metrics"]
    return Recipe(
        name="proxy",
        argv=[sys.executable, "-P", "-m", "harness.faultproxy", *options],
        address=address,
        probe=_probe("fault proxy, Toxiproxy API"),
    )


def contained(image: str, seed: int, doors: Mapping[int, Address]) -> ContainerRecipe:
    """Describe the real Toxiproxy as a container, with a meter in its sandbox.

    Args:
        image: Present in the engine.
        seed: Of its dice.
        doors: Where each port that a proxy will listen on is reached from here.
    """
    return ContainerRecipe(
        name="proxy",
        image=image,
        port=PORT,
        published={PORT: reserve(), METER_PORT: reserve(), **doors},
        command=["-host", ANYWHERE, "-port", str(PORT), "-seed", str(seed), "-proxy-metrics"],
        sandbox=["python3", "-c", Path(meter.__file__).read_text(encoding="utf-8"), str(METER_PORT)],
        probe=_probe("Toxiproxy"),
    )


def _probe(called: str) -> HealthProbe:
    return HealthProbe(
        is_answering=is_answering,
        question=b"GET /version HTTP/1.0\r\n\r\n",
        long_question=partial(http_question, "/version"),
        version=lambda at: f"{called} {ProxyServer(at).version()}",
    )


def is_answering(address: Address) -> bool:
    """Tell whether its API answers."""
    try:
        return bool(ProxyServer(address).version())
    except StackError:
        return False
