"""TLS to a service that runs already: whom we believe that it is who it says."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class Tls:
    """Whom we believe; whoever is not believed is not asked.

    Attributes:
        ca: A file of certificates, in PEM; None for those that this machine trusts.
    """

    ca: Path | None = None

    def context(self) -> ssl.SSLContext:
        """Return it as Python's ssl takes it; the same each time, since to read the machine's takes 25 ms.

        Raises:
            OSError: If the file cannot be read; ssl.SSLError, which is one, if it holds no certificate.
        """
        return _context(self.ca)


@cache
def _context(ca: Path | None) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=ca)
