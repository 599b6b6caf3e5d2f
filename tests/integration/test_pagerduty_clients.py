"""Clients that we did not write drive the local PagerDuty over TLS, and all see the same.

Go's `go-pagerduty`, npm's `@pagerduty/pdjs` and PyPI's `pagerduty` send events and changes, page through incidents, change
them, write notes, read who is on call, open and end maintenance windows, and parse refusals into their own error types.
"""

from __future__ import annotations

import json
import urllib.request
import warnings
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from opsctl.demo.servers.pagerduty import LocalPagerDuty, start_local_pagerduty
from opsctl.demo.servers.pagerduty_account import identity
from opsctl.demo.servers.pagerduty_tls import NoOpenssl, openssl
from tests.servers.clients import go_pagerduty, pdjs
from tests.servers.making import Missing

KEY, TOKEN, ANA = "c4naryc4naryc4naryc4naryc4nary00", "t0ken-canary", "ana@example.com"
LIMITED = {"match": {"path": "/priorities"}, "do": "status", "status": 429}
SENT = ["story/1", "story/2", "story/3", "story/1", "story/2", "story/3", "story/never"]
SEEN: dict[str, Any] = {
    "keys": SENT,
    "statuses": ["success"] * len(SENT),
    "change": "success",
    "open": ["story/1 burns", "story/2 burns"],
    "pages": 2,
    "by_key": ["story/2 burns", "acknowledged", "", 1],
    "got": ["triggered", "service_reference", "story/1"],
    "acknowledged": ["acknowledged", "Ana Novak"],
    "resolved": ["resolved", "Ana Novak"],
    "notes": ["on it", "Ana Novak", 1],
    "newest_entry": "annotate_log_entry",
    "on_call": [ANA],
    "key_of_service": True,
    "window": ["database", 1, 0],
    "bad_event": 400,
    "bad_query": [400, 2001, "Invalid Input Provided"],
    "bad_user": [400, 1008, "Requester User Not Found"],
    "not_found": [404, 2100, "Not Found"],
    "limited": True,
}
Place = Mapping[str, str]


@pytest.fixture
def pagerduty(tmp_path: Path) -> Iterator[LocalPagerDuty]:
    """One with TLS, whose list of priorities is always limited."""
    try:
        openssl()
    except NoOpenssl:
        pytest.skip("no openssl")
    made = start_local_pagerduty(
        tmp_path / "pd.sqlite3", {"money": KEY}, tokens={"t": TOKEN}, tls=True, faults=[LIMITED]
    )
    yield made
    made.stop()


@pytest.mark.parametrize("client", [go_pagerduty, pdjs, lambda place: python(place)], ids=["go", "npm", "pypi"])
def test_a_client_that_we_did_not_write_sees_a_pagerduty(
    pagerduty: LocalPagerDuty, client: Callable[[Place], dict[str, Any]]
) -> None:
    """Its story, what it reads, and how its own types take errors."""
    place = {
        "URL": pagerduty.address,
        "Token": TOKEN,
        "Key": KEY,
        "From": ANA,
        "Service": identity("service", "money"),
        "CA": str(pagerduty.ca),
    }
    try:
        saw = client(place)
    except Missing as reason:
        pytest.skip(str(reason))
    saw.pop("client")
    assert saw == SEEN
    assert [one["status"] for one in ours(pagerduty, "incidents")] == ["resolved", "acknowledged", "resolved"]
    effects = [one["effect"] for one in ours(pagerduty, "log")]
    assert effects == ["opened", "opened", "opened", "appended", "acknowledged", "resolved", "ignored", "refused"]
    assert [one["event"]["payload"]["summary"] for one in ours(pagerduty, "changes")] == ["deployed"]


def ours(server: LocalPagerDuty, what: str) -> list[dict[str, Any]]:
    """Our own reading side."""
    import ssl

    with urllib.request.urlopen(
        f"{server.address}/_{what}", timeout=5, context=ssl.create_default_context(cafile=str(server.ca))
    ) as answer:
        return list(json.loads(answer.read())[what])


