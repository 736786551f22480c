"""`readiness schema`: what an editor needs to complete and check our files."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from harness.errors import SpecError, nearest
from harness.spec.schema import MODELS, schema_of


def schema(
    of: Annotated[
        str, typer.Argument(help="scenario (a file in scenarios/) or settings (readiness.toml).")
    ] = "scenario",
) -> None:
    """Print the JSON Schema of scenario files, or of readiness.toml: for editors that complete and check them.

    A scenario file names it in its first line: # yaml-language-server: $schema=PATH
    """
    if of not in MODELS:
        raise SpecError(f"there is no schema {of!r}", where="readiness schema", fix=nearest(of, list(MODELS)))
    typer.echo(json.dumps(schema_of(MODELS[of]), indent=2, ensure_ascii=False))
