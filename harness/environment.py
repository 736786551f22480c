"""The caller's environment: what in it is meant for others, and would change what we do."""

from __future__ import annotations

import os
import re
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@contextmanager
def unset(is_meant: Callable[[str], object]) -> Iterator[None]:
    """Be without some variables for a while, as children and libraries see it; whatever happens, they come back.

    Args:
        is_meant: Asked of each name.
    """
    hidden = {name: os.environ.pop(name) for name in list(os.environ) if is_meant(name)}
    try:
        yield
    finally:
        os.environ.update(hidden)


def is_for_libpq(name: str) -> bool:
    """Tell whether PostgreSQL's client library goes by a variable: to another host, a service file, or a certificate.

    Source: PostgreSQL 18, 32.15 Environment Variables; all begin so, and no other way of ours does.
    """
    return re.fullmatch(r"PG[A-Z_]+", name) is not None
