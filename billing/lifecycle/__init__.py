"""Acts on a subscription: each takes `now`, leaves a line of history, and refills nothing."""

from accounts.verification import EmailNotVerified
from billing.lifecycle.changes import Preview, cancel, change_plan, end_now, preview_change, resume
from billing.lifecycle.checkout import Checkout, start_checkout
from billing.lifecycle.closing import close
from billing.lifecycle.collection import (
    end_after_lost_dispute,
    pause_collection,
    refund,
    release_hold,
    resume_collection,
)
from billing.lifecycle.comps import comp
from billing.lifecycle.credits import give_credits, take_credits
from billing.lifecycle.customers import address_invoices, ensure_customer
from billing.lifecycle.invoices import collect_now, give_up, send_pay_link, void
from billing.lifecycle.mending import mend_double_purchase
from billing.lifecycle.portal import Portal, open_portal
from billing.lifecycle.restoring import remember, settle, unsettled
from billing.lifecycle.returns import Return, returned
from billing.lifecycle.standing import Busy, NotShownYet, look
from billing.lifecycle.steering import (
    end_comp,
    end_override,
    extend_grace,
    extend_trial,
    override_runs,
    restore,
    suspend,
)
from billing.lifecycle.trials import (
    TRIAL_LENGTH,
    AlreadySubscribed,
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
    "address_invoices",
    "cancel",
    "change_plan",
    "close",
    "collect_now",
    "comp",
    "end_after_lost_dispute",
    "end_comp",
    "end_now",
    "end_override",
    "ensure_customer",
    "extend_grace",
    "extend_trial",
    "give_credits",
    "give_up",
    "look",
    "mend_double_purchase",
    "open_portal",
    "override_runs",
    "pause_collection",
    "preview_change",
    "refund",
    "release_hold",
    "remember",
    "restore",
    "resume",
    "resume_collection",
    "returned",
    "send_pay_link",
    "settle",
    "standing_of",
    "start_checkout",
    "suspend",
    "take_credits",
    "unsettled",
    "void",
]
