"""Which image plays which role: the official ones, pinned; and what ours are made of where no registry answers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness.stack import nginx
from harness.stack.components import COMPONENTS
from harness.stack.image import Image, Module, Pin

if TYPE_CHECKING:
    from collections.abc import Mapping

    from harness.spec.system import System


@dataclass(frozen=True, slots=True, kw_only=True)
class Debian:
    """A root file system of packages, made by debootstrap.

    Attributes:
        suite: Of Debian.
        variant: How little of it.
        include: Packages besides.
        leave_out: What a container never needs, as patterns of tar.
    """

    suite: str
    variant: str
    include: tuple[str, ...]
    leave_out: tuple[str, ...]


DEBIAN = Debian(
    suite="bookworm",
    variant="minbase",
    include=("python3", "ca-certificates"),
    leave_out=(
        *("./var/cache/*", "./var/lib/apt/lists/*", "./var/log/*"),
        *("./usr/share/man/*", "./usr/share/locale/*"),
    ),
)
"""What our own base is made of."""

TOXIPROXY = Image(
    official=Pin("ghcr.io/shopify/toxiproxy", "2.12.0"),
    made_of=Module(
        module="github.com/Shopify/toxiproxy/v2/cmd/server@v2.12.0",
        link="-s -w -X github.com/Shopify/toxiproxy/v2.Version=2.12.0",  # without that it calls itself `git`
        program="toxiproxy",
    ),
    dockerfile="""\
# Toxiproxy from its Go module: one static program and nothing else, as in Shopify's own image.
FROM scratch
COPY toxiproxy /toxiproxy
USER 10001:10001
EXPOSE 8474
ENTRYPOINT ["/toxiproxy"]
CMD ["-host=0.0.0.0"]
""",
)

BASE, SERVICE = "base", "service"
"""The bare Python that the service's image is built on and that sandboxes run in; and the judged service."""

SERVERS: Mapping[str, Image | None] = {
    **{kind: component.image for kind, component in COMPONENTS.items()},
    "nginx": nginx.IMAGE,
    "proxy": TOXIPROXY,
}
"""By role: every kind of component, and what each stack has besides; None for what cannot run in a container."""

ROLES = (BASE, *SERVERS, SERVICE)
"""All that there are, in the order in which they are had: others are made on the base."""

OFFICIAL: Mapping[str, Pin] = {
    BASE: Pin("python", "3.13-slim"),
    **{role: image.official for role, image in SERVERS.items() if image},
}
"""By role. The judged service has none here: it is the user's own."""


def roles_of(system: System) -> tuple[str, ...]:
    """Return the roles that a system needs an image for, in the order in which they are had.

    Of a compose file these are what stands around its services, which have images of their own.
    """
    if system.compose is not None:
        return tuple(role for role in ROLES if role in {BASE, "nginx", "proxy"})
    needed = {BASE, SERVICE, "nginx", "proxy", *system.kinds.values()}
    return tuple(role for role in ROLES if role in needed)
