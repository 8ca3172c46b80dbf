"""docker-compose.yml, as far as that can be judged without an engine."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from procrastinate.contrib.django import app

from billing.models import Plan
from sessions_app.jobs import queue_of

ROOT = Path(__file__).resolve().parent.parent.parent
WORKERS = ("worker", "worker-standard", "worker-housekeeping", "worker-billing")


@pytest.fixture(scope="module")
def services() -> dict[str, Any]:
    described: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
    return described


def test_every_role_is_there(services: dict[str, Any]) -> None:
    assert set(services) == {"migrate", "web", *WORKERS, "postgres", "redis"}


def test_every_service_that_stays_up_shows_its_health(services: dict[str, Any]) -> None:
    assert {name for name, service in services.items() if "healthcheck" not in service} == {"migrate"}


def test_nothing_serves_before_the_migrations_and_they_wait_for_the_database(services: dict[str, Any]) -> None:
    assert services["migrate"]["depends_on"] == {"postgres": {"condition": "service_healthy"}}
    for name in ("web", *WORKERS):
        assert services[name]["depends_on"]["migrate"] == {"condition": "service_completed_successfully"}


def queues(service: dict[str, Any]) -> set[str]:
    (given,) = [word.partition("=")[2] for word in service["command"] if word.startswith("--queues=")]
    return set(given.split(","))


def test_some_worker_takes_every_queue_that_a_job_is_put_on(services: dict[str, Any]) -> None:
    used = {task.queue for task in app.tasks.values() if not task.name.startswith("builtin:")}
    used |= {queue_of(Plan(job_priority=priority)) for priority in (0, 10)}
    taken = set[str]().union(*(queues(services[name]) for name in WORKERS))
    assert used <= taken
    assert "billing" in taken


def test_nothing_waits_behind_a_slow_stripe_and_no_mail_behind_a_long_run(services: dict[str, Any]) -> None:
    taken = {name: queues(services[name]) for name in WORKERS}
    assert [name for name in WORKERS if "billing" in taken[name]] == ["worker-billing"]
    assert taken["worker-billing"] == {"billing"}
    assert taken["worker-housekeeping"] == {"mail", "housekeeping"}
    assert taken["worker-standard"] == {queue_of(Plan(job_priority=0))}


def test_every_role_is_told_of_stripe_as_far_as_the_operator_says(services: dict[str, Any]) -> None:
    offered = re.findall(r"^(?:# )?(STRIPE_[A-Z_]+)=", (ROOT / ".env.example").read_text(), re.MULTILINE)
    assert "STRIPE_SECRET_KEY" in offered
    for name in ("migrate", "web", *WORKERS):
        environment = services[name]["environment"]
        for variable in offered:
            # Nothing of an account is written here, and without a value all but paying works.
            assert re.fullmatch(r"\$\{" + variable + r":-\d*\}", environment[variable]), variable


def test_secrets_have_no_default(services: dict[str, Any]) -> None:
    environment = services["web"]["environment"]
    for name in ("SECRET_KEY", "JWT_SIGNING_KEYS"):
        assert re.fullmatch(r"\$\{" + name + r":\?.+\}", environment[name])
    assert "${POSTGRES_PASSWORD:?" in environment["DATABASE_URL"]
    assert "${POSTGRES_PASSWORD:?" in services["postgres"]["environment"]["POSTGRES_PASSWORD"]


def test_only_the_web_service_is_reached_from_outside_and_only_on_loopback(services: dict[str, Any]) -> None:
    published = {name: service["ports"] for name, service in services.items() if "ports" in service}
    assert published == {"web": ["127.0.0.1:${PORT:-8000}:8000"]}


def test_the_image_runs_as_an_ordinary_user() -> None:
    last_stage = (ROOT / "Dockerfile").read_text().rpartition("\nFROM ")[2]
    assert re.search(r"^USER app$", last_stage, re.MULTILINE)
