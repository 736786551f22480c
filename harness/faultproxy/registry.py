"""All proxies of the program, and the rules of create, update, populate and reset.

Whatever has to be waited for (looking up a host name) is done before anything changes, so that each request changes
the world in one turn of the event loop, and either wholly or not at all.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness.faultproxy.address import Address, bound_address, refuse_impossible, resolve
from harness.faultproxy.errors import (
    AddressError,
    ApiError,
    PopulateError,
    cannot_listen,
    invalid_value,
    missing_field,
    proxy_exists,
    proxy_not_found,
    refuse_unreachable,
)
from harness.faultproxy.proxy import Proxy
from harness.faultproxy.toxic import Change, Toxic, read_toxic, refuse_too_many
from harness.faultproxy.wire import Fields

if TYPE_CHECKING:
    from harness.faultproxy.program import Program


@dataclass(frozen=True, slots=True)
class Wish:
    """A proxy as it is asked for.

    Attributes:
        name: Its name.
        listen: Where it shall listen, as written.
        upstream: Where it shall lead, as written.
        is_enabled: Whether it shall listen at once.
        toxics: What shall be on it; an extension, the original ignores the key.
    """

    name: str
    listen: str
    upstream: str
    is_enabled: bool
    toxics: tuple[Toxic, ...]


def read_wish(value: object, place: str = "", *, is_strict: bool = False) -> Wish:
    """Read a proxy from a request or a configuration.

    Args:
        value: The decoded object.
        place: Appended to errors, " at proxy 2".
        is_strict: Ignore `toxics` and accept any name and upstream, as the original does.

    Raises:
        ApiError: 400.
    """
    fields = Fields(value, "Proxy")
    name, listen, upstream = fields.text("name"), fields.text("listen"), fields.text("upstream")
    is_enabled = fields.flag("enabled")
    if not name:
        raise missing_field(f"name{place}")
    if not upstream:
        raise missing_field(f"upstream{place}")
    if not is_strict:
        refuse_unreachable(name)
        _refuse_impossible(upstream, place)
    return Wish(name, listen or "", upstream, is_enabled is not False, () if is_strict else _read_toxics(fields))


def _read_toxics(fields: Fields) -> tuple[Toxic, ...]:
    toxics: list[Toxic] = []
    for value in fields.items("toxics") or []:
        toxics.append(read_toxic(Fields(value, "ToxicWrapper"), toxics))
    return tuple(toxics)


def _refuse_impossible(upstream: str, place: str = "") -> None:
    try:
        refuse_impossible(upstream)
    except AddressError as error:
        raise invalid_value(f"upstream{place} must be a host and a port: {error}") from error


class Registry:
    """Every proxy, by name."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self._proxies: dict[str, Proxy] = {}

    def all(self) -> list[Proxy]:
        """Return the proxies, sorted by name as Go's JSON sorts them."""
        return [self._proxies[name] for name in sorted(self._proxies)]

    def get(self, name: str) -> Proxy:
        """Return one proxy.

        Raises:
            ApiError: 404.
        """
        if name not in self._proxies:
            raise proxy_not_found()
        return self._proxies[name]

    async def create(self, wish: Wish) -> Proxy:
        """Add a proxy; a taken name is refused before anything is bound.

        Raises:
            ApiError: 409 for a taken name, 500 if it cannot listen; nothing is stored then.
        """
        self._refuse_taken(wish.name)
        address = await _resolved(wish.listen, prefix="listen tcp: ") if wish.is_enabled else None
        self._refuse_taken(wish.name)
        return self._add(wish, address)

    async def update(self, name: str, fields: Fields) -> Proxy:
        """Change where a proxy listens or leads, or whether it does; all of it or, on an error, nothing.

        Raises:
            ApiError: 400, 404, or 500 if it cannot listen.
        """
        proxy = self.get(name)
        listen, upstream, wanted = fields.text("listen"), fields.text("upstream"), fields.flag("enabled")
        if upstream is not None and not self.program.is_strict:
            _refuse_impossible(upstream)
        address = await _resolved(proxy.listen if listen is None else listen)
        proxy = self.get(name)
        upstream = proxy.upstream if upstream is None else upstream
        _change(proxy, proxy.listen if listen is None else listen, upstream, address, wanted=wanted)
        if listen is not None:
            proxy.asked = listen
        return proxy

    def delete(self, name: str) -> None:
        """Stop a proxy and forget it.

        Raises:
            ApiError: 404.
        """
        self.get(name).dismiss()
        del self._proxies[name]

    async def populate(self, wishes: list[Wish]) -> list[dict[str, object]]:
        """Make sure that proxies exist; those that listen and lead as wished are left alone, the others replaced.

        Returns:
            The answers, one for each wish.

        Raises:
            PopulateError: 500 with the answers so far, if one cannot listen.
        """
        proxies: list[Proxy] = []
        for wish in wishes:
            try:
                proxies.append(await self._ensure(wish))
            except ApiError as error:
                raise PopulateError(error, [proxy.shown() for proxy in proxies] or None) from error
        return [proxy.shown() for proxy in proxies]

    async def reset(self) -> None:
        """Lift every toxic and enable every proxy; one that cannot listen does not keep the others from it.

        In strict mode it does: whatever comes after it is left alone, and so are its own toxics.

        Raises:
            ApiError: 500 for the first that could not listen.
        """
        failures: list[ApiError] = []
        for proxy in self.all():
            try:
                await _enable(proxy)
            except ApiError as error:
                if self.program.is_strict:
                    raise
                failures.append(error)
            proxy.remove_all_toxics()
        if failures:
            raise failures[0]

    def stop(self) -> None:
        """Stop every proxy."""
        for proxy in self.all():
            proxy.dismiss()

    def _refuse_taken(self, name: str) -> None:
        if name in self._proxies:
            raise proxy_exists()

    def _add(self, wish: Wish, address: Address | None) -> Proxy:
        proxy = Proxy(wish.name, wish.listen, wish.upstream, self.program)
        for toxic in wish.toxics:
            proxy.add_toxic(toxic)
        if address:
            _listen_or_dismiss(proxy, address)
        self._proxies[wish.name] = proxy
        return proxy

    async def _ensure(self, wish: Wish) -> Proxy:
        existing = self._proxies.get(wish.name)
        if not existing:
            return await self.create(wish)
        address = await _resolved(wish.listen)
        if self._is_there(existing, wish, address):
            _ensure_toxics(existing, wish.toxics)
            return existing
        # If the new one cannot listen, the old one stays, disabled, as in the original.
        existing.stop_listening()
        existing.cut_connections()
        replacement = self._add(wish, address if wish.is_enabled else None)
        existing.dismiss()
        return replacement

    def _is_there(self, existing: Proxy, wish: Wish, address: Address) -> bool:
        """Tell whether a proxy is what is wished for; the original compares texts, and some are never the same."""
        is_at = address.text == existing.listen
        if not self.program.is_strict:
            bound = _bound(existing)
            is_at |= wish.listen == existing.asked or (bound is not None and address.is_met_by(bound))
        return is_at and wish.upstream == existing.upstream


