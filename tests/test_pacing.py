"""Politeness: a client keeps inside a hub's quotas, and comes back when it is told to."""

import random
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from miners.http import HubClient, NotFound
from miners.pacing import LONGEST_BACKOFF, Pacer, backoff, retry_after
from schemas.errors import HubError
from tests.hub import Quota, Reply, StoppedClock, TestHub

NEW_YEAR = datetime(2030, 1, 1, tzinfo=UTC)


@pytest.fixture
def clock() -> StoppedClock:
    return StoppedClock()


@pytest.fixture
def hub(clock: StoppedClock) -> Iterator[TestHub]:
    quotas = {"api": Quota(5, seconds=30), "resolvers": Quota(3, seconds=60)}
    with TestHub([{"id": "owner/model"}], quotas=quotas, clock=clock.now) as running:
        yield running


@pytest.fixture
def client(hub: TestHub, clock: StoppedClock) -> Iterator[HubClient]:
    with another(hub, clock) as opened:
        yield opened


def another(hub: TestHub, clock: StoppedClock) -> HubClient:
    return HubClient(hub.url, token=False, sleep=clock.sleep, clock=clock.now, now=lambda: NEW_YEAR)


def test_a_spent_quota_is_waited_for_before_the_hub_refuses(
    hub: TestHub, client: HubClient, clock: StoppedClock
) -> None:
    for _ in range(12):
        client.get("/api/models")
    assert [request.status for request in hub.log] == [200] * 12
    assert clock.slept == [31.0, 31.0]  # a window of thirty seconds, and one for the hub's rounding


def test_a_long_wait_is_told_once_and_a_short_one_not(hub: TestHub, client: HubClient, clock: StoppedClock) -> None:
    told: list[str] = []
    client.report(told.append)
    hub.misbehave("/api/models", "429")
    for _ in range(12):
        client.get("/api/models")
    assert told == ["the hub's quota of requests (api) is used up; going on in 31 seconds"] * 2


def test_each_kind_has_its_own_quota(hub: TestHub, client: HubClient, clock: StoppedClock) -> None:
    for _ in range(5):
        client.get("/api/models")
    for _ in range(3):
        with pytest.raises(NotFound):
            client.get("/owner/model/resolve/main/README.md")
    assert clock.slept == []
    client.get("/api/models")
    assert clock.slept == [31.0]


def test_a_quota_that_somebody_else_spent_costs_one_refusal(hub: TestHub, clock: StoppedClock) -> None:
    with another(hub, clock) as first, another(hub, clock) as second:
        for _ in range(5):
            first.get("/api/models")
        second.get("/api/models")
    assert [request.status for request in hub.log] == [200] * 5 + [429, 200]
    assert sum(clock.slept) == pytest.approx(31.0)


def test_a_refusal_with_quota_left_is_a_short_one(hub: TestHub, client: HubClient, clock: StoppedClock) -> None:
    hub.misbehave("/api/models", "429")
    client.get("/api/models")
    assert hub.log[0].status == 429
    assert 0.25 <= sum(clock.slept) <= 0.5


def test_threads_share_a_quota(hub: TestHub, client: HubClient) -> None:
    client.get("/api/models")  # from here on the client knows what is left
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda _: client.get("/api/models").status, range(20)))
    assert answers == [200] * 20


def test_answers_that_overtake_each_other_do_not_raise_what_is_left(clock: StoppedClock) -> None:
    pacer = Pacer(clock.now, clock.sleep)
    pacer.note("api", {"ratelimit": '"api";r=2;t=10'})
    pacer.enter("api")
    pacer.enter("api")
    pacer.note("api", {"ratelimit": '"api";r=1;t=10'})  # written before the second of them arrived
    assert clock.slept == []
    pacer.enter("api")
    assert clock.slept == [11.0]


def test_a_sleep_that_does_not_sleep_is_no_endless_loop() -> None:
    pacer = Pacer(lambda: 0.0, lambda seconds: None)
    pacer.note("api", {"ratelimit": '"api";r=0;t=10'})
    pacer.enter("api")
    pacer.enter("api")


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"Retry-After": "7"}, 7.0),
        ({"Retry-After": "Tue, 01 Jan 2030 00:02:00 GMT", "Date": "Tue, 01 Jan 2030 00:00:30 GMT"}, 90.0),
        ({"Retry-After": "Tue, 01 Jan 2030 00:02:00 GMT", "Date": ""}, 120.0),
    ],
)
@pytest.mark.parametrize("status", [429, 503])
def test_retry_after_is_honoured(
    hub: TestHub, client: HubClient, clock: StoppedClock, status: int, headers: dict[str, str], seconds: float
) -> None:
    hub.misbehave("/api/models", Reply(status, headers))
    client.get("/api/models")
    assert clock.slept == [seconds]


@pytest.mark.parametrize("value", ["99999", "9" * 5000, "Thu, 01 Jan 2099 00:00:00 GMT"])
def test_nobody_waits_for_days(hub: TestHub, client: HubClient, clock: StoppedClock, value: str) -> None:
    hub.misbehave("/api/models", Reply(503, {"Retry-After": value}))
    with pytest.raises(HubError, match=r"the hub asks to wait .* hours; come back then"):
        client.get("/api/models")
    assert clock.slept == []


@pytest.mark.parametrize("reset", ["99999", "9" * 400])
def test_nobody_waits_for_a_quota_for_days(hub: TestHub, client: HubClient, clock: StoppedClock, reset: str) -> None:
    hub.misbehave("/api/models", Reply(200, {"RateLimit": f'"api";r=0;t={reset}'}))
    client.get("/api/models")
    with pytest.raises(HubError, match=r"quota for api is spent for .* hours; come back then"):
        client.get("/api/models")
    assert clock.slept == []


@given(st.text(), st.text())
def test_no_header_breaks_the_reading_of_it(after: str, limit: str) -> None:
    wait = retry_after({"retry-after": after, "date": limit}, NEW_YEAR)
    assert wait is None or wait >= 0
    Pacer(lambda: 0.0, lambda seconds: None).note("api", {"ratelimit": limit})


def test_numbers_too_long_for_python_are_no_rate_limit() -> None:
    pacer = Pacer(lambda: 0.0, lambda seconds: None)
    pacer.note("api", {"ratelimit": f'"api";r=0;t={"9" * 5000}'})
    pacer.enter("api")


def test_backoff_doubles_up_to_a_minute_and_spreads() -> None:
    jitter = random.Random(7)
    for attempt in range(1, 60):
        full = min(LONGEST_BACKOFF, 0.5 * 2 ** (attempt - 1))
        waits = {backoff(attempt, jitter) for _ in range(20)}
        assert full / 2 <= min(waits) < max(waits) <= full


def test_the_same_jitter_gives_the_same_waits() -> None:
    waits = []
    for seed in (3, 3, 4):
        clock = StoppedClock()
        with TestHub() as hub, HubClient(hub.url, token=False, sleep=clock.sleep, jitter=random.Random(seed)) as client:
            hub.misbehave("/api/models", "503", times=4)
            client.get("/api/models")
        waits.append(clock.slept)
    assert len(waits[0]) == 4
    assert waits[0] == waits[1] != waits[2]
