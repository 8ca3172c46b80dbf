"""Where everything is mounted."""

from django.contrib import admin
from django.urls import include, path, re_path
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerSplitView

from accounts import errors, health

urlpatterns = [
    path("", health.service),
    path("healthz", health.healthz),
    path("readyz", health.readyz),
    path("admin/", admin.site.urls),
    path("api/v1/auth/", include("accounts.urls")),
    path("api/v1/billing/", include("billing.urls")),
    path("api/v1/", include("sessions_app.urls")),
    path("api/v1/schema", SpectacularAPIView.as_view(authentication_classes=[], permission_classes=[]), name="schema"),
    path("api/v1/docs", SpectacularSwaggerSplitView.as_view(authentication_classes=[], permission_classes=[])),
    re_path(r"^api/", errors.api_not_found),
]

handler400 = errors.bad_request
handler404 = errors.not_found
handler500 = errors.server_error
