"""What the load balancer asks a second replica for when the first one dies over a request: only what may be repeated."""

from __future__ import annotations

from contextlib import ExitStack

import pytest

from harness.stack.ports import reserve
from suites.support.balanced import ANSWER, asked, balanced, replica


@pytest.mark.parametrize(("method", "times"), [("POST", 1), ("PATCH", 1), ("PUT", 2), ("DELETE", 2), ("GET", 2)])
def test_only_what_may_be_repeated_is_asked_of_a_second_replica(tmp_path, method, times):
    """The first replica may have done what it did not answer: done again, a POST would be another one."""
    with ExitStack() as leaving:
        first, second = leaving.enter_context(replica()), leaving.enter_context(replica())
        url = leaving.enter_context(balanced(tmp_path, first.address, second.address))

        status = asked(url, method)

    assert status == 502
    assert first.heard + second.heard == [f"{method} body".encode()] * times
    assert max(len(first.heard), len(second.heard)) == 1


def test_what_no_replica_has_heard_is_no_repetition(tmp_path):
    """One of the two is not there, and has its turn among three requests: whatever their method, the other one gets all."""
    with replica(ANSWER) as there, balanced(tmp_path, reserve(), there.address) as url:
        statuses = [asked(url, "POST") for _ in range(3)]

    assert statuses == [200] * 3
    assert there.heard == [b"POST body"] * 3
