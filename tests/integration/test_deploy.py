"""The files of deploy/: the documents show them, what can check them does, and every command line in them is run."""

from __future__ import annotations

import http.client
import re
import shlex
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from opsctl.files.rules import load_rules
from opsctl.files.settings import load_settings
from tests.integration.test_cron_and_ci import Sandbox, blocks, parsed, sandbox
from tests.servers.build import Missing, server

__all__ = ["sandbox"]

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"
UNITS = sorted((DEPLOY / "systemd").iterdir())
MANIFESTS = sorted((DEPLOY / "kubernetes").iterdir())
WATCH_PAGE = ROOT / "docs" / "watch.md"


def test_the_documents_show_these_files() -> None:
    """Each unit and the crontab stand in a page, to the letter."""
    shown = {}
    for page in ("cron.md", "watch.md"):
        for block in blocks(ROOT / "docs" / page, "ini"):
            shown[Path(block.splitlines()[0].removeprefix("# ")).name] = block
    assert {unit.name: unit.read_text() for unit in UNITS} == shown
    assert [(DEPLOY / "cron" / "opsctl").read_text()] == blocks(ROOT / "docs" / "cron.md", "crontab")


# systemd


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_systemd_takes_the_units(sandbox: Sandbox, unit: Path, tmp_path: Path) -> None:
    """`systemd-analyze verify` has nothing to say, and would if there were."""
    for one in UNITS:
        (tmp_path / one.name).write_text(sandbox.here(one.read_text()))
    assert _verified(tmp_path / unit.name) == []
    broken = (tmp_path / unit.name).read_text().replace("[Unit]\n", "[Unit]\nNoSuchKey=1\n")
    (tmp_path / unit.name).write_text(broken)
    assert any("NoSuchKey" in line for line in _verified(tmp_path / unit.name))


