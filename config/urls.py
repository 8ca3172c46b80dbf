"""Where everything is mounted."""

from django.conf import settings
from django.contrib import admin
from django.urls import include, path, re_path
from django.views.decorators.csp import csp_override
from django.views.generic import RedirectView
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerSplitView

from accounts import account_pages, errors, health
from billing import impersonation
from billing.pages import pricing
from billing.workspace_pages import close_workspace
from sessions_app.pages import root

# Swagger styles its elements inline, and its own page is the only one that may.
docs = csp_override(settings.SECURE_CSP | {"style-src": ["'self'", "'unsafe-inline'"]})(
    SpectacularSwaggerSplitView.as_view(authentication_classes=[], permission_classes=[])
)

urlpatterns = [
    path("", root, name="root"),
    path("healthz", health.healthz),
    path("readyz", health.readyz),
    path("admin/", admin.site.urls),
    path("impersonation/end", impersonation.end, name="end_impersonation"),
    path("accounts/", include("accounts.sign_in_urls")),
    path("i18n/setlang/", account_pages.language, name="set_language"),
    path("", include("accounts.page_urls")),
    path("workspace/close", close_workspace, name="close_workspace"),
    path("pricing", pricing, name="pricing"),
    path("settings/subscription", RedirectView.as_view(pattern_name="billing:subscription", query_string=True)),
    path("billing/", include("billing.page_urls")),
    path("sessions/", include("sessions_app.page_urls")),
    path("api/v1/auth/", include("accounts.urls")),
    path("api/v1/billing/", include("billing.urls")),
    path("api/v1/", include("sessions_app.urls")),
    path("api/v1/schema", SpectacularAPIView.as_view(authentication_classes=[], permission_classes=[]), name="schema"),
    path("api/v1/docs", docs),
    re_path(r"^api/", errors.api_not_found),
]

handler400 = errors.bad_request
handler403 = errors.permission_denied
handler404 = errors.not_found
handler500 = errors.server_error
