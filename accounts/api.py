"""The endpoints under /api/v1/auth."""

import uuid
from contextlib import suppress
from typing import Any, cast

from django.contrib.auth import authenticate
from django.core.exceptions import ValidationError as PasswordRefused
from django.db import transaction
from django.http import Http404
from django.utils.translation import get_language_from_request
from drf_spectacular.utils import extend_schema
from rest_framework import serializers, status
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView
from rest_framework_simplejwt.exceptions import TokenError

from accounts import (
    access,
    devices,
    guards,
    jobs,
    links,
    passwords,
    registration,
    second_factor,
    tokens,
    verification,
)
from accounts.addresses import client_address
from accounts.authentication import BearerAuthentication, TokenNotValid
from accounts.errors import CHALLENGE, Problem
from accounts.models import User
from accounts.serializers import (
    ChangePasswordSerializer,
    ConfirmResetSerializer,
    KeySerializer,
    LoginSerializer,
    MeSerializer,
    RefreshSerializer,
    RegisterSerializer,
    ResetSerializer,
    SignedInSerializer,
    TokensSerializer,
    UserSerializer,
    check_password_rules,
)

NO_CONTENT = {204: None}


def body_of(serializer: type[serializers.Serializer[Any]], request: Request) -> dict[str, Any]:
    """The validated body. Raises ValidationError."""
    checked = serializer(data=request.data)
    checked.is_valid(raise_exception=True)
    return cast(dict[str, Any], checked.validated_data)


class PublicView(APIView):
    """Reads no token at all: a stale one in the header must not keep anybody from signing in.

    `refusals` are the statuses that the OpenAPI description cannot read from the view otherwise.
    """

    refusals: tuple[int, ...] = ()
    authentication_classes = ()
    permission_classes = ()

    def get_authenticate_header(self, request: Request) -> str:
        return CHALLENGE


class Register(PublicView):
    refusals = (429,)

    @extend_schema(request=RegisterSerializer, responses={201: SignedInSerializer})
    def post(self, request: Request) -> Response:
        """Register: the account, its personal workspace and the workspace's FREE subscription."""
        body = body_of(RegisterSerializer, request)
        try:
            user = registration.register(
                address=client_address(request.META),
                email=body["email"],
                password=body["password"],
                fullname=body["fullname"],
                language=get_language_from_request(request._request),
            )
        except PasswordRefused as error:
            raise serializers.ValidationError({"password": list(error.messages)}) from error
        if user is None:
            raise serializers.ValidationError({"email": ["This e-mail address is already registered."]})
        return Response(signed_in(request, user), status=status.HTTP_201_CREATED)


class Login(PublicView):
    refusals = (401, 429)

    @extend_schema(request=LoginSerializer, responses=SignedInSerializer)
    def post(self, request: Request) -> Response:
        """Sign in. An account with a second factor answers 401 `mfa_required` until `otp` is its code: six digits
        from the authenticator app, or one of the recovery codes. Each passes once."""
        body = body_of(LoginSerializer, request)
        email, otp = User.objects.normalize_email(body["email"]), body.get("otp", "")
        with guards.guessing(address=client_address(request.META), account=email) as outcome:
            # Django hashes once also for an address that nobody has, so the time tells nothing.
            user = authenticate(request._request, username=email, password=body["password"])
            lacks_code = isinstance(user, User) and second_factor.is_on(user) and not second_factor.use(user, otp)
            # Who has not been asked for the code yet has guessed nothing.
            outcome.append(user is not None and not (lacks_code and otp))
        if lacks_code:
            raise Problem(
                "This code is wrong, or was used before."
                if otp
                else "This account has a second factor: send a code of it as `otp`.",
                "mfa_required",
                status=401,
            )
        if isinstance(user, User):
            # What was ended while it was checked is refused in the same words.
            with suppress(TokenError):
                return Response(signed_in(request, user))
        raise Problem("The e-mail address or the password is wrong.", "invalid_credentials", status=401)


class Refresh(PublicView):
    refusals = (401,)

    @extend_schema(request=RefreshSerializer, responses=TokensSerializer)
    def post(self, request: Request) -> Response:
        """Exchange a refresh token. A token that was exchanged before ends its whole family."""
        body = body_of(RefreshSerializer, request)
        try:
            issued = tokens.refresh(body["refresh_token"])
        except TokenError as error:
            raise TokenNotValid("This refresh token is not valid any more. Sign in again.") from error
        return Response(issued._asdict())