def python(place: Place) -> dict[str, Any]:
    """What PyPI's `pagerduty` saw."""
    import ssl

    from pagerduty import EventsApiV2Client, RestApiV2Client

    trusted = ssl.create_default_context(cafile=place["CA"])
    events = EventsApiV2Client(place["Key"], base_url=place["URL"], verify=trusted, trust_env=False)
    rest = RestApiV2Client(
        place["Token"], default_from=place["From"], base_url=place["URL"], verify=trusted, trust_env=False
    )
    with events, rest, warnings.catch_warnings():
        warnings.simplefilter("error")
        return {"client": "python"} | _events(events) | _incidents(rest) | _people(rest, place) | _refused(events, rest)


def _events(events: Any) -> dict[str, Any]:
    keys = [
        events.trigger(f"{key} burns", "python", key, "critical", custom_details={"n": 1})
        for key in ("story/1", "story/2", "story/3", "story/1")
    ]
    keys += [events.acknowledge("story/2"), events.resolve("story/3"), events.resolve("story/never")]
    events.send_change_event({"summary": "deployed", "source": "python", "timestamp": "2026-03-01T11:00:00Z"})
    return {"keys": keys, "statuses": ["success"] * len(keys), "change": "success"}


def _incidents(rest: Any) -> dict[str, Any]:
    query = {"statuses[]": ["triggered", "acknowledged"], "date_range": "all"}
    found = list(rest.iter_all("incidents", params=query, page_size=1))
    pages = sum(rest.api_call_counts.values())
    second = list(rest.iter_all("incidents", params={"incident_key": "story/2"}))
    path = f"incidents/{found[0]['id']}"
    one, alerts = rest.rget(path), rest.rget(f"{path}/alerts")
    seen: dict[str, Any] = {
        "open": [incident["title"] for incident in found],
        "pages": pages,
        "by_key": [second[0]["title"], second[0]["status"], second[0]["incident_key"] or "", len(second)],
        "got": [one["status"], one["last_status_change_by"]["type"], alerts[0]["alert_key"]],
    }
    for status in ("acknowledged", "resolved"):
        done = rest.rput(one, json={"type": "incident_reference", "status": status})
        seen[status] = [done["status"], done["last_status_change_by"]["summary"]]
    note = rest.rpost(f"{path}/notes", json={"content": "on it"})
    notes = rest.rget(f"{path}/notes")
    seen["notes"] = [note["content"], notes[0]["user"]["summary"], len(notes)]
    return seen | {"newest_entry": rest.rget(f"{path}/log_entries")[0]["type"]}


def _people(rest: Any, place: Place) -> dict[str, Any]:
    on_call = rest.rget("oncalls", params={"include[]": ["users"]})
    service = rest.find("services", "money", params={"include[]": ["integrations"]})
    now = datetime.now(UTC)
    wanted = {
        "type": "maintenance_window",
        "start_time": now.isoformat(),
        "end_time": (now + timedelta(hours=1)).isoformat(),
        "description": "database",
        "services": [{"id": place["Service"], "type": "service_reference"}],
    }
    window = rest.rpost("maintenance_windows", json=wanted)
    before = rest.list_all("maintenance_windows", params={"filter": "ongoing"})
    rest.rdelete(window)
    after = rest.list_all("maintenance_windows", params={"filter": "ongoing"})
    return {
        "on_call": [one["user"]["email"] for one in on_call],
        "key_of_service": service["integrations"][0]["integration_key"] == place["Key"],
        "window": [window["description"], len(before), len(after)],
    }


def _refused(events: Any, rest: Any) -> dict[str, Any]:
    from pagerduty.errors import HttpError

    def told(ask: Callable[[], Any]) -> list[Any]:
        with pytest.raises(HttpError) as caught:
            ask()
        answer = caught.value.response
        return [answer.status_code, answer.json()["error"]["code"], answer.json()["error"]["message"]]

    with pytest.raises(HttpError) as caught:
        events.trigger("s", "python", "bad", "page")
    body = [{"id": "Q", "type": "incident", "status": "resolved"}]
    rest.retry[429] = 1  # it repeats for ever otherwise
    rest.sleep_timer = 0.001
    return {
        "bad_event": caught.value.response.status_code,
        "bad_query": told(lambda: rest.rget("incidents", params={"limit": 101})),
        "bad_user": told(lambda: rest.rput("incidents", json=body, headers={"From": "nobody@example.com"})),
        "not_found": told(lambda: rest.rget("incidents/Q0")),
        "limited": told(lambda: rest.rget("priorities"))[0] == 429,
    }
