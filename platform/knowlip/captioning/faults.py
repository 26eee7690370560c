"""What went wrong with a call, by the type of the error and its status, never by its words; and how long to wait."""

from __future__ import annotations

import math
import random
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import openai

__all__ = ["Fault", "back_off_s", "by_status", "classify", "exhausted_for_s"]

_STOPPING = {
    401: ("unauthorised", "the endpoint refuses the key"),
    402: ("unpaid", "the endpoint wants to be paid"),
    403: ("forbidden", "the endpoint forbids this key the model"),
}
_AGAIN = {408: "timeout", 409: "conflict", 425: "too_early", 429: "rate_limited"}
_UNPAID_CODES = {"insufficient_quota", "billing_hard_limit_reached"}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|h|m|s)")
_UNITS_S = {"ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_LONGEST_S = 60.0


@dataclass(frozen=True)
class Fault:
    """What became of a call that failed.

    Attributes:
        code: Reason code.
        what: The reason in words, for a person.
        again: Another try may succeed.
        stops: No call of this job can succeed.
        answered: The endpoint said so itself; otherwise the call may have been worked on, and billed.
        wait_s: Seconds that the server asks to wait, if it does.
        parameter: The parameter that the endpoint does not take, if it names one.
        status: HTTP status, 0 for none.
    """

    code: str
    what: str
    again: bool = False
    stops: bool = False
    answered: bool = True
    wait_s: float | None = None
    parameter: str = ""
    status: int = 0


def classify(error: Exception) -> Fault:
    """Decide what an error of the client means."""
    if isinstance(error, openai.APITimeoutError):  # the transport calls a reset connection that, too
        return Fault("timeout", "the endpoint cannot be reached or does not answer in time", again=True, answered=False)
    if isinstance(error, openai.APIStatusError):
        named = error.param if isinstance(error.param, str) else ""
        return by_status(error.status_code, str(error.code or ""), named, error.response.headers)
    if isinstance(error, openai.APIConnectionError):
        return Fault("unreachable", "the endpoint cannot be reached", again=True, answered=False)
    return Fault("bad_reply", "the endpoint's answer was no chat completion", again=True, answered=False)


def by_status(
    status: int, error_code: str = "", parameter: str = "", headers: Mapping[str, str] | None = None
) -> Fault:
    """Decide what a status means.

    Args:
        status: HTTP status.
        error_code: Code of the error in the answer, if it gives one.
        parameter: Parameter that the answer names.
        headers: The answer's.
    """
    if status in _STOPPING:
        code, what = _STOPPING[status]
        return Fault(code, f"{what} (status {status})", stops=True, status=status)
    if status == 429 and error_code in _UNPAID_CODES:
        return Fault("unpaid", "the endpoint's account is used up (status 429)", stops=True, status=status)
    if status in _AGAIN or status >= 500:
        wait_s = _asked_wait_s(headers or {})
        code = _AGAIN.get(status, "server_error")
        return Fault(code, f"the endpoint answered with status {status}", again=True, wait_s=wait_s, status=status)
    what = f"the endpoint does not know the model or the path (status {status})" if status == 404 else ""
    what = what or f"the endpoint turned the request down (status {status})"
    return Fault(f"status_{status}", what, parameter=parameter, status=status)


def _asked_wait_s(headers: Mapping[str, str]) -> float | None:
    """Read ``retry-after-ms``, ``retry-after`` (seconds or a date), else when the rate limits reset."""
    for name, unit_s in (("retry-after-ms", 1e-3), ("retry-after", 1.0)):
        value = headers.get(name, "")
        try:
            wait_s = float(value) * unit_s
        except ValueError:
            wait_s = _until_s(value)
        if math.isfinite(wait_s) and wait_s >= 0:
            return wait_s
    return exhausted_for_s(headers)


def _until_s(date: str) -> float:
    try:
        when = parsedate_to_datetime(date)
    except ValueError:
        return math.nan
    when = when if when.tzinfo else when.replace(tzinfo=UTC)
    return max(0.0, (when - datetime.now(UTC)).total_seconds())


def exhausted_for_s(headers: Mapping[str, str]) -> float | None:
    """Seconds until a limit of which nothing remains is reset, by the rate-limit headers; none if some is left."""
    waits = []
    for kind in ("requests", "tokens"):
        if headers.get(f"x-ratelimit-remaining-{kind}", "").strip() == "0":
            found = _DURATION.findall(headers.get(f"x-ratelimit-reset-{kind}", ""))
            waits.append(sum(float(number) * _UNITS_S[unit] for number, unit in found))
    return min(max(waits), _LONGEST_S) if waits else None


def back_off_s(attempt: int, fault: Fault, *, base_s: float, rng: random.Random) -> float:
    """How long to wait before a try: what the server asks and a little, else twice as long each time, jittered.

    Args:
        attempt: Tries so far, from 1.
        fault: What the last one met.
        base_s: Mean of the first wait.
        rng: Source of the jitter, so that callers do not come back together.
    """
    if fault.wait_s is not None:
        return min(fault.wait_s, _LONGEST_S) + rng.uniform(0.0, base_s)
    return rng.uniform(0.5, 1.5) * min(_LONGEST_S, base_s * 2.0 ** (attempt - 1))
