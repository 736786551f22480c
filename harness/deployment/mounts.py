"""What a service mounts, in either form that a compose file has for it.

Source: Compose Specification, "volumes" of a service.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from harness.deployment.outside import is_from_outside, is_yes

_SCRATCH = re.compile(r"/(tmp|var/tmp|run|var/run|dev|proc|sys)(/|$)")
_HOST_PATH = ("/", ".", "~", "$")
_SETTINGS = re.compile(r"^/(etc|docker-entrypoint[^/]*)(/|$)|\.(conf|cnf|ini|json|ya?ml|toml|env|sh|sql|pem|crt|key)$")


@dataclass(frozen=True, slots=True)
class Mount:
    """One mount.

    Attributes:
        source: A path of the machine, or the name of a volume; empty for one that has no name.
        target: Where it is in the container.
        is_writable: Whether the file says that it may be written to; what only the outside knows is taken for a no.
        is_in_memory: It is a tmpfs.
    """

    source: str
    target: str
    is_writable: bool
    is_in_memory: bool = False

    @property
    def is_of_the_machine(self) -> bool:
        """Tell whether a path of the machine is mounted, or may be."""
        return self.source.startswith(_HOST_PATH)

    @property
    def is_scratch(self) -> bool:
        """Tell whether nobody keeps anything there."""
        return bool(_SCRATCH.match(self.target))

    @property
    def may_hold_state(self) -> bool:
        """Tell whether what a service keeps can be there: neither scratch, nor the settings that it is given."""
        return self.is_writable and not self.is_scratch and not _SETTINGS.search(self.target)


def mount_of(says: Any) -> Mount:
    """Return a mount, whatever form the file gives it."""
    if isinstance(says, dict):
        read_only = says.get("read_only")
        return Mount(
            source=str(says.get("source") or ""),
            target=str(says.get("target") or ""),
            is_writable=not is_yes(read_only) and not is_from_outside(read_only),
            is_in_memory=says.get("type") == "tmpfs",
        )
    first, *rest = str(says).split(":")
    if not rest:
        return Mount(source="", target=first, is_writable=True)
    modes = rest[1].split(",") if len(rest) > 1 else []
    is_writable = "ro" not in modes and not any(map(is_from_outside, modes))
    return Mount(source=first, target=rest[0], is_writable=is_writable)
