"""The shapes of the session endpoints."""

from typing import Any

from rest_framework import serializers

from sessions_app.models import Event, Run, Session

PROMPT_LENGTH = 20_000


class OpenSessionSerializer(serializers.Serializer[Any]):
    title = serializers.CharField(max_length=200, required=False, allow_blank=True, default="")
    prompt = serializers.CharField(max_length=PROMPT_LENGTH, required=False, allow_blank=True, default="")


class ExecuteSerializer(serializers.Serializer[Any]):
    session_id = serializers.UUIDField(required=False)
    prompt = serializers.CharField(max_length=PROMPT_LENGTH)


class RunSerializer(serializers.ModelSerializer[Run]):
    charged = serializers.BooleanField(source="is_charged")

    class Meta:
        model = Run
        fields = ("id", "status", "charged", "failure_kind", "error", "created_at", "started_at", "finished_at")


class SessionSerializer(serializers.ModelSerializer[Session]):
    runs = RunSerializer(many=True)

    class Meta:
        model = Session
        fields = ("id", "title", "status", "latest_message", "latest_message_at", "created_at", "runs")


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
