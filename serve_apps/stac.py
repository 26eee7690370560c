"""The archive as a STAC API: its tiles are items, and ``q`` finds them by words."""

from __future__ import annotations

import asyncio
import json
import re
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import urlencode

import attr
from fastapi import FastAPI, Request
from pydantic import ValidationError, model_validator
from stac_fastapi.api.app import StacApi
from stac_fastapi.api.models import (
    ItemCollectionUri,
    create_get_request_model,
    create_post_request_model,
    create_request_model,
)
from stac_fastapi.extensions.free_text import FreeTextAdvancedExtension, FreeTextConformanceClasses
from stac_fastapi.extensions.pagination import TokenPaginationExtension
from stac_fastapi.types.config import ApiSettings
from stac_fastapi.types.core import AsyncBaseCoreClient
from stac_fastapi.types.requests import get_base_url
from stac_fastapi.types.rfc3339 import str_to_interval
from stac_fastapi.types.search import BaseSearchPostRequest

from knowlip import __version__
from knowlip.archive import Area, Entry, Filters, Holdings
from serve_apps.problems import Problem, install_problems
from serve_apps.schemas import MAX_K
from serve_apps.seeking import embedded, seek
from serve_apps.services import Services
from serve_apps.stac_items import COLLECTION, collection, item

__all__ = ["MOUNTED_AT", "stac_app"]

MOUNTED_AT = "/stac"
_MAX_LIMIT = MAX_K
_DEEPEST = 2000
"""So many of the tiles nearest to some words can be paged through."""
_LOOKED_AT = 500
"""So many tiles within a polygon's bounds are looked at in one go for those that touch the polygon."""
_TITLE = "KnowLIP archive"
_ABOUT = "Tiles of synthetic aperture radar scenes; `q` finds them by words."


def stac_app(services: Services) -> FastAPI:
    """Return the STAC API over an archive, to be mounted below a path."""
    app = FastAPI(title=_TITLE, version=__version__, openapi_url="/api", docs_url="/api.html", redoc_url=None)
    free_text = FreeTextAdvancedExtension(conformance_classes=[FreeTextConformanceClasses.SEARCH_ADVANCED])
    extensions = [free_text, TokenPaginationExtension()]
    settings = ApiSettings(
        stac_fastapi_title=_TITLE,
        stac_fastapi_description=_ABOUT,
        stac_fastapi_landing_id="knowlip",
        stac_fastapi_version=__version__,
        openapi_url="/api",
        docs_url="/api.html",
        _env_file=None,
    )
    StacApi(
        settings=settings,
        client=_Client(services=services, landing_page_id="knowlip"),
        app=app,
        title=_TITLE,
        description=_ABOUT,
        api_version=__version__,
        extensions=extensions,
        exceptions={},
        middlewares=[],
        search_get_request_model=create_get_request_model(extensions),
        search_post_request_model=create_post_request_model(extensions, base_model=_SearchBody),
        items_get_request_model=create_request_model(
            "ItemsRequest", base_model=ItemCollectionUri, extensions=[TokenPaginationExtension()]
        ),
    )
    # It is mounted there, which the library learns from nothing else: every link begins with this.
    app.state.router_prefix = MOUNTED_AT
    install_problems(app)
    return app


@dataclass(frozen=True)
class _Page:
    """Some of the tiles found.

    Attributes:
        entries: The tiles.
        after: Where the next page begins; nothing after the last.
        matched: How many there are on all pages, where that is known.
        scores: Cosine similarity of each to the words that found it.
    """

    entries: list[Entry]
    after: int | None = None
    matched: int | None = None
    scores: list[float] | None = None

    @property
    def scored(self) -> list[tuple[Entry, float | None]]:
        """The tiles, each with its score or nothing."""
        return list(zip(self.entries, self.scores or [None] * len(self.entries), strict=True))


class _SearchBody(BaseSearchPostRequest):
    """A search asked by POST."""

    @model_validator(mode="before")
    @classmethod
    def _is_object(cls, values: Any) -> Any:
        # What the library checks first takes it for granted.
        if not isinstance(values, dict):
            raise ValueError("is no object")
        return values


