"""What a fault hits: a service (`redis`: every edge into it, or its process) or one edge (`replica-1.redis`)."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from harness.spec.model import Model

Target = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,30}(\.[a-z0-9][a-z0-9-]{0,30})?$")]


class Targeted(Model):
    """What every fault says."""

    target: Target


def nothing_to_hit(fault: Targeted) -> str:
    """Say that the target of a fault is not there: such a fault must never look like a survived one."""
    return f"the fault `{fault}` has nothing to hit: there is no {fault.target!r}"
