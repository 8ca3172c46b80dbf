"""`Authorization: Bearer <access token>`, and nothing else, authenticates the API."""

import uuid

from django.http import Http404
from rest_framework.authentication import BaseAuthentication, get_authorization_header
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.request import Request
from rest_framework_simplejwt.exceptions import TokenError

from accounts import access, clock
from accounts.errors import CHALLENGE
from accounts.models import User
from accounts.tokens import AccessToken


class TokenNotValid(AuthenticationFailed):
    default_detail = "This access token is not valid, has expired or was revoked. Sign in again."
    default_code = "token_not_valid"


class BearerAuthentication(BaseAuthentication):
    """Sets `request.user`, and `request.auth` to the Access: workspace, role, and what apps added to them."""

    def authenticate(self, request: Request) -> tuple[User, access.Access] | None:
        scheme, _, raw = get_authorization_header(request).partition(b" ")
        if scheme.lower() != b"bearer":
            return None
        try:
            token = AccessToken(raw.strip())  # type: ignore[arg-type]  # simplejwt takes the encoded bytes
            user_id, family_id = uuid.UUID(token["sub"]), uuid.UUID(token["fam"])
            auth_epoch = token["auth_epoch"]
        except (TokenError, KeyError, ValueError, TypeError, AttributeError) as error:
            raise TokenNotValid from error
        try:
            found = access.load(
                user_id,
                auth_epoch=auth_epoch,
                family_id=family_id,
                workspace_id=chosen_workspace(request),
                now=clock.now(),
            )
        except access.NoSuchUser as error:
            raise TokenNotValid from error
        return found.user, found

    def authenticate_header(self, request: Request) -> str:
        return CHALLENGE


def chosen_workspace(request: Request) -> uuid.UUID | None:
    """The X-Workspace header. Raises Http404 when it is malformed: the same answer as for one that is not there."""
    value = request.headers.get("X-Workspace")
    if value is None:
        return None
    try:
        chosen = uuid.UUID(value)
    except ValueError as error:
        raise Http404 from error
    # uuid.UUID also takes braces, a urn and no hyphens; one spelling is enough.
    if str(chosen) != value.lower():
        raise Http404
    return chosen
