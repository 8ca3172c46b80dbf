"""Each status, and each end of a run, is said in words."""

from datetime import UTC, datetime

import pytest

from sessions_app import words
from sessions_app.models import FailureKind, Run, Session

NOW = datetime(2026, 3, 20, 12, tzinfo=UTC)


@pytest.mark.parametrize("kind", FailureKind)
def test_every_failure_says_whether_it_was_charged(kind: FailureKind) -> None:
    run = Run(status=Run.Status.FAILED, failure_kind=kind, is_charged=not kind.is_given_back, finished_at=NOW)
    sentence = str(words.charge(run))
    begins = "This run was not charged: " if kind.is_given_back else "This run was charged: "
    assert sentence.startswith(begins)
    assert sentence.endswith(".")


def test_no_two_failures_are_said_alike() -> None:
    assert len({str(sentence) for sentence in words.FAILURE.values()}) == len(FailureKind)


@pytest.mark.parametrize(
    ("run", "sentence"),
    [
        (Run(status="stopped", is_charged=False, finished_at=NOW), words.STOPPED_BEFORE),
        (Run(status="stopped", is_charged=True, finished_at=NOW), words.STOPPED_AT_WORK),
        (Run(status="succeeded", finished_at=NOW), words.CHARGED),
        (Run(status="running"), words.COSTS),
    ],
)
def test_every_other_run_does_so_too(run: Run, sentence: str) -> None:
    assert words.charge(run) == sentence


def test_every_status_has_words() -> None:
    assert {words.SESSION[status].tone for status in Session.Status} == {"quiet", "info", "warn", "good", "bad"}
    handed = {status: words.of_run(Run(status=status, handed_at=NOW)).words for status in Run.Status}
    assert handed[Run.Status.QUEUED] == "Waiting for a worker"
    assert len({str(said) for said in handed.values()}) == len(Run.Status)
    assert words.of_run(Run(status=Run.Status.QUEUED)).words == "Not started"


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (-1, "0 seconds"),
        (1.2, "1 second"),
        (119, "119 seconds"),
        (120, "2 minutes"),
        (7199, "119 minutes"),
        (7200, "2 hours"),
        (100 * 3600, "100 hours"),
    ],
)
def test_a_duration_is_said_as_exactly_as_anybody_asks(seconds: float, said: str) -> None:
    assert words.duration(seconds) == said
