from django.urls import path

from sessions_app import pages

app_name = "sessions"

urlpatterns = [
    path("", pages.sessions, name="list"),
    path("<uuid:session_id>", pages.session, name="session"),
]
