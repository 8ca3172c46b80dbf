"""Acts on a subscription: each takes `now`, leaves a line of history, and refills nothing."""

from billing.lifecycle.changes import Preview, cancel, change_plan, preview_change, resume
from billing.lifecycle.checkout import Checkout, Portal, Return, open_portal, returned, start_checkout
from billing.lifecycle.collection import pause_collection, refund, resume_collection
from billing.lifecycle.comps import comp
from billing.lifecycle.customers import ensure_customer
from billing.lifecycle.mending import mend_double_purchase
from billing.lifecycle.standing import Busy, NotShownYet, look
from billing.lifecycle.trials import (
    TRIAL_LENGTH,
    AlreadySubscribed,
    EmailNotVerified,
    Standing,
    TrialAlreadyUsed,
    activate_trial,
    standing_of,
)

__all__ = [
    "TRIAL_LENGTH",
    "AlreadySubscribed",
    "Busy",
    "Checkout",
    "EmailNotVerified",
    "NotShownYet",
    "Portal",
    "Preview",
    "Return",
    "Standing",
    "TrialAlreadyUsed",
    "activate_trial",
    "cancel",
    "change_plan",
    "comp",
    "ensure_customer",
    "look",
    "mend_double_purchase",
    "open_portal",
    "pause_collection",
    "preview_change",
    "refund",
    "resume",
    "resume_collection",
    "returned",
    "standing_of",
    "start_checkout",
]
