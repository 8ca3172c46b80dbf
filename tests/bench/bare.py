"""What the product is measured against: the least that a signed-in view, or one that Stripe posts to, does."""

from typing import Any
from uuid import UUID

import stripe
from django.conf import settings
from django.http import HttpRequest, JsonResponse
from django.utils.decorators import method_decorator
from django.views import View
from django.views.decorators.csrf import csrf_exempt
from rest_framework.permissions import IsAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView
from rest_framework_simplejwt.authentication import JWTAuthentication

from tests.bench.models import Row

NOBODY = UUID(int=0)


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


@method_decorator(csrf_exempt, name="dispatch")
class BareWebhook(View):
    """Verifies the signature and inserts one row."""

    def post(self, request: HttpRequest) -> JsonResponse:
        text = request.body.decode()
        (secret,) = settings.STRIPE_WEBHOOK_SECRETS
        stripe.WebhookSignature.verify_header(text, request.headers["Stripe-Signature"], secret, 300)
        Row.objects.create(user_id=NOBODY, text=text)
        return JsonResponse({"status": "accepted"})
