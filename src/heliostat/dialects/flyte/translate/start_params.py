"""``rayStartParams`` of a group: options of ``ray start`` by name, as KubeRay takes them (Flyte contract, section 3.1).

What the platform decides by itself - addresses, ports, folders - is left out and said to be; it would differ on any other
platform too. An option that does not exist, or a value that cannot be, is the user's mistake.
"""

from __future__ import annotations

import json
import shlex

from heliostat_node.options import OPTIONS, REFUSED, parse_ray_start_params

from .fields import Fields
from .notes import Notes


def read_start_params(group: Fields, kind: str, notes: Notes) -> str:
    """The options that are honoured, as a JSON object in text; empty when there are none. Raises FlyteError.

    ``kind`` is ``head`` or ``worker``.
    """
    honoured: dict[str, str] = {}
    given = group.text_map("rayStartParams")
    for written, value in given.items():
        name = written.removeprefix("--")
        path = f"{group.at('rayStartParams')}.{written[:80]}"
        if name in REFUSED:
            notes.unused(path, REFUSED[name])
            continue
        bare = _unquoted(value)
        option = OPTIONS.get(name)
        if option is not None and option.flag and not bare:
            bare = "true"  # KubeRay writes a flag alone where its value is empty
        try:
            parse_ray_start_params(json.dumps({name: bare}), kind)
        except ValueError as error:
            if option is not None and not option.parameter:
                notes.unused(path, f"the platform has it its own way: it can only be {option.kind}")
                continue
            raise group.error("rayStartParams", str(error).rstrip(".")) from None
        if name in honoured:
            raise group.error("rayStartParams", f"--{name} is given twice")
        if option is not None and option.parameter:
            honoured[name] = bare
    return json.dumps(honoured, sort_keys=True) if honoured else ""


def _unquoted(value: str) -> str:
    """A value that was quoted for the shell that KubeRay runs ``ray start`` in: ``'"{\\"disk\\": 1}"'`` -> ``{"disk": 1}``."""
    if value[:1] not in ("'", '"'):
        return value
    try:
        words = shlex.split(value)
    except ValueError:
        return value
    return words[0] if len(words) == 1 else value
