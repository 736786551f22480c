"""A link to a real Redis that fails as told: at the moments when a process can die or an answer can be lost."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

from fixtures.reference.core.breaker import DependencyFailed
from fixtures.reference.core.redis_link import RedisLink, Script

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fixtures.reference.core.breaker import Breaker
    from fixtures.reference.core.redis_link import RedisLinkPolicy


CALL = Script("return redis.call(unpack(ARGV))")


async def said(link: RedisLink, *words: str | bytes | float) -> Any:
    """Send one command and return what Redis said, without what the client makes of it."""
    return await link.run(CALL, [], words)


class Died(BaseException):
    """The process is gone: nothing of it runs any more. Not an `Exception`, which a process could outlive."""


class FatedLink(RedisLink):
    """A link whose next scripts meet these fates, in this order; those that follow meet none.

    Attributes:
        fates: `ok`; `dies` before the script is sent; `lost`: it is done, and its answer is not heard; `down`: it is
            neither sent nor answered.
        sent: Scripts that reached Redis, count.
    """

    def __init__(self, policy: RedisLinkPolicy, *, breaker: Breaker) -> None:
        super().__init__(policy, breaker=breaker)
        self.fates: deque[str] = deque()
        self.sent = 0

    async def run(self, script: Script, keys: Sequence[str], arguments: Sequence[Any]) -> Any:
        """Run a script, as far as its fate lets it."""
        fate = self.fates.popleft() if self.fates else "ok"
        if fate == "dies":
            raise Died
        if fate == "down":
            raise DependencyFailed("redis", ConnectionRefusedError())
        answer = await super().run(script, keys, arguments)
        self.sent += 1
        if fate == "lost":
            raise DependencyFailed("redis", TimeoutError(), may_have_acted=True)
        return answer
