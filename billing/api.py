"""The endpoints under /api/v1/billing."""

from datetime import timedelta
from typing import Any

from django.db.models import Prefetch
from drf_spectacular.utils import extend_schema
from rest_framework.generics import ListAPIView
from rest_framework.permissions import IsAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import Serializer
from rest_framework.views import APIView

from accounts import access
from accounts.api import PublicView
from accounts.idempotency import idempotent, idempotent_beyond
from accounts.pagination import CursorPages
from accounts.roles import Act, RoleAllows, WorkspaceIsOpen
from billing import lifecycle, reports
from billing.models import Interval, LedgerEntry, Plan, Price
from billing.payments import invoices_of
from billing.quotas import day_in_words, quota_for
from billing.serializers import (
    CancelSerializer,
    CheckoutSerializer,
    CheckoutStartedSerializer,
    ChoiceSerializer,
    InvoiceSerializer,
    LedgerEntrySerializer,
    PlanSerializer,
    PortalOpenedSerializer,
    PortalSerializer,
    PreviewSerializer,
    SubscriptionSerializer,
    TrialActivatedSerializer,
    UsageQuerySerializer,
    UsageSerializer,
    subscription_shape,
)


class Plans(PublicView):
    @extend_schema(responses=PlanSerializer(many=True))
    def get(self, request: Request) -> Response:
        """What can be bought, in order."""
        active = Prefetch("prices", Price.objects.filter(is_active=True))
        return Response(PlanSerializer(Plan.objects.filter(is_public=True).prefetch_related(active), many=True).data)


class SubscriptionView(APIView):
    permission_classes = (IsAuthenticated, RoleAllows)
    act = Act.SEE_USAGE

    @extend_schema(responses=SubscriptionSerializer)
    def get(self, request: Request) -> Response:
        """The workspace's subscription, and what it allows now. Reading it changes nothing."""
        return Response(shape_of(request))


class ActivateTrial(APIView):
    permission_classes = (IsAuthenticated, RoleAllows, WorkspaceIsOpen)
    act = Act.BILL

    @extend_schema(request=None, responses=TrialActivatedSerializer)
    @idempotent
    def post(self, request: Request) -> Response:
        """Start the trial, which every person has once."""
        held = access.of(request)
        subscription = held.workspace.subscription
        lifecycle.activate_trial(subscription, actor=held.user, now=held.now)
        quota = quota_for(subscription, now=held.now)
        ends_at = quota.entitlement.period.end
        return Response(
            {
                "message": f"Your trial has begun: {quota.limit} runs until {day_in_words(ends_at)}.",
                "trial_end": ends_at,
                "runs_limit": quota.limit,
                "subscription": shape_of(request),
            }
        )


class StripeView(APIView):
    """An act that asks Stripe: 502 and 503 say that it refused, or cannot be reached."""

    permission_classes = (IsAuthenticated, RoleAllows, WorkspaceIsOpen)
    act = Act.BILL
    refusals: tuple[int, ...] = (409, 502)

    def given(self, request: Request, serializer: type[Serializer[Any]]) -> dict[str, Any]:
        read = serializer(data=request.data)
        read.is_valid(raise_exception=True)
        return dict(read.validated_data)


class CreateCheckoutSession(StripeView):
    @extend_schema(request=CheckoutSerializer, responses=CheckoutStartedSerializer)
    @idempotent_beyond
    def post(self, request: Request) -> Response:
        """Open a page at which the workspace can buy a plan; the one that is open for the same price, if any."""
        held, wanted = access.of(request), self.given(request, CheckoutSerializer)
        checkout = lifecycle.start_checkout(
            held.workspace.subscription,
            plan=wanted["plan"],
            interval=wanted.get("interval", Interval.MONTH),
            currency=wanted.get("currency"),
            success_url=wanted.get("success_url", ""),
            cancel_url=wanted.get("cancel_url", ""),
            now=held.now,
        )
        return Response({"checkout_session_id": checkout.id, "checkout_url": checkout.url})


class CreatePortalSession(StripeView):
    @extend_schema(request=PortalSerializer, responses=PortalOpenedSerializer)
    def post(self, request: Request) -> Response:
        """Open Stripe's pages for the card, the invoices and the plan."""
        held, wanted = access.of(request), self.given(request, PortalSerializer)
        portal = lifecycle.open_portal(
            held.workspace.subscription, return_url=wanted.get("return_url", ""), now=held.now
        )
        return Response({"portal_url": portal.url})


