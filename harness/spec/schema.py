"""JSON Schemas of scenario files and of readiness.toml, generated from the models, for editors that complete and check.

A schema accepts whatever the parser accepts. It cannot say everything that the parser refuses: how parts hang together
(a promise about a phase that is not there), or how large a duration may be. So it is a help to write a file, and
`readiness lint` is what judges it.
"""

from __future__ import annotations

import inspect
import re
from typing import TYPE_CHECKING, Any, cast

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema

from harness.spec.quantity import (
    DURATION_PATTERN,
    RATE_PATTERN,
    RATIO_PATTERN,
    SIZE_PATTERN,
    duration_text,
    percent_text,
    rate_text,
    size_text,
)
from harness.spec.scenario import Scenario
from harness.spec.system import Settings

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pydantic.json_schema import JsonSchemaValue
    from pydantic_core import core_schema

DIALECT = "https://json-schema.org/draft/2020-12/schema"

MODELS: Mapping[str, type[BaseModel]] = {"scenario": Scenario, "settings": Settings}
"""What there is a schema of, by the name of its file."""

_WRITTEN = {
    DURATION_PATTERN: duration_text,
    SIZE_PATTERN: size_text,
    RATE_PATTERN: rate_text,
    RATIO_PATTERN: percent_text,
}
_BOUNDS = ("gt", "ge", "lt", "le")  # pydantic leaves them beside a text whose value they bound, where it may be null
_ATTRIBUTE = re.compile(r"^ {4}(\w+): (.*(?:\n {8}.*)*)", re.MULTILINE)


class _OfFiles(GenerateJsonSchema):
    """Describe what stands in a file, in the words of the models' docstrings."""

    def field_title_should_be_set(self, schema: Any) -> bool:  # noqa: ARG002 - a key is its own title
        """Give keys no title: it would be the key again, in capitals."""
        return False

    def model_schema(self, schema: core_schema.ModelSchema) -> JsonSchemaValue:
        """Describe a model and its keys."""
        described, model = super().model_schema(schema), cast("type[BaseModel]", schema["cls"])
        described["description"] = _flowing(_whole(model).partition("\nAttributes:")[0])
        for name, said in attributes_of(model).items():
            field = model.model_fields.get(name)
            found = described["properties"].get((field.alias or name) if field else name)
            if found is not None:
                found["description"] = said
        return described

    def default_schema(self, schema: core_schema.WithDefaultSchema) -> JsonSchemaValue:
        """Write a default as one would write it in a file."""
        described = super().default_schema(schema)
        written = _WRITTEN.get(described.get("pattern", ""))
        if written and isinstance(described.get("default"), int | float):
            described["default"] = written(described["default"])
        return described

    def nullable_schema(self, schema: core_schema.NullableSchema) -> JsonSchemaValue:
        """Leave out what would bound a number, where a text is."""
        described = super().nullable_schema(schema)
        for choice in described.get("anyOf", ()):
            for bound in _BOUNDS:
                choice.pop(bound, None)
        return described


def schema_of(model: type[BaseModel]) -> dict[str, Any]:
    """Return the JSON Schema of the files that are validated as `model`."""
    return {"$schema": DIALECT, **model.model_json_schema(schema_generator=_OfFiles)}


def attributes_of(model: type[BaseModel]) -> dict[str, str]:
    """Return what the docstrings of a model, and of those it inherits from, say of each attribute."""
    said: dict[str, str] = {}
    for each in reversed(model.__mro__):
        if issubclass(each, BaseModel) and each is not BaseModel:
            section = _whole(each).partition("\nAttributes:\n")[2]
            said.update({name: _flowing(text) for name, text in _ATTRIBUTE.findall(section)})
    return said


def _whole(model: type[BaseModel]) -> str:
    return inspect.cleandoc(model.__doc__ or "")


def _flowing(text: str) -> str:
    """Return paragraphs without the line breaks of their source."""
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in text.strip().split("\n\n"))
