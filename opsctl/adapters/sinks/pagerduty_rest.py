"""PagerDuty's REST API v2: one question at a time, within a budget of time and of requests.

Must never spend more than its budget (960 requests a minute are all there are), never show the token, and never make
an answer of none: what was not answered is raised as `Unanswered`, and whoever asks says so.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from opsctl.adapters.sinks.answers import is_permanent, retry_after
from opsctl.adapters.sinks.pagerduty_transport import Reply, Transport, line, rest_client
from opsctl.core.frozen import dataclass
from opsctl.errors import OpsctlError

if TYPE_CHECKING:
    from opsctl.files import context as files

REST_URL = "https://api.pagerduty.com"
PAGE = 100
_ANSWER_BYTES = 8 * 1024 * 1024
_SHORTEST_SECONDS = 0.05
_REQUESTER = "Requester User Not Found"  # code 1008

Params = Mapping[str, Any]
Resource = Mapping[str, Any]


class Unanswered(Exception):
    """A question without a usable answer; its text is one line. `final`: the next question would fare no better."""

    def __init__(
        self,
        text: str,
        status: int | None = None,
        *,
        final: bool = False,
        refused: bool = False,
        wait_seconds: float | None = None,
    ) -> None:
        super().__init__(text)
        self.status = status
        self.final = final
        self.refused = refused or status in (401, 403)  # it is the token
        self.wait_seconds = wait_seconds  # what the far side asks for

    @property
    def permanent(self) -> bool:
        """Whether the same request would be refused again."""
        return self.status is not None and is_permanent(self.status)


class Budget:
    """How long, and how many requests, a piece of work may take."""

    def __init__(self, seconds: float, requests: int, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._ends = monotonic() + seconds
        self._seconds = seconds
        self._requests = requests

    @property
    def seconds(self) -> float:
        """What is left of the time."""
        return self._ends - self._monotonic()

    def spend(self, most_seconds: float) -> float:
        """One request: the seconds that it may take; `Unanswered` where nothing is left."""
        left = self.seconds
        if left < _SHORTEST_SECONDS:
            raise Unanswered(f"not everything was read within {self._seconds:g} s", final=True)
        if self._requests <= 0:
            raise Unanswered("not everything was read: too many requests would be needed", final=True)
        self._requests -= 1
        return min(left, most_seconds)


@dataclass(frozen=True, slots=True)
class Listing:
    """What was read of a list; `whole` says that nothing is missing, `failed` why something is."""

    items: tuple[Resource, ...]
    whole: bool
    failed: Unanswered | None = None


class Rest:
    """One account by its token; `from_` is the address of the user that changes are made under."""

    def __init__(self, token: Callable[[], str], from_: str = "", url: str = REST_URL) -> None:
        self.from_ = from_
        self._read_token = token
        self._token = ""
        self._sleep = time.sleep
        self._transport = Transport(
            url, setting="pagerduty.rest_url", default=REST_URL, connect=rest_client, answer_bytes=_ANSWER_BYTES
        )

    def get(self, path: str, budget: Budget, params: Params | None = None) -> Resource:
        """A resource, or a page of them."""
        return self._ask("GET", path, budget, params=dict(params or {}))

    def post(self, path: str, budget: Budget, body: Resource) -> Resource:
        """Make something."""
        return self._ask("POST", path, budget, json=dict(body), headers={"From": self.from_})

    def listed(
        self,
        path: str,
        member: str,
        budget: Budget,
        params: Params,
        *,
        most_pages: int = 20,
        enough: Callable[[Sequence[Resource]], bool] = lambda page: False,
    ) -> Listing:
        """Every resource of a list, page by page, until a page is `enough`."""
        items: list[Resource] = []
        odd = 0
        try:
            for number in range(most_pages):
                page = self.get(path, budget, {**params, "limit": PAGE, "offset": number * PAGE})
                found = page.get(member)
                if not isinstance(found, list):
                    raise Unanswered(f"{path}: the answer has no {member}")
                good = [one for one in found if isinstance(one, Mapping)]
                items += good
                odd += len(found) - len(good)
                if enough(good):
                    break
                if page.get("more") is not True:
                    return Listing(tuple(items), whole=not odd)
        except Unanswered as failed:
            return Listing(tuple(items), whole=False, failed=failed)
        return Listing(tuple(items), whole=False)

    def close(self) -> None:
        """Drop connections."""
        self._transport.close()

    def _ask(self, method: str, path: str, budget: Budget, **more: Any) -> Resource:
        reply = self._once(method, path, budget, **more)
        if reply.status == 429:
            wait = _wait_seconds(reply)
            if wait is not None and wait < budget.seconds - _SHORTEST_SECONDS:
                self._sleep(wait)
                reply = self._once(method, path, budget, **more)
        if reply.status is None:
            raise Unanswered(reply.message, final=True)
        if not 200 <= reply.status < 300:
            raise _refusal(reply)
        decoded = reply.decoded()
        if not isinstance(decoded, Mapping):
            raise Unanswered(f"{self._transport.url}{path}: the answer is not JSON", reply.status)
        return decoded

    def _once(self, method: str, path: str, budget: Budget, **more: Any) -> Reply:
        if not self._token:
            try:
                self._token = self._read_token().strip()
            except OpsctlError as wrong:
                raise Unanswered(f"pagerduty.rest: {line(str(wrong))}", final=True, refused=True) from wrong
        reply = self._transport.request(method, path, self._token, budget.spend(5.0), **more)
        if reply.status == 401:
            self._token = ""  # tokens are renewed: the next request reads it again
        return reply


def open_rest(settings: files.Rest, url: str | None, resolve: Callable[[files.Secret], str]) -> Rest:
    """The REST API with a context's token, which is read when the first request needs it."""
    return Rest(lambda: resolve(settings.secret), settings.from_, url or REST_URL)


def _refusal(reply: Reply) -> Unanswered:
    status, said = reply.status, reply.message
    if status == 401:
        return Unanswered(f"{said}: is the token of pagerduty.rest right?", status, final=True)
    if status == 403:
        return Unanswered(f"{said}: may the token of pagerduty.rest do this?", status)
    if _REQUESTER in said:
        return Unanswered(f"{said}: is pagerduty.rest.from the address of a user?", status)
    return Unanswered(said, status, final=status == 429, wait_seconds=_wait_seconds(reply))


def _wait_seconds(reply: Reply) -> float | None:
    """How long we are asked to wait, if we are; every answer says when its limit is reset."""
    given = reply.headers.get("retry-after")
    if given is None and reply.status == 429:
        given = reply.headers.get("ratelimit-reset")
    return retry_after(given)


# -- reading resources: anything may be missing or of another type


def of_id(path: str, id_: str) -> str:
    """A path with an id in it, which is text from outside."""
    return path.format(quote(id_, safe=""))


def text_of(resource: object, *names: str) -> str:
    """The text at a path of names; "" where it is none. Half characters, which no file can hold, are replaced."""
    for name in names:
        if not isinstance(resource, Mapping):
            return ""
        resource = resource.get(name)
    return resource.encode("utf-8", "replace").decode() if isinstance(resource, str) else ""


def items_of(resource: Resource, name: str) -> tuple[Resource, ...]:
    """The objects of a list."""
    found = resource.get(name)
    return tuple(one for one in found if isinstance(one, Mapping)) if isinstance(found, list) else ()


def time_of(resource: object, *names: str) -> datetime | None:
    """The time at a path of names, in UTC; None where it is none."""
    try:
        at = datetime.fromisoformat(text_of(resource, *names))
        return (at if at.tzinfo else at.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        return None
