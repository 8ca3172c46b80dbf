"""The customer portal: plan, cancellation, card and invoices."""

from tests.fake_stripe.billing import methods, portal
from tests.fake_stripe.billing.lines import in_words, product_name
from tests.fake_stripe.billing.subscriptions import period_end
from tests.fake_stripe.errors import StripeError
from tests.fake_stripe.objects import Object
from tests.fake_stripe.pages.cardform import CardForm, help_html
from tests.fake_stripe.pages.html import Html, alert, day, fill, frame, join, short_day
from tests.fake_stripe.pages.view import Go, Shown
from tests.fake_stripe.world import World

DONE = {
    "plan": "Your plan is changed.",
    "planned": "Your plan will change at the end of the period.",
    "cancel": "Your subscription is cancelled.",
    "resume": "Your subscription goes on.",
    "card": "Your card is changed.",
}


REASONS = {
    "customer_service": "Customer service was less than expected",
    "low_quality": "The quality was less than expected",
    "missing_features": "Some features are missing",
    "other": "Another reason",
    "switched_service": "I am switching to another service",
    "too_complex": "It is too hard to use",
    "too_expensive": "It is too expensive",
    "unused": "I don't use it enough",
}


def view(world: World, is_posted: bool, form: dict[str, str], id: str) -> Shown | Go:
    session = world.store.get("billing_portal.session", id)
    return _show(world, session, done=DONE.get(form.get("done", "")))


def review(world: World, is_posted: bool, form: dict[str, str], id: str, what: str) -> Shown | Go:
    """What a change of plan or a cancellation means, before it is confirmed."""
    session = world.store.get("billing_portal.session", id)
    configuration = world.store.get("billing_portal.configuration", session["configuration"])
    try:
        subscription = _subscription_of(world, session, form)
        if what == "cancellation":
            return _review_cancellation(session, configuration, subscription)
        price = world.store.named("price", form.get("price"), "price")
        planned = portal.outlook(world, configuration, subscription, price)
    except StripeError as error:
        return _show(world, world.store.get("billing_portal.session", id), problem=str(error))
    return _review_plan(world, session, subscription, price, planned)


def act(world: World, is_posted: bool, form: dict[str, str], id: str, what: str) -> Shown | Go:
    """One change, then back to the portal, or on to where the session's flow leads."""
    session = world.store.get("billing_portal.session", id)
    if not is_posted:
        return Go(f"/p/session/{id}")
    configuration = world.store.get("billing_portal.configuration", session["configuration"])
    done = what
    typed = CardForm.read(form, world.now) if what == "card" else CardForm()
    if typed.errors:
        return _show(world, session, typed=typed)
    try:
        with world.store.attempt():
            if what == "card":
                _change_card(world, session, configuration, typed)
            else:
                done = _change_subscription(world, session, configuration, what, form)
    except StripeError as error:
        session = world.store.get("billing_portal.session", id)
        if what == "card":
            typed.refuse(str(error))
            return _show(world, session, typed=typed)
        return _show(world, session, problem=str(error))
    after = (session["flow"] or {}).get("after_completion") or {}
    if after.get("type") == "redirect":
        return Go(after["redirect"]["return_url"], _reaches(session))
    return Go(f"/p/session/{id}?done={done}", _reaches(session))


def _change_subscription(world: World, session: Object, configuration: Object, what: str, form: dict[str, str]) -> str:
    """What was done, a key of DONE. Raises with a sentence for the customer."""
    subscription = _subscription_of(world, session, form)
    if what == "cancel":
        portal.cancel(world, configuration, subscription, feedback=form.get("reason") or None)
    elif what == "resume":
        portal.resume(world, subscription)
    else:
        price = world.store.named("price", form.get("price"), "price")
        problem = portal.change_plan(world, configuration, subscription, price)
        if problem is not None:
            invoice = world.store.get("invoice", subscription["latest_invoice"])
            problem.keeps_effects = True
            raise StripeError(
                402,
                f"{problem} Your plan stays as it is until invoice {invoice['number']} below is paid.",
                keeps_effects=True,
            )
        if subscription["schedule"] is not None:
            return "planned"
    return what


def _subscription_of(world: World, session: Object, form: dict[str, str]) -> Object:
    subscription = world.store.find("subscription", form.get("subscription"))
    if subscription is None or subscription["customer"] != session["customer"]:
        raise StripeError(404, "There is no such subscription.")
    return subscription


def _change_card(world: World, session: Object, configuration: Object, typed: CardForm) -> None:
    if not configuration["features"]["payment_method_update"]["enabled"]:
        raise StripeError(403, "The card cannot be changed here.")
    customer = world.store.get("customer", session["customer"])
    assert typed.card is not None
    portal.change_card(world, customer, typed.card, month=typed.month, year=typed.year, name=typed.name)


