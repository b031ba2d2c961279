"""What a server's problem+json becomes."""
import json
from typing import Any, Dict, List, Optional


class PfgmdError(Exception):
    """A refusal or a failure: .status (0: no answer), .code, .detail, .errors, .retry_after_s."""

    def __init__(self, status: int, problem: Dict[str, Any]) -> None:
        self.status = status
        self.code: str = str(problem.get("code", ""))
        self.detail: str = str(problem.get("detail", "the server answered %d" % status))
        self.errors: List[Dict[str, str]] = problem.get("errors", [])
        self.retry_after_s: Optional[int] = problem.get("retry_after_s")
        super().__init__(self.detail)


class InvalidParameter(PfgmdError):
    """400, 406, 413, 415, 422: the request is wrong; .errors names the fields."""


class Unauthenticated(PfgmdError):
    """401: a key is needed, or this one is not known."""


class Forbidden(PfgmdError):
    """403"""


class NotFound(PfgmdError):
    """404, or 410: a job that has expired."""


class QuotaExceeded(PfgmdError):
    """429: this client is over its limit."""


class Unavailable(PfgmdError):
    """503 (loading, full or stopping), 507 (the store of jobs is full), no answer at all, or one that broke off."""


class DeadlineExceeded(PfgmdError):
    """504: timeout_s has passed."""


class NumericalFailure(PfgmdError):
    """500: an image did not come to an end; nothing of the request is given."""


_CLASSES = {400: InvalidParameter, 401: Unauthenticated, 403: Forbidden, 404: NotFound, 410: NotFound, 406: InvalidParameter,
            413: InvalidParameter, 415: InvalidParameter, 422: InvalidParameter, 429: QuotaExceeded, 503: Unavailable,
            504: DeadlineExceeded, 507: Unavailable}


def error_of(status: int, body: bytes) -> PfgmdError:
    try:
        problem = json.loads(body)
    except ValueError:
        problem = {}
    if not isinstance(problem, dict):
        problem = {}
    return error_of_problem(status, problem)


def error_of_problem(status: int, problem: Dict[str, Any]) -> PfgmdError:
    if problem.get("code") == "numerical_failure":
        return NumericalFailure(status, problem)
    return _CLASSES.get(status, PfgmdError)(status, problem)
