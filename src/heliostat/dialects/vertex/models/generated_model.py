"""What every model here does: the public interface of an OpenAPI generator's Python classes, once instead of per class.

Attributes have snake-case names, JSON has the schema's camelCase names (the aliases). Types are strict and assignments are
checked. Keys that the schema does not have are dropped, so that answers of newer servers can be read. Members that only a
server sets are written like all others, so that an answer survives a round trip; servers ignore them in requests.
"""

from __future__ import annotations

import json
import pprint
from collections.abc import Callable
from functools import cache
from typing import Any, ClassVar, Self, get_args, get_origin

from pydantic import BaseModel, ConfigDict


class _ToJson:
    """``to_json`` of an instance, and ``"{}"`` when it is called on a class.

    The generator's own documentation shows ``Model.to_json()`` on the class itself; so that this example runs as it stands,
    the class answers with the JSON of an empty model.
    """

    def __get__(self, instance: GeneratedModel | None, owner: type[GeneratedModel]) -> Callable[..., str]:
        def to_json(model: GeneratedModel | None = instance) -> str:
            """The JSON text of :meth:`GeneratedModel.to_dict`, in the order of declaration."""
            return "{}" if model is None else json.dumps(model.to_dict())

        return to_json


class GeneratedModel(BaseModel):
    """The base of the models. ``from_*`` are class methods, ``to_*`` are methods of an instance."""

    model_config = ConfigDict(
        validate_by_name=True, validate_by_alias=True, validate_assignment=True, protected_namespaces=()
    )

    to_json: ClassVar[_ToJson] = _ToJson()

    def to_str(self) -> str:
        """The model for a person's eyes, with the members that are None."""
        return pprint.pformat(self.model_dump(by_alias=True))

    @classmethod
    def from_json(cls, json_str: str) -> Self | None:
        """A model from its JSON text; None from ``null``. JSONDecodeError, ValidationError."""
        return cls.from_dict(json.loads(json_str))

    # Any: what a parser made of somebody's JSON; validation decides
    @classmethod
    def from_dict(cls, obj: Any) -> Self | None:
        """A model from a dict with camelCase keys, of which snake-case and unknown keys are dropped; None from None.

        An instance comes back as it is; everything else raises a ValidationError.
        """
        if obj is None:
            return None
        if not isinstance(obj, dict):
            return cls.model_validate(obj)
        children = _children(cls)
        read = {}
        for name, field in cls.model_fields.items():
            alias = field.alias or name
            value = obj.get(alias)
            if name in children and value is not None:
                child, many = children[name]
                if not many:
                    value = child.from_dict(value)
                elif isinstance(value, list):
                    value = [child.from_dict(item) for item in value]
            read[alias] = value
        return cls.model_validate(read)

    def to_dict(self) -> dict[str, Any]:  # Any: JSON
        """The model as JSON would have it: camelCase keys in the order of declaration, members that are None left out."""
        written = self.model_dump(by_alias=True, exclude_none=True)
        for name, (_, many) in _children(type(self)).items():
            value = getattr(self, name)
            if value is not None:
                alias = type(self).model_fields[name].alias or name
                written[alias] = [item.to_dict() for item in value] if many else value.to_dict()
        return written


@cache
def _children(model: type[GeneratedModel]) -> dict[str, tuple[type[GeneratedModel], bool]]:
    """The attributes that hold models: which model, and whether a list of them."""
    found = {}
    for name, field in model.model_fields.items():
        for part in get_args(field.annotation):  # every field is optional: a union with None
            many = get_origin(part) is list
            held = get_args(part)[0] if many else part
            if isinstance(held, type) and issubclass(held, GeneratedModel):
                found[name] = (held, many)
    return found
