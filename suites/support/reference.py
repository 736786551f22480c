"""What tests know of the reference service."""

from __future__ import annotations

from pydantic import BaseModel

from fixtures.reference.settings import Settings


def values_of(settings: Settings) -> dict[str, object]:
    """Return what holds for each environment variable that the service reads."""
    prefix, values = str(Settings.model_config["env_prefix"]), {}
    for name, value in settings:
        if isinstance(value, BaseModel):
            values |= {f"{prefix}{name}_{field}".upper(): said for field, said in value}
        else:
            values[f"{prefix}{name}".upper()] = value
    return values
