"""What comes back from a hub: bodies within bounds, ranges, pages, and errors whatever their form."""

import gzip
import json
import tracemalloc
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from miners.http import Answer, HubClient, NotFound, Refused, TooLarge, next_page
from schemas.errors import HubError, UsageError
from tests.hub import Reply, TestHub

CONTENT = bytes(range(256)) * 40
FILES = {"small": "/owner/model/resolve/main/data.txt", "large": "/owner/model/resolve/main/model.safetensors"}
EMPTY = "/owner/model/resolve/main/empty.txt"
MEGABYTE = 2**20


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[TestHub]:
    repository = tmp_path / "hub" / "owner" / "model"
    repository.mkdir(parents=True)
    (repository / "data.txt").write_bytes(CONTENT)
    (repository / "model.safetensors").write_bytes(CONTENT)
    (repository / "empty.txt").touch()
    records = [{"id": f"owner/model-{number}"} for number in range(25)]
    with TestHub(records, tmp_path / "hub", large_files="elsewhere") as running:
        yield running


@pytest.fixture
def client(hub: TestHub) -> Iterator[HubClient]:
    with HubClient(hub.url, token=False, attempts=1) as opened:
        yield opened


@pytest.mark.parametrize("path", FILES.values(), ids=FILES)
@pytest.mark.parametrize("asked", [(0, 8), (8, 300), (10_000, 10_240), (10_000, 99_999), (10_239, 10_240)])
def test_a_range_is_read(hub: TestHub, client: HubClient, path: str, asked: tuple[int, int]) -> None:
    answer = client.get(path, byte_range=asked)
    assert answer.status == 206
    assert answer.body == CONTENT[slice(*asked)]
    assert hub.log[-1].headers["range"] == f"bytes={asked[0]}-{asked[1] - 1}"
    assert hub.log[-1].headers["accept-encoding"] == "identity"


@pytest.mark.parametrize("path", FILES.values(), ids=FILES)
def test_a_range_is_cut_from_a_whole_file(hub: TestHub, client: HubClient, path: str) -> None:
    hub.misbehave("*" if path == FILES["small"] else "/blobs/*", "ignored range")
    answer = client.get(path, byte_range=(8, 300), limit=300)
    assert answer.status == 200
    assert answer.body == CONTENT[8:300]


def test_a_range_far_inside_a_whole_file_is_not_waited_for(hub: TestHub, client: HubClient) -> None:
    hub.misbehave("*", "ignored range")
    with pytest.raises(TooLarge, match="does not serve ranges"):
        client.get(FILES["small"], byte_range=(8, 300), limit=299)


@pytest.mark.parametrize("fault", [None, "ignored range"])
@pytest.mark.parametrize(("path", "begin"), [(FILES["small"], 10_240), (FILES["small"], 20_000), (EMPTY, 0)])
def test_a_range_beyond_the_end_is_not_found(
    hub: TestHub, client: HubClient, path: str, begin: int, fault: None
) -> None:
    if fault is not None:
        hub.misbehave("*", fault)
    with pytest.raises(NotFound):
        client.get(path, byte_range=(begin, begin + 10))


@pytest.mark.parametrize(
    "content_range",
    [None, "", "bytes 1-8/99", "bytes 0-8/99", "bytes 0-6/99", "bytes 0-6/*", "bytes 0-/8", "items 0-7/8", "bytes */8"],
)
def test_another_range_than_the_asked_is_refused(hub: TestHub, client: HubClient, content_range: str | None) -> None:
    headers = {} if content_range is None else {"Content-Range": content_range}
    hub.misbehave("*", Reply(206, headers, b"12345678"))
    with pytest.raises(HubError, match="asked for the bytes 0 to 8, the hub sends others"):
        client.get(FILES["small"], byte_range=(0, 8))


def test_the_hub_s_own_wrong_range_is_refused(hub: TestHub, client: HubClient) -> None:
    hub.misbehave("*", "wrong content-range")
    with pytest.raises(HubError, match="the hub sends others"):
        client.get(FILES["small"], byte_range=(0, 8))


@pytest.mark.parametrize("body", [b"1234567", b"123456789", b""])
def test_a_range_of_another_length_than_announced_is_refused(hub: TestHub, client: HubClient, body: bytes) -> None:
    hub.misbehave("*", Reply(206, {"Content-Range": "bytes 0-7/99"}, body))
    with pytest.raises(HubError, match="announces 8 bytes"):
        client.get(FILES["small"], byte_range=(0, 8))


def test_an_encoded_range_is_refused(hub: TestHub, client: HubClient) -> None:
    headers = {"Content-Range": "bytes 0-7/8", "Content-Encoding": "gzip"}
    hub.misbehave("*", Reply(206, headers, gzip.compress(b"12345678")))
    with pytest.raises(HubError, match="something else"):
        client.get(FILES["small"], byte_range=(0, 8))


