"""Everything that the project serves, the bare views, and dj-stripe's own view of deliveries."""

from django.urls import include, path

from config.urls import handler400, handler404, handler500
from config.urls import urlpatterns as project
from tests.bench.bare import Bare, BareRead, BareWebhook

__all__ = ["handler400", "handler404", "handler500", "urlpatterns"]

urlpatterns = [
    path("api/v1/bare", Bare.as_view()),
    path("api/v1/bare-read", BareRead.as_view()),
    path("api/v1/bare-webhook", BareWebhook.as_view()),
    path("api/v1/mirror/", include("djstripe.urls")),
    *project,
]
