"""``/docs``: the OpenAPI document as one page of HTML that loads nothing, from nowhere, and runs no script."""

from __future__ import annotations

import json
from html import escape
from typing import Any

POLICY = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'"
Json = dict[str, Any]
"""A part of the OpenAPI document; ``Any`` because it is JSON."""

_STYLE = """
body{font:15px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#222;background:#fff}
h1{font-size:1.6rem}h2{margin-top:2.5rem;text-transform:capitalize}details{border:1px solid #ddd;border-radius:6px;margin:.4rem 0}
summary{cursor:pointer;padding:.5rem .8rem}details>div{padding:0 1rem 1rem}code,pre{font:13px ui-monospace,monospace}
pre{background:#f6f6f4;padding:.7rem;border-radius:6px;overflow:auto}.m{display:inline-block;width:4.2rem;font-weight:700}
table{border-collapse:collapse;width:100%}
td,th{text-align:left;vertical-align:top;padding:.25rem .8rem .25rem 0;border-bottom:1px solid #eee}
.s{color:#666}
@media(prefers-color-scheme:dark){body{color:#ddd;background:#1b1b1b}pre{background:#262626}details,td,th{border-color:#3a3a3a}}
"""


def render(document: Json) -> str:
    """The page."""
    groups: dict[str, list[str]] = {}
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            tag = (operation.get("tags") or ["other"])[0]
            groups.setdefault(tag, []).append(_operation(document, path, method, operation))
    info = document["info"]
    body = "".join(f"<h2>{escape(tag)}</h2>{''.join(rows)}" for tag, rows in groups.items())
    schemas = "".join(_schema(name, schema) for name, schema in document["components"]["schemas"].items())
    return (
        f"<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content='width=device-width'>"
        f"<title>{escape(info['title'])}</title><style>{_STYLE}</style><h1>{escape(info['title'])} {escape(info['version'])}</h1>"
        f"<p>{escape(info['description'])}</p><p>For programs: <a href='/v1/openapi.json'>/v1/openapi.json</a></p>"
        f"{body}<h2>Documents</h2>{schemas}</html>"
    )


def _operation(document: Json, path: str, method: str, operation: Json) -> str:
    rows = "".join(
        f"<tr><td><code>{escape(row['name'])}</code><td class=s>{escape(row['in'])}"
        f"<td>{escape(row.get('description', ''))} <span class=s>{escape(_type(row['schema']))}</span>"
        for row in operation.get("parameters", ())
    )
    table = f"<table>{rows}</table>" if rows else ""
    return (
        f"<details><summary><span class=m>{method.upper()}</span> <code>{escape(path)}</code> "
        f"<span class=s>{escape(operation.get('summary', ''))}</span></summary><div>"
        f"<p>{escape(operation.get('description', ''))}</p>{table}{_body(operation)}{_answers(operation)}</div></details>"
    )


def _body(operation: Json) -> str:
    contents = operation.get("requestBody", {}).get("content", {})
    return "".join(
        f"<p>Body, <code>{escape(kind)}</code>: {_link(row.get('schema', {}))}</p>" for kind, row in contents.items()
    )


def _answers(operation: Json) -> str:
    found = []
    for status, row in operation.get("responses", {}).items():
        kinds = ", ".join(_link(part.get("schema", {})) for part in row.get("content", {}).values())
        found.append(f"<tr><td><code>{escape(status)}</code><td>{escape(row.get('description', ''))}<td>{kinds}")
    return f"<table>{''.join(found)}</table>"


def _schema(name: str, schema: Json) -> str:
    rows = "".join(
        f"<tr><td><code>{escape(field)}</code><td>{_link(row)}<td>{escape(row.get('description', ''))}"
        for field, row in schema.get("properties", {}).items()
    )
    examples = "".join(f"<pre>{escape(json.dumps(row, indent=2))}</pre>" for row in schema.get("examples", ()))
    return (
        f"<details id='{escape(name)}'><summary><code>{escape(name)}</code> "
        f"<span class=s>{escape(schema.get('description', ''))}</span></summary>"
        f"<div><table>{rows}</table>{examples}</div></details>"
    )


def _link(schema: Json) -> str:
    """The schema's name as a link to it, or its type."""
    if "$ref" in schema:
        name = escape(schema["$ref"].rpartition("/")[2])
        return f"<a href='#{name}'>{name}</a>"
    if "anyOf" in schema:
        return " or ".join(_link(part) for part in schema["anyOf"])
    if schema.get("type") == "array":
        return f"list of {_link(schema.get('items', {}))}"
    return escape(_type(schema))


def _type(schema: Json) -> str:
    if "anyOf" in schema:
        return " or ".join(_type(part) for part in schema["anyOf"])
    if "enum" in schema:
        return ", ".join(map(str, schema["enum"]))
    if schema.get("type") == "array":
        return f"list of {_type(schema.get('items', {}))}"
    name = schema["$ref"].rpartition("/")[2] if "$ref" in schema else str(schema.get("type", "any"))
    return f"{name} (default {json.dumps(schema['default'])})" if schema.get("default") is not None else name
