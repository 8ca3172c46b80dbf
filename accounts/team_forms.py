"""What the pages of a workspace ask for."""

from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from accounts import teams
from accounts.models import Membership, Role, Workspace
from accounts.serializers import PASSWORD_LENGTH


class PlainForm(forms.Form):
    """Labels stand above their fields, without a colon."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.label_suffix = ""


class NameForm(PlainForm):
    name = forms.CharField(label=_("Name"), max_length=150, widget=forms.TextInput(attrs={"autocomplete": "off"}))

    def clean_name(self) -> str:
        return teams.clean_name(self.cleaned_data["name"])


class InviteForm(PlainForm):
    """`roles` are those that the one who invites may give."""

    email = forms.EmailField(
        label=_("E-mail address"), max_length=254, widget=forms.EmailInput(attrs={"autocomplete": "off"})
    )
    role = forms.ChoiceField(label=_("Role"), choices=[])

    def __init__(self, *args: Any, roles: list[Role], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        offered: Any = self.fields["role"]
        offered.choices = [(role.value, role.label) for role in roles]
        if len(roles) == 1:
            offered.widget = forms.HiddenInput()
        offered.initial = Role.MEMBER.value


class RoleForm(PlainForm):
    role = forms.ChoiceField(label=_("Role"), choices=[(role.value, role.label) for role in reversed(teams.GIVEN)])


class PasswordForm(PlainForm):
    """Of who does what cannot be undone; the view looks at what was typed, and counts guesses."""

    password = forms.CharField(
        label=_("Your password"),
        strip=False,
        max_length=PASSWORD_LENGTH,
        widget=forms.PasswordInput(attrs={"autocomplete": "current-password"}),
    )


class TransferForm(PasswordForm):
    member = forms.ChoiceField(label=_("New owner"))

    field_order = ("member", "password")

    def __init__(self, *args: Any, workspace: Workspace, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        found = (
            Membership.objects.filter(workspace=workspace, user__is_active=True)
            .exclude(role=Role.OWNER)
            .order_by("user__fullname", "id")
            .values_list("pk", "user__fullname", "user__email")
        )
        candidates = [(str(pk), f"{name} ({email})") for pk, name, email in found]
        self.has_candidates = bool(candidates)
        chosen: Any = self.fields["member"]
        chosen.choices = [("", _("Choose a member")), *candidates]
