"""Which components of a system have a standby, and when a write counts as done there."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

Replicates = Literal["asynchronous", "synchronous"]
"""Whether a server acknowledges a write when it has it, or when its standby has it as well."""

Standbys = dict[Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,21}$")], Replicates]
"""By the name of the component, to which the standby's adds `-standby`; both name targets of at most 31 characters."""
