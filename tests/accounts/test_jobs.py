"""The nightly job: what has expired is forgotten, and nothing that lives."""

from datetime import UTC, datetime, timedelta

from allauth.usersessions.models import UserSession
from django.contrib.sessions.models import Session as BrowserSession
from django.db.models import F

from accounts import jobs, tokens
from accounts.models import Attempt, IdempotentRequest, RefreshToken
from tests.people import Person


def test_what_expired_is_forgotten_and_what_lives_is_kept(bob: Person) -> None:
    RefreshToken.objects.all().delete()
    Attempt.objects.bulk_create(Attempt(scope="sign-in account", subject=b"x", at=datetime.now(UTC)) for _ in range(2))
    for key in ("k-1", "k-2"):
        assert bob.post("/sessions", {}, **{"Idempotency-Key": key}).status_code == 201
    kept, forgotten = tokens.sign_in(bob.user), tokens.sign_in(bob.user)
    for day, key in ((1, "kept"), (-1, "forgotten")):
        expire_date = datetime.now(UTC) + timedelta(days=day)
        BrowserSession.objects.create(session_key=key, session_data="", expire_date=expire_date)
        UserSession.objects.create(session_key=key, user=bob.user, ip="127.0.0.1")
    RefreshToken.objects.filter(token_hash=tokens._hash(forgotten.refresh_token)).update(
        expires_at=F("expires_at") - timedelta(days=7)
    )
    Attempt.objects.filter(pk=Attempt.objects.first().pk).update(at=F("at") - timedelta(minutes=61))  # type: ignore[union-attr]
    IdempotentRequest.objects.filter(key="k-1").update(created_at=F("created_at") - timedelta(hours=25))

    jobs.forget_what_expired(timestamp=int(datetime.now(UTC).timestamp()) + 1)

    assert RefreshToken.objects.get().token_hash == tokens._hash(kept.refresh_token)
    assert Attempt.objects.count() == 1
    assert IdempotentRequest.objects.get().key == "k-2"
    assert BrowserSession.objects.get().session_key == "kept"
    assert UserSession.objects.get().session_key == "kept"
