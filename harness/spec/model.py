"""What all descriptions share: frozen, and an unknown key is an error."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Plain = Annotated[str, Field(pattern=r"^[^\x00]*$")]
"""A text that a program can be given: without NUL, which would end it."""

Variable = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]
"""The name of a variable of a program's environment."""

Argv = Annotated[tuple[Plain, ...], Field(min_length=1)]
"""Program and arguments; no shell reads them."""


def is_unsaid(value: object) -> bool:
    """Leave out of evidence what was not said, so that evidence of before this could be said stays the same bytes.

    An empty text says something: it is the pointer to a whole document.
    """
    return value is None or (not value and not isinstance(value, str))


class Model(BaseModel):
    """A part of a description; two equal ones are interchangeable."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True)
