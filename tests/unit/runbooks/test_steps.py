"""Steps against real processes, a real server on loopback and canned readings."""

import os
import threading
import time
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar

import pytest

from opsctl.adapters import children
from opsctl.adapters.steps import Steps
from opsctl.core.binding import bind
from opsctl.core.signals import Absent, Failed, Measured, Reason, Sample, Vector
from opsctl.errors import AuthError
from opsctl.ports.runbooks import StepBroke, StepDone
from tests.unit.runbooks.documents import FRONT, PARAMS, book, fence

SECRETS = "secrets: {token: {token_env: T}}\n"


class Clock:
    def now(self):
        return datetime(2026, 5, 1, tzinfo=UTC)


class Metrics:
    def __init__(self, reading):
        self.reading = reading
        self.asked = []

    def instant(self, query, at, timeout_seconds):
        self.asked.append((query, at))
        return self.reading


def perform(
    step,
    *,
    reading=None,
    timeout=5.0,
    values=None,
    key=None,
    secret=lambda name: "s3cret/42",
    front=FRONT + PARAMS + SECRETS,
):
    runbook = book(step, front=front)
    found = runbook.steps[0]
    steps = Steps(lambda: Metrics(reading), Clock(), secret)
    return steps.perform(
        found, bind(found, {"admin": "http://127.0.0.1:9", "region": "eu-1", **(values or {})}), timeout, key
    )


def script(text, **options):
    return fence("bash", text, id="x", mutates="none", **options)


def dead(pid: int) -> bool:
    """Whether the process ended; one that its parent has not reaped counts as ended."""
    for _ in range(100):
        try:
            with open(f"/proc/{pid}/stat") as file:
                if file.read().rpartition(")")[2].split()[0] == "Z":
                    return True
        except FileNotFoundError:
            return True
        time.sleep(0.02)
    return False


# -- promql -----------------------------------------------------------------------------------------------------------

ASK = fence("promql", "up", id="x")


def test_one_element_has_a_value_and_labels():
    done = perform(ASK, reading=Measured(Vector((Sample((("region", "eu-1"),), 0.5),)), "memory"))
    assert done == StepDone(
        {"absent": False, "count": 1, "value": 0.5, "labels": {"region": "eu-1"}, "min": 0.5, "max": 0.5},
        '{region="eu-1"} 0.5',
    )


def test_many_elements_have_no_single_value_and_nan_is_neither_least_nor_greatest():
    vector = Vector(tuple(Sample((("i", str(i)),), v) for i, v in enumerate((1.0, float("nan"), 3.0))))
    done = perform(ASK, reading=Measured(vector, "memory"))
    assert done.values == {"absent": False, "count": 3, "min": 1.0, "max": 3.0}


def test_absent_is_an_answer_and_failed_is_none():
    assert perform(ASK, reading=Absent("memory")).values == {"absent": True, "count": 0}
    broke = perform(ASK, reading=Failed(Reason.UNREACHABLE, "connection refused", "prometheus http://x"))
    assert broke == StepBroke("prometheus http://x: connection refused")


# -- bash -------------------------------------------------------------------------------------------------------------


def test_bash_has_an_empty_environment_and_a_folder_of_its_own(monkeypatch):
    monkeypatch.setenv("PRIVATE", "of the caller")
    done = perform(script('env | cut -d= -f1 | sort | tr "\\n" " "; echo; ls; pwd; test ! -t 0'))
    names, *files, folder = done.values["stdout"].splitlines()
    assert set(names.split()) - {"_", "PWD", "SHLVL", "OLDPWD"} == {"PATH", "OPS_ADMIN", "OPS_REGION"}
    assert files == ["step.sh"]
    assert not os.path.exists(folder)


def test_bash_gives_its_exit_code_its_output_and_json():
    done = perform(script("echo '{\"a\": 1}'; echo oops >&2; exit 3"))
    assert (done.exit_code, done.values["exit_code"], done.values["json"]) == (3, 3, {"a": 1})
    assert sorted(done.output.split("\n")) == ["", "oops", '{"a": 1}']


def test_bash_is_strict():
    assert perform(script("false | true\necho never")).values["exit_code"] == 1
    assert perform(script("echo $UNSET_NAME")).values["exit_code"] != 0


def test_output_is_capped_and_says_so():
    done = perform(script("head -c 3000000 /dev/zero | tr '\\0' a"), timeout=20.0)
    assert done.exit_code == 0
    assert done.output.endswith(f"\n[{3_000_000 - 1024 * 1024} more bytes were dropped]")
    assert len(done.output) < 1024 * 1024 + 100


def test_the_whole_group_goes_at_the_end_of_the_script(tmp_path):
    done = perform(script(f"sleep 300 & echo $! > {tmp_path}/pid; echo started"))
    assert done.values["stdout"] == "started"
    assert dead(int((tmp_path / "pid").read_text()))


def test_at_the_deadline_the_group_gets_term(tmp_path):
    started = time.monotonic()
    broke = perform(
        script(f"trap 'echo cleaned; exit 1' TERM; (sleep 300 & echo $! > {tmp_path}/pid; wait) & wait"), timeout=0.5
    )
    assert isinstance(broke, StepBroke)
    assert (broke.begun, broke.certain, broke.output) == (True, False, "cleaned\n")
    assert "not over within 0.5 s" in broke.message
    assert dead(int((tmp_path / "pid").read_text()))
    assert time.monotonic() - started < children.GRACE_SECONDS


