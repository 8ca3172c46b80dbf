"""The payment page of a Checkout Session."""

from tests.fake_stripe.billing import cards, checkout
from tests.fake_stripe.billing.lines import in_words
from tests.fake_stripe.errors import StripeError
from tests.fake_stripe.objects import Object
from tests.fake_stripe.pages.cardform import CardForm, help_html
from tests.fake_stripe.pages.html import Html, day, field, fill, frame, join
from tests.fake_stripe.pages.view import Go, Shown
from tests.fake_stripe.world import World


def view(world: World, is_posted: bool, form: dict[str, str], id: str) -> Shown | Go:
    session = world.store.get("checkout.session", id)
    if session["status"] != "open":
        return _closed(session)
    if not is_posted:
        return _show(world, session, CardForm())
    if form.get("act") == "add-code":
        try:
            checkout.add_promotion_code(world, session, form.get("code", ""))
        except StripeError as error:
            return _show(world, session, CardForm(), code=form.get("code", ""), code_error=str(error))
        return Go(f"/c/pay/{id}", _reaches(session))
    if form.get("act") == "remove-code":
        checkout.remove_promotion_code(world, session)
        return Go(f"/c/pay/{id}", _reaches(session))
    typed = CardForm.read(form, world.now)
    if typed.errors or typed.card is None:
        return _show(world, session, typed)
    session["_card"] = {
        "number": typed.card.number,
        "name": typed.name,
        "month": typed.month,
        "year": typed.year,
        "email": form.get("email") or None,
    }
    if checkout.asks_for_authentication(typed.card):
        return Go(f"/c/pay/{id}/authenticate", _reaches(session))
    return _pay(world, session, is_authenticated=False)


def authenticate(world: World, is_posted: bool, form: dict[str, str], id: str) -> Shown | Go:
    """The bank's step: it is passed or failed by a button."""
    session = world.store.get("checkout.session", id)
    if session["status"] != "open":
        return _closed(session)
    if session["_card"] is None:
        return Go(f"/c/pay/{id}", _reaches(session))
    if is_posted:
        return _pay(world, session, is_authenticated=form.get("act") == "pass")
    amount = in_words(session["amount_total"], session["currency"])
    return Shown(
        200, challenge(amount, session["_card"]["number"][-4:], f"/c/pay/{id}/authenticate"), _reaches(session)
    )


def challenge(amount: str, last4: str, action: str) -> Html:
    body = fill(
        """<main class="sheet narrow"><div class="card">
<h1>Is it you?</h1>
<p>Your bank wants to be sure that you are paying <strong>{amount}</strong> with the card that ends in
<strong>{last4}</strong>.</p>
<form method="post" action="{action}">
<p><button class="wide" name="act" value="pass">Yes, complete authentication</button></p>
<p><button class="wide quiet" name="act" value="fail">Fail authentication</button></p>
</form></div></main>""",
        amount=amount,
        last4=last4,
        action=action,
    )
    return frame("Authentication", body)


def _pay(world: World, session: Object, *, is_authenticated: bool) -> Shown | Go:
    kept = session["_card"]
    session["_card"] = None
    typed = CardForm(number=kept["number"], expiry=f"{kept['month']:02d} / {kept['year'] % 100:02d}", name=kept["name"])
    try:
        with world.store.attempt():
            checkout.complete(
                world,
                session,
                cards.by_number(kept["number"]),
                is_authenticated=is_authenticated,
                name=kept["name"],
                email=kept["email"],
                month=kept["month"],
                year=kept["year"],
            )
    except StripeError as error:
        typed.refuse(f"{error} Nothing was paid; try again or use another card.")
        return _show(world, world.store.get("checkout.session", session["id"]), typed)
    return Go(_success(session), _reaches(session))


def _success(session: Object) -> str:
    return str(session["success_url"]).replace("{CHECKOUT_SESSION_ID}", session["id"])


def _reaches(session: Object) -> tuple[str | None, ...]:
    return session["success_url"], session["cancel_url"]


