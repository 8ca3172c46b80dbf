"""A service that sells: the stand-in for Stripe beside it, and customers by the thousand."""

import http.client
import json
import os
import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

from django.db import connection, transaction
from django.db.models import Count

from accounts.models import User
from billing import jobs
from billing.models import Plan, Price, StripeEvent, Subscription
from billing.webhooks import EFFECTS
from deploy.files import LaunchError, free_port
from deploy.postgres import Cluster
from tests.bench import server
from tests.fake_stripe.running import API_KEY, StandIn, running

CARD = "pm_card_visa"
AT_ONCE = 500
# As Stripe, which has many under way to one endpoint.
DELIVERIES_AT_ONCE = 16
BILLING_WORKER = ["--queues=billing", "--concurrency=4"]
OTHER_WORKER = ["--queues=mail,housekeeping"]
POLL_SECONDS = 0.05
# Of what is wrong.
MOST_LINES = 10


@dataclass(frozen=True)
class Subscriber:
    """Ids of Stripe's."""

    customer: str
    subscription: str


@dataclass
class Till:
    """On a database of its own, to which Django's connection leads meanwhile."""

    database_url: str
    account: server.Account
    stand_in: StandIn
    api: str
    made: int = field(default=0, init=False)
    _connection: http.client.HTTPConnection = field(init=False)

    def __post_init__(self) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", self.stand_in.port, timeout=600)

    def ask(self, method: str, path: str, **form: Any) -> dict[str, Any]:
        """Stripe's API, as somebody in its dashboard; keys of the form as they are sent. Raises LaunchError."""
        headers = {"Authorization": f"Bearer {API_KEY}", "Content-Type": "application/x-www-form-urlencoded"}
        encoded = urlencode(form, doseq=True)
        target = f"{path}?{encoded}" if method == "GET" else path
        self._connection.request(method, target, None if method == "GET" else encoded, headers)
        answer = self._connection.getresponse()
        body: dict[str, Any] = json.loads(answer.read())
        if answer.status != 200:
            raise LaunchError(f"{method} {path}: {body}")
        return body

    def pages(self, path: str, **form: Any) -> Iterator[dict[str, Any]]:
        """All that a list has, the newest first."""
        while True:
            page = self.ask("GET", path, limit=100, **form)
            yield from page["data"]
            if not page["has_more"]:
                return
            form["starting_after"] = page["data"][-1]["id"]

    @property
    def host(self) -> str:
        return self.api.removesuffix("/api/v1")

    def now(self) -> datetime:
        """By the stand-in's clock, which is the service's too."""
        return datetime.fromtimestamp(self.stand_in.control("GET", "clock")["now"], UTC)

    def manage(self, *arguments: str) -> server.Finished:
        return server.manage(*arguments, database_url=self.database_url, account=self.account)

    @contextmanager
    def workers(self) -> Iterator[None]:
        """Of those that docker-compose.yml has the one for billing, once a processor, and the one without runs."""
        with ExitStack() as stack:
            billing = {f"billing-{number}": BILLING_WORKER for number in range(1, (os.cpu_count() or 1) + 1)}
            for name, options in (billing | {"others": OTHER_WORKER}).items():
                stack.enter_context(server.worker(self.database_url, name, *options, account=self.account))
            yield

    # Customers.

    def subscribe(self, count: int, *, over: int = 0) -> list[Subscriber]:
        """Workspaces with PRO at Stripe, begun `over` the last seconds; nobody has looked at them yet."""
        price = Price.objects.get(plan__slug=Plan.PRO, interval="month", currency="usd").stripe_price_id
        everybody: list[Subscriber] = []
        with connection.cursor() as cursor:
            # For this connection, which only prepares.
            cursor.execute("SET synchronous_commit = off")
        for first in range(0, count, AT_ONCE):
            size = min(AT_ONCE, count - first)
            with transaction.atomic():
                users = [self.user() for _ in range(size)]
                named = [
                    {"email": user.email, "metadata": {"workspace_id": str(user.personal_workspace.pk)}}
                    for user in users
                ]
                answer = self.stand_in.control(
                    "POST", "subscribers", customers=named, price=price, card=CARD, over=over
                )
                rows = Subscription.objects.in_bulk(
                    [user.personal_workspace.pk for user in users], field_name="workspace_id"
                )
                for user, one in zip(users, answer["subscribers"], strict=True):
                    rows[user.personal_workspace.pk].stripe_customer_id = one["customer"]
                    everybody.append(Subscriber(**one))
                Subscription.objects.bulk_update(rows.values(), ["stripe_customer_id"])
        return everybody

    def user(self) -> User:
        self.made += 1
        return User.objects.create_user(
            f"payer-{self.made}@example.com", None, fullname=f"Payer {self.made}", is_email_verified=True
        )

    def look_at(self, customers: Sequence[str], *, within: float) -> None:
        """By the workers, so that our rows are what Stripe has."""
        with transaction.atomic():
            for customer in customers:
                jobs.sync_customer.defer(customer=customer)
        self.wait_for_workers(within)

    # Deliveries.

    def hold(self) -> None:
        self.stand_in.control("POST", "webhooks", mode="hold")

    def release(self, **how: Any) -> int:
        """All at once; how many deliveries."""
        released: int = self.stand_in.control("POST", "webhooks/release", at_once=DELIVERIES_AT_ONCE, **how)["released"]
        return released

    def wait_until_done(self, within: float) -> None:
        """Every delivery is answered, and nothing is left of them to do. Raises LaunchError."""
        deadline = time.monotonic() + within
        while not self.stand_in.control("POST", "webhooks/settle", seconds=10)["settled"]:
            if time.monotonic() > deadline:
                raise LaunchError(f"The deliveries were not all answered within {within:.0f} s.")
        self.wait_for_workers(deadline - time.monotonic())

    def wait_for_workers(self, within: float) -> None:
        deadline = time.monotonic() + within
        while (left := self._left()) != (0, 0):
            if time.monotonic() > deadline:
                raise LaunchError(f"Not done within {within:.0f} s: {left[0]} events, {left[1]} jobs.")
            time.sleep(POLL_SECONDS)

    def _left(self) -> tuple[int, int]:
        with connection.cursor() as cursor:
            cursor.execute(
                # A job with a lock is one of an event: what it would do may be done.
                "SELECT (SELECT count(*) FROM billing_stripeevent WHERE state = 'waiting'),"
                " (SELECT count(*) FROM procrastinate_jobs WHERE queue_name = %s"
                "  AND (status = 'doing' OR (status = 'todo' AND lock IS NULL)))",
                [jobs.BILLING_QUEUE],
            )
            events, left = cursor.fetchone()
        return int(events), int(left)

    def wrongs(self, expected: int) -> list[str]:
        """Of so many events those that are not here, or not done; and the drift of our rows."""
        found = dict(StripeEvent.objects.values_list("state").annotate(Count("pk")).order_by("state"))
        if found == {StripeEvent.State.DONE: expected}:
            return self.drift()
        return [f"Of {expected:,} events these are here: {found}", *self.drift()]

    def drift(self) -> list[str]:
        """What reconciliation would mend or list, or could not look at."""
        finished = server.attempt("reconcile", "--dry-run", database_url=self.database_url, account=self.account)
        return [] if finished.exit_code == 0 else finished.output.splitlines()[:MOST_LINES]


