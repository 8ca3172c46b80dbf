"""People and workspaces, as staff see them."""

from typing import Any, ClassVar

from allauth.account.models import EmailAddress
from allauth.mfa.models import Authenticator
from allauth.usersessions.models import UserSession
from django.contrib import admin
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.contrib.auth.forms import AdminPasswordChangeForm
from django.db import transaction
from django.http import HttpRequest

from accounts import jobs, second_factor, tokens
from accounts.models import Membership, User, Workspace

# Nobody keeps them: which address is proven stands in the User.
admin.site.unregister(EmailAddress)
# Keys that open a browser's session.
admin.site.unregister(UserSession)
admin.site.unregister(Authenticator)


class StaffPasswordForm(AdminPasswordChangeForm):
    """Whoever gets a new password from staff is signed out everywhere."""

    def save(self, commit: bool = True) -> Any:
        user = super().save(commit)
        tokens.revoke_families(user)
        return user


class ReadOnly:
    """For tables that only the application writes."""

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


class MembershipsOfUser(ReadOnly, admin.TabularInline):
    model = Membership
    fields = readonly_fields = ("workspace", "role", "created_at")
    extra = 0


class MembersOfWorkspace(ReadOnly, admin.TabularInline):
    model = Membership
    fields = readonly_fields = ("user", "role", "created_at")
    extra = 0


@admin.register(User)
class UserAdmin(DjangoUserAdmin):
    """Accounts are made by signing up, and switched off rather than deleted."""

    ordering = ("-created_at",)
    list_display = ("email", "fullname", "is_email_verified", "is_active", "is_staff", "created_at")
    list_filter = ("is_active", "is_staff", "is_email_verified")
    search_fields = ("email", "fullname")
    readonly_fields = ("email", "created_at", "last_login")
    fieldsets = (
        (None, {"fields": ("email", "fullname", "password")}),
        ("State", {"fields": ("is_active", "is_email_verified", "created_at", "last_login")}),
        ("Staff", {"fields": ("is_staff", "is_superuser", "groups", "user_permissions")}),
    )
    change_password_form = StaffPasswordForm
    inlines = (MembershipsOfUser,)

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def save_model(self, request: HttpRequest, obj: User, form: Any, change: bool) -> None:
        super().save_model(request, obj, form, change)
        # Whoever is switched off stays signed out also when switched on again.
        if not obj.is_active:
            tokens.revoke_families(obj)


@admin.register(Authenticator)
class AuthenticatorAdmin(ReadOnly, admin.ModelAdmin):
    """Who has a second factor, without its secret. It is taken from people who lost it, and proved who they are."""

    list_display = ("user", "type", "created_at", "last_used_at")
    list_filter = ("type",)
    list_select_related = ("user",)
    search_fields = ("user__email",)
    fields = readonly_fields = ("user", "type", "created_at", "last_used_at")

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return request.user.is_superuser

    def delete_model(self, request: HttpRequest, obj: Any) -> None:
        take_second_factor(obj.user)

    def delete_queryset(self, request: HttpRequest, queryset: Any) -> None:
        for user in User.objects.filter(authenticator__in=queryset).distinct():
            take_second_factor(user)


@transaction.atomic
def take_second_factor(user: User) -> None:
    # The codes that stand in for the app with the app.
    second_factor.remove(user)
    jobs.send_notice.defer(user_id=str(user.pk), event=jobs.Notice.TWO_FACTOR_OFF)


@admin.register(Workspace)
class WorkspaceAdmin(admin.ModelAdmin):
    list_display = ("name", "personal_user", "suspended_at", "created_at")
    list_filter = (("suspended_at", admin.EmptyFieldListFilter),)
    list_select_related = ("personal_user",)
    search_fields = ("name", "id", "members__email")
    search_help_text = "A name, an id, or a member's e-mail address"
    readonly_fields = ("id", "personal_user", "created_at")
    fields = ("name", "id", "personal_user", "may_admins_bill", "suspended_at", "created_at")
    inlines = (MembersOfWorkspace,)
    ordering: ClassVar = ["-created_at"]

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False
