"""Stripe's objects in the admin: shown as they were last fetched, never edited, and without a call to Stripe.

These pages take the place of dj-stripe's, whose forms and actions write at Stripe, which show keys and
webhook secrets, and of which some fail on objects of the present API.
"""

from typing import Any

from django.contrib import admin
from django.db.models import ForeignKey, Q, QuerySet
from django.http import HttpRequest
from django.template.loader import render_to_string
from django.utils.html import format_html
from djstripe.models import (
    Account,
    BalanceTransaction,
    Charge,
    Coupon,
    Customer,
    Dispute,
    Invoice,
    PaymentIntent,
    PaymentMethod,
    Price,
    Product,
    PromotionCode,
    Refund,
    Session,
    StripeModel,
    Subscription,
    SubscriptionSchedule,
)

from accounts.models import Workspace
from billing import payloads
from billing.admin import search
from billing.admin.base import Desk, ReadOnly
from billing.money import amount_in_words

# Beside the id, its day and its mode.
COLUMNS: dict[type[StripeModel], tuple[str, ...]] = {
    Account: (),
    BalanceTransaction: ("amount", "standing"),
    Charge: ("customer", "workspace", "amount", "standing"),
    Coupon: ("called", "standing"),
    Customer: ("subscriber", "email", "date_purged"),
    Dispute: ("charge", "amount", "standing"),
    Invoice: ("number", "customer", "workspace", "standing", "amount"),
    PaymentIntent: ("customer", "workspace", "amount", "standing"),
    PaymentMethod: ("customer", "workspace", "kind"),
    Price: ("called", "product", "amount", "standing"),
    Product: ("called", "standing"),
    PromotionCode: ("called", "standing"),
    Refund: ("charge", "amount", "standing"),
    Session: ("customer", "workspace", "amount", "standing"),
    Subscription: ("customer", "workspace", "standing"),
    SubscriptionSchedule: ("customer", "workspace", "subscription", "standing"),
}
# Where Stripe keeps what is called so here: the first that the object has.
NAMES = ("name", "nickname", "lookup_key", "code")
AMOUNTS = ("total", "amount_total", "unit_amount", "amount")
STANDINGS = ("status", "active", "valid")


def take_over() -> None:
    for model in [model for model in admin.site._registry if model._meta.app_label == "djstripe"]:
        admin.site.unregister(model)
    for model in COLUMNS:
        # dj-stripe's names ask for other rows, some raise, and an invoice's says a hundred times its amount.
        setattr(model, "__str__", called_by_id)  # noqa: B010  # to mypy an assignment is of the wrong type
        admin.site.register(model, MirrorAdmin)


def called_by_id(row: StripeModel) -> str:
    return str(row.id)


class MirrorAdmin(ReadOnly, Desk):
    list_filter = ("livemode",)

    def get_list_display(self, request: HttpRequest) -> tuple[str, ...]:
        return ("id", *COLUMNS[self.model], "created", "livemode")

    def get_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        shown = dict.fromkeys(("id", *COLUMNS[self.model], *self.links()))
        return (*shown, "created", "livemode", "djstripe_updated", "at_stripe", "as_fetched")

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        return self.get_fields(request, obj)

    def get_search_fields(self, request: HttpRequest) -> tuple[str, ...]:
        return ("id",)

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        text = search_term.strip()
        if not text:
            return queryset, False
        wanted = Q(id=text)
        if self.model is Invoice:
            wanted |= Q(stripe_data__number=text)
        if self.model is Customer:
            wanted |= Q(subscriber_id__in=search.workspaces(text))
        elif "customer" in self.links():
            wanted |= Q(customer__subscriber_id__in=search.workspaces(text)) | Q(customer__id=text)
        return queryset.filter(wanted), False

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        found: QuerySet[Any] = super().get_queryset(request)
        links = self.links()
        if "customer" in links:
            links.append("customer__subscriber")
        return found.select_related(*links) if links else found

    def links(self) -> list[str]:
        """The rows that it names."""
        fields = (field for field in self.model._meta.fields if isinstance(field, ForeignKey))
        return [field.name for field in fields if field.related_model in (*COLUMNS, Workspace)]

    @admin.display
    def workspace(self, row: Any) -> Workspace | None:
        return row.customer.subscriber if row.customer else None

    @admin.display(description="Name")
    def called(self, row: StripeModel) -> str:
        return str(first(row, NAMES) or "")

    @admin.display
    def number(self, row: StripeModel) -> str:
        return str(row.stripe_data.get("number") or "")

    @admin.display
    def kind(self, row: StripeModel) -> str:
        return str(row.stripe_data.get("type") or "")

    @admin.display
    def amount(self, row: StripeModel) -> str:
        amount, currency = first(row, AMOUNTS), row.stripe_data.get("currency")
        return amount_in_words(amount, currency) if amount is not None and currency else ""

    @admin.display(description="Status")
    def standing(self, row: StripeModel) -> str:
        found = first(row, STANDINGS)
        return {True: "active", False: "not active", None: ""}.get(found, str(found))

    @admin.display(description="At Stripe")
    def at_stripe(self, row: StripeModel) -> str:
        # Not what dj-stripe makes of it: some of its models look for other rows, and fail.
        if not row.stripe_dashboard_item_name:
            return ""
        mode = "" if row.livemode else "test/"
        address = f"https://dashboard.stripe.com/{mode}{row.stripe_dashboard_item_name}/{row.id}"
        return format_html('<a href="{0}" rel="noreferrer">{0}</a>', address)

    @admin.display(description="As fetched")
    def as_fetched(self, row: StripeModel) -> str:
        return render_to_string("admin/deliveries/rows.html", {"rows": payloads.rows_of(row.stripe_data)})


def first(row: StripeModel, names: tuple[str, ...]) -> Any:
    return next((value for name in names if (value := row.stripe_data.get(name)) is not None), None)


take_over()