def _verified(unit: Path) -> list[str]:
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        pytest.skip("no systemd-analyze")
    command = [analyze, "verify", "--man=no", "--recursive-errors=no", str(unit)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    return [line for line in (done.stdout + done.stderr).splitlines() if "opsctl" in line]


def watch_unit() -> Any:
    """The daemon's unit; of a key that stands twice the last counts here."""
    text = re.sub(r"(?m)^SystemCallFilter=~.*\n", "", (DEPLOY / "systemd" / "opsctl-watch.service").read_text())
    return parsed(text)["Service"]


def test_the_daemon_of_the_unit_is_ready_lives_and_stops_as_the_unit_says(sandbox: Sandbox, tmp_path: Path) -> None:
    """READY=1 within its start time, alive within its watchdog's, and an exit code that counts as a success."""
    service = watch_unit()
    assert service["Type"] == "notify"
    assert service["ExecReload"] == "/bin/kill -HUP $MAINPID"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(15)
        env = {"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "1500000"}
        with started(sandbox, shlex.split(service["ExecStart"]), **env) as (process, _):
            assert manager.recv(4096).startswith(b"READY=1")
            assert manager.recv(4096) == b"WATCHDOG=1"
            process.terminate()
            assert str(process.wait(15)) == service["SuccessExitStatus"]


@contextmanager
def started(sandbox: Sandbox, words: list[str], **env: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A command line of the daemon, moved into the sandbox and to a free port; the process and its address."""
    place = words.index("--listen") + 1
    assert words[place].endswith(":9469")
    moved = [sandbox.here(word) for word in (*words[:place], "127.0.0.1:0", *words[place + 1 :])]
    moved[0] = str(sandbox.home / "bin" / "opsctl")
    process = subprocess.Popen(
        moved,
        cwd=sandbox.home,
        env={"PATH": "/usr/bin:/bin", "HOME": str(sandbox.home), "OPSCTL_CONFIG": "opsctl.toml", **env},
        stdin=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stderr is not None
        found = re.search(r"listen=(\S+)", process.stderr.readline())
        assert found, process.poll()
        yield process, found[1]
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


# Kubernetes


def documents(name: str) -> list[Any]:
    """The objects of a manifest."""
    return list(yaml.safe_load_all((DEPLOY / "kubernetes" / name).read_text()))


def validated(*files: Path) -> subprocess.CompletedProcess[str]:
    """What Kubernetes' own strict decoding and validation make of manifests."""
    try:
        program = server("kubernetes-validation").program("manifests")
    except Missing as reason:
        pytest.skip(str(reason))
    command = [str(program), *map(str, files)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_kubernetes_takes_the_manifests() -> None:
    done = validated(*MANIFESTS)
    assert (done.returncode, done.stdout.count(": 0 wrong")) == (0, 4), done.stdout


@pytest.mark.parametrize(
    ("name", "old", "new", "said"),
    [
        ("deployment.yaml", "replicas: 1", "replikas: 1", 'unknown field "spec.replikas"'),
        ("deployment.yaml", "port: http}", "port: metrics-and-health}", "must be no more than 15 characters"),
        ("deployment.yaml", "type: Recreate", "type: Restart", "Unsupported value"),
        ("deployment.yaml", "mountPath: /tmp}", "mountPath: /var/lib/opsctl}", "must be unique"),
        ("cronjob.yaml", '"* * * * *"', '"* * * *"', "expected exactly 5 fields"),
        ("config.yaml", "ReadWriteOncePod", "ReadWriteSometimes", "Unsupported value"),
    ],
)
def test_kubernetes_refuses_what_is_wrong(tmp_path: Path, name: str, old: str, new: str, said: str) -> None:
    """So a mistake in them would be seen."""
    text = (DEPLOY / "kubernetes" / name).read_text()
    assert old in text
    (tmp_path / name).write_text(text.replace(old, new))
    done = validated(tmp_path / name)
    assert done.returncode == 1
    assert said in done.stdout


def pod(name: str) -> Any:
    """The pod that a manifest makes."""
    (one,) = documents(name)
    spec = one["spec"] if one["kind"] == "Deployment" else one["spec"]["jobTemplate"]["spec"]
    return spec["template"]["spec"]


@pytest.mark.parametrize("name", ["deployment.yaml", "cronjob.yaml"])
def test_the_pods_are_given_what_the_configuration_names(name: str, tmp_path: Path) -> None:
    """The file, the secrets and the journal lie in volumes of the pod, and nothing else can be written."""
    spec = pod(name)
    (container,) = spec["containers"]
    mounts = {mount["mountPath"]: mount for mount in container["volumeMounts"]}
    volumes = {volume["name"] for volume in spec["volumes"]}
    assert {mount["name"] for mount in mounts.values()} == volumes
    config, claim = documents("config.yaml")
    (tmp_path / "config.toml").write_text(config["data"]["config.toml"])
    settings = load_settings(tmp_path / "config.toml", None, env={}, cwd=tmp_path)
    context = settings.chosen
    assert load_rules(context.rules, context.base, _catalogue(context)).rules
    (place,) = (one["value"] for one in container["env"] if one["name"] == "OPSCTL_CONFIG")
    assert str(Path(place).parent) in mounts
    assert str(context.state_dir.parent) in mounts
    assert {str(Path(secret.reference).parent) for secret in context.secrets().values()} <= mounts.keys()
    claims = [one["persistentVolumeClaim"]["claimName"] for one in spec["volumes"] if "persistentVolumeClaim" in one]
    assert claims == [claim["metadata"]["name"]]
    maps = [one["configMap"]["name"] for one in spec["volumes"] if "configMap" in one]
    assert maps == [config["metadata"]["name"]]
    security = container["securityContext"]
    assert security["readOnlyRootFilesystem"]
    assert spec["securityContext"]["runAsNonRoot"]
    assert "/run/secrets/opsctl" in mounts


def _catalogue(context: Any) -> Any:
    from opsctl.files.catalogue import load_catalogue

    return load_catalogue(context.catalogue, context.base)


def test_the_deployments_command_runs_and_its_probes_are_answered(sandbox: Sandbox) -> None:
    (container,) = pod("deployment.yaml")["containers"]
    with started(sandbox, ["opsctl", *container["args"]]) as (process, address):
        for probe, status in (("startupProbe", 200), ("livenessProbe", 200), ("readinessProbe", 503)):
            assert _status(address, container[probe]["httpGet"]["path"]) == status
        process.terminate()
        assert process.wait(15) == 143


def _status(address: str, path: str) -> int:
    host, _, port = address.rpartition(":")
    connection = http.client.HTTPConnection(host, int(port), timeout=5)
    try:
        connection.request("GET", path)
        return connection.getresponse().status
    finally:
        connection.close()


@pytest.mark.parametrize(("code", "expected"), [(0, 0), (1, 0), (3, 0), (2, 2), (4, 4), (5, 5), (6, 6), (70, 70)])
def test_the_cronjob_fails_for_what_is_no_result(tmp_path: Path, code: int, expected: int) -> None:
    """A breach and an unknown are results; the pod says the others as they are."""
    (container,) = pod("cronjob.yaml")["containers"]
    (tmp_path / "opsctl").write_text(f"#!/bin/sh\nexit {code}\n")
    (tmp_path / "opsctl").chmod(0o755)
    command = [*container["command"], *container["args"]]
    done = subprocess.run(command, env={"PATH": f"{tmp_path}:/usr/bin:/bin"}, timeout=10, check=False)
    assert done.returncode == expected


def test_the_cronjobs_command_runs(sandbox: Sandbox) -> None:
    (container,) = pod("cronjob.yaml")["containers"]
    done = sandbox.sh(container["args"][0])
    assert (done.returncode, done.stderr) == (0, "")
    assert [line.split("\t")[0] for line in done.stdout.splitlines()].count("OK") == 2


# the image


def test_the_image_is_of_a_form_that_the_manifests_need() -> None:
    """Its instructions are known ones, its entry is opsctl, its user is the manifests'; nobody builds it here."""
    text = re.sub(r"\\\n\s*", " ", (DEPLOY / "Containerfile").read_text())
    lines = [line.partition(" ")[::2] for line in text.splitlines() if line and not line.startswith("#")]
    assert {word for word, _ in lines} <= {"FROM", "COPY", "RUN", "ENV", "USER", "EXPOSE", "ENTRYPOINT", "CMD"}
    said = dict(lines)
    assert said["ENTRYPOINT"] == '["opsctl"]'
    assert "dist/opsctl_cli-*.whl /wheels/" in [rest for word, rest in lines if word == "COPY"]
    for name in ("deployment.yaml", "cronjob.yaml"):
        context = pod(name)["securityContext"]
        assert said["USER"] == f"{context['runAsUser']}:{context['runAsGroup']}"
        image = pod(name)["containers"][0]["image"]
        assert f"-t {image} " in (DEPLOY / "Containerfile").read_text()


# the documents of the daemon


def test_the_alerts_on_the_daemon_read_metrics_that_there_are(sandbox: Sandbox, tmp_path: Path) -> None:
    """promtool takes them, and every metric of the page is on the daemon's own."""
    from opsctl.daemon.metrics import Numbers
    from opsctl.loop import Pulse
    from tests.unit.paging.world import T0
    from tests.unit.render.test_formats import NAMES

    numbers = Numbers("c", "n", "1", T0 - T0, Pulse(0.0), lambda: T0)
    there = set(re.findall(r"^# TYPE (\w+?)(?:_created)? ", numbers.page("")[0].decode(), re.M)) - {
        "opsctl_cycles",
        "opsctl_events",
    }
    told = set(re.findall(r"`(opsctl_\w+)`", WATCH_PAGE.read_text()))
    assert told - there <= {"opsctl_pages_not_visible", "opsctl_config_last_reload_success_timestamp_seconds"}
    assert {name for name in there if name.startswith("opsctl_")} <= told
    (text,) = blocks(WATCH_PAGE, "yaml")
    read = {re.sub(r"_(bucket|count)$", "", name) for name in re.findall(r"opsctl_\w+", re.sub(r"summary.*", "", text))}
    assert read <= told | NAMES
    try:
        promtool = server("prometheus", "3.16").program("promtool")
    except Missing as reason:
        pytest.skip(str(reason))
    (tmp_path / "watch.rules.yaml").write_text(text)
    command = [str(promtool), "check", "rules", str(tmp_path / "watch.rules.yaml")]
    done = subprocess.run(command, capture_output=True, timeout=30, check=False)
    assert done.returncode == 0, done


def test_every_line_of_a_shell_in_the_page_is_run_or_of_a_known_form(sandbox: Sandbox) -> None:
    from tests.integration.test_cron_and_ci import command_lines, run_or_form

    lines = [line for block in blocks(WATCH_PAGE, "sh") for line in command_lines(block)]
    assert len(lines) >= 5
    for line in lines:
        run_or_form(sandbox, line)
