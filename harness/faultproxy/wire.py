"""JSON as Go's encoding/json reads and writes it, because that is what Toxiproxy's clients were tested against.

Field names match in any case, unknown fields are ignored, `null` leaves a default alone, whatever follows the first
value is ignored, and an integer must be written as one: `100`, never `100.0` (Toxiproxy 2.12, observed).
"""

from __future__ import annotations

import json
import math
import struct
from typing import TYPE_CHECKING, NoReturn, Self, cast

from harness.faultproxy.errors import bad_body

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

INT64_MIN, INT64_MAX = -(2**63), 2**63 - 1
# Longer than any int64, and short enough for Python to convert: it refuses past 4300 digits.
MAX_INTEGER_DIGITS = 40
WHITESPACE = " \t\r\n"
# What Python's decoder says, and how Go says it. The tail of the text being missing is one case for all.
GO_WORDS = {
    "Expecting value": "looking for beginning of value",
    "Expecting property name enclosed in double quotes": "looking for beginning of object key string",
    "Expecting ':' delimiter": "after object key",
    "Expecting ',' delimiter": "after object key:value pair",
    "Invalid control character at": "in string literal",
    "Invalid \\escape": "in string escape code",
}


class Float(float):
    """A number written with a fraction, an exponent, or too many digits; it remembers how."""

    literal: str

    def __new__(cls, literal: str) -> Self:
        """Parse `literal`; what is too large becomes infinite."""
        number = super().__new__(cls, literal)
        number.literal = literal
        return number


class Fields:
    """A JSON object seen as a Go struct: typed reading of known fields, in any case.

    Reading a field gives `None` where it is absent or null.

    Args:
        value: Any decoded JSON value; `None` reads as an object without fields.
        struct_name: Go's name for the struct, as error messages carry it.

    Raises:
        ApiError: 400, if `value` is neither an object nor null.
    """

    def __init__(self, value: object, struct_name: str) -> None:
        if value is not None and not isinstance(value, dict):
            raise bad_body(f"json: cannot unmarshal {kind_of(value)} into Go value of type toxiproxy.{struct_name}")
        self._struct_name = struct_name
        # Later spellings win over earlier ones, but a null never erases.
        self._values = {key.lower(): item for key, item in (value or {}).items() if item is not None}

    def text(self, field: str) -> str | None:
        """Return a string without lone surrogates, which no encoding could carry back."""
        value = self._values.get(field)
        if value is None:
            return None
        if not isinstance(value, str):
            self._refuse(field, value, "string")
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")

    def flag(self, field: str) -> bool | None:
        """Return a boolean."""
        value = self._values.get(field)
        if value is not None and not isinstance(value, bool):
            self._refuse(field, value, "bool")
        return value

    def integer(self, field: str) -> int | None:
        """Return an int64; a bool is not one, nor is a number written as a float."""
        value = self._values.get(field)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int) or not INT64_MIN <= value <= INT64_MAX:
            self._refuse(field, value, "int64")
        return value

    def number(self, field: str) -> float | None:
        """Return any finite number."""
        value = self._values.get(field)
        if value is None:
            return None
        if not _is_number(value):
            self._refuse(field, value, "float32")
        return float(cast("float", value))

    def items(self, field: str) -> list[object] | None:
        """Return an array."""
        value = self._values.get(field)
        if value is not None and not isinstance(value, list):
            self._refuse(field, value, "[]interface {}")
        return value

    def pairs(self, field: str) -> tuple[tuple[float, float], ...] | None:
        """Return an array of pairs of numbers."""
        value = self.items(field)
        if value is None:
            return None
        if not all(isinstance(pair, list) and len(pair) == 2 and all(map(_is_number, pair)) for pair in value):
            self._refuse(field, value, "[][2]float64")
        return tuple((float(first), float(second)) for first, second in cast("list[list[float]]", value))

    def nested(self, field: str, struct_name: str) -> Fields:
        """Return a nested object, without fields if it is absent."""
        value = self._values.get(field)
        if value is not None and not isinstance(value, dict):
            self._refuse(field, value, f"toxics.{struct_name}")
        return Fields(value, struct_name)

    def has(self, field: str) -> bool:
        """Tell whether `field` is there and not null."""
        return field in self._values

    def renamed(self, struct_name: str) -> Fields:
        """Return the same fields under another name for error messages."""
        self._struct_name = struct_name
        return self

    def _refuse(self, field: str, value: object, go_type: str) -> NoReturn:
        shown = kind_of(value)
        if shown == "number" and go_type == "int64":
            shown = f"number {value.literal if isinstance(value, Float) else value}"
        raise bad_body(
            f"json: cannot unmarshal {shown} into Go struct field {self._struct_name}.{field} of type {go_type}"
        )


def decode(body: bytes) -> object:
    """Return the first JSON value in `body`.

    Raises:
        ApiError: 400, with the words of Go's decoder.
    """
    text = body.decode(errors="replace").lstrip(WHITESPACE)
    if not text:
        raise bad_body("EOF")
    try:
        value, _ = _DECODER.raw_decode(text)
    except json.JSONDecodeError as error:
        raise bad_body(_in_go_words(error, text)) from error
    except RecursionError as error:
        raise bad_body("invalid character '[' exceeded max depth") from error
    return value


def encode(value: Mapping[str, object] | Sequence[object]) -> bytes:
    """Return compact JSON, escaping what Go escapes so that no browser takes it for HTML."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return text.translate(_HTML_SAFE).encode()


def kind_of(value: object) -> str:
    """Name the JSON kind of `value` as Go's errors do."""
    match value:
        case bool():
            return "bool"
        case int() | float():
            return "number"
        case str():
            return "string"
        case list():
            return "array"
        case dict():
            return "object"
        case _:
            return "null"


def as_float32(number: float) -> float:
    """Round to the nearest float32.

    Raises:
        ApiError: 400, if it is out of range.
    """
    try:
        return float(struct.unpack("<f", struct.pack("<f", number))[0])
    except OverflowError as error:
        raise bad_body(f"json: cannot unmarshal number {number} into Go value of type float32") from error


def shortest_float32(number: float) -> float:
    """Return the number with the fewest digits that is the same float32: 0.1, not 0.10000000149011612.

    A whole number comes back as an int, so that JSON shows 1 and not 1.0.
    """
    if number.is_integer():
        return int(number)
    return next(
        short for digits in range(1, 18) if as_float32(short := float(f"{number:.{digits}g}")) == as_float32(number)
    )


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _integer(literal: str) -> int | Float:
    return int(literal) if len(literal) <= MAX_INTEGER_DIGITS else Float(literal)


def _refuse_constant(name: str) -> NoReturn:
    # Python reads NaN and Infinity, JSON does not know them.
    where = "in numeric literal" if name.startswith("-") else "looking for beginning of value"
    raise bad_body(f"invalid character '{name.lstrip('-')[0]}' {where}")


def _in_go_words(error: json.JSONDecodeError, text: str) -> str:
    if error.pos >= len(text) or error.msg.startswith("Unterminated string"):
        return "unexpected EOF"
    place = GO_WORDS.get(error.msg, "in string escape code")
    shown = repr(text[error.pos]) if text[error.pos] != "'" else r"'\''"
    return f"invalid character {shown} {place}"


_DECODER = json.JSONDecoder(parse_float=Float, parse_int=_integer, parse_constant=_refuse_constant)
_HTML_SAFE = {ord(character): f"\\u{ord(character):04x}" for character in "<>&\u2028\u2029"}
