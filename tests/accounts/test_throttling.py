"""The limit on the rate of signed-in requests: in Redis, by user and workspace, and open when Redis is away."""

import logging
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.core.cache import cache
from pytest_django import Settings
from redis import Redis
from redis.backoff import ConstantBackoff
from redis.exceptions import ConnectionError as RedisAway
from redis.retry import Retry
from rest_framework.request import Request
from rest_framework.test import APIRequestFactory

from accounts import tokens
from accounts.access import Access
from accounts.authentication import BearerAuthentication
from accounts.models import Workspace
from accounts.throttling import WorkspaceThrottle
from deploy.files import free_port
from tests.people import Person


class ThreeAMinute(WorkspaceThrottle):
    rate = "3/min"


@pytest.fixture
def redis(tmp_path: Path, settings: Settings) -> Iterator[subprocess.Popen[bytes]]:
    """A Redis of this test's own, in which the cache is kept."""
    port = free_port()
    command = ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as server:
        Redis(port=port, retry=Retry(ConstantBackoff(0.05), 200), retry_on_error=[RedisAway]).ping()
        settings.CACHES = {
            "default": {
                "BACKEND": "django.core.cache.backends.redis.RedisCache",
                "LOCATION": f"redis://127.0.0.1:{port}/0",
            }
        }
        yield server
        cache.close()
        server.terminate()


def is_allowed(person: Person) -> bool:
    request = APIRequestFactory().get("/", headers={"X-Workspace": str(person.workspace.pk)})
    request.META["HTTP_AUTHORIZATION"] = f"Bearer {tokens.sign_in(person.user).access_token}"
    asked = Request(request, authenticators=[BearerAuthentication()])
    assert isinstance(asked.auth, Access)
    return ThreeAMinute().allow_request(asked, None)


@pytest.mark.usefixtures("redis")
def test_the_fourth_request_in_a_minute_is_too_many(bob: Person, charlie: Person) -> None:
    assert [is_allowed(bob) for _ in range(4)] == [True, True, True, False]
    assert is_allowed(charlie)


@pytest.mark.usefixtures("redis")
def test_each_workspace_of_a_user_has_its_own_limit(tara: Person, team: Workspace) -> None:
    assert [is_allowed(tara) for _ in range(4)] == [True, True, True, False]
    assert is_allowed(tara.into(tara.user.personal_workspace))


def test_with_redis_away_requests_pass_and_it_is_logged(
    redis: subprocess.Popen[bytes], bob: Person, caplog: pytest.LogCaptureFixture
) -> None:
    redis.kill()
    redis.wait()
    with caplog.at_level(logging.ERROR, logger="accounts.throttling"):
        assert [is_allowed(bob) for _ in range(5)] == [True] * 5
    assert "The rate limiter's cache is away" in caplog.text
