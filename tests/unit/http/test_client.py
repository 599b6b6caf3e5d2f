"""The HTTP policy: one deadline, one retry at most, bounded, and no secret in any text."""

from __future__ import annotations

import gzip
import socket
import threading
import time
from collections.abc import Callable

import pytest

from opsctl.core.hosts import is_loopback
from opsctl.core.signals import Reason
from opsctl.errors import AuthError, ExitCode, UsageError
from opsctl.http import Client, Endpoint, HttpProblem, one_line
from tests.servers.misbehaving import Behaviour, Exchange, Misbehaving

SECRET = "s3cr3t"


def echoes(exchange: Exchange) -> None:
    """Answer with what was asked."""
    exchange.answer(exchange.head + b"\n\n" + exchange.body)


def test_connections_are_kept_alive(serve: Callable[[Behaviour], Misbehaving]) -> None:
    """Ten requests one after the other use one connection."""
    server = serve(echoes)
    client = Client(Endpoint(server.url))
    for _ in range(10):
        assert client.get("/x").status == 200
    client.close()
    assert (server.connections, len(server.requests)) == (1, 10)


def test_path_prefix_headers_form_and_parameters_arrive(serve: Callable[[Behaviour], Misbehaving]) -> None:
    """The request line, the tenant, the credential and the body are what was asked for."""
    server = serve(echoes)
    endpoint = Endpoint(server.url + "/prom/", {"X-Scope-OrgID": "games"}, authorization=lambda: "Bearer abc")
    client = Client(endpoint)
    client.post_form("/api/v1/query", {"query": 'up{a="ü&b"}'})
    client.get("/api/v1/label", {"match[]": "a b"})
    post, get = server.requests
    assert post.startswith(b"POST /prom/api/v1/query HTTP/1.1\r\n")
    assert b"X-Scope-OrgID: games" in post
    assert b"Authorization: Bearer abc" in post
    assert b"Content-Type: application/x-www-form-urlencoded" in post
    assert post.endswith(b"query=up%7Ba%3D%22%C3%BC%26b%22%7D")
    assert get.startswith(b"GET /prom/api/v1/label?match%5B%5D=a+b HTTP/1.1\r\n")
    client.close()


def test_at_most_pool_size_requests_run_at_once(serve: Callable[[Behaviour], Misbehaving]) -> None:
    """The third of three requests waits for a connection, and its wait counts against its deadline."""
    server = serve(lambda exchange: exchange.hold())
    client = Client(Endpoint(server.url), pool_size=2)
    problems: list[HttpProblem] = []

    def ask(seconds: float) -> None:
        try:
            client.get("/", timeout_seconds=seconds)
        except HttpProblem as wrong:
            problems.append(wrong)

    holding = [threading.Thread(target=ask, args=(30,)) for _ in range(2)]
    for thread in holding:
        thread.start()
    while len(server.requests) < 2:
        time.sleep(0.005)
    ask(0.2)
    assert [wrong.reason for wrong in problems] == [Reason.DEADLINE]
    assert server.connections == 2
    client.close()
    for thread in holding:
        thread.join(5)
    assert [wrong.reason for wrong in problems] == [Reason.DEADLINE] * 3


def closes_kept(requests_before: int) -> Behaviour:
    """Answer, and reset a kept-alive connection when its next request comes."""
    seen: dict[int, int] = {}

    def behave(exchange: Exchange) -> None:
        count = seen[id(exchange.sock)] = seen.get(id(exchange.sock), 0) + 1
        if count > requests_before:
            exchange.sock.shutdown(socket.SHUT_RDWR)
        else:
            exchange.answer(b"ok")

    return behave


def test_a_query_is_repeated_once_on_a_dead_kept_connection(serve: Callable[[Behaviour], Misbehaving]) -> None:
    """The server drops the kept connection as the second request arrives: it is asked again on a new one."""
    server = serve(closes_kept(1))
    client = Client(Endpoint(server.url))
    assert client.post_form("/", {"q": "1"}).body == b"ok"
    assert client.post_form("/", {"q": "2"}).body == b"ok"
    assert server.connections == 2
    assert len(server.requests) == 3
    client.close()


