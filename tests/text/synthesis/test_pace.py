"""No minute has more requests or tokens than the account allows, whatever comes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpt2lab.text.synthesis.client import retry_after
from gpt2lab.text.synthesis.pace import Pace
from gpt2lab.text.synthesis.settings import RequestSettings


class Clock:
    now = 100.0

    def __call__(self):
        return self.now


def begun(pace, clock, sizes):
    """When each request begins, if each waits as long as it is told."""
    times = []
    for size in sizes:
        clock.now += pace.delay() + 1e-9
        times.append(clock.now)
        pace.begin(size)
    return times


@given(limit=st.integers(1, 200), sizes=st.lists(st.just(1), min_size=1, max_size=300))
def test_no_minute_has_more_requests_than_allowed(limit, sizes):
    clock = Clock()
    times = begun(Pace(RequestSettings(requests_a_minute=limit), clock), clock, sizes)
    assert all(sum(start <= time < start + 60 for time in times) <= limit for start in times)


@given(sizes=st.lists(st.integers(1, 1000), min_size=1, max_size=100))
def test_no_minute_has_more_tokens_than_allowed_but_for_one_request(sizes):
    clock = Clock()
    times = begun(Pace(RequestSettings(tokens_a_minute=5000), clock), clock, sizes)
    for start in times:
        inside = [size for time, size in zip(times, sizes) if start <= time < start + 60]
        assert sum(inside[:-1]) <= 5000


def test_tokens_that_did_not_come_make_room():
    clock = Clock()
    pace = Pace(RequestSettings(tokens_a_minute=60), clock)
    pace.begin(30)
    assert pace.delay() == pytest.approx(30)
    pace.returned(20)
    assert pace.delay() == pytest.approx(10)


def test_when_the_endpoint_asks_for_a_pause_everyone_waits():
    clock = Clock()
    pace = Pace(RequestSettings(), clock)
    assert pace.delay() == 0
    pace.hold(7)
    pace.hold(3)
    assert pace.delay() == pytest.approx(7)


NOON = 1_792_584_000.0  # Wed, 21 Oct 2026 12:00:00 GMT


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "3"}, 3),
        ({"retry-after": "0.5"}, 0.5),
        ({"retry-after-ms": "250", "retry-after": "9"}, 0.25),
        ({"retry-after": "Wed, 21 Oct 2026 12:00:30 GMT"}, 30),
        ({"retry-after": "Wed, 21 Oct 2026 11:00:00 GMT"}, 0),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "inf"}, None),
        ({"retry-after": "-3"}, None),
        ({"retry-after": "Wed, 99 Xyz 2026 12:00:30 GMT"}, None),
    ],
)
def test_retry_after_is_read_in_all_its_forms(headers, seconds):
    assert retry_after(headers, now=NOON) == seconds
