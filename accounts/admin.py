"""People and workspaces, as staff see them."""

from typing import Any, ClassVar

from django.contrib import admin
from django.contrib.admin.forms import AdminAuthenticationForm
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.contrib.auth.forms import AdminPasswordChangeForm
from django.core.exceptions import ValidationError
from django.http import HttpRequest

from accounts import guards, tokens
from accounts.addresses import UNKNOWN, client_address
from accounts.models import Membership, User, Workspace

admin.site.site_header = admin.site.site_title = "AI-Manus staff"
admin.site.index_title = "Accounts, billing and sessions"


class StaffSignIn(AdminAuthenticationForm):
    """Guesses at the admin's door count as those at the API's do."""

    def clean(self) -> dict[str, Any]:
        account = User.objects.normalize_email(self.cleaned_data.get("username"))
        address = client_address(self.request.META) if self.request else UNKNOWN
        refused: ValidationError | None = None
        try:
            with guards.guessing(address=address, account=account) as outcome:
                try:
                    super().clean()
                except ValidationError as error:
                    refused = error
                outcome.append(refused is None)
        except guards.TooManyTries as error:
            raise ValidationError(str(error.detail), code=error.code) from error
        if refused is not None:
            raise refused
        return self.cleaned_data


admin.site.login_form = StaffSignIn


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
    change_password_form = AdminPasswordChangeForm
    inlines = (MembershipsOfUser,)

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def save_model(self, request: HttpRequest, obj: User, form: Any, change: bool) -> None:
        super().save_model(request, obj, form, change)
        # Whoever is switched off stays signed out also when switched on again.
        if not obj.is_active or "password" in form.changed_data:
            tokens.revoke_families(obj)


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