class PreviewChange(StripeView):
    @extend_schema(request=ChoiceSerializer, responses=PreviewSerializer)
    def post(self, request: Request) -> Response:
        """What a change would cost, and how many runs it would leave. Changes nothing."""
        held, wanted = access.of(request), self.given(request, ChoiceSerializer)
        preview = lifecycle.preview_change(
            held.workspace.subscription, plan=wanted["plan"], interval=wanted.get("interval"), now=held.now
        )
        return Response(PreviewSerializer(preview).data)


class ChangePlan(StripeView):
    refusals = (402, 409, 502)

    @extend_schema(request=ChoiceSerializer, responses=SubscriptionSerializer)
    @idempotent_beyond
    def post(self, request: Request) -> Response:
        """A larger plan now, for its full price less the unused time of the old; a smaller one at the period's end."""
        held, wanted = access.of(request), self.given(request, ChoiceSerializer)
        lifecycle.change_plan(
            held.workspace.subscription,
            plan=wanted["plan"],
            interval=wanted.get("interval"),
            actor=held.user,
            now=held.now,
        )
        return Response(shape_of(request))


class Cancel(StripeView):
    @extend_schema(request=CancelSerializer, responses=SubscriptionSerializer)
    def post(self, request: Request) -> Response:
        """End the plan with the period that is paid."""
        held, wanted = access.of(request), self.given(request, CancelSerializer)
        lifecycle.cancel(held.workspace.subscription, reason=wanted.get("reason", ""), actor=held.user, now=held.now)
        return Response(shape_of(request))


class Resume(StripeView):
    refusals = (402, 409, 502)

    @extend_schema(request=None, responses=SubscriptionSerializer)
    def post(self, request: Request) -> Response:
        """Take back what is scheduled: the cancel, or the change at the period's end."""
        held = access.of(request)
        lifecycle.resume(held.workspace.subscription, actor=held.user, now=held.now)
        return Response(shape_of(request))


class InvoicePages(CursorPages):
    ordering = ("-created", "-djstripe_id")


class Invoices(ListAPIView[Any]):
    """What was charged, the newest first; read from the mirror, so that it needs no answer of Stripe's."""

    permission_classes = (IsAuthenticated, RoleAllows)
    act = Act.SEE_LEDGER
    serializer_class = InvoiceSerializer
    pagination_class = InvoicePages

    def get_queryset(self) -> Any:
        return invoices_of(access.of(self.request).workspace)


class Usage(APIView):
    permission_classes = (IsAuthenticated, RoleAllows)
    act = Act.SEE_USAGE

    @extend_schema(parameters=[UsageQuerySerializer], responses=UsageSerializer)
    def get(self, request: Request) -> Response:
        """The present period, runs day by day, and when at this pace they will be spent."""
        held = access.of(request)
        subscription = held.workspace.subscription
        quota = quota_for(subscription, now=held.now)
        period = quota.entitlement.period
        # The last day of a period counts whole, also where the period ends within it.
        ends_on = (period.end - timedelta(microseconds=1)).date() + timedelta(days=1)
        query = UsageQuerySerializer(
            data={"from": period.start.date(), "to": ends_on} | request.query_params.dict(),
        )
        query.is_valid(raise_exception=True)
        shape: dict[str, Any] = {
            "period": {"start": period.start, "end": period.end},
            "used": quota.used,
            "limit": quota.limit,
            "remaining": quota.remaining,
            "credits": quota.credits,
            "per_day": reports.runs_per_day(
                subscription,
                start=query.validated_data["from"],
                end=query.validated_data["to"],
            ),
            "forecast": {"exhausted_on": reports.exhausted_on(quota, now=held.now)},
        }
        return Response(UsageSerializer(shape).data)


class LedgerPages(CursorPages):
    ordering = ("-created_at", "-id")


class Ledger(ListAPIView[LedgerEntry]):
    """Every change of what is left, the newest first."""

    permission_classes = (IsAuthenticated, RoleAllows)
    act = Act.SEE_LEDGER
    serializer_class = LedgerEntrySerializer
    pagination_class = LedgerPages

    def get_queryset(self) -> Any:
        return LedgerEntry.objects.filter(workspace=access.of(self.request).workspace)


def shape_of(request: Request) -> dict[str, Any]:
    held = access.of(request)
    subscription = held.workspace.subscription
    quota = quota_for(subscription, now=held.now)
    return subscription_shape(quota, lifecycle.standing_of(subscription))
