"""Idempotency-Key: one request, one effect, one answer. Who races for a key is tested with the real servers."""

from datetime import timedelta
from typing import Any

import pytest
from django.db.models import F

from accounts import clock, idempotency
from accounts.models import IdempotentRequest, Role, User, Workspace
from billing.models import LedgerEntry
from sessions_app.models import Run, Session
from tests.people import Person, join


def start(person: Person, key: str | None, body: Any = None, path: str = "/sessions") -> Any:
    headers = {} if key is None else {"Idempotency-Key": key}
    return person.post(path, {"title": "One"} if body is None else body, **headers)


def made() -> tuple[int, int, int]:
    lines = LedgerEntry.objects.filter(kind=LedgerEntry.Kind.CONSUME)
    return Session.objects.count(), Run.objects.count(), lines.count()


def test_a_repeated_request_gets_the_first_answer_and_costs_nothing(bob: Person) -> None:
    first = start(bob, "k-1")
    assert first.status_code == 201
    assert "Idempotent-Replayed" not in first
    again = start(bob, "k-1")
    assert (again.status_code, again.content) == (201, first.content)
    assert again["Idempotent-Replayed"] == "true"
    assert again["X-Request-ID"] != first["X-Request-ID"]
    for name in ("X-Quota-Limit", "X-Quota-Remaining", "X-Quota-Reset"):
        assert again[name] == first[name]
    assert made() == (1, 1, 1)


def test_without_a_key_every_request_counts(bob: Person) -> None:
    assert [start(bob, None).status_code for _ in range(2)] == [201, 201]
    assert made() == (2, 2, 2)
    assert not IdempotentRequest.objects.exists()


def test_the_order_and_the_spaces_of_the_body_do_not_matter(bob: Person) -> None:
    for body in ('{"title": "One", "prompt": ""}', '{ "prompt":"",\n"title":"One" }'):
        answer = bob.client.post(
            "/api/v1/sessions", body, content_type="application/json", headers={"Idempotency-Key": "k-1"}
        )
        assert answer.status_code == 201
    assert made() == (1, 1, 1)


def test_the_same_key_with_another_body_is_a_conflict(bob: Person) -> None:
    start(bob, "k-1")
    answer = start(bob, "k-1", {"title": "Two"})
    assert (answer.status_code, answer.json()["code"]) == (409, "idempotency_mismatch")
    assert made() == (1, 1, 1)


@pytest.mark.parametrize("key", ["", "k" * 256, "ключ", "a\tb", "a\x7f"])
def test_a_key_that_cannot_be_one_is_refused(key: str, bob: Person) -> None:
    answer = start(bob, key)
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid")
    assert made() == (0, 0, 0)
    assert not IdempotentRequest.objects.exists()


def test_the_longest_key_works(bob: Person) -> None:
    assert [start(bob, "k" * 255).status_code for _ in range(2)] == [201, 201]
    assert made() == (1, 1, 1)


def test_only_success_holds_the_key(bob: Person) -> None:
    answer = start(bob, "k-1", {"title": "t" * 201})
    assert answer.status_code == 400
    assert (made(), IdempotentRequest.objects.count()) == ((0, 0, 0), 0)
    assert start(bob, "k-1").status_code == 201
    assert made() == (1, 1, 1)


def test_a_refusal_for_quota_leaves_the_key_free_for_after_the_upgrade(bob: Person) -> None:
    for _ in range(10):
        assert start(bob, None).status_code == 201
    refused = start(bob, "k-1")
    assert refused.status_code == 402
    assert (made(), IdempotentRequest.objects.count()) == ((10, 10, 10), 0)
    assert bob.post("/billing/activate-trial").status_code == 200
    assert start(bob, "k-1").status_code == 201
    assert made() == (11, 11, 11)


def test_a_repetition_is_answered_when_nothing_is_left(bob: Person) -> None:
    first = start(bob, "k-1")
    for _ in range(9):
        assert start(bob, None).status_code == 201
    again = start(bob, "k-1")
    assert (again.status_code, again.content) == (201, first.content)
    assert made() == (10, 10, 10)


def test_keys_of_other_people_workspaces_and_paths_are_others(bob: Person, alice: Person) -> None:
    team = Workspace.objects.open(name="Bob's team", owner=bob.user, now=clock.now())
    join(team, alice.user, Role.MEMBER)
    body = {"prompt": "Write a haiku"}
    answers = [
        start(bob, "k-1", body),
        start(bob.into(team), "k-1", body),
        start(alice, "k-1", body),
        start(alice.into(team), "k-1", body),
        start(bob, "k-1", body, "/agent/execute"),
    ]
    assert [answer.status_code for answer in answers] == [201, 201, 201, 201, 202]
    assert not any("Idempotent-Replayed" in answer for answer in answers)
    assert made() == (5, 5, 5)


def test_the_role_is_looked_at_before_the_key(tara: Person, team: Workspace) -> None:
    assert tara.post("/billing/activate-trial", **{"Idempotency-Key": "k-1"}).status_code == 200
    team.membership_set.filter(user=tara.user).update(role=Role.MEMBER)
    answer = tara.post("/billing/activate-trial", **{"Idempotency-Key": "k-1"})
    assert (answer.status_code, answer.json()["code"]) == (403, "role_required")
    assert "Idempotent-Replayed" not in answer


def test_a_deactivated_user_gets_no_stored_answer(bob: Person) -> None:
    start(bob, "k-1")
    User.objects.filter(pk=bob.user.pk).update(is_active=False)
    assert start(bob, "k-1").status_code == 401
    assert made() == (1, 1, 1)


def test_a_key_is_kept_for_24_hours_and_free_again_after(bob: Person) -> None:
    start(bob, "k-1")
    IdempotentRequest.objects.update(created_at=F("created_at") - timedelta(hours=23, minutes=59))
    assert start(bob, "k-1")["Idempotent-Replayed"] == "true"
    IdempotentRequest.objects.update(created_at=F("created_at") - timedelta(minutes=1))
    answer = start(bob, "k-1", {"title": "Two"})
    assert answer.status_code == 201
    assert "Idempotent-Replayed" not in answer
    assert made() == (2, 2, 2)
    assert start(bob, "k-1", {"title": "Two"}).content == answer.content


def test_old_answers_are_forgotten_and_live_ones_kept(bob: Person) -> None:
    start(bob, "k-1")
    kept = IdempotentRequest.objects.get().created_at + timedelta(hours=24)
    assert idempotency.forget_old(kept - timedelta(minutes=1)) == 0
    assert idempotency.forget_old(kept + timedelta(minutes=1)) == 1


def test_where_nothing_is_metered_the_key_is_ignored(bob: Person) -> None:
    session_id = start(bob, None).json()["id"]
    for _ in range(2):
        assert bob.post(f"/sessions/{session_id}/stop", **{"Idempotency-Key": "k-1"}).status_code == 200
    assert not IdempotentRequest.objects.exists()
