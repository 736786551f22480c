"""What trouble is wished for: one frozen value per fault, in SI units, told apart by `kind`.

A target names a service (`redis`: every edge into it, or its process) or one edge (`replica-1.redis`).
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from harness.spec.model import Model
from harness.spec.quantity import Duration, duration_text

Target = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,30}(\.[a-z0-9][a-z0-9-]{0,30})?$")]


class Down(Model):
    """Connections to the target are refused and open ones are cut, while its process lives on."""

    kind: Literal["down"]
    target: Target

    def __str__(self) -> str:
        return f"{self.target} down"


class Latency(Model):
    """Every answer of the target arrives later.

    Attributes:
        delay: Added to each answer.
        jitter: Uniform deviation around `delay`.
    """

    kind: Literal["latency"]
    target: Target
    delay: Duration = Field(gt=0, le=60)
    jitter: Duration = Field(default=0.0, ge=0, le=60)

    def __str__(self) -> str:
        deviation = f" ± {duration_text(self.jitter)}" if self.jitter else ""
        return f"{self.target} +{duration_text(self.delay)}{deviation}"


class Kill(Model):
    """The target's process gets SIGKILL; healing starts it again on the same address."""

    kind: Literal["kill"]
    target: Target

    def __str__(self) -> str:
        return f"{self.target} killed"


Fault = Annotated[Down | Latency | Kill, Field(discriminator="kind")]
"""Any fault that a scenario may ask for."""
