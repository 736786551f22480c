"""The seam of standbys: how a kind of server keeps a copy of itself, and how that takes its place."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from harness.spec.standby import Replicates
    from harness.stack.recipe import ContainerRecipe, Recipe
    from harness.stack.service import Address, Workspace


@dataclass(frozen=True, slots=True, kw_only=True)
class Replication:
    """How a kind of server keeps a copy of itself.

    A standby finds its primary at a door of the fault proxy, so that what it copies can be made late, or be cut off.

    Attributes:
        modes: When a write can count as done, the usual first.
        local_primary: Tells a server that is described as a local process that it will have a standby, given that
            one's name.
        local_standby: Describes the standby, given its name, its primary, the door, and where to run.
        contained_primary: The same of a container.
        contained_standby: The same of a container; it is not told where to run.
        position: Asks a server how far it is, in bytes that only grow: a primary what it has written, a standby what
            it has received. Raises OSError if it does not answer.
        promote: Makes a standby a primary, and returns when it takes writes; one that is so already is as good.
            Raises OSError if it does not become one.
    """

    modes: tuple[Replicates, ...]
    local_primary: Callable[[Recipe, str, Replicates], Recipe]
    local_standby: Callable[[str, Recipe, Address, Workspace], Recipe]
    contained_primary: Callable[[ContainerRecipe, str, Replicates], ContainerRecipe]
    contained_standby: Callable[[str, ContainerRecipe, Address], ContainerRecipe]
    position: Callable[[Address], int]
    promote: Callable[[Address], None]
