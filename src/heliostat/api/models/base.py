"""What all models share: strictness, text, amounts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, WithJsonSchema

from heliostat.domain.quantities import parse_cores, parse_duration, parse_memory


class Body(BaseModel):
    """A request body: unknown fields are errors, since a misspelt one that is ignored is worse than none; numbers are
    numbers and texts are texts."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class Answer(BaseModel):
    """A description of an answer. Further fields may come with newer versions."""

    model_config = ConfigDict(frozen=True)


def _without_nul(text: str) -> str:
    if "\0" in text:
        raise ValueError("must not hold a NUL character")
    return text


Text = Annotated[str, AfterValidator(_without_nul)]


def _amount(parse: Callable[[str], object]) -> Callable[[Any], str]:
    """Reads an amount given as a number or as text (``Any``: it is JSON). Gives its text, which ``parse`` understands."""

    def read(value: Any) -> str:
        if isinstance(value, bool) or not isinstance(value, int | float | str):
            raise ValueError("must be a number or a text")
        text = (
            value
            if isinstance(value, str)
            else f"{value:.6f}".rstrip("0").rstrip(".")
            if isinstance(value, float)
            else str(value)
        )
        if len(text) > 64:
            raise ValueError("must have at most 64 characters")
        parse(text)
        return text

    return read


def _schema(examples: list[Any], description: str, pattern: str) -> WithJsonSchema:
    return WithJsonSchema(
        {
            "anyOf": [{"type": "number", "exclusiveMinimum": 0}, {"type": "string", "pattern": pattern}],
            "description": description,
            "examples": examples,
        }
    )


Cores = Annotated[
    str,
    BeforeValidator(_amount(parse_cores)),
    _schema(["2", 0.5, "500m"], "CPU cores, as Ray's `CPU` resource.", r"^[0-9]{1,5}(\.[0-9]{1,3})?m?$"),
]
Memory = Annotated[
    str,
    BeforeValidator(_amount(parse_memory)),
    _schema(
        ["8Gi", "512Mi", 4], "Memory, as Ray's `memory` resource; a bare number is GiB.",
        r"^[0-9]{1,5}(\.[0-9]{1,3})?(Ti|TiB|Gi|GiB|GB|G|Mi|MiB|MB|M)?$",
    ),
]  # fmt: skip


def _length(value: Any) -> str | None:
    """Reads a length of time given as whole seconds, as text or as ``never`` (``Any``: it is JSON)."""
    return None if value is None or value == "never" else _amount(parse_duration)(value)


Duration = Annotated[
    str | None,
    BeforeValidator(_length),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "integer", "minimum": 10},
                {
                    "type": "string",
                    "pattern": r"^(never|[1-9][0-9]{1,6}|[1-9][0-9]{0,2}d|([1-9][0-9]{0,2}h)?[1-9][0-9]?m)$",
                },
                {"type": "null"},
            ],
            "description": "A length of time: seconds, or text such as `30m` and `1h30m`; null or `never` for none.",
            "examples": ["30m", "8h", 3600],
        }
    ),
]