def _show(world: World, session: Object, typed: CardForm, *, code: str = "", code_error: str | None = None) -> Shown:
    total = in_words(session["amount_total"], session["currency"])
    price = world.store.get("price", session["_line_items"][0]["price"])
    each = f"per {price['recurring']['interval']}" if price["recurring"] else ""
    trial = session["_subscription_data"].get("trial_end")
    name = session["_line_items"][0]["description"]
    heading = f"Subscribe to {name}" if session["mode"] == "subscription" else f"Pay for {name}"
    back = session["cancel_url"]
    email = ""
    if session["customer"] is not None:
        email = world.store.get("customer", session["customer"])["email"] or ""
    body = fill(
        """<main class="columns">
<section aria-labelledby="what">
{back}
<h1 id="what">{heading}</h1>
<p class="amount">{total} <small>{each}</small></p>
{trial}
{items}
{promotion}
</section>
<section class="card" aria-labelledby="how">
<h2 id="how">Pay with a card</h2>
<form method="post" action="/c/pay/{id}" novalidate>
{email}
{card}
<button class="wide" name="act" value="pay">{verb}</button>
</form>
{help}
</section>
</main>""",
        back=fill('<p><a href="{back}">← Back</a></p>', back=back) if back else "",
        id=session["id"],
        heading=heading,
        total=total,
        each="" if trial else "today" if session["discounts"] else each,
        trial=fill(
            '<p class="soft">Your trial is free until {end}; then {amount} {each}.</p>',
            end=day(trial),
            amount=in_words(sum(row["amount_total"] for row in session["_line_items"]), session["currency"]),
            each=each,
        )
        if trial
        else "",
        items=_items(session),
        promotion=_promotion(world, session, code, code_error) if session["allow_promotion_codes"] else "",
        email=_email(session, email),
        card=typed.html(),
        verb="Start trial" if trial else f"Pay {total}",
        help=help_html(),
    )
    return Shown(422 if typed.errors or code_error else 200, frame(heading, body), _reaches(session))


def _email(session: Object, email: str) -> Html:
    known = email or session["customer_email"]
    if known:
        return fill("<dl><dt>E-mail</dt><dd>{known}</dd></dl>", known=known)
    return field("email", "E-mail", attributes='type="email" autocomplete="email" required')


def _items(session: Object) -> Html:
    currency = session["currency"]
    rows = join(
        fill(
            '<tr><th scope="row">{name}{quantity}</th><td>{amount}</td></tr>',
            name=row["description"],
            quantity=f" × {row['quantity']}" if row["quantity"] != 1 else "",  # noqa: RUF001 - the sign
            amount=in_words(row["amount_subtotal"], currency),
        )
        for row in session["_line_items"]
    )
    discount = session["total_details"]["amount_discount"]
    return fill(
        '<table><caption class="hint">What you pay for</caption><tbody>{rows}</tbody><tfoot>{discount}'
        '<tr class="total"><th scope="row">Total due today</th><td>{total}</td></tr></tfoot></table>',
        rows=rows,
        discount=fill('<tr><th scope="row">Discount</th><td>{amount}</td></tr>', amount=in_words(-discount, currency))
        if discount
        else "",
        total=in_words(session["amount_total"], currency),
    )


def _promotion(world: World, session: Object, code: str, error: str | None) -> Html:
    if session["discounts"]:
        held = world.store.get("promotion_code", session["discounts"][0]["promotion_code"])
        return fill(
            '<form method="post" action="/c/pay/{id}" class="row"><span>Code <strong>{code}</strong> is applied.</span>'
            '<button class="quiet" name="act" value="remove-code">Remove</button></form>',
            id=session["id"],
            code=held["code"],
        )
    return fill(
        '<form method="post" action="/c/pay/{id}" class="inline" novalidate>{field}'
        '<button class="quiet" name="act" value="add-code">Apply</button></form>',
        id=session["id"],
        field=field("code", "Promotion code", value=code, error=error, attributes='autocomplete="off"'),
    )


def _closed(session: Object) -> Shown:
    is_paid = session["status"] == "complete"
    sentence = "This has been paid." if is_paid else "This payment page has expired, and nothing was paid."
    back = _success(session) if is_paid else session["cancel_url"]
    body = fill(
        '<main class="sheet narrow"><div class="card"><h1>{title}</h1><p>{sentence}</p>{back}</div></main>',
        title="All done" if is_paid else "Too late",
        sentence=sentence,
        back=fill(
            '<p><a class="button" href="{url}">{verb}</a></p>', url=back, verb="Continue" if is_paid else "Go back"
        )
        if back
        else "",
    )
    return Shown(200 if is_paid else 410, frame("Checkout", body), _reaches(session))
