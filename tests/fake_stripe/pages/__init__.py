"""What a browser sees: Checkout, the portal and invoices. They say plainly that they are a stand-in."""

from tests.fake_stripe.pages.site import answer

__all__ = ["answer"]
