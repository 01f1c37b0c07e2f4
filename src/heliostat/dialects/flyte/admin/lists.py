"""The list methods that tasks, workflows and launch plans have in common."""

from __future__ import annotations

from collections.abc import Sequence

from flyteidl.admin import common_pb2 as common

from heliostat.domain.documents import Document
from heliostat.services import Caller

from ..errors import invalid
from .entities import Entities, Named
from .listing import check_sort, filters_of, limit_of
from .references import LONGEST, Reference, check_name

LONGEST_TOKEN = 4000


async def versions(
    entities: Entities, caller: Caller, kind: int, request: common.ResourceListRequest
) -> tuple[Sequence[tuple[Reference, Document]], str]:
    """Of a name, or of all names; and the token of the next page."""
    named = _named(request.id.project, request.id.domain, "id.")
    if request.id.name:
        check_name(request.id.name, "id.name", LONGEST["name"])
        named = Named(named.project, named.domain, request.id.name)
    check_sort(request.sort_by, ("created_at", "updated_at"), ascending=False)
    filters = filters_of(request.filters, Reference._fields)
    return await entities.versions(caller, kind, named, filters, limit_of(request.limit), token_of(request.token))


async def names(
    entities: Entities, caller: Caller, kind: int, request: common.NamedEntityIdentifierListRequest
) -> common.NamedEntityIdentifierList:
    """Of which there are versions."""
    named = _named(request.project, request.domain, "")
    check_sort(request.sort_by, ("name",), ascending=True)
    filters = filters_of(request.filters, ("project", "domain", "name"))
    limit, token = limit_of(request.limit), token_of(request.token)
    rows, following = await entities.names(caller, kind, named, filters, limit, token)
    found = [common.NamedEntityIdentifier(project=named.project, domain=named.domain, name=name) for name in rows]
    return common.NamedEntityIdentifierList(entities=found, token=following)


def token_of(text: str) -> str:
    """Raises FlyteError for what cannot be one of ours."""
    if len(text) > LONGEST_TOKEN or not text.isprintable():
        raise invalid("token", "is not one that a list of this server gave")
    return text


def _named(project: str, domain: str, path: str) -> Named:
    check_name(project, f"{path}project", LONGEST["project"])
    check_name(domain, f"{path}domain", LONGEST["domain"])
    return Named(project, domain)
