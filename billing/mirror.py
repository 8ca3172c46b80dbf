"""Stripe's objects as dj-stripe keeps them, for staff to look at and for looking back. No rule reads them.

dj-stripe is handed what was fetched, never an event, and never asked to fetch: what it would follow
inside the caller's transaction, `prepare` fetches before. Its links from metadata to a subscriber are
off, because they write to Stripe again and believe what anybody may have written there; `attach` links.
"""

from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import datetime
from typing import Any

import stripe
from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import ForeignKey
from django.db.models.functions import Now
from djstripe.models import (
    Account,
    APIKey,
    BalanceTransaction,
    Charge,
    Coupon,
    Customer,
    Dispute,
    EarlyFraudWarning,
    Event,
    IdempotencyKey,
    Invoice,
    InvoiceItem,
    PaymentIntent,
    PaymentMethod,
    Price,
    Product,
    PromotionCode,
    Refund,
    Session,
    SetupIntent,
    StripeModel,
    Subscription,
    SubscriptionItem,
    SubscriptionSchedule,
    TaxRate,
    WebhookEventTrigger,
)

from accounts.models import Workspace

# In an order in which each finds the rows that it names. dj-stripe has no model for a credit note.
MODELS: dict[str, type[StripeModel]] = {
    model.stripe_class.OBJECT_NAME: model
    for model in (
        Product,
        Price,
        Coupon,
        PromotionCode,
        TaxRate,
        Customer,
        PaymentMethod,
        Subscription,
        SubscriptionItem,
        SubscriptionSchedule,
        InvoiceItem,
        BalanceTransaction,
        PaymentIntent,
        SetupIntent,
        Charge,
        Invoice,
        Refund,
        Dispute,
        EarlyFraudWarning,
        Session,
    )
}
# dj-stripe wants an owner of every row; a restricted key may not ask Stripe whose it is.
UNKNOWN_ACCOUNT = "acct_unknown"
# Written into `stripe_data` by dj-stripe where Stripe's object has no such key.
ADDED = {"deleted", "default_payment_method", "period_start", "period_end"}

# By the key, while `store` goes on.
_owners: ContextVar[dict[str, Account] | None] = ContextVar("owners", default=None)
# As the SDK hands it out, or as `plain` makes it.
type Found = stripe.StripeObject | dict[str, Any]


def prepare(objects: Iterable[Found] = (), *, api_key: str) -> None:
    """Mirrors what `objects` name and the mirror has not seen, so that storing them calls nobody.

    To be called outside transactions: the first time for a key it asks Stripe for the account too.
    """
    if not APIKey.objects.filter(secret=api_key, djstripe_owner_account__isnull=False).exists():
        learn_account(api_key)
    fetched: list[Found] = []
    ahead = [plain(found) for found in objects]
    known = {(found["object"], found["id"]) for found in ahead}
    while missing := unseen(named(ahead), known):
        known.update((model.stripe_class.OBJECT_NAME, id) for model, id in missing)
        new = [found for model, id in missing if (found := retrieve(model, id, api_key=api_key))]
        fetched += new
        ahead = [plain(found) for found in new]
    if not fetched:
        return
    try:
        store(fetched, api_key=api_key)
    except IntegrityError:
        # Stored by another sync meanwhile: now it is seen, and compared.
        store(fetched, api_key=api_key)


@transaction.atomic
def store(objects: Iterable[Found], *, api_key: str) -> None:
    """Invoices must have been fetched with their discounts expanded, those of their lines too."""
    by_model: dict[type[StripeModel], dict[str, dict[str, Any]]] = {model: {} for model in MODELS.values()}
    for found in map(plain, objects):
        if model := MODELS.get(found["object"]):
            by_model[model][found["id"]] = found
    stand_in_for(by_model[PaymentMethod])
    with _owners_looked_up_once():
        for model, by_id in by_model.items():
            stored = dict(model.objects.filter(id__in=by_id).values_list("id", "stripe_data")) if by_id else {}
            for id, found in by_id.items():
                if not is_equal(stored.get(id), found):
                    # A copy, because dj-stripe writes into what it is handed.
                    model.sync_from_stripe_data(model.stripe_class.construct_from(found, api_key), api_key=api_key)
    if gone := [id for id, customer in by_model[Customer].items() if customer.get("deleted")]:
        Customer.objects.filter(id__in=gone, date_purged=None).update(date_purged=Now())


def attach(customer_id: str, workspace: Workspace) -> None:
    """Links the mirrored customer to the workspace that it belongs to, in our table only."""
    Customer.objects.filter(id=customer_id).exclude(subscriber=workspace).update(subscriber=workspace)


