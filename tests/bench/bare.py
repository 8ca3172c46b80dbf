"""What the product is measured against: the least that a signed-in view of Django REST framework does."""

from typing import Any

from rest_framework.permissions import IsAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView
from rest_framework_simplejwt.authentication import JWTAuthentication

from tests.bench.models import Row


class Bare(APIView):
    """Inserts one row."""

    authentication_classes = [JWTAuthentication]
    permission_classes = [IsAuthenticated]

    def post(self, request: Request) -> Response:
        body: Any = request.data
        row = Row.objects.create(user_id=request.user.pk, text=body["prompt"])
        return Response({"id": row.pk, "text": row.text, "created_at": row.created_at}, status=201)


class BareRead(APIView):
    """Reads one row."""

    authentication_classes = [JWTAuthentication]
    permission_classes = [IsAuthenticated]

    def get(self, request: Request) -> Response:
        row = Row.objects.get(pk=1)
        return Response({"id": row.pk, "text": row.text, "created_at": row.created_at})
