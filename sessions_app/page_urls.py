from django.urls import path

from sessions_app import pages

app_name = "sessions"

urlpatterns = [
    path("", pages.sessions, name="list"),
    path("<uuid:session_id>", pages.session, name="session"),
    path("<uuid:session_id>/runs", pages.runs, name="runs"),
    path("<uuid:session_id>/news", pages.news, name="news"),
    path("<uuid:session_id>/stop", pages.stop, name="stop"),
    path("<uuid:session_id>/delete", pages.delete, name="delete"),
]