@attr.s(auto_attribs=True)
class _Client(AsyncBaseCoreClient):
    """Answers what `stac-fastapi` has parsed."""

    services: Services = attr.ib(kw_only=True)

    async def landing_page(self, **kwargs: Any) -> dict[str, Any]:
        """Return where everything begins."""
        page = await super().landing_page(**kwargs)
        for link in page["links"]:
            if link["rel"] == "service-desc":
                link["href"] = f"{get_base_url(kwargs['request'])}api"
        return page

    async def all_collections(self, **kwargs: Any) -> dict[str, Any]:
        """Return the one collection there is."""
        base = get_base_url(kwargs["request"])
        links = [
            {"rel": "root", "type": "application/json", "href": base},
            {"rel": "self", "type": "application/json", "href": f"{base}collections"},
        ]
        return {"collections": [collection(await self._holdings(), base)], "links": links}

    async def get_collection(self, collection_id: str, **kwargs: Any) -> dict[str, Any]:
        """Return the collection."""
        _check_collection(collection_id)
        return collection(await self._holdings(), get_base_url(kwargs["request"]))

    async def get_item(self, item_id: str, collection_id: str, **kwargs: Any) -> dict[str, Any]:
        """Return a tile."""
        _check_collection(collection_id)
        _filters(ids=[item_id])
        entry = await self.services.ask(self.services.index.entry, item_id)
        if entry is None:
            raise Problem(404, f"the archive holds no tile {item_id}")
        return item(entry, get_base_url(kwargs["request"]))

    async def item_collection(
        self,
        collection_id: str,
        bbox: Any = None,
        datetime: str | None = None,
        limit: int | None = 10,
        token: str | None = None,
        **kwargs: Any,
    ) -> dict[str, Any]:
        """Return tiles of the collection."""
        _check_collection(collection_id)
        return await self._found(kwargs["request"], _filters(bbox=bbox, when=datetime), limit, token)

    async def get_search(
        self,
        collections: list[str] | None = None,
        ids: list[str] | None = None,
        bbox: Any = None,
        intersects: str | None = None,
        datetime: str | None = None,
        limit: int | None = 10,
        q: str | None = None,
        token: str | None = None,
        **kwargs: Any,
    ) -> dict[str, Any]:
        """Search, asked by GET."""
        try:
            area = json.loads(intersects) if intersects else None
        except ValueError as error:
            raise Problem(422, "intersects: is no GeoJSON geometry") from error
        filters = _filters(ids=ids, bbox=bbox, intersects=area, when=datetime)
        return await self._found(kwargs["request"], filters, limit, token, q=q, collections=collections)

    async def post_search(self, search_request: Any, **kwargs: Any) -> dict[str, Any]:
        """Search, asked by POST."""
        asked = search_request
        area = asked.intersects.model_dump(mode="json", exclude_none=True) if asked.intersects else None
        filters = _filters(ids=asked.ids, bbox=asked.bbox, intersects=area, when=asked.datetime)
        return await self._found(
            kwargs["request"], filters, asked.limit, asked.token, q=asked.q, collections=asked.collections, body=asked
        )

    async def _holdings(self) -> Holdings:
        return await self.services.ask(self.services.index.holdings)

    async def _found(
        self,
        request: Request,
        filters: Filters,
        limit: int | None,
        token: str | None,
        *,
        q: str | None = None,
        collections: list[str] | None = None,
        body: Any = None,
    ) -> dict[str, Any]:
        limit, offset = min(limit or 10, _MAX_LIMIT), _offset(token, _DEEPEST if q else None)
        base = get_base_url(request)
        if collections and COLLECTION not in collections:
            page = _Page([], matched=0)
        elif q:
            page = await self._nearest(q, filters, limit, offset)
        elif filters.polygon is not None:
            page = await self._within(filters, limit, offset)
        else:
            entries, matched = await self.services.ask(self.services.index.browse, filters, limit, offset)
            after = offset + len(entries)
            page = _Page(entries, after if entries and after < matched else None, matched)
        items = [item(entry, base, score=score) for entry, score in page.scored]
        links = [{"rel": "root", "type": "application/json", "href": base}]
        if page.after is not None:
            links.append(_next(request, str(page.after), body))
        found = {"type": "FeatureCollection", "features": items, "links": links, "numberReturned": len(items)}
        return found if page.matched is None else {**found, "numberMatched": page.matched}

    async def _nearest(self, q: str, filters: Filters, limit: int, offset: int) -> _Page:
        query = await embedded(self.services, text=_words(q))
        found = await seek(self.services, query, offset + limit, filters)
        after = offset + limit
        more = len(found) == after < _DEEPEST
        hits = [one.hit for one in found[offset:]]
        return _Page([hit.entry for hit in hits], after if more else None, scores=[hit.score for hit in hits])

    async def _within(self, filters: Filters, limit: int, offset: int) -> _Page:
        """Return tiles that touch a polygon; what is counted and gone through are those that touch its bounds."""
        assert filters.polygon is not None  # noqa: S101 (asked before)
        west, south, east, north = map(float, filters.polygon.outline.bounds)
        near = filters.model_copy(update={"polygon": None, "bbox": (west, south, east, north)})
        touching: list[Entry] = []
        bounded = offset + 1
        try:
            async with asyncio.timeout(self.services.timeout_s):
                while len(touching) < limit and offset < bounded:
                    looked_at, bounded = await self.services.ask(self.services.index.browse, near, _LOOKED_AT, offset)
                    bounded = bounded if looked_at else offset
                    inside = await asyncio.to_thread(filters.within, [entry.footprint for entry in looked_at])
                    places = [place for place, touches in enumerate(inside) if touches][: limit - len(touching)]
                    touching += [looked_at[place] for place in places]
                    offset += places[-1] + 1 if len(touching) == limit else len(looked_at)
        except TimeoutError as error:
            raise Problem(504, "intersects: too many tiles lie around it; give a smaller area") from error
        return _Page(touching, offset if offset < bounded else None)