def _reaches(session: Object) -> tuple[str | None, ...]:
    after = (session["flow"] or {}).get("after_completion") or {}
    return session["return_url"], (after.get("redirect") or {}).get("return_url")


def _show(
    world: World,
    session: Object,
    *,
    typed: CardForm | None = None,
    problem: str | None = None,
    done: str | None = None,
) -> Shown:
    configuration = world.store.get("billing_portal.configuration", session["configuration"])
    customer = world.store.get("customer", session["customer"])
    features = configuration["features"]
    held = portal.present_subscriptions(world, customer["id"])
    body = fill(
        """<main class="sheet">
{back}
<h1>Your billing</h1>
<p class="soft">{who}</p>
{problem}{done}
{subscriptions}
{card}
{invoices}
</main>""",
        back=fill('<p><a href="{url}">← Back</a></p>', url=session["return_url"]) if session["return_url"] else "",
        who=customer["email"] or customer["name"] or customer["id"],
        problem=alert(problem),
        done=fill('<p class="done" role="status">{done}</p>', done=done) if done else "",
        subscriptions=join(_subscription(world, session, configuration, each) for each in held)
        or Html('<section class="card"><h2>Plan</h2><p>You have no subscription.</p></section>'),
        card=_card(world, session, customer, typed) if features["payment_method_update"]["enabled"] else "",
        invoices=_invoices(world, customer) if features["invoice_history"]["enabled"] else "",
    )
    return Shown(422 if problem or (typed and typed.errors) else 200, frame("Your billing", body), _reaches(session))


def _subscription(world: World, session: Object, configuration: Object, subscription: Object) -> Html:
    price = portal.price_of(world, subscription)
    ends = subscription["cancel_at"]
    end = day(ends or period_end(subscription))
    sentence: str = f"It ends on {end}." if ends else f"It renews on {end}."
    if subscription["schedule"] is not None:
        sentence = f"A change of plan is waiting for {end}; this page cannot change it."
    elif subscription["pending_update"] is not None:
        sentence = fill(
            '<a href="/i/{invoice}">A change of plan is waiting for its payment.</a> {sentence}',
            invoice=subscription["latest_invoice"],
            sentence=sentence,
        )
    return fill(
        """<section class="card" aria-labelledby="plan-{id}">
<h2 id="plan-{id}">{name} <span class="badge {status}">{status_text}</span></h2>
<p>{amount} per {interval}. {sentence}</p>
{plans}{ending}
</section>""",
        id=subscription["id"],
        name=product_name(world, price),
        status=subscription["status"],
        status_text=subscription["status"].replace("_", " "),
        amount=in_words(portal.amount_of(world, subscription), subscription["currency"]),
        interval=price["recurring"]["interval"],
        sentence=sentence,
        plans=_plans(world, session, configuration, subscription),
        ending=_ending(session, configuration, subscription),
    )


def _review_plan(world: World, session: Object, subscription: Object, price: Object, planned: portal.Outlook) -> Shown:
    name, currency = product_name(world, price), price["currency"]
    amount = f"{in_words(price['unit_amount'], currency)} / {price['recurring']['interval']}"
    is_now = planned.at <= world.now
    rows = join(
        fill(
            '<tr><th scope="row">{what}</th><td>{amount}</td></tr>',
            what=line["description"],
            amount=in_words(line["amount"], currency),
        )
        for line in planned.lines
    )
    facts = fill(
        """<dl><dt>New plan</dt><dd>{name}, {amount}</dd><dt>From</dt><dd>{when}</dd>
<dt>Due today</dt><dd><strong>{due}</strong></dd></dl>{lines}{later}""",
        name=name,
        amount=amount,
        when="now" if is_now else day(planned.at),
        due=in_words(planned.amount_due, currency),
        lines=fill('<table><caption class="hint">How it is made up</caption><tbody>{rows}</tbody></table>', rows=rows)
        if rows
        else "",
        later=""
        if is_now
        else fill('<p class="soft">Until {day} you keep the plan that you have.</p>', day=day(planned.at)),
    )
    verb = f"Pay {in_words(planned.amount_due, currency)} and change" if planned.amount_due else "Confirm the change"
    hidden = fill('<input type="hidden" name="price" value="{price}">', price=price["id"])
    return _review(session, subscription, f"Change to {name}", facts, "plan", hidden, verb)