def test_who_ignores_term_gets_kill(tmp_path, monkeypatch):
    monkeypatch.setattr(children, "GRACE_SECONDS", 0.3)
    broke = perform(script(f"trap '' TERM; echo $$ > {tmp_path}/pid; while :; do sleep 0.1; done"), timeout=0.3)
    assert isinstance(broke, StepBroke)
    assert dead(int((tmp_path / "pid").read_text()))


def test_an_interrupt_takes_the_group_with_it(tmp_path, monkeypatch):
    drain = children._drain

    def interrupt(process, *args):
        while not (tmp_path / "pid").exists():
            time.sleep(0.01)
        monkeypatch.setattr(children, "_drain", drain)
        raise KeyboardInterrupt

    monkeypatch.setattr(children, "_drain", interrupt)
    with pytest.raises(KeyboardInterrupt):
        perform(script(f"sleep 300 & echo $! > {tmp_path}/part; mv {tmp_path}/part {tmp_path}/pid; wait"))
    assert dead(int((tmp_path / "pid").read_text()))


def test_a_secret_is_there_for_the_step_that_names_it_and_comes_out_masked():
    done = perform(
        script(
            'echo "$OPS_TOKEN" | tee /dev/stderr; printf s3c; sleep 0.1; printf "ret/42\\n"\n'
            'echo -n "$OPS_TOKEN" | base64',
            secrets="token",
        )
    )
    assert "s3cret" not in str(done)
    assert done.values["stdout"].splitlines() == ["[redacted]"] * 3
    other = perform(script('echo "${OPS_TOKEN-none}"'))
    assert other.values["stdout"] == "none"


def test_a_secret_that_cannot_be_read_begins_nothing():
    def gone(name):
        raise AuthError("secret file /x cannot be read")

    broke = perform(script("touch /tmp/never", secrets="token"), secret=gone)
    assert broke == StepBroke("a secret cannot be read: secret file /x cannot be read")


# -- http -------------------------------------------------------------------------------------------------------------


class Handler(BaseHTTPRequestHandler):
    seen: ClassVar[list] = []
    reply = (200, {}, b"{}")
    wait = 0.0

    def do_PUT(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.seen.append((self.command, self.path, dict(self.headers), body))
        time.sleep(self.wait)
        status, headers, data = self.reply
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    do_GET = do_PUT

    def log_message(self, *args):
        pass


class Quiet(ThreadingHTTPServer):
    """A client that hangs up is what some tests are about."""

    def handle_error(self, request, client_address):
        pass


@pytest.fixture
def server():
    handler = type("One", (Handler,), {"seen": []})
    server = Quiet(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    yield handler, f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join(5)


def put(address, *, key="r1/x", timeout=5.0, headers=""):
    step = fence(
        "http",
        f'PUT ${{admin}}/v1/x?a=1{headers}\n\n{{"n": 1}}',
        id="x",
        mutates="chat",
        requires="none",
        idempotency="key",
        undo="none",
        timeout="5s",
        secrets="token" if headers else "",
    )
    return perform(step.replace("#| secrets: \n", ""), values={"admin": address}, key=key, timeout=timeout)


def test_a_request_goes_out_as_planned_with_its_key_and_secret(server):
    handler, address = server
    handler.reply = (201, {"X-Is": "here"}, b'{"state": "shed", "echo": "s3cret/42"}')
    done = put(address, headers="\nAuthorization: Bearer ${secret.token}")
    method, path, headers, body = handler.seen[0]
    assert (method, path, body) == ("PUT", "/v1/x?a=1", b'{"n": 1}')
    assert headers["Idempotency-Key"] == "r1/x"
    assert headers["Authorization"] == "Bearer s3cret/42"
    assert headers["Content-Type"] == "application/json"
    assert done.values["status"] == 201
    assert done.values["body"] == {"state": "shed", "echo": "[redacted]"}
    assert "s3cret" not in str(done)


def test_any_status_is_an_answer(server):
    handler, address = server
    handler.reply = (500, {}, b"<html>")
    done = put(address)
    assert (done.values["status"], done.values["text"], "body" in done.values) == (500, "<html>", False)


def test_a_redirect_is_not_followed_and_did_nothing(server):
    handler, address = server
    handler.reply = (307, {"Location": f"{address}/elsewhere"}, b"")
    broke = put(address)
    assert isinstance(broke, StepBroke)
    assert (broke.begun, broke.certain, len(handler.seen)) == (False, True, 1)
    assert "redirect" in broke.message


def test_a_server_that_does_not_answer_in_time_leaves_it_unknown(server):
    handler, address = server
    handler.wait = 1.0
    started = time.monotonic()
    broke = put(address, timeout=0.3)
    assert time.monotonic() - started < 0.9
    assert isinstance(broke, StepBroke)
    assert (broke.begun, broke.certain, len(handler.seen)) == (True, False, 1)


def test_an_answer_that_is_too_large_leaves_it_unknown(server):
    handler, address = server
    handler.reply = (200, {}, b"a" * (1024 * 1024 + 1))
    broke = put(address)
    assert isinstance(broke, StepBroke)
    assert (broke.begun, broke.certain) == (True, False)


def test_a_connection_that_was_never_made_did_nothing():
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as unused:
        port = unused.server_port
    broke = put(f"http://127.0.0.1:{port}")
    assert isinstance(broke, StepBroke)
    assert (broke.begun, broke.certain) == (False, True)


def test_without_a_key_none_is_sent(server):
    handler, address = server
    put(address, key=None)
    assert "Idempotency-Key" not in handler.seen[0][2]
