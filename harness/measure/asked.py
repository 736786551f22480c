"""Who asked, and for what: read off the templates that a load declares, so that no sample has to carry it.

What a header or a path of a request was is known from its template and its key. What a locustfile asks is not.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from harness.spec.requests import KEY, is_of_one_request

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from harness.history.samples import Samples
    from harness.spec.load import Load
    from harness.spec.requests import DeclaredRequest

NOBODY = -1
"""The number of what is not known."""


@dataclass(frozen=True, slots=True, eq=False)
class Asked:
    """What each of some requests has of one thing, such as a client's name.

    Attributes:
        numbers: For each sample, an index into `names`, or `NOBODY`.
        names: Every value once, in no order.
    """

    numbers: NDArray[np.int64]
    names: tuple[str, ...]


def clients(samples: Samples, load: Load, headers: Sequence[str]) -> Asked:
    """Return who asked, by the values of some request headers; of several, those that a request has not are empty."""
    return _asked(samples, load, lambda request: request.said(headers))


def items(samples: Samples, load: Load, headers: Sequence[str] = ()) -> Asked:
    """Return what was asked for: a path, and the values of headers that say whose.

    What is different in each request, or for each user, names nothing that is known to be asked for twice.
    """

    def template(request: DeclaredRequest) -> str | None:
        whole = " ".join((request.path, request.said(headers) or ""))
        return None if is_of_one_request(whole) else whole

    return _asked(samples, load, template)


def _asked(samples: Samples, load: Load, template_of: Callable[[DeclaredRequest], str | None]) -> Asked:
    numbers = np.full(len(samples), NOBODY, dtype=np.int64)
    names: dict[str, int] = {}
    for request in load.asked:
        template = template_of(request)
        if template is None:
            continue
        rows = np.flatnonzero(samples.is_named("operation", samples.operations, [request.name]))
        keys, which = np.unique(samples.records["key"][rows], return_inverse=True)
        filled = [template.replace(f"{{{KEY}}}", str(key)) for key in keys.tolist()]
        known = np.array([names.setdefault(each, len(names)) for each in filled], dtype=np.int64)
        numbers[rows] = known[which]
    return Asked(numbers, tuple(names))