def test_a_part_is_refused_where_the_whole_was_asked(hub: TestHub, client: HubClient) -> None:
    hub.misbehave("*", Reply(206, {"Content-Range": "bytes 0-7/99"}, b"12345678"))
    with pytest.raises(HubError, match="answers 206, where 200 was expected"):
        client.get(FILES["small"])


@pytest.mark.parametrize("asked", [(0, 0), (5, 3), (-1, 4)])
def test_an_impossible_range_is_refused(client: HubClient, asked: tuple[int, int]) -> None:
    with pytest.raises(UsageError, match="expected 0 <= begin < end"):
        client.get(FILES["small"], byte_range=asked)


def test_a_range_above_the_limit_is_refused(client: HubClient) -> None:
    with pytest.raises(UsageError, match="has 10 bytes, limit=9: raise the limit"):
        client.get(FILES["small"], byte_range=(0, 10), limit=9)


@pytest.mark.parametrize("encoded", [False, True])
def test_a_body_at_the_limit_is_taken_and_one_above_never_in_memory(
    hub: TestHub, client: HubClient, encoded: bool
) -> None:
    size = 50 * MEGABYTE
    body = gzip.compress(bytes(size)) if encoded else bytes(size)
    hub.misbehave("*", Reply(200, {"Content-Encoding": "gzip"} if encoded else {}, body), times=2)
    tracemalloc.start()
    with pytest.raises(TooLarge):
        client.get("/", limit=MEGABYTE)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 6 * MEGABYTE
    assert len(client.get("/", limit=size).body) == size


def test_pages_are_followed_to_the_end(hub: TestHub, client: HubClient) -> None:
    url: str | None = "/api/models?limit=10&sort=id"
    names: list[str] = []
    while url is not None:
        answer = client.get(url)
        names += [record["id"] for record in json.loads(answer.body)]
        url = next_page(answer)
    assert names == sorted((f"owner/model-{number}" for number in range(25)), reverse=True)
    assert len(hub.log) == 3


def answer_with(link: str) -> Answer:
    return Answer("https://hub.example/api/models?limit=1", 200, {"link": link}, b"[]", datetime.now(UTC))


@pytest.mark.parametrize(
    ("link", "expected"),
    [
        ('<https://hub.example/api/models?cursor=a%3D>; rel="next"', "https://hub.example/api/models?cursor=a%3D"),
        ('</api/models?cursor=a>; rel="next"', "https://hub.example/api/models?cursor=a"),
        ('<?cursor=a>; rel="next", </first>; rel="first"', "https://hub.example/api/models?cursor=a"),
        ('<https://hub.example:443/x>; rel="next"', "https://hub.example/x"),
        ('</first>; rel="first"', None),
        ("", None),
        (";;;", None),
    ],
)
def test_the_link_to_the_next_page_is_read(link: str, expected: str | None) -> None:
    assert next_page(answer_with(link)) == expected


@pytest.mark.parametrize("target", ["http://hub.example/x", "https://evil.example/x", "//evil.example", "ftp://a/b"])
def test_a_next_page_elsewhere_is_refused(target: str) -> None:
    with pytest.raises(HubError, match="the next page is on another host"):
        next_page(answer_with(f'<{target}>; rel="next"'))


@pytest.mark.parametrize("target", ["http://[::1", "https://hub.example:port/", "mailto:a@b"])
def test_a_next_page_that_is_no_address_is_refused(target: str) -> None:
    with pytest.raises(HubError):
        next_page(answer_with(f'<{target}>; rel="next"'))


@given(st.text())
def test_no_link_header_breaks_the_reading_of_it(link: str) -> None:
    try:
        found = next_page(answer_with(link))
    except HubError:
        return
    assert found is None or found.startswith("https://hub.example/")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40, deadline=None)
@given(
    st.one_of(
        st.binary(),
        st.recursive(
            st.none() | st.integers() | st.text(),
            lambda inner: (
                st.lists(inner) | st.dictionaries(st.sampled_from(["error", "errors", "error_description"]), inner)
            ),
        ).map(lambda value: json.dumps(value).encode()),
    )
)
def test_an_error_is_named_whatever_its_body(hub: TestHub, client: HubClient, body: bytes) -> None:
    hub.misbehave("*", Reply(404, {"Content-Type": "application/json"}, body))
    with pytest.raises(NotFound) as caught:
        client.get("/api/models")
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize(
    "body", [b"[" * 100_000, b'{"error": "\\ud800"}', b'{"error": "\x1b[31mred"}', b'{"errors": 5}']
)
def test_an_error_is_named_whatever_its_trick(hub: TestHub, client: HubClient, body: bytes) -> None:
    hub.misbehave("*", Reply(403, body=body))
    with pytest.raises(Refused) as caught:
        client.get("/api/models")
    assert str(caught.value).isprintable()


def test_a_huge_error_is_not_read(hub: TestHub, client: HubClient) -> None:
    hub.misbehave("*", Reply(404, body=b'{"error": "' + b"x" * (50 * MEGABYTE)))
    tracemalloc.start()
    with pytest.raises(NotFound):
        client.get("/")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 6 * MEGABYTE
