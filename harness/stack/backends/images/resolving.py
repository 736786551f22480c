"""Finding the image of each role: the official one, else our own; one that is in the engine before one that is not."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from docker.errors import ImageNotFound

from harness.clock import SystemClock
from harness.errors import HarnessError, MissingError, StackError
from harness.stack.backends.engine import speaking
from harness.stack.backends.images.plan import FAMILY, Found, Order, Plan, nothing_named, planned
from harness.stack.backends.images.registry import Registries, pull
from harness.stack.backends.images.table import OFFICIAL, SERVICE, roles_of

if TYPE_CHECKING:
    from pathlib import Path

    from docker import DockerClient

    from harness.spec.system import Subject, System

ANSWER_WITHIN_S = 30.0
"""For all registries together, where containers were asked for."""

_KNOCK_WITHIN_S = 3.0
"""The same, where they were not."""


def resolve(client: DockerClient, system: System, project: Path) -> dict[str, str]:
    """Return an image for each role that the system needs, all in the engine; what only a registry has is pulled.

    Raises:
        SpecError: If readiness.toml names neither an image nor a Dockerfile of the service.
        StackError: If a role has no image: says what was tried, why that is not there, and what else is missing.
    """
    search, roles = Search.of(client, system, project), roles_of(system)
    registries = Registries(client, within_s=ANSWER_WITHIN_S, clock=SystemClock())
    reasons = {role: reason for role in roles if (reason := search.obtain(role, registries))}
    if reasons:
        raise _nothing_for(reasons, system.subject)
    return {role: search.found[role].reference for role in roles}


def missing(client: DockerClient, system: System, project: Path) -> list[str]:
    """Return the roles that have no image in the engine, and none that a registry is known to have; takes 3 s at most.

    Raises:
        StackError: If the engine refuses.
    """
    search = Search.of(client, system, project, allows_nothing=True)
    registries = Registries(client, within_s=_KNOCK_WITHIN_S, clock=SystemClock())
    absent = [role for role in roles_of(system) if search.present(role) is None]
    return [role for role in absent if not (official := search.official(role)) or registries.why_not(official)]


@dataclass
class Search:
    """Looks for the image of one role after the other, the base first: the names of the others depend on it.

    Attributes:
        client: Of the engine.
        order: For whom.
        found: What was found so far, by role.
    """

    client: DockerClient
    order: Order
    found: dict[str, Found] = field(default_factory=dict)

    @classmethod
    def of(cls, client: DockerClient, system: System, project: Path, *, allows_nothing: bool = False) -> Search:
        """Begin to look.

        Raises:
            SpecError: If readiness.toml names nothing to look for as the service, unless that is allowed.
            StackError: If the engine does not say what it runs on.
        """
        if not (allows_nothing or system.compose or system.subject.image or system.subject.dockerfile):
            raise nothing_named()
        with speaking("say what it runs on"):
            architecture = client.version()["Arch"]
        return cls(client, Order(system, project, architecture))

    def official(self, role: str) -> str | None:
        """Return what a registry would be asked for; nothing, for what none has."""
        if role == SERVICE:
            return self.order.system.subject.image
        return OFFICIAL[role].reference if role in OFFICIAL else None

    def is_ready_made(self, role: str) -> bool:
        """Tell whether it is the user's own image, which is not for us to make."""
        return role == SERVICE and self.order.system.subject.image is not None

    def plan(self, role: str) -> Plan:
        """Return how it is made here; see `planned` for what it raises."""
        return planned(role, self.order, self.found.get("base"))

    def present(self, role: str) -> Found | None:
        """Return what the engine has for a role, the official image first."""
        official = self.official(role)
        found = (in_engine(self.client, official) if official else None) or self._made_here(role)
        if found:
            self.found[role] = found
        return found

    def _made_here(self, role: str) -> Found | None:
        try:
            return in_engine(self.client, self.plan(role).reference)
        except HarnessError:  # what cannot be made here has not been
            return None

    def obtain(self, role: str, registries: Registries) -> str:
        """Find the image of a role, or pull it; return why it cannot be had, nothing if it is."""
        if self.present(role):
            return ""
        official = self.official(role)
        reason = registries.why_not(official) if official else ""
        if official and not reason:
            pull(self.client, official)
            self.present(role)
            return ""
        tried = [f"{official} ({reason})"] if official else []
        tried += [] if self.is_ready_made(role) else [self._why_not_made_here(role)]
        return " and ".join(tried)

    def _why_not_made_here(self, role: str) -> str:
        try:
            return f"{self.plan(role).reference} (not built)"
        except StackError as error:
            return f"{FAMILY}/{role} ({error.what})"


def in_engine(client: DockerClient, reference: str) -> Found | None:
    """Return an image of the engine, None if it is not there.

    Raises:
        StackError: If the engine refuses.
    """
    with speaking(f"look for {reference}"):
        try:
            return Found(reference, client.images.get(reference).id)
        except ImageNotFound:
            return None


def _nothing_for(reasons: dict[str, str], subject: Subject) -> StackError:
    (role, tried), *others = reasons.items()
    more = f"; missing as well: {', '.join(role for role, _ in others)}" if others else ""
    fix = "nox -s images builds it from wheels, with no registry (elsewhere: readiness images, in this environment)"
    if role == SERVICE and subject.image:
        fix = f"build it or load it: docker build --tag {subject.image} …"
    return MissingError(f"no image for {role}: tried {tried}{more}", where="the Docker engine", fix=fix)
