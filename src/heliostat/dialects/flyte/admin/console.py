"""The pages behind the addresses that clients print or show: of an execution,
``/console/projects/<p>/domains/<d>/executions/<name>``, and of one run of a task, ``/console/runs/<id>``.

A browser that comes by that address has no credential, so it gets an empty page first: it asks for a token, and shows with it
what the same address answers to programs. The token stays in the page's memory; with it the page shows the end of a log, too,
whose address knows no other credential.
"""

from __future__ import annotations

import base64
import hashlib
import html
from collections.abc import Sequence
from typing import NamedTuple
from urllib.parse import unquote

_STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:64rem;margin:8vh auto;padding:0 1rem;color:#1c2733}"
    "h1{font-size:1.3rem}input,button{font:inherit;padding:.4rem .7rem}input{width:20rem;max-width:100%}"
    "table{border-collapse:collapse;width:100%}td,th{text-align:left;vertical-align:top;padding:.25rem .8rem .25rem 0;"
    "border-bottom:1px solid #8884}td:nth-child(-n+3){white-space:nowrap}"
    "pre{white-space:pre-wrap;overflow-wrap:anywhere;margin:.3rem 0;font-size:.82rem}td a{display:block}"
    "#log{border-top:1px solid #8884}#said{color:#a3210f}"
    "@media(prefers-color-scheme:dark){body{color:#dde3ea;background:#14181d}#said{color:#ff9b8a}a{color:#8ab8ff}}"
)
_SCRIPT = """
let token = "";
const log = document.getElementById("log");
const load = async (address) => {
  const answer = await fetch(address, {headers: {Authorization: "Bearer " + token, Range: "bytes=-200000"}});
  log.textContent = answer.status === 416 ? "It is empty." : await answer.text();
};
document.getElementById("shown").addEventListener("click", async (event) => {
  const link = event.target.closest("a");
  if (!link || link.origin !== location.origin || event.ctrlKey || event.metaKey) { return; }
  event.preventDefault();
  await load(link.href);
  log.scrollIntoView();
});
document.getElementById("login").addEventListener("submit", async (event) => {
  event.preventDefault();
  token = document.getElementById("token").value.trim();
  const show = async () => {
    const answer = await fetch(location.pathname, {headers: {Authorization: "Bearer " + token, Accept: "text/html"}});
    const text = await answer.text();
    document.getElementById("said").textContent = answer.ok ? "" : text;
    if (!answer.ok) { return; }
    document.getElementById("login").hidden = true;
    const shown = document.getElementById("shown");
    shown.innerHTML = text;
    const own = shown.querySelector("[data-log]");
    if (own) { await load(own.dataset.log); }
    if (shown.querySelector("[data-open]")) { setTimeout(show, 3000); }
  };
  await show();
});
"""


def _hash(text: str) -> str:
    return "'sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() + "'"


POLICY = (
    f"default-src 'none'; style-src {_hash(_STYLE)}; script-src {_hash(_SCRIPT)}; connect-src 'self'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'"
)
PREFIX = "/console/"


class Execution(NamedTuple):
    """What an address names."""

    project: str
    domain: str
    name: str


class Run(NamedTuple):
    """The same of a single run."""

    id: str


Subject = Execution | Run


class Row(NamedTuple):
    """A node, as the page shows it."""

    node: str
    phase: str
    links: Sequence[tuple[str, str]]
    """Names and addresses."""
    message: str


def subject_of(path: bytes) -> Subject | None:
    """What a path (not decoded) leads to."""
    match path.decode("latin-1").rstrip("/").split("/"):
        case ["", "console", "projects", project, "domains", domain, "executions", name] if project and domain and name:
            return Execution(unquote(project), unquote(domain), unquote(name))
        case ["", "console", "runs", id] if id:
            return Run(unquote(id))
    return None


def page(subject: Subject) -> str:
    """For a browser that showed no credential."""
    name = html.escape("/".join(subject))
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>{html.escape(subject[-1])} - Heliostat</title><style>{_STYLE}</style></head><body><h1>{name}</h1>"
        '<form id="login"><p>Show a token of this server to see this run; <code>heliostat token</code> prints yours.</p>'
        '<label>Token <input id="token" type="password" autocomplete="off" autofocus required></label> '
        '<button>Show</button></form><p id="said" role="alert"></p><div id="shown"></div><pre id="log"></pre>'
        f"<noscript><p>This page needs JavaScript.</p></noscript><script>{_SCRIPT}</script></body></html>"
    )


def shown(phase: str, message: str, rows: Sequence[Row] = (), *, open: bool, log: str = "") -> str:
    """What the page shows; ``open`` while it goes on, ``log`` is the path of the log that goes with it."""
    body = "".join(_row(row) for row in rows)
    table = f"<table><tr><th>Node<th>Phase<th>Links<th></tr>{body}</table>" if rows else ""
    text = f"<pre>{html.escape(message)}</pre>" if message else ""
    told = (" data-open" if open else "") + (f' data-log="{html.escape(log)}"' if log else "")
    return f"<p{told}><strong>{html.escape(phase)}</strong></p>{text}{table}"


def _row(row: Row) -> str:
    links = "".join(
        f'<a href="{html.escape(uri)}" rel="noreferrer">{html.escape(name)}</a>'
        for name, uri in row.links
        if uri.startswith(("http://", "https://"))
    )
    cells = (html.escape(row.node), html.escape(row.phase), links, f"<pre>{html.escape(row.message)}</pre>")
    return f"<tr>{''.join(f'<td>{cell}' for cell in cells)}</tr>"