class Logout(PublicView):
    refusals = (401,)

    @extend_schema(request=RefreshSerializer, responses=NO_CONTENT)
    def post(self, request: Request) -> Response:
        body = body_of(RefreshSerializer, request)
        try:
            tokens.revoke_family_of(body["refresh_token"])
        except TokenError as error:
            raise TokenNotValid("This refresh token is not valid any more.") from error
        return Response(status=status.HTTP_204_NO_CONTENT)


class LogoutAll(APIView):
    @extend_schema(request=None, responses=NO_CONTENT)
    def post(self, request: Request) -> Response:
        """End every sign-in of this account, and every access token at once."""
        with transaction.atomic():
            tokens.revoke_families(access.of(request).user)
        return Response(status=status.HTTP_204_NO_CONTENT)


class VerifyEmail(PublicView):
    @extend_schema(request=KeySerializer, responses=NO_CONTENT)
    def post(self, request: Request) -> Response:
        """Prove the address with the mailed key. Every sign-in from before ends, for anybody can register an
        address; with this account's token in `Authorization`, that sign-in's refresh token stays good."""
        user = links.user_to_verify(body_of(KeySerializer, request)["key"])
        if user is None:
            raise serializers.ValidationError({"key": ["This key is not valid, or has expired. Ask for a new one."]})
        verification.confirm(user, keep=self._own_family(request, user))
        return Response(status=status.HTTP_204_NO_CONTENT)

    def _own_family(self, request: Request, user: User) -> uuid.UUID | None:
        try:
            found = BearerAuthentication().authenticate(request)
        except (AuthenticationFailed, Http404):
            return None
        return found[1].family_id if found and found[0].pk == user.pk else None


class ResendVerification(APIView):
    @extend_schema(request=None, responses=NO_CONTENT)
    def post(self, request: Request) -> Response:
        registration.verify_again(access.of(request).user)
        return Response(status=status.HTTP_204_NO_CONTENT)


class Me(APIView):
    @extend_schema(responses=MeSerializer)
    def get(self, request: Request) -> Response:
        return Response(MeSerializer(access.of(request).user).data)

    @extend_schema(request=UserSerializer, responses=MeSerializer)
    def patch(self, request: Request) -> Response:
        user = access.of(request).user
        form = MeSerializer(user, data=request.data, partial=True)
        form.is_valid(raise_exception=True)
        user.fullname = form.validated_data.get("fullname", user.fullname)
        user.save(update_fields=["fullname"])
        return Response(MeSerializer(user).data)


class ChangePassword(APIView):
    @extend_schema(request=ChangePasswordSerializer, responses=NO_CONTENT)
    def post(self, request: Request) -> Response:
        """Change the password; every sign-in but this one ends, and every access token at once."""
        body = body_of(ChangePasswordSerializer, request)
        held = access.of(request)
        user = held.user
        with guards.guessing(address=client_address(request.META), account=user.email) as outcome:
            outcome.append(user.check_password(body["old_password"]))
        wrong = serializers.ValidationError({"old_password": ["This is not your present password."]})
        if outcome != [True]:
            raise wrong
        check_password_rules(body["new_password"], user, "new_password")
        if not passwords.change(user, body["new_password"], keep=held.family_id):
            raise wrong
        return Response(status=status.HTTP_204_NO_CONTENT)


class PasswordReset(PublicView):
    refusals = (429,)

    @extend_schema(request=ResetSerializer, responses=NO_CONTENT)
    def post(self, request: Request) -> Response:
        """Ask for a link by mail. The answer is the same whether or not the address has an account."""
        email = body_of(ResetSerializer, request)["email"]
        guards.count(guards.RESET, email)
        jobs.send_password_reset.defer(email=email)
        return Response(status=status.HTTP_204_NO_CONTENT)


class ConfirmPasswordReset(PublicView):
    @extend_schema(request=ConfirmResetSerializer, responses=NO_CONTENT)
    def post(self, request: Request) -> Response:
        """Set a new password with the link's `uid` and `token`; every sign-in of the account ends."""
        body = body_of(ConfirmResetSerializer, request)
        ended = serializers.ValidationError({"token": ["This link is not valid any more. Ask for a new one."]})
        user = links.user_to_reset(body["uid"], body["token"])
        if user is None:
            raise ended
        check_password_rules(body["new_password"], user, "new_password")
        if not passwords.reset(user, body["new_password"]):
            raise ended
        return Response(status=status.HTTP_204_NO_CONTENT)


def signed_in(request: Request, user: User) -> dict[str, Any]:
    """Raises TokenError, see `tokens.sign_in`."""
    issued = tokens.sign_in(user, user_agent=devices.user_agent(request.META))
    return {"user": UserSerializer(user).data, **issued._asdict()}
