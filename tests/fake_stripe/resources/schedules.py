"""Subscription schedules."""

from tests.fake_stripe.billing import periods, schedules
from tests.fake_stripe.errors import invalid, missing, required
from tests.fake_stripe.forms import Params
from tests.fake_stripe.lists import page_of
from tests.fake_stripe.objects import Object
from tests.fake_stripe.resources import customers
from tests.fake_stripe.resources.subscriptions import PRORATIONS
from tests.fake_stripe.routes import answers
from tests.fake_stripe.world import World


@answers("POST", "/v1/subscription_schedules")
def create(world: World, params: Params) -> Object:
    origin = params.string("from_subscription")
    if origin is not None:
        for name in params.form.keys() - {"from_subscription", "expand"}:
            raise invalid(f"You cannot set `{name}` if `from_subscription` is set.", param=name)
        return schedules.from_subscription(world, world.store.named("subscription", origin, "from_subscription"))
    customer = customers.named(world, params.needed("customer"))
    start = params.instant("start_date", now=world.now) or world.now
    schedule = made(world, params, customer["id"], start=start)
    schedule["metadata"] = params.metadata()
    world.announce("subscription_schedule.created", schedule)
    if start <= world.now:
        schedules.begin(world, schedule)
    return schedule


def made(world: World, params: Params, customer: str, *, start: int) -> Object:
    """Of a request, or of what a preview is asked to suppose."""
    end_behavior = params.choice("end_behavior", "release", "cancel") or "release"
    schedule = schedules.make(world, customer, end_behavior=end_behavior)
    schedule["phases"] = _phases(world, params, start=start)
    return world.store.add(schedule)


@answers("GET", "/v1/subscription_schedules")
def list_all(world: World, params: Params) -> Object:
    return page_of(world.store, "subscription_schedule", params, "/v1/subscription_schedules", "customer")


@answers("GET", "/v1/subscription_schedules/{schedule}")
def retrieve(world: World, params: Params, schedule: str) -> Object:
    return world.store.get("subscription_schedule", schedule)


@answers("POST", "/v1/subscription_schedules/{schedule}")
def update(world: World, params: Params, schedule: str) -> Object:
    """`phases` replaces all of them; the first must be the one that is under way, from its own start."""
    found = world.store.get("subscription_schedule", schedule)
    if found["status"] not in ("active", "not_started"):
        raise invalid(f"You cannot update a subscription schedule that is in the `{found['status']}` status.")
    if "metadata" in params:
        found["metadata"] = params.metadata(found["metadata"])
    revise(world, found, params)
    world.announce("subscription_schedule.updated", found)
    return found


def revise(world: World, found: Object, params: Params) -> None:
    params.without_effect("proration_behavior")
    found["end_behavior"] = params.choice("end_behavior", "release", "cancel") or found["end_behavior"]
    if "phases" in params:
        current = found["current_phase"]
        phases = _phases(world, params, start=current["start_date"] if current else found["phases"][0]["start_date"])
        if current is not None:
            if phases[0]["start_date"] != current["start_date"]:
                raise invalid("You can not modify the start date of the current phase.", param="phases[0][start_date]")
            if phases[0]["end_date"] <= world.now:
                raise invalid("The current phase must end in the future.", param="phases[0][end_date]")
            found["current_phase"] = {
                "start_date": phases[0]["start_date"],
                "end_date": phases[0]["end_date"],
            }
        found["phases"] = phases
    schedules.mirror_end(world, found)


@answers("POST", "/v1/subscription_schedules/{schedule}/release")
def release(world: World, params: Params, schedule: str) -> Object:
    found = world.store.get("subscription_schedule", schedule)
    schedules.release(world, found, keeps_cancel_date=params.boolean("preserve_cancel_date") is True)
    return found


@answers("POST", "/v1/subscription_schedules/{schedule}/cancel")
def cancel(world: World, params: Params, schedule: str) -> Object:
    found = world.store.get("subscription_schedule", schedule)
    params.without_effect("invoice_now", "prorate")
    schedules.cancel(world, found)
    return found


def _phases(world: World, params: Params, *, start: int) -> list[Object]:
    """Each begins where the one before ends; a duration counts from there."""
    entries = params.each("phases")
    if not entries:
        raise required("phases")
    found: list[Object] = []
    for entry in entries:
        given_start = entry.instant("start_date", now=world.now)
        begin = found[-1]["end_date"] if found else start
        if found and given_start not in (None, begin):
            raise invalid("Phases must follow one another without a gap.", param=entry.name("start_date"))
        if not found and given_start is not None:
            begin = given_start
        items = [_item(world, item) for item in entry.each("items") or []]
        if not items:
            raise required(entry.name("items"))
        recurring = world.store.get("price", items[0]["price"])["recurring"]
        end = entry.instant("end_date", now=world.now)
        duration = entry.nested("duration")
        if duration is not None:
            count = duration.integer("interval_count")
            interval = duration.choice("interval", "day", "week", "month", "year") or "month"
            end = periods.after(begin, {"interval": interval, "interval_count": 1 if count is None else count})
        end = end or periods.after(begin, recurring)
        if end <= begin:
            raise invalid("A phase must end after it starts.", param=entry.name("end_date"))
        entry.without_effect("collection_method", "currency", "default_payment_method", "trial")
        found.append(
            schedules.phase(
                world,
                items,
                start=begin,
                end=end,
                proration_behavior=entry.choice("proration_behavior", *PRORATIONS) or "create_prorations",
                billing_cycle_anchor=entry.choice("billing_cycle_anchor", "automatic", "phase_start"),
                metadata=entry.metadata(),
                description=entry.string("description"),
                trial_end=entry.instant("trial_end", now=world.now),
            )
        )
    return found


def _item(world: World, entry: Params) -> Object:
    price = entry.needed("price")
    if world.store.find("price", price) is None:
        raise missing("price", price, param=entry.name("price"), status=400)
    quantity = entry.integer("quantity")
    return {
        "price": price,
        "quantity": 1 if quantity is None else quantity,
        "metadata": entry.metadata(),
    }
