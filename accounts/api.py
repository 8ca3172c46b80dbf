"""The endpoints under /api/v1/auth."""

from contextlib import suppress
from typing import Any, cast

from django.contrib.auth import authenticate
from django.db import IntegrityError, transaction
from drf_spectacular.utils import extend_schema
from rest_framework import serializers, status
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView
from rest_framework_simplejwt.exceptions import TokenError

from accounts import access, clock, guards, jobs, links, passwords, tokens
from accounts.addresses import client_address
from accounts.authentication import TokenNotValid
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
        guards.count(guards.REGISTRATION, client_address(request.META))
        body = body_of(RegisterSerializer, request)
        check_password_rules(body["password"], User(email=body["email"], fullname=body["fullname"]), "password")
        taken = serializers.ValidationError({"email": ["This e-mail address is already registered."]})
        if User.objects.filter(email=body["email"]).exists():
            raise taken
        try:
            with transaction.atomic():
                user = User.objects.create_user(
                    body["email"], body["password"], fullname=body["fullname"], now=clock.now()
                )
                jobs.send_verification.defer(user_id=str(user.pk))
                issued = tokens.sign_in(user)
        except IntegrityError as error:
            # Somebody registered the address between the look and the insert.
            raise taken from error
        return Response(signed_in(user, issued), status=status.HTTP_201_CREATED)


class Login(PublicView):
    refusals = (401, 429)

    @extend_schema(request=LoginSerializer, responses=SignedInSerializer)
    def post(self, request: Request) -> Response:
        body = body_of(LoginSerializer, request)
        email = User.objects.normalize_email(body["email"])
        with guards.guessing(address=client_address(request.META), account=email) as outcome:
            # Django hashes once also for an address that nobody has, so the time tells nothing.
            user = authenticate(request._request, username=email, password=body["password"])
            outcome.append(user is not None)
        if isinstance(user, User):
            # What was ended while it was checked is refused in the same words.
            with suppress(TokenError):
                return Response(signed_in(user, tokens.sign_in(user)))
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
        user = links.user_to_verify(body_of(KeySerializer, request)["key"])
        if user is None:
            raise serializers.ValidationError({"key": ["This key is not valid, or has expired. Ask for a new one."]})
        User.objects.filter(pk=user.pk).update(is_email_verified=True)
        return Response(status=status.HTTP_204_NO_CONTENT)


class ResendVerification(APIView):
    @extend_schema(request=None, responses=NO_CONTENT)
    def post(self, request: Request) -> Response:
        user = access.of(request).user
        if not user.is_email_verified:
            guards.count(guards.VERIFICATION, str(user.pk))
            jobs.send_verification.defer(user_id=str(user.pk))
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


def signed_in(user: User, issued: tokens.Issued) -> dict[str, Any]:
    return {"user": UserSerializer(user).data, **issued._asdict()}
