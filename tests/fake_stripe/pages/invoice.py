"""An invoice as its customer sees it: to print, and to pay where it is open."""

from tests.fake_stripe.billing import cards, methods
from tests.fake_stripe.billing.lines import in_words
from tests.fake_stripe.errors import StripeError
from tests.fake_stripe.objects import Object
from tests.fake_stripe.pages import paying
from tests.fake_stripe.pages.cardform import CardForm, help_html
from tests.fake_stripe.pages.checkout import challenge
from tests.fake_stripe.pages.html import Html, day, fill, frame, join
from tests.fake_stripe.pages.view import Go, Shown
from tests.fake_stripe.world import World


def view(world: World, is_posted: bool, form: dict[str, str], id: str) -> Shown | Go:
    invoice = world.store.get("invoice", id)
    if not is_posted or invoice["status"] != "open":
        return _show(world, invoice, CardForm())
    if form.get("act") == "authenticate":
        return Go(f"/i/{id}/authenticate")
    typed = CardForm.read(form, world.now)
    if typed.errors or typed.card is None:
        return _show(world, invoice, typed)
    if typed.card.authentication is not None:
        invoice["_card"] = {"number": typed.card.number, "name": typed.name}
        return Go(f"/i/{id}/authenticate")
    return _pay(world, invoice, typed.card.number, typed.name, is_authenticated=False)


def authenticate(world: World, is_posted: bool, form: dict[str, str], id: str) -> Shown | Go:
    invoice = world.store.get("invoice", id)
    if invoice["status"] != "open":
        return Go(f"/i/{id}")
    kept = invoice.get("_card")
    if is_posted:
        invoice["_card"] = None
        number, name = (kept["number"], kept["name"]) if kept else (None, "")
        return _pay(world, invoice, number, name, is_authenticated=form.get("act") == "pass")
    method = paying.present_method(world, invoice)
    last4 = kept["number"][-4:] if kept else method["card"]["last4"] if method else "????"
    return Shown(200, challenge(in_words(invoice["amount_due"], invoice["currency"]), last4, f"/i/{id}/authenticate"))


def _pay(world: World, invoice: Object, number: str | None, name: str, *, is_authenticated: bool) -> Shown | Go:
    card = cards.by_number(number) if number else None
    try:
        paying.pay_invoice(world, invoice, card, is_authenticated=is_authenticated, name=name)
    except StripeError as error:
        typed = CardForm(number=number or "", name=name)
        typed.refuse(f"{error} Nothing was paid; try again or use another card.")
        return _show(world, world.store.get("invoice", invoice["id"]), typed)
    return Go(f"/i/{invoice['id']}")


def _show(world: World, invoice: Object, typed: CardForm) -> Shown:
    currency = invoice["currency"]
    rows = join(
        fill(
            '<tr><th scope="row">{what}<br><span class="hint">{start} – {end}</span></th><td>{amount}</td></tr>',  # noqa: RUF001 - from, to
            what=line["description"],
            start=day(line["period"]["start"]),
            end=day(line["period"]["end"]),
            amount=in_words(line["amount"], currency),
        )
        for line in invoice["lines"]["data"]
    )
    sums = [("Discount", -each["amount"]) for each in invoice["total_discount_amounts"] if each["amount"]]
    sums.append(("Total", invoice["total"]))
    if invoice["status"] != "draft" and invoice["starting_balance"] != invoice["ending_balance"]:
        sums.append(("Balance applied", invoice["amount_due"] - invoice["total"]))
    credited = invoice["post_payment_credit_notes_amount"] + invoice["pre_payment_credit_notes_amount"]
    if credited:
        sums.append(("Credit notes", -credited))
    match invoice["status"]:
        case "paid":
            sums.append(("Paid", invoice["amount_paid"]))
        case "void":
            sums.append(("Due", 0))
        case _:
            sums.append(("Due", invoice["amount_due"]))
    paid_at = invoice["status_transitions"]["paid_at"]
    title = f"Invoice {invoice['number'] or '(draft)'}"
    body = fill(
        """<main class="sheet"><div class="card">
<h1>{title} <span class="badge {status}">{status}</span></h1>
<dl><dt>From</dt><dd>{account}</dd><dt>To</dt><dd>{name}{email}</dd><dt>Date</dt><dd>{date}</dd>{paid}</dl>
<table><thead><tr><th scope="col">What</th><th scope="col">Amount</th></tr></thead><tbody>{rows}</tbody>
<tfoot>{sums}</tfoot></table>
<p class="hint screen">To keep it, print this page.</p>
</div>{pay}</main>""",
        title=title,
        status=invoice["status"],
        account=invoice["account_name"],
        name=invoice["customer_name"] or "",
        email=f" {invoice['customer_email']}" if invoice["customer_email"] else "",
        date=day(invoice["effective_at"] or invoice["created"]),
        paid=fill("<dt>Paid</dt><dd>{day}</dd>", day=day(paid_at)) if paid_at else "",
        rows=rows,
        sums=join(
            fill(
                '<tr{last}><th scope="row">{name}</th><td>{amount}</td></tr>',
                last=Html(' class="total"') if name in ("Paid", "Due") else "",
                name=name,
                amount=in_words(amount, currency),
            )
            for name, amount in sums
        ),
        pay=_payment(world, invoice, typed) if invoice["status"] == "open" else "",
    )
    return Shown(422 if typed.errors else 200, frame(title, body))


def _payment(world: World, invoice: Object, typed: CardForm) -> Html:
    method = paying.present_method(world, invoice)
    asks = method is not None and methods.card_of(method).authentication is not None
    return fill(
        """<section class="card screen" aria-labelledby="pay"><h2 id="pay">Pay this invoice</h2>{authenticate}
<form method="post" action="/i/{id}" novalidate>{card}
<button class="wide" name="act" value="pay">Pay {amount}</button></form>
{help}</section>""",
        authenticate=fill(
            '<form method="post" action="/i/{id}">'
            "<p>Your bank asks you to confirm the payment with the card that ends in {last4}.</p>"
            '<button class="wide" name="act" value="authenticate">Confirm with your bank</button></form>'
            "<p>Or pay with another card:</p>",
            id=invoice["id"],
            last4=method["card"]["last4"],
        )
        if asks and method
        else "",
        id=invoice["id"],
        card=typed.html(),
        amount=in_words(invoice["amount_due"], invoice["currency"]),
        help=help_html(),
    )