def test_what_changes_something_is_not_repeated(serve: Callable[[Behaviour], Misbehaving]) -> None:
    """A plain POST on a dead kept connection fails: it may have been carried out."""
    server = serve(closes_kept(1))
    client = Client(Endpoint(server.url))
    client.request("POST", "/", body=b"1")
    with pytest.raises(HttpProblem, match="closed before an answer"):
        client.request("POST", "/", body=b"2")
    assert len(server.requests) == 2
    client.close()


def test_a_first_connection_that_dies_is_not_repeated(serve: Callable[[Behaviour], Misbehaving]) -> None:
    """Only kept connections are retried: a server that resets everything is asked once."""
    server = serve(closes_kept(0))
    client = Client(Endpoint(server.url))
    with pytest.raises(HttpProblem):
        client.get("/")
    assert len(server.requests) == 1
    client.close()


def test_a_credential_is_asked_for_on_first_use_and_again_after_a_401(
    serve: Callable[[Behaviour], Misbehaving],
) -> None:
    """A renewed token file costs no failed reading, a wrong one is asked with once."""
    tokens = iter(["old", "new", "new", "new"])
    asked: list[str] = []

    def provide() -> str:
        asked.append(next(tokens))
        return f"Bearer {asked[-1]}"

    def wants_new(exchange: Exchange) -> None:
        good = b"Authorization: Bearer new" in exchange.head
        exchange.answer(b"", "200 OK" if good else "401 Unauthorized")

    server = serve(wants_new)
    client = Client(Endpoint(server.url, authorization=provide))
    assert asked == []
    assert client.get("/").status == 200
    assert client.get("/").status == 200
    assert asked == ["old", "new"]
    client.close()
    refusing = serve(lambda exchange: exchange.answer(b"", "401 Unauthorized"))
    client = Client(Endpoint(refusing.url, authorization=lambda: "Bearer same"))
    with pytest.raises(HttpProblem) as caught:
        client.get("/")
    assert caught.value.exit_code is ExitCode.AUTH
    assert len(refusing.requests) == 1


def test_a_credential_that_cannot_be_read_is_an_auth_problem(serve: Callable[[Behaviour], Misbehaving]) -> None:
    """What the provider says is the line; the server is not asked."""

    def provide() -> str:
        raise AuthError("token_file /run/secrets/x: no such file")

    server = serve(echoes)
    with pytest.raises(HttpProblem, match="token_file /run/secrets/x: no such file") as caught:
        Client(Endpoint(server.url, authorization=provide)).get("/")
    assert caught.value.reason is Reason.AUTH
    assert server.connections == 0


@pytest.mark.parametrize(
    "value", [f"Bearer {SECRET}\r\nX: y", f"Bearer {SECRET}\n", f"Bearer {SECRET}\x00", f"Bé {SECRET}"]
)
def test_a_credential_that_no_header_can_carry_is_refused_without_showing_it(value: str) -> None:
    """No header injection, and the message names the header only."""
    with pytest.raises(HttpProblem) as caught:
        Client(Endpoint("http://127.0.0.1:9", authorization=lambda: value)).get("/")
    assert caught.value.reason is Reason.AUTH
    assert SECRET not in str(caught.value)
    assert "Authorization" in str(caught.value)


def test_no_repr_and_no_message_shows_a_secret() -> None:
    """Endpoint, client and every chained exception keep headers and credentials to themselves."""
    endpoint = Endpoint("http://127.0.0.1:9", {"X-Api-Key": SECRET}, authorization=lambda: SECRET)
    assert SECRET not in repr(endpoint)
    try:
        Client(endpoint).get("/")
    except HttpProblem as wrong:
        chain: BaseException | None = wrong
        while chain is not None:
            assert SECRET not in f"{chain!r} {chain}"
            chain = chain.__cause__ or chain.__context__


