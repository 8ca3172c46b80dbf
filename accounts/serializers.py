"""The shapes of the accounts endpoints."""

from typing import Any, Literal

from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError as DjangoValidationError
from rest_framework import serializers

from accounts.models import Role, User, UserManager

# Argon2 hashes whatever it is given; a megabyte of password is an attack, not a password.
PASSWORD_LENGTH = 128


class PasswordField(serializers.CharField):
    def __init__(self, **kwargs: Any) -> None:
        super().__init__(
            max_length=PASSWORD_LENGTH,
            trim_whitespace=False,
            write_only=True,
            style={"input_type": "password"},
            **kwargs,
        )


def check_password_rules(password: str, user: User, field: str) -> None:
    """Raises a field error with the sentences of Django's validators."""
    try:
        validate_password(password, user)
    except DjangoValidationError as error:
        raise serializers.ValidationError({field: list(error.messages)}) from error


class EmailField(serializers.EmailField):
    def __init__(self, **kwargs: Any) -> None:
        super().__init__(max_length=254, **kwargs)

    def to_internal_value(self, data: Any) -> str:
        return UserManager.normalize_email(super().to_internal_value(data))


class UserSerializer(serializers.ModelSerializer[User]):
    email_verified = serializers.BooleanField(source="is_email_verified", read_only=True)
    role = serializers.SerializerMethodField()

    class Meta:
        model = User
        fields = ("id", "fullname", "email", "email_verified", "role", "created_at")
        read_only_fields = ("id", "email", "created_at")

    def get_role(self, user: User) -> Literal["user", "staff"]:
        return "staff" if user.is_staff else "user"


class WorkspaceSerializer(serializers.Serializer[Any]):
    id = serializers.UUIDField(source="workspace.id")
    name = serializers.CharField(source="workspace.name")
    role = serializers.ChoiceField(choices=Role.choices)
    is_personal = serializers.BooleanField(source="workspace.is_personal")


class MeSerializer(UserSerializer):
    workspaces = serializers.SerializerMethodField()

    class Meta(UserSerializer.Meta):
        fields = (*UserSerializer.Meta.fields, "workspaces")  # type: ignore[assignment]

    def get_workspaces(self, user: User) -> list[dict[str, Any]]:
        memberships = (
            user.membership_set.filter(workspace__closed_at=None)
            .select_related("workspace")
            .order_by("workspace__personal_user", "id")
        )
        return list(WorkspaceSerializer(memberships, many=True).data)


class TokensSerializer(serializers.Serializer[Any]):
    access_token = serializers.CharField()
    refresh_token = serializers.CharField()
    token_type = serializers.ChoiceField(choices=["bearer"])
    expires_in = serializers.IntegerField(help_text="Seconds until the access token expires.")


class SignedInSerializer(TokensSerializer):
    user = UserSerializer()


class RegisterSerializer(serializers.Serializer[Any]):
    fullname = serializers.CharField(max_length=150)
    email = EmailField()
    password = PasswordField()


class LoginSerializer(serializers.Serializer[Any]):
    email = serializers.CharField(max_length=254)
    password = PasswordField()
    otp = serializers.CharField(
        max_length=20,
        required=False,
        allow_blank=True,
        help_text="A code of the second factor, for an account that has one.",
    )


class RefreshSerializer(serializers.Serializer[Any]):
    refresh_token = serializers.CharField(max_length=2048)


class KeySerializer(serializers.Serializer[Any]):
    key = serializers.CharField(max_length=500)


class ChangePasswordSerializer(serializers.Serializer[Any]):
    old_password = PasswordField()
    new_password = PasswordField()


class ResetSerializer(serializers.Serializer[Any]):
    email = EmailField()


class ConfirmResetSerializer(serializers.Serializer[Any]):
    uid = serializers.CharField(max_length=64)
    token = serializers.CharField(max_length=100)
    new_password = PasswordField()
