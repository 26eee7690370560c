"""Errors as RFC 9457 problem documents, in one shape, whatever went wrong."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, HTTPException, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException as StarletteHTTPException

__all__ = ["PROBLEMS", "Problem", "ProblemDocument", "install_problems", "problem_response"]

MEDIA_TYPE = "application/problem+json"
_log = logging.getLogger("ray.serve")


class FieldError(BaseModel):
    """One field of a request that cannot be taken."""

    field: str = Field(examples=["bbox"])
    reason: str = Field(examples=["bbox is inverted: give west, south, east, north"])


class ProblemDocument(BaseModel):
    """Why a request was not answered (RFC 9457)."""

    type: str = "about:blank"
    title: str = Field(examples=["Unprocessable Entity"])
    status: int = Field(examples=[422])
    detail: str = Field(examples=["k: input should be less than or equal to 200"])
    errors: list[FieldError] = []


class Problem(HTTPException):
    """A request that is answered with a problem document.

    Args:
        status: HTTP status.
        detail: What was wrong, and what to do about it.
        headers: Headers that go with it.
    """

    def __init__(self, status: int, detail: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(status, detail, dict(headers or {}))


PROBLEMS: dict[int | str, dict[str, Any]] = {
    status: {
        "description": HTTPStatus(status).phrase,
        "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/ProblemDocument"}}},
    }
    for status in (400, 401, 404, 408, 413, 415, 422, 429, 503, 504)
}
"""What every route may answer beside its own answer, for the OpenAPI document."""


def problem_response(
    status: int, detail: str, *, errors: Iterable[FieldError] = (), headers: Mapping[str, str] | None = None
) -> JSONResponse:
    """Return a problem document as a response."""
    title = HTTPStatus(status).phrase
    document = ProblemDocument(title=title, status=status, detail=detail, errors=list(errors))
    return JSONResponse(document.model_dump(), status, dict(headers or {}), media_type=MEDIA_TYPE)


def install_problems(app: FastAPI) -> None:
    """Make an application answer every error with a problem document."""
    app.add_exception_handler(StarletteHTTPException, _refused)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(Exception, _broken)


async def _refused(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, StarletteHTTPException)  # noqa: S101 (registered for this class)
    return problem_response(error.status_code, str(error.detail), headers=error.headers)


async def _invalid(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)  # noqa: S101 (registered for this class)
    problems = error.errors()
    if any(problem["type"] == "json_invalid" for problem in problems):
        return problem_response(400, f"the body is not JSON: {problems[0]['ctx']['error']}")
    # The values themselves stay out: they may be as large as the request, or not representable in JSON.
    fields = [FieldError(field=_path(problem["loc"]), reason=_reason(problem["msg"])) for problem in problems[:20]]
    detail = "; ".join(f"{field.field}: {field.reason}" for field in fields[:5])
    return problem_response(422, detail, errors=fields)


async def _broken(request: Request, error: Exception) -> JSONResponse:
    _log.error("%s %s failed", request.method, request.url.path, exc_info=error)
    return problem_response(500, "the service failed to answer; its log says why")


def _path(location: Iterable[int | str]) -> str:
    return ".".join(str(part) for part in location if part not in ("body", "query", "path")) or "body"


def _reason(message: str) -> str:
    message = message.removeprefix("Value error, ")
    return message[0].lower() + message[1:]
