"""The once-token of forms: a form that is sent twice does its work once, and leads to the same place."""

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from django.db.models import F
from django.http import HttpRequest
from django.template import Context, Template
from django.test import RequestFactory

from accounts import access, clock
from accounts.access import Access
from accounts.errors import Problem
from accounts.idempotency import once, once_beyond
from accounts.models import IdempotentRequest, Invitation, User, Workspace
from tests.people import Person
from tests.threads import at_once

type Once = Callable[[HttpRequest, Access, Callable[[], str]], str]

both = pytest.mark.parametrize("do", [once, once_beyond])


def held_by(person: Person) -> Access:
    return access.load(person.user.pk, workspace_id=person.workspace.pk, now=clock.now(), is_session=True)


def form(key: str | None = "t-1", path: str = "/there", **fields: str) -> HttpRequest:
    sent = {"csrfmiddlewaretoken": "changes with each page", **fields}
    return RequestFactory().post(path, sent if key is None else {**sent, "once": key})


def send(do: Once, person: Person, request: HttpRequest) -> str:
    """Invites somebody, whom the answer names."""

    def work() -> str:
        now = datetime.now(UTC)
        invited = Invitation.objects.create(
            workspace=person.workspace,
            email=f"{Invitation.objects.count() + 1}@example.com",
            invited_by=person.user,
            created_at=now,
            expires_at=now + timedelta(days=7),
        )
        return f"/invited/{invited.email}"

    return do(request, held_by(person), work)


@both
def test_a_form_sent_again_leads_to_the_same_place_and_does_nothing(do: Once, bob: Person) -> None:
    sent = [send(do, bob, form(prompt="Hello", csrfmiddlewaretoken=str(n))) for n in range(3)]
    assert sent == ["/invited/1@example.com"] * 3
    assert Invitation.objects.count() == 1


@both
def test_another_token_is_another_wish(do: Once, bob: Person) -> None:
    assert send(do, bob, form("t-1")) != send(do, bob, form("t-2"))
    assert Invitation.objects.count() == 2


@both
def test_who_goes_back_and_sends_other_words_means_them(do: Once, bob: Person) -> None:
    first, other = send(do, bob, form(prompt="One")), send(do, bob, form(prompt="Two"))
    assert first != other
    assert [send(do, bob, form(prompt=prompt)) for prompt in ("One", "Two")] == [first, other]
    assert Invitation.objects.count() == 2


@both
def test_tokens_of_other_people_workspaces_and_addresses_are_others(do: Once, bob: Person, alice: Person) -> None:
    team = Workspace.objects.open(name="Bob's team", owner=bob.user, now=clock.now())
    send(do, bob, form())
    send(do, bob.into(team), form())
    send(do, alice, form())
    send(do, bob, form(path="/elsewhere"))
    assert Invitation.objects.count() == 4


@both
@pytest.mark.parametrize("token", [None, "", "t" * 65, "ключ", "a\tb"])
def test_a_form_without_a_token_of_ours_does_nothing(do: Once, token: str | None, bob: Person) -> None:
    with pytest.raises(Problem, match="Load the page again") as caught:
        send(do, bob, form(token))
    assert caught.value.status_code == 400
    assert (Invitation.objects.count(), IdempotentRequest.objects.count()) == (0, 0)


@both
def test_a_failure_reaches_the_view_and_leaves_the_token_free(do: Once, bob: Person) -> None:
    def refuse() -> str:
        raise Problem("Not now.", "session_busy")

    with pytest.raises(Problem, match="Not now"):
        do(form(), held_by(bob), refuse)
    assert not IdempotentRequest.objects.exists()
    assert send(do, bob, form()) == "/invited/1@example.com"


def test_a_failure_undoes_what_was_done_before_it(bob: Person) -> None:
    def rename_and_refuse() -> str:
        User.objects.filter(pk=bob.user.pk).update(fullname="Robert")
        raise Problem("Not now.", "session_busy")

    with pytest.raises(Problem):
        once(form(), held_by(bob), rename_and_refuse)
    assert User.objects.get(pk=bob.user.pk).fullname == "Bob"


@both
def test_a_token_is_kept_for_a_day(do: Once, bob: Person) -> None:
    first = send(do, bob, form())
    IdempotentRequest.objects.update(created_at=F("created_at") - timedelta(hours=24, minutes=1))
    assert send(do, bob, form()) != first


@both
@pytest.mark.django_db(transaction=True)
def test_of_one_form_sent_many_times_at_once_the_work_is_done_once(do: Once, bob: Person) -> None:
    done: list[str] = []

    def work() -> str:
        done.append("here")
        return "/there"

    results = at_once([lambda: do(form(), held_by(bob), work)] * 8)
    assert results == ["/there"] * 8
    assert done == ["here"]


def test_the_tag_writes_a_token_of_its_own_into_each_form() -> None:
    written = Template("{% once_token %}{% once_token %}").render(Context())
    tokens = re.findall(r'<input type="hidden" name="once" value="([\w-]{22})" autocomplete="off">', written)
    assert len(set(tokens)) == 2
