"""The bars of a period: in proportion, within their frame, and said in a sentence."""

from datetime import date, timedelta
from itertools import pairwise

import pytest

from billing.charts import BASE, TOP, chart_of, round_number

FIRST = date(2026, 11, 1)


def days(*runs: int) -> dict[date, int]:
    return {FIRST + timedelta(days=n): count for n, count in enumerate(runs)}


@pytest.mark.parametrize(
    ("most", "rounded"),
    [(0, 1), (1, 1), (2, 2), (3, 4), (5, 6), (7, 8), (9, 10), (10, 10), (11, 20), (41, 60), (999, 1000), (5000, 6000)],
)
def test_the_scale_ends_on_a_round_number_whose_half_is_whole(most: int, rounded: int) -> None:
    assert round_number(most) == rounded


def test_bars_are_as_high_as_their_share_and_stand_on_the_base() -> None:
    bars = chart_of(days(0, 5, 10)).bars
    assert [float(bar.height) for bar in bars] == [0, (BASE - TOP) / 2, BASE - TOP]
    assert {float(bar.y) + float(bar.height) for bar in bars} == {BASE}
    assert [bar.words for bar in bars][1] == "2 November 2026: 5 runs"


def test_one_run_among_thousands_is_still_to_be_seen() -> None:
    assert float(chart_of(days(1, 9000)).bars[0].height) == 2


@pytest.mark.parametrize("count", [1, 14, 28, 31, 60])
def test_all_days_fit_side_by_side_with_few_labels(count: int) -> None:
    chart = chart_of(days(*range(count)))
    edges = [(float(bar.x[:-1]), float(bar.x[:-1]) + float(bar.width[:-1])) for bar in chart.bars]
    assert len(edges) == count
    assert all(0 <= start < end <= 100 for start, end in edges)
    assert all(end < start for (_, end), (start, _) in pairwise(edges))
    assert 1 <= len(chart.labels) <= 6
    assert chart.labels[0].text == "1 Nov"


def test_lines_say_what_they_stand_for() -> None:
    assert [line.runs for line in chart_of(days(7)).lines] == [0, 4, 8]
    assert [line.runs for line in chart_of(days(1)).lines] == [0, 1]


def test_it_is_said_in_a_sentence() -> None:
    assert chart_of(days(2, 5, 1)).sentence == (
        "Runs per day from 1 November 2026 to 3 November 2026: 8 runs in all, the most on 2 November 2026 with 5 runs."
    )
    assert chart_of(days(0, 0)).sentence == "Runs per day from 1 November 2026 to 2 November 2026: none yet."
