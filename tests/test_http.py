"""The network edge: what it asks, how it bears failures, and how its errors read."""

import json
import socket
import subprocess
import sys
import traceback
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import httpx2
import pytest
from huggingface_hub import errors as hub_errors

from miners.http import HubClient, NotFound, Refused, TooLarge
from schemas.errors import HubError, UsageError
from tests.hub import Fault, Record, Reply, StoppedClock, TestHub

RECORDS: list[Record] = [{"id": f"owner/model-{number}", "likes": number, "tags": ["tiny"]} for number in range(5)]
RESTRICTED: list[Record] = [{"id": "owner/gated", "gated": "manual"}, {"id": "owner/private", "private": True}]
TOKEN = "hf_secretsecretsecretsecret"


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[TestHub]:
    folder = tmp_path / "hub"
    (folder / "owner" / "gated").mkdir(parents=True)
    (folder / "owner" / "gated" / "config.json").write_text("{}")
    with TestHub(RECORDS + RESTRICTED, folder, token=TOKEN, patience=1.0) as running:
        yield running


@pytest.fixture
def clock() -> StoppedClock:
    return StoppedClock()


@pytest.fixture
def client(hub: TestHub, clock: StoppedClock) -> Iterator[HubClient]:
    with HubClient(hub.url, token=False, sleep=clock.sleep, clock=clock.now) as opened:
        yield opened


def closed_port() -> int:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return int(listening.getsockname()[1])


def test_an_answer_says_what_was_asked_and_when(hub: TestHub) -> None:
    noon = datetime(2030, 1, 1, 12, tzinfo=UTC)
    with HubClient(hub.url + "/", token=False, now=lambda: noon) as client:
        answer = client.get("/api/models", parameters={"limit": 2, "expand": ["likes", "tags"]})
    assert client.endpoint == hub.url
    assert answer.url == f"{hub.url}/api/models?limit=2&expand=likes&expand=tags"
    assert (answer.status, answer.fetched_at) == (200, noon)
    assert answer.headers["CONTENT-TYPE"] == answer.headers["content-type"] == "application/json; charset=utf-8"
    assert json.loads(answer.body) == [
        {"id": "owner/model-0", "likes": 0, "tags": ["tiny"]},
        {"id": "owner/model-1", "likes": 1, "tags": ["tiny"]},
    ]


def test_parameters_are_added_to_those_of_the_address(hub: TestHub, client: HubClient) -> None:
    client.get("/api/models?limit=2", parameters={"search": "model"})
    assert hub.log[0].query == {"limit": ["2"], "search": ["model"]}


def test_it_introduces_itself_as_huggingface_hub_does(hub: TestHub, client: HubClient) -> None:
    client.get("/api/models")
    sent = hub.log[0].headers
    assert sent["user-agent"].startswith("weightlake/")
    assert "hf_hub/" in sent["user-agent"]
    assert sent["x-amzn-trace-id"]
    assert "authorization" not in sent


@pytest.mark.parametrize("fault", ["429", "500", "503", "reset", "cut body"])
def test_what_may_pass_is_asked_again(hub: TestHub, client: HubClient, clock: StoppedClock, fault: Fault) -> None:
    hub.misbehave("/api/models", fault, times=2)
    assert len(json.loads(client.get("/api/models").body)) == len(RECORDS + RESTRICTED)
    assert len(hub.log) == 3
    assert 0.25 <= clock.slept[0] <= 0.5 <= clock.slept[1] <= 1.0


@pytest.mark.parametrize("fault", ["timeout", "wrong content-length"])
def test_silence_is_asked_again(hub: TestHub, clock: StoppedClock, fault: Fault) -> None:
    hub.misbehave("/api/models", fault)
    with HubClient(hub.url, token=False, timeout=0.5, sleep=clock.sleep) as client:
        assert client.get("/api/models").status == 200
    assert len(clock.slept) >= 1


@pytest.mark.parametrize(
    "reply", [Reply(408), Reply(502), Reply(200, {"Content-Encoding": "gzip"}, b"this is no gzip")], ids=str
)
def test_other_broken_answers_are_asked_again(hub: TestHub, client: HubClient, reply: Reply) -> None:
    hub.misbehave("/api/models", reply)
    assert client.get("/api/models").status == 200


