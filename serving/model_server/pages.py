"""The pages for people: which model this is, and its signature, to be tried in the browser."""

import json
from html import escape
from importlib.resources import files
from typing import Any

from fastapi.openapi.docs import get_swagger_ui_html

_ASSETS = {
    "swagger-ui-bundle.js": b"text/javascript",
    "swagger-ui.css": b"text/css",
    "favicon.png": b"image/png",
}


def pages(identity: dict[str, str], openapi: dict[str, Any]) -> dict[str, tuple[bytes, bytes]]:
    """Return the content type and the body of each path; nothing in them comes from another server."""
    html = get_swagger_ui_html(
        openapi_url="openapi.json",
        title=escape(openapi["info"]["title"]),
        swagger_js_url="docs/swagger-ui-bundle.js",
        swagger_css_url="docs/swagger-ui.css",
        swagger_favicon_url="docs/favicon.png",
        swagger_ui_parameters={"tryItOutEnabled": True},
    )
    static = files("fastapi_offline") / "static"
    return {
        "/model": (b"application/json", json.dumps(identity).encode()),
        "/openapi.json": (b"application/json", json.dumps(openapi).encode()),
        "/docs": (b"text/html; charset=utf-8", bytes(html.body)),
        **{f"/docs/{name}": (kind, (static / name).read_bytes()) for name, kind in _ASSETS.items()},
    }
