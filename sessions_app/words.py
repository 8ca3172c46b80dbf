"""What pages say of sessions and runs: each status and each end of a run in words, in one place."""

from dataclasses import dataclass
from typing import Any

from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext

from sessions_app.models import FailureKind, Run, Session


@dataclass(frozen=True)
class Status:
    """`tone` is one of site.css."""

    words: Any
    tone: str


SESSION = {
    Session.Status.PENDING: Status(_("Not started"), "quiet"),
    Session.Status.RUNNING: Status(_("Under way"), "info"),
    Session.Status.WAITING: Status(_("Waiting for you"), "warn"),
    Session.Status.COMPLETED: Status(_("Done"), "good"),
    Session.Status.FAILED: Status(_("Failed"), "bad"),
    Session.Status.STOPPED: Status(_("Stopped"), "quiet"),
}
RUN = {
    Run.Status.QUEUED: Status(_("Waiting for a worker"), "info"),
    Run.Status.RUNNING: Status(_("At work"), "info"),
    Run.Status.SUCCEEDED: Status(_("Done"), "good"),
    Run.Status.FAILED: Status(_("Failed"), "bad"),
    Run.Status.STOPPED: Status(_("Stopped"), "quiet"),
}
NOT_HANDED_OVER = Status(_("Not started"), "quiet")

# Why a run ended otherwise than by itself, and what that means for the count. See API.md, Charged or not.
FAILURE = {
    FailureKind.WORKER_LOST: _("This run was not charged: the worker that carried it out was lost. Please try again."),
    FailureKind.SANDBOX_LOST: _("This run was not charged: the sandbox that it worked in was lost. Please try again."),
    FailureKind.MODEL_LOST: _("This run was not charged: the model could not be reached. Please try again."),
    FailureKind.PLATFORM: _("This run was not charged: something failed on our side. Please try again."),
    FailureKind.NOT_STARTED: _("This run was not charged: no worker could take it in time. Please try again."),
    FailureKind.UNUSED: _("This run was not charged: it was given no task in time."),
    FailureKind.INPUT: _("This run was charged: the agent could not work with what it was given."),
    FailureKind.COMMAND: _("This run was charged: a command that the agent carried out failed."),
    FailureKind.MEMORY: _("This run was charged: it needed more memory than a run may have."),
    FailureKind.TIME: _("This run was charged: it needed more time than a run may have."),
    FailureKind.REFUSED: _("This run was charged: the model refused to do this."),
}
STOPPED_BEFORE = _("This run was not charged: it was stopped before a worker took it.")
STOPPED_AT_WORK = _("This run was charged: it was stopped while the agent was at work.")
CHARGED = _("This run was charged.")
COSTS = _("This run counts as one run.")


def of_run(run: Run) -> Status:
    if run.is_unused:
        return NOT_HANDED_OVER
    return RUN[Run.Status(run.status)]


def charge(run: Run) -> Any:
    """The sentence that says whether a run was charged, and why not; what is under way counts meanwhile."""
    if run.failure_kind:
        return FAILURE[FailureKind(run.failure_kind)]
    if run.status == Run.Status.STOPPED:
        return STOPPED_AT_WORK if run.is_charged else STOPPED_BEFORE
    return CHARGED if run.finished_at else COSTS


def duration(seconds: float) -> str:
    """4 seconds; 3 minutes; 2 hours: as exact as anybody asks."""
    whole = max(0, round(seconds))
    if whole < 120:
        return ngettext("%(number)s second", "%(number)s seconds", whole) % {"number": whole}
    if whole < 120 * 60:
        return ngettext("%(number)s minute", "%(number)s minutes", whole // 60) % {"number": whole // 60}
    return ngettext("%(number)s hour", "%(number)s hours", whole // 3600) % {"number": whole // 3600}
