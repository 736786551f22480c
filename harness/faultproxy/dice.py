"""Randomness that can be repeated: each toxic on each connection has dice of its own, derived from one seed.

So neither the timing of other connections nor other toxics change what a connection suffers. (In Toxiproxy 2.12 the
flag `-seed` has no effect: https://github.com/Shopify/toxiproxy/pull/610.)
"""

from __future__ import annotations

from random import Random


def dice_for(seed: int, proxy: str, toxic: str, connection: int, purpose: str) -> Random:
    """Return the dice of one toxic on one connection.

    Args:
        seed: That of the program.
        proxy: Name of the proxy.
        toxic: Name of the toxic.
        connection: Number of the connection within its proxy, from 1.
        purpose: Separates draws that must not disturb each other.
    """
    # Text seeds go through SHA-512, so neighbouring connections are unrelated and every platform agrees.
    return Random(f"{seed}\0{proxy}\0{toxic}\0{connection}\0{purpose}")  # noqa: S311  # chaos, not secrets
