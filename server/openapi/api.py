"""GET /openapi.json, and /api-docs with what the page there loads."""

from collections.abc import Sequence
from functools import cache, cached_property
from importlib.resources import files
from pathlib import Path
from typing import Any

from swagger_ui_bundle import swagger_ui_path

from server.http.route import Route
from server.kit.call import Answer, Call
from server.kit.problem import ProblemKind
from server.kit.strict_json import dump_json
from server.openapi.document import build_document
from server.openapi.swagger import as_openapi_30

UNKNOWN_FILE = ProblemKind("docs.unknown-file", 404, "The page loads no such file.")

_OWN = Path(str(files("server.openapi"))) / "assets"
_FILES: dict[str, tuple[Path, str]] = {
    "swagger-ui.css": (swagger_ui_path / "swagger-ui.css", "text/css"),
    "swagger-ui-bundle.js": (swagger_ui_path / "swagger-ui-bundle.js", "text/javascript"),
    "favicon-32x32.png": (swagger_ui_path / "favicon-32x32.png", "image/png"),
    "start.js": (_OWN / "start.js", "text/javascript"),
}
# Swagger UI draws its symbols from data: addresses; everything else comes from this server.
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_KEPT_A_DAY = {"Cache-Control": "public, max-age=86400"}


class Reference:
    """The documents of a route table, made when first asked for: the table may still be growing before."""

    def __init__(self, routes: Sequence[Route]) -> None:
        self._routes = routes

    @cached_property
    def document(self) -> bytes:
        """OpenAPI 3.1, as JSON."""
        return dump_json(self._built)

    @cached_property
    def for_swagger(self) -> bytes:
        """The same in the form that Swagger UI reads."""
        return dump_json(as_openapi_30(self._built))

    @cached_property
    def _built(self) -> dict[str, Any]:
        return build_document(self._routes)


async def read_openapi(_: Call, *, reference: Reference) -> Answer:
    """The OpenAPI 3.1 document."""
    return Answer(reference.document)


async def show_reference(_: Call) -> Answer:
    """The interactive page."""
    headers = {"Content-Security-Policy": _POLICY}
    return Answer(_read(_OWN / "index.html"), headers=headers, media_type="text/html")


async def read_page_file(call: Call, *, reference: Reference) -> Answer:
    """A file that the page loads. Raises `docs.unknown-file`."""
    name = call.path["name"]
    if name == "openapi-3.0.json":
        return Answer(reference.for_swagger)
    if name not in _FILES:
        raise UNKNOWN_FILE()
    file, media_type = _FILES[name]
    return Answer(_read(file), headers=_KEPT_A_DAY, media_type=media_type)


@cache
def _read(file: Path) -> bytes:
    return file.read_bytes()
