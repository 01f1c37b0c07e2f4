"""What the gateway says by itself: a page for a browser's window, JSON for who asks for it, else one plain sentence.

Ray's SDK shows its users the text of an error answer as it is, hence the plain sentence.
"""

from __future__ import annotations

import base64
import hashlib
import html
import json

from .request import GatewayRequest

_STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:34rem;margin:15vh auto;padding:0 1rem;color:#1c2733}"
    "h1{font-size:1.3rem}input,button{font:inherit;padding:.4rem .7rem}input{width:20rem;max-width:100%}"
    "#said{color:#a3210f}@media(prefers-color-scheme:dark){body{background:#14181d;color:#dde3ea}#said{color:#ff9b8a}}"
)
_LOGIN_FORM = (
    '<form id="login"><label>Token <input id="token" type="password" autocomplete="off" autofocus required></label> '
    '<button>Open</button></form><p id="said" role="alert"></p><noscript><p>This form needs JavaScript.</p></noscript>'
)
_LOGIN_SCRIPT = """
document.getElementById("login").addEventListener("submit", async (event) => {
  event.preventDefault();
  const token = document.getElementById("token").value.trim();
  const answer = await fetch("/api/authenticate", {method: "POST", headers: {Authorization: "Bearer " + token}});
  if (answer.ok) { location.replace("/"); } else { document.getElementById("said").textContent = await answer.text(); }
});
"""


def _hash(text: str) -> str:
    return "'sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() + "'"


PAGE_POLICY = (
    f"default-src 'none'; style-src {_hash(_STYLE)}; script-src {_hash(_LOGIN_SCRIPT)}; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""The content security policy of our own pages: nothing but what stands in them."""


def render(request: GatewayRequest, code: str, title: str, sentence: str, extra: str = "") -> tuple[str, bytes]:
    """Content type and body for this client. ``extra`` is markup, shown on pages only."""
    if request.navigation:
        return "text/html; charset=utf-8", _page(title, sentence, extra)
    if "application/json" in request.value("accept"):
        body = {"error": {"code": code, "message": sentence}}
        return "application/json", json.dumps(body).encode()
    return "text/plain; charset=utf-8", sentence.encode()


def login_form() -> str:
    return f"{_LOGIN_FORM}<script>{_LOGIN_SCRIPT}</script>"


def link(url: str) -> str:
    return f'<p><a href="{html.escape(url)}">{html.escape(url)}</a></p>'


def _page(title: str, sentence: str, extra: str) -> bytes:
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>{html.escape(title)} - Heliostat</title><style>{_STYLE}</style></head>"
        f"<body><h1>{html.escape(title)}</h1><p>{html.escape(sentence)}</p>{extra}</body></html>"
    ).encode()
