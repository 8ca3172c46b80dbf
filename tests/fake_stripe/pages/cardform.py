"""The card's fields, read and shown with what is wrong with each."""

import re
from dataclasses import dataclass, field
from datetime import UTC, datetime

from tests.fake_stripe.billing import cards
from tests.fake_stripe.billing.cards import Card
from tests.fake_stripe.errors import StripeError
from tests.fake_stripe.pages.html import Html, fill, join
from tests.fake_stripe.pages.html import field as input_field

TEST_CARDS = (
    ("4242 4242 4242 4242", "is taken"),
    ("4000 0000 0000 0002", "is declined"),
    ("4000 0000 0000 9995", "is declined: insufficient funds"),
    ("4000 0000 0000 0341", "is taken, and every charge fails"),
    ("4000 0025 0000 3155", "asks for authentication once"),
    ("4000 0027 6000 3184", "asks for authentication each time"),
    ("4000 0000 0000 0259", "is taken, and disputed a day later"),
)


@dataclass
class CardForm:
    """What was typed. `errors` are sentences by the field's name."""

    number: str = ""
    expiry: str = ""
    cvc: str = ""
    name: str = ""
    errors: dict[str, str] = field(default_factory=dict)
    card: Card | None = None
    month: int = 12
    year: int = 2034

    @classmethod
    def read(cls, form: dict[str, str], now: int) -> "CardForm":
        given = {name: form.get(name, "").strip() for name in ("number", "expiry", "cvc", "name")}
        made = cls(number=given["number"], expiry=given["expiry"], cvc=given["cvc"], name=given["name"])
        made._check_number()
        made._check_expiry(datetime.fromtimestamp(now, UTC))
        if not re.fullmatch(r"\d{3,4}", made.cvc):
            made.errors["cvc"] = "The security code has three or four digits."
        if not made.name:
            made.errors["name"] = "The name on the card is needed."
        return made

    def _check_number(self) -> None:
        if not self.number:
            self.errors["number"] = "The card number is needed."
            return
        try:
            self.card = cards.by_number(self.number)
        except StripeError as error:
            self.errors["number"] = str(error)

    def _check_expiry(self, now: datetime) -> None:
        match = re.fullmatch(r"(0?[1-9]|1[0-2])\s*/?\s*(?:20)?(\d{2})", self.expiry)
        if match is None:
            self.errors["expiry"] = "Month and year, as in 12 / 34."
            return
        self.month, self.year = int(match[1]), 2000 + int(match[2])
        if (self.year, self.month) < (now.year, now.month):
            self.errors["expiry"] = "This card has expired."

    def refuse(self, message: str) -> None:
        self.errors["number"] = message

    def html(self) -> Html:
        # No `autocomplete` for the card: nobody's real one belongs here.
        digits = 'inputmode="numeric" autocomplete="off" required'
        return join(
            [
                input_field(
                    "number",
                    "Card number",
                    value=self.number,
                    error=self.errors.get("number"),
                    attributes=f'{digits} placeholder="4242 4242 4242 4242"',
                ),
                Html('<div class="pair">'),
                input_field(
                    "expiry",
                    "Expiry",
                    value=self.expiry,
                    error=self.errors.get("expiry"),
                    attributes=f'{digits} placeholder="MM / YY"',
                ),
                input_field(
                    "cvc",
                    "Security code",
                    value=self.cvc,
                    error=self.errors.get("cvc"),
                    attributes=f'{digits} placeholder="CVC"',
                ),
                Html("</div>"),
                input_field(
                    "name",
                    "Name on card",
                    value=self.name,
                    error=self.errors.get("name"),
                    attributes='autocomplete="off" required',
                ),
            ]
        )


def help_html() -> Html:
    rows = join(
        fill("<tr><td><code>{number}</code></td><td>{what}</td></tr>", number=number, what=what)
        for number, what in TEST_CARDS
    )
    return fill(
        '<details class="tests"><summary>Test cards</summary><table><thead><tr><th scope="col">Number</th>'
        '<th scope="col">What happens</th></tr></thead><tbody>{rows}</tbody></table>'
        '<p class="hint">Any future date, any security code.</p></details>',
        rows=rows,
    )
