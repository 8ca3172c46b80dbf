"""What happens at Stripe to a subscriber: one event each that Stripe must send, and in the end another state."""

from tests.bench.till import Subscriber, Till


def act(till: Till, who: Subscriber, number: int) -> None:
    """Something that changes, on the customer and the subscription in turn; the subscription stays."""
    if number % 3 == 0:
        till.ask("POST", f"/v1/customers/{who.customer}", name=f"Payer, for the {number}. time")
    elif number % 3 == 1:
        till.ask("POST", f"/v1/subscriptions/{who.subscription}", cancel_at_period_end="true")
    else:
        till.ask("POST", f"/v1/subscriptions/{who.subscription}", cancel_at_period_end="false")


def end(till: Till, who: Subscriber, number: int) -> None:
    """By its number: it ends now, or with its period, or goes on."""
    if number % 3 == 0:
        till.ask("DELETE", f"/v1/subscriptions/{who.subscription}")
    elif number % 3 == 1:
        till.ask("POST", f"/v1/subscriptions/{who.subscription}", cancel_at_period_end="true")
    else:
        till.ask("POST", f"/v1/customers/{who.customer}", name="Payer, who stays")


def cause(till: Till, everybody: list[Subscriber], each: int) -> int:
    """So many of everybody, interleaved; how many events they made. `each` is 3n + 2: the last changes something."""
    for number in range(each - 1):
        for who in everybody:
            act(till, who, number)
    for number, who in enumerate(everybody):
        end(till, who, number)
    return each * len(everybody)
