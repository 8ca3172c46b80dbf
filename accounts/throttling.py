"""How often a signed-in user may ask, counted in Redis by user and workspace and never by address."""

import logging
from typing import Any

from redis.exceptions import RedisError
from rest_framework.request import Request
from rest_framework.throttling import SimpleRateThrottle

from accounts import access

log = logging.getLogger(__name__)


class WorkspaceThrottle(SimpleRateThrottle):
    """With the cache away requests pass, and it is logged: a limit on rate is no limit on quota (invariant 15)."""

    rate = "1200/min"

    def get_cache_key(self, request: Request, view: Any) -> str | None:
        if request.auth is None:
            return None
        found = access.of(request)
        return f"throttle:{found.user.pk}:{found.workspace.pk}"

    def allow_request(self, request: Request, view: Any) -> bool:
        try:
            return super().allow_request(request, view)
        except RedisError as error:
            log.error("The rate limiter's cache is away, so this request passed: %s", error)
            return True