def test_what_stays_broken_says_how_often_it_was_asked(hub: TestHub, client: HubClient, clock: StoppedClock) -> None:
    hub.misbehave("/api/models", "503", times=100)
    with pytest.raises(HubError) as caught:
        client.get("/api/models?cursor=secret")
    expected = "cannot be read: 127.0.0.1 answers 503 Service Unavailable (8 attempts); try again later."
    assert str(caught.value) == f"{hub.url}/api/models {expected}"
    assert isinstance(caught.value.__cause__, hub_errors.HfHubHTTPError)
    assert len(hub.log) == 8
    assert sum(clock.slept) < 64


def test_a_hub_that_is_gone_in_the_middle_is_waited_for(hub: TestHub, client: HubClient) -> None:
    client.get("/api/models")
    hub.close()
    with pytest.raises(HubError, match=r"\(8 attempts\); check the address and the network\.$"):
        client.get("/api/models")


def test_a_hub_that_was_never_there_is_given_up_soon(clock: StoppedClock) -> None:
    client = HubClient(f"http://127.0.0.1:{closed_port()}", token=False, sleep=clock.sleep)
    with pytest.raises(HubError, match=r"Connection refused \(3 attempts\); check the address") as caught:
        client.get("/api/models")
    assert isinstance(caught.value.__cause__, httpx2.ConnectError)
    assert "\n" not in str(caught.value)
    assert sum(clock.slept) < 2


@pytest.mark.parametrize("host", ["nowhere.invalid", "x" * 70 + ".example"])
def test_a_name_that_does_not_resolve_is_one_sentence(host: str) -> None:
    with pytest.raises(HubError) as caught:
        HubClient(f"http://{host}", token=False, attempts=1).get("/api/models")
    assert "\n" not in str(caught.value)


def test_a_timeout_keeps_its_cause(hub: TestHub) -> None:
    hub.misbehave("/api/models", "timeout")
    with (
        HubClient(hub.url, token=False, timeout=0.2, attempts=1) as client,
        pytest.raises(HubError, match=r"timed out \(1 attempt\)") as caught,
    ):
        client.get("/api/models")
    assert isinstance(caught.value.__cause__, httpx2.ReadTimeout)


def test_a_dripping_body_is_a_broken_transfer(hub: TestHub) -> None:
    ticks = iter(range(0, 10_000, 20))  # twenty seconds pass between any two looks at the clock
    client = HubClient(hub.url, token=False, attempts=1, timeout=10, clock=lambda: float(next(ticks)))
    with pytest.raises(HubError, match="slower than 1024 bytes a second"):
        client.get("/api/models")


def test_offline_mode_is_respected(hub: TestHub) -> None:
    program = f"from miners.http import HubClient; HubClient({hub.url!r}, token=False).get('/api/models')"
    command = [sys.executable, "-c", program]
    ended = subprocess.run(command, env={"HF_HUB_OFFLINE": "1"}, capture_output=True, text=True, check=False)
    assert "HubError: The network is switched off by HF_HUB_OFFLINE; unset it to ask a hub." in ended.stderr
    assert hub.log == []


def test_a_proxy_that_fails_is_asked_again(hub: TestHub, clock: StoppedClock) -> None:
    proxy = httpx2.HTTPTransport(proxy=hub.url)  # the hub is no proxy and answers CONNECT with 501
    with (
        HubClient("https://hub.example", token=TOKEN, transport=proxy, attempts=2, sleep=clock.sleep) as client,
        pytest.raises(HubError, match=r"501 .* \(2 attempts\)"),
    ):
        client.get("/api/models")


def test_the_client_that_huggingface_hub_is_configured_with_is_used_without_its_password(hub: TestHub) -> None:
    program = f"""
import httpx2, huggingface_hub
from miners.http import HubClient
office = lambda: httpx2.Client(headers={{"x-office": "here"}}, auth=("me", "secret"))
huggingface_hub.set_client_factory(office)
HubClient({hub.url!r}, token=False).get("/api/models")
"""
    subprocess.run([sys.executable, "-c", program], env={}, check=True)
    assert hub.log[0].headers["x-office"] == "here"
    assert hub.log[0].authorization is None


