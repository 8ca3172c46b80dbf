"""What billing leaves to the worker."""

import logging

from procrastinate.contrib.django import app

from accounts.jobs import HOUSEKEEPING_QUEUE
from billing import proofs

log = logging.getLogger(__name__)


@app.periodic(cron="43 3 * * *")
@app.task(queue=HOUSEKEEPING_QUEUE)
def check_billing(timestamp: int) -> None:
    """Nightly: what is off is logged as an error, one line each."""
    for finding in proofs.find():
        log.error("check_billing: %s: %s: %s", finding.proof, finding.id, finding.sentence)
