"""The reference core's balancer for the suite that any balancer must keep."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fixtures.reference.core.balancer import Balancer, BalancerPolicy, Choice

if TYPE_CHECKING:
    from random import Random

    from fixtures.reference.core.balancer import Lease
    from harness.clock import FakeClock
    from suites.contract.core.balancer import Outcome


class Ours:
    """`fixtures/reference/core/balancer`, which offers all of it."""

    offers = frozenset(Choice) | {"bounded_load", "ejection", "panic", "slow_start", "threads"}

    def build(self, hosts: dict[str, int], *, choice: str, clock: FakeClock, random: Random) -> OurBalanced:
        return OurBalanced(Balancer(hosts, BalancerPolicy(choice=Choice(choice)), clock=clock, random=random))


class OurBalanced:
    """One of ours; its tickets are leases."""

    def __init__(self, balancer: Balancer) -> None:
        self.balancer = balancer
        self.add, self.remove = balancer.add, balancer.remove

    def pick(self, key: str | None = None) -> tuple[str, Lease]:
        lease = self.balancer.pick(key)
        return lease.host, lease

    def finish(self, ticket: Lease, outcome: Outcome) -> None:
        getattr(self.balancer, outcome)(ticket)

    def in_flight(self) -> dict[str, int]:
        return {host.name: host.in_flight for host in self.balancer.hosts()}