@contextmanager
def open_till(cluster: Cluster, name: str, template: str) -> Iterator[Till]:
    """gunicorn serves, prices are at Stripe, deliveries are held; no worker runs."""
    state = server.SCRATCH / f"bench-{name}-stripe"
    shutil.rmtree(state, ignore_errors=True)
    state.mkdir(parents=True)
    port = free_port()
    with ExitStack() as stack:
        database_url = cluster.create_database(f"bench_{name}", template=template)
        stack.callback(cluster.drop_database, f"bench_{name}")
        stack.enter_context(_connected_to(f"bench_{name}"))
        # Any test key is taken: dj-stripe's own view calls with the fingerprint of it that is in the database.
        stand_in = stack.enter_context(running(state, "--in-memory"))
        asking = Till(database_url, server.Account("", state, ""), stand_in, "")
        stack.callback(asking._connection.close)
        wanted: dict[str, Any] = {"enabled_events[]": sorted(EFFECTS)}
        url = f"http://127.0.0.1:{port}/api/v1/billing/webhook"
        endpoint = asking.ask("POST", "/v1/webhook_endpoints", url=url, **wanted)
        asking.account = server.Account(stand_in.url, state / "clock-offset", endpoint["secret"])
        asking.manage("sync_plans", "--create")
        asking.hold()
        asking.api = stack.enter_context(server.gunicorn(database_url, name, account=asking.account, port=port))
        yield asking


@contextmanager
def _connected_to(database: str) -> Iterator[None]:
    before = connection.settings_dict["NAME"]
    connection.close()
    connection.settings_dict["NAME"] = database
    try:
        yield
    finally:
        connection.close()
        connection.settings_dict["NAME"] = before