def follow_no_features() -> None:
    """Whenever a product is stored dj-stripe asks Stripe for its features, which this service does not use."""
    Product._sync_product_features = lambda *_product, **_key: None


def look_owners_up_once() -> None:
    """For every object that it stores dj-stripe looks up whose key it was fetched with: in `store` once is enough."""
    look_up = Account.get_or_retrieve_for_api_key

    def owner_of(api_key: str) -> Account:
        owners = _owners.get()
        if owners is None:
            return look_up(api_key)
        if api_key not in owners:
            owners[api_key] = look_up(api_key)
        return owners[api_key]

    Account.get_or_retrieve_for_api_key = staticmethod(owner_of)


@contextmanager
def _owners_looked_up_once() -> Iterator[None]:
    token = _owners.set({})
    try:
        yield
    finally:
        _owners.reset(token)


@transaction.atomic
def forget_old(*, before: datetime) -> None:
    """What dj-stripe notes down for itself, where somebody has let it: deliveries, events and keys.

    What Stripe holds stays for ever, and so does a proven delivery that was never worked off.
    """
    unprocessed = WebhookEventTrigger.objects.filter(valid=True, processed=False)
    WebhookEventTrigger.objects.filter(created__lt=before).exclude(pk__in=unprocessed).delete()
    named = unprocessed.filter(event__isnull=False).values("event__pk")
    Event.objects.filter(djstripe_created__lt=before).exclude(pk__in=named).delete()
    IdempotencyKey.objects.filter(created__lt=before).delete()


def learn_account(api_key: str) -> None:
    try:
        Account.get_or_retrieve_for_api_key(api_key)
    except stripe.PermissionError:
        with transaction.atomic():
            account, _ = Account.objects.get_or_create(id=UNKNOWN_ACCOUNT)
            row, _ = APIKey.objects.get_or_create_by_api_key(api_key)
            row.djstripe_owner_account = account
            row.save()


def plain(found: Found) -> dict[str, Any]:
    """As dj-stripe stores it."""
    return found if isinstance(found, dict) else found.to_dict(for_json=True)


def is_equal(stored: dict[str, Any] | None, found: dict[str, Any]) -> bool:
    if stored is None:
        return False
    return {key: value for key, value in stored.items() if key in found or key not in ADDED} == found


def stand_in_for(methods: Collection[str]) -> None:
    """A customer names its payment method, which names the customer: an empty row first breaks the circle."""
    if methods:
        here = set(PaymentMethod.objects.filter(id__in=methods).values_list("id", flat=True))
        # Another sync, a delivery's beside a return page's, may bring the same one at this instant.
        PaymentMethod.objects.bulk_create(
            [PaymentMethod(id=id) for id in methods if id not in here], ignore_conflicts=True
        )


# What an object names.


def named(objects: Iterable[Any]) -> Iterator[tuple[type[StripeModel], str]]:
    """What dj-stripe would look for, and fetch where it is not there: by id, however deep."""
    for value in objects:
        if not isinstance(value, dict):
            continue
        model = MODELS.get(value.get("object", ""))
        for field in model._meta.fields if model else ():
            target = field.related_model
            if isinstance(field, ForeignKey) and target in MODELS.values():
                source = value.get("invoice_settings", {}) if model is Customer else value
                if isinstance(id := source.get(field.name), str):
                    yield target, id
        for part in value.values():
            yield from named(part if isinstance(part, list) else [part])


def unseen(
    names: Iterable[tuple[type[StripeModel], str]], known: set[tuple[str, str]]
) -> list[tuple[type[StripeModel], str]]:
    wanted: dict[type[StripeModel], set[str]] = {}
    for model, id in names:
        if (model.stripe_class.OBJECT_NAME, id) not in known:
            wanted.setdefault(model, set()).add(id)
    return [
        (model, id)
        for model, ids in wanted.items()
        for id in sorted(ids - set(model.objects.filter(id__in=ids).values_list("id", flat=True)))
    ]


def retrieve(model: type[StripeModel], id: str, *, api_key: str) -> stripe.StripeObject | None:
    """None where Stripe does not have it any more: then the link stays empty."""
    expand = model.expand_fields if model in (Invoice, InvoiceItem) else []
    try:
        found: stripe.StripeObject = model.stripe_class.retrieve(
            id, api_key=api_key, stripe_version=settings.STRIPE_API_VERSION, expand=expand
        )
    except stripe.InvalidRequestError as error:
        if error.code == "resource_missing":
            return None
        raise
    return found
