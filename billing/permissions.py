"""The permission class that meters: `quota = Metric.RUNS` on the view, and this beside IsAuthenticated."""

from typing import Any

from rest_framework.permissions import SAFE_METHODS, BasePermission
from rest_framework.request import Request

from accounts import access
from accounts.idempotency import key_of
from billing.quotas import Metric, QuotaExceeded, Refused, quota_for, short_name


class HasQuota(BasePermission):
    """Refuses early, from facts that the request has already read.

    A request with an Idempotency-Key may be the repetition of one that was granted, and a view's
    `is_prepaid(request)` may know of a unit taken before: their counter is left to `consume`.
    """

    def has_permission(self, request: Request, view: Any) -> bool:
        metric: Metric | None = getattr(view, "quota", None)
        if metric is None or request.method in SAFE_METHODS:
            return True
        if key_of(request) is not None or view.is_prepaid(request):
            return True
        held = access.of(request)
        quota = quota_for(held.workspace.subscription, now=held.now)
        if quota.remaining is not None and quota.remaining <= 0:
            raise QuotaExceeded(quota)
        return True


class HasFeature(BasePermission):
    """`feature = Feature.API_KEYS` on the view: 402 where the plan does not come with it."""

    def has_permission(self, request: Request, view: Any) -> bool:
        held = access.of(request)
        quota = quota_for(held.workspace.subscription, now=held.now)
        plan = quota.entitlement.plan
        if not plan.has(view.feature):
            raise Refused(
                f"{view.feature.label} is not part of the {short_name(plan)} plan.", "feature_not_in_plan", quota
            )
        return True