@pytest.mark.parametrize(
    ("path", "kind", "cause", "words"),
    [
        (
            "/api/models/owner/none",
            NotFound,
            hub_errors.RepositoryNotFoundError,
            "does not exist (Repository not found)",
        ),
        ("/owner/gated/resolve/main/no.md", Refused, hub_errors.GatedRepoError, "is gated"),
        ("/owner/gated/resolve/v9/README.md", NotFound, hub_errors.RevisionNotFoundError, "Invalid rev id: v9"),
        ("/owner/gated/resolve/main/README.md", NotFound, hub_errors.RemoteEntryNotFoundError, "Entry not found"),
        ("/owner/private/resolve/main/a", Refused, hub_errors.RepositoryNotFoundError, "private or does not exist"),
        ("/api/models?limit=none", HubError, hub_errors.BadRequestError, "answers 400 (Invalid limit: none)"),
    ],
)
def test_final_answers_are_named_and_not_asked_again(
    hub: TestHub, client: HubClient, path: str, kind: type[HubError], cause: type[Exception], words: str
) -> None:
    with pytest.raises(HubError) as caught:
        client.get(path)
    assert type(caught.value) is kind
    assert type(caught.value.__cause__) is cause
    assert words in str(caught.value)
    assert len(hub.log) == 1


def test_a_disabled_model_is_refused(hub: TestHub, client: HubClient) -> None:
    hub.misbehave("*", Reply(403, {"X-Error-Message": "Access to this resource is disabled."}))
    with pytest.raises(Refused, match="is disabled by the hub") as caught:
        client.get("/api/models")
    assert isinstance(caught.value.__cause__, hub_errors.DisabledRepoError)


def test_a_token_that_is_not_on_the_list_of_a_gated_model_is_refused(hub: TestHub) -> None:
    with HubClient(hub.url, token=TOKEN) as client, pytest.raises(Refused, match="not in the authorized list"):
        client.get("/owner/gated/resolve/main/config.json")
    assert hub.log[0].status == 403


@pytest.mark.parametrize("status", [401, 403, 404, 429, 503])
def test_the_token_is_in_no_error(hub: TestHub, status: int) -> None:
    headers = {"X-Error-Message": f"Unknown token {TOKEN}", "X-Request-Id": TOKEN}
    hub.misbehave("*", Reply(status, headers, f'{{"error": "Bearer {TOKEN}"}}'.encode()), times=9)
    with HubClient(hub.url, token=TOKEN, sleep=lambda seconds: None) as client, pytest.raises(HubError) as caught:
        client.get("/api/models")
    assert hub.log[0].authorization == f"Bearer {TOKEN}"
    cause = caught.value.__cause__
    assert isinstance(cause, hub_errors.HfHubHTTPError)
    assert TOKEN not in f"{caught.value!r} {cause!r} {cause.server_message} {cause.request_id} {client!r}"
    assert TOKEN not in f"{cause.response.text} {cause.response.headers.raw} {cause.response.request.headers.raw}"
    assert TOKEN not in "".join(traceback.format_exception(caught.value))


def test_the_token_is_in_no_answer(hub: TestHub) -> None:
    with HubClient(hub.url, token=TOKEN) as client:
        answer = client.get("/api/models")
    assert TOKEN not in repr(answer) + str(answer.headers) + answer.body.decode()


@pytest.mark.parametrize("token", [TOKEN + "\n", TOKEN + " x", TOKEN + "é", ""])
def test_a_token_that_no_header_takes_is_refused_and_not_shown(hub: TestHub, token: str) -> None:
    with pytest.raises(UsageError, match="check HF_TOKEN") as caught:
        HubClient(hub.url, token=token)
    assert TOKEN not in "".join(traceback.format_exception(caught.value))


def test_the_token_is_found_where_huggingface_hub_finds_it(hub: TestHub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    with HubClient(hub.url) as implicit, HubClient(hub.url, token=False) as anonymous:
        implicit.get("/api/models")
        anonymous.get("/api/models")
    assert [request.authorization for request in hub.log] == [f"Bearer {TOKEN}", None]


def test_a_larger_body_than_accepted_is_not_read(client: HubClient) -> None:
    assert len(client.get("/api/models").body) > 300
    with pytest.raises(TooLarge, match=r"would send \d+ bytes, at most 300 are accepted"):
        client.get("/api/models", limit=300)


@pytest.mark.parametrize(("attempts", "timeout"), [(0, 30.0), (1, 0.0)])
def test_impossible_numbers_are_refused(attempts: int, timeout: float) -> None:
    with pytest.raises(UsageError, match="expected one attempt and a positive time"):
        HubClient("http://127.0.0.1", token=False, attempts=attempts, timeout=timeout)