@pytest.mark.parametrize(
    "url",
    [
        "prometheus:9090",
        "ftp://x",
        "http://",
        "",
        "http://[::1",
        "http://x:port",
        "https://x/?a=b",
        "https://x/#f",
        f"https://user:{SECRET}@x/",
        "http://prometheus.example.net",
        "http://10.0.0.1:9090",
        f"nonsense {SECRET}@",
        f"http://u:{SECRET}@[::1",
    ],
)
def test_wrong_urls_are_usage_errors_that_show_no_credential(url: str) -> None:
    """Also: plain http to another machine is refused before anything is sent."""
    with pytest.raises(UsageError) as caught:
        Client(Endpoint(url))
    assert SECRET not in str(caught.value)


def test_plain_http_is_for_loopback_or_on_request() -> None:
    """`allow_http` opens it; loopback needs nothing."""
    Client(Endpoint("http://prometheus.example.net", allow_http=True))
    for host in ("localhost", "127.0.0.1", "127.8.8.8", "[::1]"):
        Client(Endpoint(f"http://{host}:9090"))
    assert not is_loopback("127.0.0.1.example.net")
    assert not is_loopback("localhost.example.net")


def test_address_is_for_people() -> None:
    """No user, no query, no slash at the end."""
    assert Endpoint(f"https://u:{SECRET}@h:1/p/?t={SECRET}").address == "https://h:1/p"


def test_gzip_is_unpacked(serve: Callable[[Behaviour], Misbehaving]) -> None:
    """Also when nobody asked for it."""
    server = serve(lambda exchange: exchange.answer(gzip.compress(b"hello"), "200 OK", "a/b", "Content-Encoding: gzip"))
    assert Client(Endpoint(server.url)).get("/").body == b"hello"


def test_a_body_of_exactly_the_cap_is_taken(serve: Callable[[Behaviour], Misbehaving]) -> None:
    """The cap is the largest body that is allowed, one byte more is too large."""
    for size, taken in ((1000, True), (1001, False)):
        server = serve(lambda exchange, size=size: exchange.answer(b"x" * size))  # type: ignore[misc]
        client = Client(Endpoint(server.url), max_body=1000)
        if taken:
            assert len(client.get("/").body) == 1000
        else:
            with pytest.raises(HttpProblem, match="larger than 1000 bytes"):
                client.get("/")


def test_a_closed_client_answers_deadline_at_once(serve: Callable[[Behaviour], Misbehaving]) -> None:
    """Nothing is sent after `close()`."""
    server = serve(echoes)
    client = Client(Endpoint(server.url))
    client.get("/")
    client.close()
    with pytest.raises(HttpProblem) as caught:
        client.get("/")
    assert caught.value.reason is Reason.DEADLINE
    assert len(server.requests) == 1


def test_sockets_are_given_back(serve: Callable[[Behaviour], Misbehaving]) -> None:
    """After failures and `close()` no file descriptor stays open on our side."""
    import os

    server = serve(lambda exchange: exchange.answer(b"x", "500 x"))
    broken = serve(
        lambda exchange: exchange.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\nConnection: close\r\n\r\n")
    )

    def ours() -> int:
        count = 0
        for fd in os.listdir("/proc/self/fd"):
            try:
                with socket.socket(fileno=os.dup(int(fd))) as sock:
                    count += sock.getpeername()[1] in {server.port, broken.port}
            except OSError:
                continue
        return count

    clients = [Client(Endpoint(server.url)), Client(Endpoint(broken.url))]
    for _ in range(5):
        clients[0].get("/")
        with pytest.raises(HttpProblem):
            clients[1].get("/", timeout_seconds=0.5)
    for client in clients:
        client.close()
    assert ours() == 0


def test_one_line() -> None:
    """Line ends and runs of spaces become one space; long texts are cut."""
    assert one_line(" a\r\n\tb  c ") == "a b c"
    assert one_line("x" * 500, 10) == "x" * 9 + "…"
