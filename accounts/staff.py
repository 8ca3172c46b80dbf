"""The admin's door: staff come in by the same page as everybody, and in production with a second factor."""

import functools
from typing import Any

from django.conf import settings
from django.contrib import auth
from django.contrib.auth.views import redirect_to_login
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import URLPattern, URLResolver, reverse
from django.views.decorators.csp import csp_override
from unfold.sites import UnfoldAdminSite

from accounts import devices, second_factor
from accounts.errors import Problem
from accounts.pages import with_problem
from accounts.sign_up_pages import next_of


class StaffSite(UnfoldAdminSite):
    index_title = "Overview"

    def __init__(self, name: str = "admin") -> None:
        super().__init__(name)
        self._pages: list[URLPattern | URLResolver] = []

    def add_pages(self, *pages: URLPattern | URLResolver) -> None:
        """Beside the tables: an app's `admin` module names its own. Each view is wrapped by `admin_view` there."""
        self._pages += pages

    def get_urls(self) -> list[URLPattern | URLResolver]:
        return [*self._pages, *super().get_urls()]

    def admin_view(self, view: Any, cacheable: bool = False) -> Any:
        return csp_override(settings.STAFF_CSP)(super().admin_view(self._telling(view), cacheable))

    def _telling(self, view: Any) -> Any:
        """A Problem that a page of the desk raises becomes a page of the desk with its sentence and status."""

        @functools.wraps(view)
        def shown(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
            try:
                answer: HttpResponse = view(request, *args, **kwargs)
                return answer
            except Problem as problem:
                context = {**self.each_context(request), "title": "That did not work", "problem": problem}
                return with_problem(request, render(request, "admin/problem.html", context), problem)

        return shown

    def has_permission(self, request: HttpRequest) -> bool:
        return super().has_permission(request) and self._has_factor(request)

    def login(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        index = reverse("admin:index")
        if not request.user.is_authenticated:
            return redirect_to_login(next_of(request) or index)
        if self.has_permission(request):
            return redirect(next_of(request) or index)
        if not request.user.is_staff:
            raise PermissionDenied
        return render(request, "accounts/staff_second_factor.html", status=403)

    def logout(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        if request.method != "POST":
            return redirect("account_logout")
        devices.forget(request)
        auth.logout(request)
        return redirect("root")

    def password_change(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        return redirect("account_change_password")

    def _has_factor(self, request: HttpRequest) -> bool:
        if not settings.STAFF_REQUIRES_MFA:
            return True
        # Asked several times a page.
        if not hasattr(request, "_has_factor"):
            request._has_factor = second_factor.is_on(request.user)  # type: ignore[attr-defined,arg-type]
        return bool(request._has_factor)  # type: ignore[attr-defined]
