"""Everything that the project serves, and the two bare views."""

from django.urls import path

from config.urls import handler400, handler404, handler500
from config.urls import urlpatterns as project
from tests.bench.bare import Bare, BareRead

__all__ = ["handler400", "handler404", "handler500", "urlpatterns"]

urlpatterns = [path("api/v1/bare", Bare.as_view()), path("api/v1/bare-read", BareRead.as_view()), *project]