def _bound(proxy: Proxy) -> Address | None:
    """Return where a proxy listens, or did; `None` if it never has, and only knows what its client wrote."""
    with contextlib.suppress(ValueError):
        return bound_address(proxy.listen)
    return None


async def _resolved(listen: str, prefix: str = "") -> Address:
    try:
        return await resolve(listen)
    except AddressError as error:
        raise cannot_listen(f"{prefix}{error}") from error


def _listen(proxy: Proxy, address: Address) -> None:
    try:
        proxy.listen_on(address)
    except AddressError as error:
        raise cannot_listen(str(error)) from error


def _listen_or_dismiss(proxy: Proxy, address: Address) -> None:
    try:
        _listen(proxy, address)
    except ApiError:
        proxy.dismiss()
        raise


def _ensure_toxics(proxy: Proxy, toxics: tuple[Toxic, ...]) -> None:
    """Put on a proxy what is listed for it; what is not listed stays, as the original never takes toxics away here."""
    present = {toxic.name: toxic for toxic in proxy.toxics}
    listed = {toxic.name for toxic in toxics}
    refuse_too_many([*(toxic for name, toxic in present.items() if name not in listed), *toxics])
    for toxic in toxics:
        there = present.get(toxic.name)
        if there and (there.kind, there.direction) == (toxic.kind, toxic.direction):
            _bring_up_to_date(proxy, there, toxic)
            continue
        if there:
            proxy.remove_toxic(there)
        proxy.add_toxic(toxic)


def _bring_up_to_date(proxy: Proxy, there: Toxic, wanted: Toxic) -> None:
    """Change a toxic, unless it is as wanted: a change lets go of what is held."""
    change = Change(wanted.settings, wanted.toxicity, wanted.when)
    if change != Change(there.settings, there.toxicity, there.when):
        proxy.change_toxic(there, change)


def _change(proxy: Proxy, listen: str, upstream: str, address: Address, *, wanted: bool | None) -> None:
    was_enabled = proxy.is_enabled
    should_listen = was_enabled if wanted is None else wanted
    stays = address.text == proxy.listen or (
        was_enabled and not proxy.program.is_strict and address.is_same_as(bound_address(proxy.listen))
    )
    moves = not stays or upstream != proxy.upstream
    if moves or should_listen != was_enabled:
        _move(proxy, listen, upstream, address, should_listen=should_listen)


def _move(proxy: Proxy, listen: str, upstream: str, address: Address, *, should_listen: bool) -> None:
    """Listen and lead elsewhere, or not at all, and end the connections of before; if that fails, all stays as it was.

    In strict mode it stays half done: stopped, with the addresses that could not be had.
    """
    before, was_enabled = (proxy.listen, proxy.upstream), proxy.is_enabled
    # First of all, because the new address may overlap the old one.
    proxy.stop_listening()
    proxy.listen, proxy.upstream = listen, upstream
    try:
        if should_listen:
            _listen(proxy, address)
    except ApiError:
        if proxy.program.is_strict:
            proxy.cut_connections()
        else:
            proxy.listen, proxy.upstream = before
            if was_enabled:
                _listen(proxy, bound_address(proxy.listen))
        raise
    proxy.cut_connections()


async def _enable(proxy: Proxy) -> None:
    if not proxy.is_enabled:
        _listen(proxy, await _resolved(proxy.listen, prefix="listen tcp: "))