def _filters(
    *, ids: list[str] | None = None, bbox: Any = None, intersects: dict[str, Any] | None = None, when: Any = None
) -> Filters:
    """Return STAC's conditions as the archive's.

    Raises:
        Problem: 422 with what is wrong, 400 for two places.
    """
    given: dict[str, Any] = {}
    if bbox and intersects:
        raise Problem(400, "bbox and intersects: give one of them")
    if ids:
        given["tile_ids"] = tuple(ids)
    if bbox:
        edges = [float(edge) for edge in bbox]
        given["bbox"] = tuple(edges if len(edges) == 4 else [*edges[:2], *edges[3:5]])
    if when:
        given["time_from"], given["time_to"] = _interval(when)
    try:
        if intersects:
            given["polygon"] = Area.model_validate(intersects)
        return Filters(**given)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        raise Problem(422, f"{'.'.join(str(part) for part in first['loc'])}: {first['msg']}") from error


def _interval(when: Any) -> tuple[datetime | None, datetime | None]:
    found = str_to_interval(when) if isinstance(when, str) else when
    start, end = found if isinstance(found, tuple) else (found, found)
    return start, end


def _words(q: str) -> str:
    """Return free text as words: operators and quotes of the advanced syntax are read as spaces."""
    text = " ".join(re.sub(r"[+\"()]|\b(?:AND|OR)\b|(?<!\w)-", " ", q).replace(",", " ").split())
    if not 0 < len(text) <= 1000 or not text.isprintable():
        raise Problem(422, "q: give up to 1000 characters of words")
    return text


def _offset(token: str | None, deepest: int | None) -> int:
    if token is None:
        return 0
    if not re.fullmatch(r"\d{1,9}", token):
        raise Problem(422, "token: is none that this service gave")
    if deepest is not None and int(token) >= deepest:
        raise Problem(422, f"token: leads beyond the first {deepest} tiles, so far as words are followed")
    return int(token)


def _check_collection(name: str) -> None:
    if name != COLLECTION:
        raise Problem(404, f"there is no collection {name[:64]!r}; the only one is {COLLECTION!r}")


def _next(request: Request, token: str, body: Any) -> dict[str, Any]:
    here = str(request.url).partition("?")[0]
    if body is None:
        pairs = [(name, value) for name, value in request.query_params.multi_items() if name != "token"]
        href = f"{here}?{urlencode([*pairs, ('token', token)])}"
        return {"rel": "next", "type": "application/geo+json", "method": "GET", "href": href}
    again = {**body.model_dump(mode="json", exclude_none=True, exclude_unset=True), "token": token}
    return {"rel": "next", "type": "application/geo+json", "method": "POST", "href": here, "body": again}
