"""Access tokens, and refresh tokens that come in families: one reuse, and the family is revoked."""

import hashlib
import uuid
from datetime import UTC, datetime
from typing import Any, NamedTuple

import jwt
from django.conf import settings
from django.db import connection, transaction
from rest_framework_simplejwt.backends import TokenBackend
from rest_framework_simplejwt.exceptions import TokenError
from rest_framework_simplejwt.tokens import Token

from accounts.models import RefreshToken, TokenFamily, User


class KeyRing(TokenBackend):
    """Signs with the first of JWT_SIGNING_KEYS and verifies with the one that the token's `kid` names."""

    def __init__(self) -> None:
        self.kid, secret = next(iter(settings.JWT_SIGNING_KEYS.items()))
        super().__init__(settings.JWT_ALGORITHM, secret, audience=settings.JWT_AUDIENCE, issuer=settings.JWT_ISSUER)
        self.keys = {kid: self._prepare_key(secret) for kid, secret in settings.JWT_SIGNING_KEYS.items()}

    def encode(self, payload: dict[str, Any]) -> str:
        claims = {**payload, "aud": self.audience, "iss": self.issuer}
        return jwt.encode(claims, self.keys[self.kid], algorithm=self.algorithm, headers={"kid": self.kid})

    def get_verifying_key(self, token: Any) -> Any:
        kid = jwt.get_unverified_header(token).get("kid")
        if kid not in self.keys:
            raise jwt.InvalidTokenError("unknown kid")
        return self.keys[kid]


_ring = KeyRing()


class AccessToken(Token):
    token_type = "access"  # noqa: S105  (the name of a kind of token)
    lifetime = settings.ACCESS_TOKEN_LIFETIME
    _token_backend = _ring


class RefreshTokenClaims(Token):
    token_type = "refresh"  # noqa: S105  (the name of a kind of token)
    lifetime = settings.REFRESH_TOKEN_LIFETIME
    _token_backend = _ring


class Issued(NamedTuple):
    """A pair of tokens as the API hands them out; `expires_in` is the access token's, in seconds."""

    access_token: str
    refresh_token: str
    token_type: str
    expires_in: int


def sign_in(user: User, *, user_agent: str = "") -> Issued:
    """Open a family of tokens for a person whose credentials were checked. Raises TokenError.

    Checking takes its time: who changed the password or signed out everywhere meanwhile has ended
    this sign-in too. FOR SHARE waits for a change that is under way.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            """
            INSERT INTO accounts_tokenfamily (user_id, user_agent, created_at)
            SELECT id, %(agent)s, %(now)s FROM accounts_user
            WHERE id = %(user)s AND auth_epoch = %(epoch)s AND is_active FOR SHARE
            RETURNING id
            """,
            {"user": user.pk, "agent": user_agent, "epoch": user.auth_epoch, "now": _wall_clock()},
        )
        row = cursor.fetchone()
    if row is None:
        raise TokenError("This sign-in ended before it began. Sign in again.")
    return _issue(user.pk, row[0], user.auth_epoch)


def refresh(raw: str) -> Issued:
    """Exchange a refresh token for a new pair. Raises TokenError.

    A token that was exchanged before is a copy in other hands, or in ours: its family ends.
    """
    jti = _jti(raw)
    with transaction.atomic():
        # One conditional UPDATE: of any number of exchanges at once, one finds the row unused.
        with connection.cursor() as cursor:
            cursor.execute(
                """
                UPDATE accounts_refreshtoken t SET used_at = %(now)s
                FROM accounts_tokenfamily f JOIN accounts_user u ON u.id = f.user_id
                WHERE t.jti = %(jti)s AND t.token_hash = %(hash)s AND t.used_at IS NULL AND t.expires_at > %(now)s
                  AND f.id = t.family_id AND f.revoked_at IS NULL AND u.is_active
                RETURNING f.id, u.id, u.auth_epoch
                """,
                {"jti": jti, "hash": _hash(raw), "now": _wall_clock()},
            )
            row = cursor.fetchone()
        if row is not None:
            # The epoch is the one beside which the family was found alive: read later, it could be
            # that of a sign-out everywhere, which this access token would then outlive.
            family_id, user_id, auth_epoch = row
            return _issue(user_id, family_id, auth_epoch)
    TokenFamily.objects.filter(tokens__jti=jti, revoked_at=None).update(revoked_at=_wall_clock())
    raise TokenError("This refresh token was used before, or its sign-in has ended. Sign in again.")


def revoke_family_of(raw: str) -> None:
    """Sign out. Raises TokenError for what is no refresh token of ours."""
    TokenFamily.objects.filter(tokens__jti=_jti(raw), revoked_at=None).update(revoked_at=_wall_clock())


def revoke_families(user: User, *, keep: uuid.UUID | None = None) -> None:
    """End the user's sign-ins, all or all but one, and every access token at once."""
    # The user's row first: a sign-in under way waits for it, or has made its family before the next statement.
    user.end_access_tokens()
    families = TokenFamily.objects.filter(user=user, revoked_at=None)
    if keep is not None:
        families = families.exclude(pk=keep)
    families.update(revoked_at=_wall_clock())


def _issue(user_id: uuid.UUID, family_id: uuid.UUID, auth_epoch: int) -> Issued:
    access = AccessToken()
    access["sub"] = str(user_id)
    access["fam"] = str(family_id)
    access["auth_epoch"] = auth_epoch
    claims = RefreshTokenClaims()
    claims["sub"] = str(user_id)
    raw = str(claims)
    RefreshToken.objects.create(
        jti=uuid.UUID(claims["jti"]),
        family_id=family_id,
        token_hash=_hash(raw),
        created_at=_wall_clock(),
        expires_at=datetime.fromtimestamp(claims["exp"], UTC),
    )
    return Issued(str(access), raw, "bearer", int(settings.ACCESS_TOKEN_LIFETIME.total_seconds()))


def _jti(raw: str) -> uuid.UUID:
    try:
        return uuid.UUID(RefreshTokenClaims(raw)["jti"])  # type: ignore[arg-type]  # simplejwt takes the encoded text
    except ValueError as error:
        raise TokenError("This refresh token is not valid.") from error


def _hash(raw: str) -> bytes:
    return hashlib.sha256(raw.encode()).digest()


def _wall_clock() -> datetime:
    return datetime.now(UTC)
