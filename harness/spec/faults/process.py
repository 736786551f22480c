"""Faults of a process: a target is a service, on whatever it runs."""

from __future__ import annotations

from typing import Literal

from harness.spec.faults.target import Targeted


class Kill(Targeted):
    """The target's process gets SIGKILL; healing starts it again on the same address."""

    kind: Literal["kill"]

    def __str__(self) -> str:
        return f"{self.target} killed"


ProcessFault = Kill
