"""The reference core's balancer keeps what every balancer must."""

from __future__ import annotations

from suites.contract.core.balancer import BalancerContract
from suites.support.core.balancers import Ours


class TestOurBalancer(BalancerContract):
    """LB1 to LB7."""

    adapter = Ours()
