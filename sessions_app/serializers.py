"""The shapes of the session endpoints."""

from collections.abc import Iterable
from typing import Any

from rest_framework import serializers

from sessions_app.models import Event, FailureKind, Run, Session

PROMPT_LENGTH = 20_000


class OpenSessionSerializer(serializers.Serializer[Any]):
    title = serializers.CharField(max_length=200, required=False, allow_blank=True, default="")
    prompt = serializers.CharField(max_length=PROMPT_LENGTH, required=False, allow_blank=True, default="")


class ExecuteSerializer(serializers.Serializer[Any]):
    session_id = serializers.UUIDField(required=False)
    prompt = serializers.CharField(max_length=PROMPT_LENGTH)


class RunSerializer(serializers.Serializer[Any]):
    id = serializers.UUIDField()
    status = serializers.ChoiceField(choices=Run.Status.choices)
    charged = serializers.BooleanField()
    failure_kind = serializers.ChoiceField(choices=FailureKind.choices, allow_blank=True)
    error = serializers.CharField(allow_blank=True)
    created_at = serializers.DateTimeField()
    started_at = serializers.DateTimeField(allow_null=True)
    finished_at = serializers.DateTimeField(allow_null=True)


class SessionSerializer(serializers.Serializer[Any]):
    id = serializers.UUIDField()
    title = serializers.CharField()
    status = serializers.ChoiceField(choices=Session.Status.choices)
    latest_message = serializers.CharField(allow_blank=True)
    latest_message_at = serializers.DateTimeField(allow_null=True)
    created_at = serializers.DateTimeField()
    runs = RunSerializer(many=True)


# The serializers above describe; these two make. A tenth of the time, on the hottest path.


def run_shape(run: Run) -> dict[str, Any]:
    return {
        "id": run.pk,
        "status": run.status,
        "charged": run.is_charged,
        "failure_kind": run.failure_kind,
        "error": run.error,
        "created_at": run.created_at,
        "started_at": run.started_at,
        "finished_at": run.finished_at,
    }


def session_shape(session: Session, runs: Iterable[Run]) -> dict[str, Any]:
    return {
        "id": session.pk,
        "title": session.title,
        "status": session.status,
        "latest_message": session.latest_message,
        "latest_message_at": session.latest_message_at,
        "created_at": session.created_at,
        "runs": [run_shape(run) for run in runs],
    }


class ExecutedSerializer(serializers.Serializer[Any]):
    run = RunSerializer()
    session_id = serializers.UUIDField()


class EventSerializer(serializers.ModelSerializer[Event]):
    class Meta:
        model = Event
        fields = ("id", "run_id", "type", "data", "created_at")


class EventsSerializer(serializers.Serializer[Any]):
    events = EventSerializer(many=True)
    last_event_id = serializers.UUIDField(allow_null=True)


class EventsQuerySerializer(serializers.Serializer[Any]):
    after = serializers.UUIDField(required=False, help_text="Only events after this one.")


class SessionsQuerySerializer(serializers.Serializer[Any]):
    status = serializers.ChoiceField(choices=Session.Status.choices, required=False)
