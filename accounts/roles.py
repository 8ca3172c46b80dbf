"""Who may do what in a workspace: the role matrix, and the permission class that reads it."""

from enum import Enum, auto
from typing import Any

from django.utils.translation import gettext as _
from rest_framework import status
from rest_framework.permissions import SAFE_METHODS, BasePermission
from rest_framework.request import Request

from accounts import access
from accounts.access import Access
from accounts.errors import Problem
from accounts.models import Role


class Act(Enum):
    RUN = auto()
    SEE_USAGE = auto()
    TOUCH_OTHERS = auto()
    SEE_LEDGER = auto()
    INVITE = auto()
    RENAME = auto()
    BILL = auto()
    LET_ADMINS_BILL = auto()
    TRANSFER = auto()
    CLOSE = auto()


EVERYONE = {Role.OWNER, Role.ADMIN, Role.MEMBER}
MAY = {
    Act.RUN: EVERYONE,
    Act.SEE_USAGE: EVERYONE,
    Act.TOUCH_OTHERS: {Role.OWNER, Role.ADMIN},
    Act.SEE_LEDGER: {Role.OWNER, Role.ADMIN},
    Act.INVITE: {Role.OWNER, Role.ADMIN},
    Act.RENAME: {Role.OWNER, Role.ADMIN},
    Act.BILL: {Role.OWNER},
    Act.LET_ADMINS_BILL: {Role.OWNER},
    Act.TRANSFER: {Role.OWNER},
    Act.CLOSE: {Role.OWNER},
}


def may(held: Access, act: Act) -> bool:
    if act is Act.BILL and held.role is Role.ADMIN:
        return held.workspace.may_admins_bill
    return held.role in MAY[act]


class RoleRequired(Problem):
    def __init__(self, detail: str = "") -> None:
        super().__init__(
            detail or _("Your role in this workspace does not allow this."),
            "role_required",
            status=status.HTTP_403_FORBIDDEN,
        )


class Suspended(Problem):
    def __init__(self) -> None:
        super().__init__(
            _("This workspace is suspended. Write to support to have it opened again."),
            "workspace_suspended",
            status=status.HTTP_403_FORBIDDEN,
        )


class RoleAllows(BasePermission):
    """The view names what it does: `act = Act.BILL`."""

    def has_permission(self, request: Request, view: Any) -> bool:
        if not may(access.of(request), view.act):
            raise RoleRequired
        return True


class WorkspaceIsOpen(BasePermission):
    """A suspended workspace can be read, and nothing in it written."""

    def has_permission(self, request: Request, view: Any) -> bool:
        if request.method not in SAFE_METHODS and access.of(request).workspace.suspended_at is not None:
            raise Suspended
        return True
