"""A file of the project: never one elsewhere, which a scenario from a stranger could have read or run."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Annotated

from pydantic import AfterValidator, Field


def below(text: str) -> str:
    """Return `text`.

    Raises:
        ValueError: If it leads out of the project's folder.
    """
    path = PurePosixPath(text)
    if path.is_absolute() or ".." in path.parts:
        raise ValueError(f"{text!r} leads elsewhere; name a file below the folder of readiness.toml")
    return text


PathBelow = Annotated[str, Field(min_length=1), AfterValidator(below)]
"""Where a file is, from the folder that holds readiness.toml."""
