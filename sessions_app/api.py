"""The endpoints under /api/v1/sessions and /api/v1/agent."""

import uuid

from django.db.models import Prefetch, QuerySet
from drf_spectacular.utils import extend_schema
from rest_framework import status
from rest_framework.generics import GenericAPIView
from rest_framework.permissions import BasePermission, IsAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts import access
from accounts.api import body_of
from accounts.idempotency import idempotent
from accounts.pagination import CursorPages
from accounts.roles import Act, RoleAllows, WorkspaceIsOpen
from billing.permissions import HasQuota
from billing.quotas import Metric
from sessions_app import lifecycle
from sessions_app.models import Run, Session
from sessions_app.serializers import (
    EventsQuerySerializer,
    EventsSerializer,
    ExecutedSerializer,
    ExecuteSerializer,
    OpenSessionSerializer,
    SessionSerializer,
    SessionsQuerySerializer,
    run_shape,
    session_shape,
)

EVENTS_AT_ONCE = 500
# A list shows the latest runs of each session; the session itself shows all.
RUNS_IN_LIST = 20


class SessionPages(CursorPages):
    ordering = ("-last_activity_at", "-id")


class SessionsPermissions(APIView):
    permission_classes: tuple[type[BasePermission], ...] = (IsAuthenticated, RoleAllows, WorkspaceIsOpen)
    act = Act.RUN


class Sessions(SessionsPermissions, GenericAPIView[Session]):
    permission_classes = (*SessionsPermissions.permission_classes, HasQuota)
    quota = Metric.RUNS
    serializer_class = SessionSerializer
    pagination_class = SessionPages

    def is_prepaid(self, request: Request) -> bool:
        return False

    def get_queryset(self) -> QuerySet[Session]:
        query = SessionsQuerySerializer(data=self.request.query_params)
        query.is_valid(raise_exception=True)
        # A slice can be prefetched to an attribute of its own only.
        latest = Prefetch("runs", Run.objects.order_by("-id")[:RUNS_IN_LIST], to_attr="latest_runs")
        sessions = Session.objects.filter(workspace=access.of(self.request).workspace, deleted_at=None)
        return sessions.filter(**query.validated_data).prefetch_related(latest)

    @extend_schema(parameters=[SessionsQuerySerializer], responses=SessionSerializer(many=True))
    def get(self, request: Request) -> Response:
        """The workspace's sessions, the newest activity first, each with its latest runs."""
        page = self.paginate_queryset(self.get_queryset())
        shapes = [
            session_shape(session, session.latest_runs)  # type: ignore[attr-defined]  # of the Prefetch above
            for session in page or []
        ]
        return self.get_paginated_response(shapes)

    @extend_schema(request=OpenSessionSerializer, responses={201: SessionSerializer})
    @idempotent
    def post(self, request: Request) -> Response:
        """Open a session, which costs one run; with a prompt the run starts."""
        session, run, quota = lifecycle.open_session(access.of(request), **body_of(OpenSessionSerializer, request))
        return Response(session_shape(session, [run]), status=status.HTTP_201_CREATED, headers=quota.headers())


class SessionDetail(SessionsPermissions):
    @extend_schema(responses=SessionSerializer)
    def get(self, request: Request, session_id: uuid.UUID) -> Response:
        """A session with all its runs."""
        session = lifecycle.find(access.of(request), session_id)
        return Response(session_shape(session, session.runs.order_by("-id")))

    @extend_schema(responses={204: None})
    def delete(self, request: Request, session_id: uuid.UUID) -> Response:
        """Stop the session's runs and remove it."""
        held = access.of(request)
        lifecycle.delete(lifecycle.find_own(held, session_id), now=held.now)
        return Response(status=status.HTTP_204_NO_CONTENT)


class StopSession(SessionsPermissions):
    @extend_schema(request=None, responses=SessionSerializer)
    def post(self, request: Request, session_id: uuid.UUID) -> Response:
        """Stop what is queued, which costs nothing then, or running, which stays charged."""
        held = access.of(request)
        session = lifecycle.stop(lifecycle.find_own(held, session_id), now=held.now)
        return Response(session_shape(session, session.runs.order_by("-id")))


class Events(SessionsPermissions):
    @extend_schema(parameters=[EventsQuerySerializer], responses=EventsSerializer)
    def get(self, request: Request, session_id: uuid.UUID) -> Response:
        """What the session's runs have reported, in order."""
        query = EventsQuerySerializer(data=request.query_params)
        query.is_valid(raise_exception=True)
        session = lifecycle.find(access.of(request), session_id)
        after = query.validated_data.get("after")
        events = session.events.order_by("id")
        if after is not None:
            events = events.filter(id__gt=after)
        shown = list(events[:EVENTS_AT_ONCE])
        return Response(EventsSerializer({"events": shown, "last_event_id": shown[-1].pk if shown else after}).data)


class Execute(SessionsPermissions):
    permission_classes = (*SessionsPermissions.permission_classes, HasQuota)
    quota = Metric.RUNS

    def is_prepaid(self, request: Request) -> bool:
        # The session may hold a run that was paid for when it was opened.
        return isinstance(request.data, dict) and bool(request.data.get("session_id"))

    @extend_schema(request=ExecuteSerializer, responses={202: ExecutedSerializer})
    @idempotent
    def post(self, request: Request) -> Response:
        """Run the agent, which costs one run: in a session, or in a new one at no further cost."""
        body, held = body_of(ExecuteSerializer, request), access.of(request)
        if "session_id" in body:
            session = lifecycle.find_own(held, body["session_id"])
            run, quota = lifecycle.execute(held, session, prompt=body["prompt"])
        else:
            session, run, quota = lifecycle.open_session(held, title="", prompt=body["prompt"])
        return Response(
            {"run": run_shape(run), "session_id": session.pk},
            status=status.HTTP_202_ACCEPTED,
            headers=quota.headers(),
        )