def _review_cancellation(session: Object, configuration: Object, subscription: Object) -> Shown:
    feature = configuration["features"]["subscription_cancel"]
    is_now = feature["mode"] == "immediately"
    end = day(period_end(subscription))
    sentence = (
        "Your subscription ends now."
        if is_now
        else f"Your subscription ends on {end}. Until then you keep your plan, and nothing more is charged."
    )
    choices = join(
        fill(
            '<label class="choice"><input type="radio" name="reason" value="{reason}"><span>{text}</span></label>',
            reason=reason,
            text=REASONS.get(reason, reason),
        )
        for reason in feature["cancellation_reason"]["options"]
    )
    asked = fill("<fieldset><legend>Why? (optional)</legend>{choices}</fieldset>", choices=choices)
    return _review(
        session,
        subscription,
        "Cancel your subscription",
        fill("<p>{sentence}</p>", sentence=sentence),
        "cancel",
        asked if feature["cancellation_reason"]["enabled"] else Html(""),
        "Cancel now" if is_now else f"Cancel on {end}",
    )


def _review(
    session: Object, subscription: Object, title: str, facts: Html, what: str, fields: Html, verb: str
) -> Shown:
    body = fill(
        """<main class="sheet narrow"><div class="card"><h1>{title}</h1>{facts}
<form method="post" action="/p/session/{session}/{what}">{fields}
<input type="hidden" name="subscription" value="{id}"><button class="wide">{verb}</button></form>
<p><a href="/p/session/{session}">← Leave it as it is</a></p></div></main>""",
        title=title,
        facts=facts,
        session=session["id"],
        what=what,
        fields=fields,
        id=subscription["id"],
        verb=verb,
    )
    return Shown(200, frame(title, body), _reaches(session))


def _plans(world: World, session: Object, configuration: Object, subscription: Object) -> Html:
    prices = portal.offered(world, configuration, subscription)
    if not prices:
        return Html("")
    choices = join(
        fill(
            """<label class="choice"><input type="radio" name="price" value="{id}" required>
<span>{name}<br><small class="soft">{when}</small></span> <strong>{amount} / {interval}</strong></label>""",
            id=price["id"],
            name=product_name(world, price),
            when="from the next period on"
            if portal.is_at_period_end(world, configuration, subscription, price)
            else "at once; unused time is credited",
            amount=in_words(price["unit_amount"], price["currency"]),
            interval=price["recurring"]["interval"],
        )
        for price in prices
    )
    return fill(
        """<form action="/p/session/{session}/change"><fieldset><legend>Change plan</legend>{choices}
</fieldset><input type="hidden" name="subscription" value="{id}"><button>Change plan</button></form>""",
        session=session["id"],
        choices=choices,
        id=subscription["id"],
    )


def _ending(session: Object, configuration: Object, subscription: Object) -> Html:
    if subscription["schedule"] is not None:
        return Html("")
    if subscription["cancel_at"] is not None:
        form, verb = fill('method="post" action="/p/session/{id}/resume"', id=session["id"]), "Keep my subscription"
    elif configuration["features"]["subscription_cancel"]["enabled"]:
        form, verb = fill('action="/p/session/{id}/cancellation"', id=session["id"]), "Cancel subscription"
    else:
        return Html("")
    return fill(
        """<form {form}>
<input type="hidden" name="subscription" value="{id}"><button class="quiet">{verb}</button></form>""",
        form=form,
        id=subscription["id"],
        verb=verb,
    )


def _card(world: World, session: Object, customer: Object, typed: CardForm | None) -> Html:
    held = portal.present_subscriptions(world, customer["id"])
    method = methods.default_for(world, customer["id"], held[0] if held else None)
    shown = "You have no card here yet."
    if method is not None:
        card = method["card"]
        shown = (
            f"{card['brand'].title()} that ends in {card['last4']}, until {card['exp_month']:02d}/{card['exp_year']}."
        )
    return fill(
        """<section class="card" aria-labelledby="card"><h2 id="card">Card</h2><p>{shown}</p>
<details{open}><summary>Change card</summary><form method="post" action="/p/session/{session}/card" novalidate>{fields}
<button>Save card</button></form>{help}</details></section>""",
        shown=shown,
        open=Html(" open") if typed else "",
        session=session["id"],
        fields=(typed or CardForm()).html(),
        help=help_html(),
    )


def _invoices(world: World, customer: Object) -> Html:
    found = [one for one in world.store.newest("invoice", customer=customer["id"]) if one["number"]]
    rows = join(
        fill(
            """<tr><td class="date">{date}</td>
<td><a href="/i/{id}">{number}</a> <span class="badge {status}">{status}</span></td><td>{amount}</td></tr>""",
            date=short_day(one["created"]),
            id=one["id"],
            number=one["number"],
            status=one["status"],
            amount=in_words(one["total"], one["currency"]),
        )
        for one in found
    )
    table = fill(
        """<table><thead><tr><th scope="col">Date</th><th scope="col">Invoice</th>
<th scope="col">Amount</th></tr></thead>
<tbody>{rows}</tbody></table>""",
        rows=rows,
    )
    return fill(
        '<section class="card" aria-labelledby="invoices"><h2 id="invoices">Invoices</h2>{table}</section>',
        table=table if rows else Html("<p>There are none yet.</p>"),
    )
