from django.urls import path

from sessions_app import api

urlpatterns = [
    path("sessions", api.Sessions.as_view()),
    path("sessions/<uuid:session_id>", api.SessionDetail.as_view()),
    path("sessions/<uuid:session_id>/stop", api.StopSession.as_view()),
    path("sessions/<uuid:session_id>/events", api.Events.as_view()),
    path("agent/execute", api.Execute.as_view()),
]
