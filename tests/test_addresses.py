"""Where a client goes: redirects by hand, http(s) only, and the token to the endpoint's own origin alone."""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from miners.addresses import checked_endpoint
from miners.http import HubClient
from schemas.errors import HubError, UsageError
from tests.hub import Reply, TestHub

TOKEN = "hf_secretsecretsecretsecret"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    repository = tmp_path / "hub" / "owner" / "model"
    repository.mkdir(parents=True)
    (repository / "model.safetensors").write_bytes(b"weights")
    return tmp_path / "hub"


@pytest.fixture
def hub(folder: Path) -> Iterator[TestHub]:
    with TestHub(repositories=folder, large_files="elsewhere") as running:
        yield running


@pytest.fixture
def client(hub: TestHub) -> Iterator[HubClient]:
    with HubClient(hub.url, token=TOKEN, attempts=1) as opened:
        yield opened


def test_the_token_does_not_follow_a_redirect_to_another_origin(hub: TestHub, client: HubClient) -> None:
    answer = client.get("/owner/model/resolve/main/model.safetensors")
    assert answer.body == b"weights"
    assert answer.url == f"{hub.url}/owner/model/resolve/main/model.safetensors"
    asked, redirected = hub.log
    assert asked.authorization == f"Bearer {TOKEN}"
    assert redirected.host != asked.host
    assert redirected.authorization is None
    assert TOKEN not in str(redirected)


def test_the_token_follows_a_redirect_within_the_origin(hub: TestHub, client: HubClient) -> None:
    hub.misbehave("/api/old", Reply(307, {"Location": "/api/models"}))
    client.get("/api/old")
    assert [request.authorization for request in hub.log] == [f"Bearer {TOKEN}"] * 2


def test_the_token_is_not_sent_to_a_foreign_absolute_address(hub: TestHub) -> None:
    with TestHub() as home, HubClient(home.url, token=TOKEN) as client:
        assert client.get(hub.url + "/api/models").status == 200
    assert hub.log[0].authorization is None


def test_a_fresh_start_after_a_failure_behind_a_redirect(hub: TestHub) -> None:
    hub.misbehave("/blobs/*", "503")
    with HubClient(hub.url, token=TOKEN, sleep=lambda seconds: None) as client:
        client.get("/owner/model/resolve/main/model.safetensors")
    assert [request.status for request in hub.log] == [302, 503, 302, 200]


def test_connections_are_kept_across_redirects(hub: TestHub, client: HubClient) -> None:
    for _ in range(3):
        client.get("/owner/model/resolve/main/model.safetensors")
    assert len(hub.log) == 6
    assert len({request.connection for request in hub.log}) == 2


def test_redirects_end_after_five(hub: TestHub, client: HubClient) -> None:
    hub.misbehave("/api/models", Reply(302, {"Location": "/api/models"}), times=5)
    assert client.get("/api/models").status == 200
    hub.misbehave("/api/models", Reply(302, {"Location": "/api/models"}), times=100)
    hub.log.clear()
    with pytest.raises(HubError, match="redirects more than 5 times"):
        client.get("/api/models")
    assert len(hub.log) == 6


@pytest.mark.parametrize(
    "location",
    [
        "ftp://example.org/file",
        "file:///etc/passwd",
        "javascript:alert(1)",
        "http://user:password@example.org/",
        "http://xn--/",
        "http://" + "x" * 70 + ".example/",
        "http://[::1/",
        "http://example.org:99999/",
    ],
)
def test_only_plain_web_addresses_are_followed(hub: TestHub, client: HubClient, location: str) -> None:
    hub.misbehave("/api/models", Reply(302, {"Location": location}))
    with pytest.raises(HubError) as caught:
        client.get("/api/models")
    assert "password" not in str(caught.value)
    assert len(hub.log) == 1


def test_a_redirect_without_a_target_is_an_error(hub: TestHub, client: HubClient) -> None:
    hub.misbehave("/api/models", Reply(302))
    with pytest.raises(HubError, match="answers 302"):
        client.get("/api/models")


def test_https_is_never_left_for_http() -> None:
    visited: list[httpx2.URL] = []

    def downgrade(request: httpx2.Request) -> httpx2.Response:  # a server on loopback has no certificate
        visited.append(request.url)
        return httpx2.Response(302, headers={"Location": "http://hub.example/api/models"})

    with (
        HubClient("https://hub.example", token=TOKEN, transport=httpx2.MockTransport(downgrade)) as client,
        pytest.raises(HubError, match="redirects from https to unprotected http"),
    ):
        client.get("/api/models")
    assert [str(url) for url in visited] == ["https://hub.example/api/models"]


@pytest.mark.parametrize(
    "endpoint",
    [
        "",
        "huggingface.co",
        "ftp://huggingface.co",
        "http://",
        "http://[::1",
        "http://hub.example:port",
        "https://me:secret@hub.example",
        "https://hub.example?a=b",
        "https://hub.example#top",
    ],
)
def test_an_endpoint_that_cannot_work_is_refused(endpoint: str) -> None:
    with pytest.raises(UsageError, match="expected a hub's address like https:") as caught:
        HubClient(endpoint, token=False)
    assert "secret" not in str(caught.value)


@given(st.text())
def test_every_endpoint_is_usable_or_refused(endpoint: str) -> None:
    with suppress(UsageError):
        assert checked_endpoint(endpoint).host


@pytest.mark.parametrize("url", ["", "api/models", "ftp://example.org/a", "http://user:secret@example.org", "/\x00"])
def test_an_address_that_cannot_work_is_refused(hub: TestHub, client: HubClient, url: str) -> None:
    with pytest.raises(UsageError, match="expected a path like /api/models") as caught:
        client.get(url)
    assert "secret" not in str(caught.value)
    assert hub.log == []


def test_an_endpoint_may_lie_below_a_path(hub: TestHub) -> None:
    hub.misbehave("/mirror/api/models", Reply(200, body=b"[]"))
    with HubClient(hub.url + "/mirror/", token=False) as client:
        assert client.endpoint == hub.url + "/mirror"
        assert client.get("/api/models").body == b"[]"
