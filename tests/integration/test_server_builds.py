"""How real servers are made: once, whole or not at all, and with the reason where they cannot be; nothing is built."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
import zipfile
from pathlib import Path

import pytest

from tests.servers import jdk, making
from tests.servers.build import SERVERS, Missing, Server, build
from tests.servers.recipes import apt_package, collector, maven_file, maven_zip, no_apt, no_go, no_maven

ROOT = Path(__file__).parent.parent.parent


def row(make: object, lacking: object = lambda: None, files: tuple[str, ...] = ()) -> Server:
    """A server of one shell script."""
    return Server("toy", "1", ("toy",), make, lacking, "no time", files)  # type: ignore[arg-type]


def script(folder: Path, text: str = "#!/bin/sh\nexit 0\n") -> None:
    """What a maker makes."""
    (folder / "bin" / "toy").write_text(text)
    (folder / "bin" / "toy").chmod(0o755)


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache of servers."""
    monkeypatch.setattr(making, "_CACHE", tmp_path / "servers")
    return tmp_path / "servers"


@pytest.fixture
def tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that is searched for programs before all others."""
    folder = tmp_path / "tools"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    return folder


def tool(folder: Path, name: str, body: str) -> None:
    """A program of a package manager, in shell."""
    (folder / name).write_text(f"#!/bin/sh\n{body}\n")
    (folder / name).chmod(0o755)


def making_folder(tmp_path: Path) -> Path:
    """What a maker is given."""
    (tmp_path / "making" / "bin").mkdir(parents=True)
    return tmp_path / "making"


def test_a_server_is_made_once(cache: Path) -> None:
    """The second call finds it; its programs are where tests look for them."""
    made: list[Path] = []

    def make(folder: Path) -> None:
        made.append(folder)
        script(folder)

    toy = row(make)
    build(toy)
    build(toy)
    assert len(made) == 1
    assert toy.program("toy") == cache / "toy-1" / "bin" / "toy"


def test_two_builds_at_once_make_it_once(cache: Path) -> None:
    """The second waits for the first and then finds its server."""
    made: list[Path] = []

    def slowly(folder: Path) -> None:
        made.append(folder)
        time.sleep(0.3)
        script(folder)

    toy = row(slowly)
    both = [threading.Thread(target=build, args=(toy,)) for _ in range(2)]
    for one in both:
        one.start()
    for one in both:
        one.join(10)
    assert len(made) == 1
    assert toy.there


def test_an_interrupted_build_is_never_taken_for_a_good_one(cache: Path) -> None:
    """Half a build, a program that does not run, and what a killed build left behind: none of them is a server."""

    def dies(folder: Path) -> None:
        script(folder)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build(row(dies))
    with pytest.raises(Missing, match="toy --version failed: no good"):
        build(row(lambda folder: script(folder, "#!/bin/sh\necho no good >&2; exit 1\n")))
    with pytest.raises(Missing, match="without all of its files"):
        build(row(script, files=("toy.jar",)))
    assert not row(script).there
    (cache / ".making-toy-1-killed" / "bin").mkdir(parents=True)
    (cache / "toy-1").mkdir()  # a folder without its program
    build(row(script))
    assert row(script).there
    assert sorted(one.name for one in cache.iterdir()) == [".toy-1.lock", "toy-1"]


def test_what_is_lacking_is_the_reason(cache: Path) -> None:
    """Neither building nor looking for a program hides why it is not there."""
    for call in (build, lambda toy: toy.program("toy"), lambda toy: toy.needed()):
        with pytest.raises(Missing, match=r"^no Go$"):
            call(row(script, lambda: "no Go"))
    with pytest.raises(Missing, match="make servers"):
        row(script).program("toy")


def test_a_machine_without_tools_names_each_of_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every server has a reason, and they are few enough to count skips by."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.delenv("ES_JAVA_HOME", raising=False)
    monkeypatch.setattr(jdk, "PACKAGED", tmp_path / "none")
    assert (no_go(), no_apt(), no_maven(17)()) == ("no Go", "no apt", "no Java")
    assert {row.lacking() for row in SERVERS} == {"no Go", "no apt", "no Java", "no npm"}
    old = java(tmp_path / "jdk-17", '"17.0.15"')
    monkeypatch.setenv("JAVA_HOME", str(old))
    assert (no_maven(17)(), no_maven(21)()) == ("no Maven", "no JDK 21 or newer")


def java(home: Path, version: str) -> Path:
    """A Java that cannot do anything but be there."""
    (home / "bin").mkdir(parents=True)
    (home / "bin" / "java").write_text("#!/bin/sh\n")
    (home / "bin" / "java").chmod(0o755)
    (home / "release").write_text(f'IMPLEMENTOR="x"\nJAVA_VERSION={version}\nJAVA_VERSION_DATE="2026-01-01"\n')
    return home


def test_the_oldest_java_that_fits_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By its file `release`, wherever it is found; what has none, or no program, is no Java."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("ES_JAVA_HOME", raising=False)
    monkeypatch.setenv("JAVA_HOME", str(java(tmp_path / "jvm" / "new", '"25.0.3"')))
    monkeypatch.setattr(jdk, "PACKAGED", tmp_path / "jvm")
    java(tmp_path / "jvm" / "eight", '"1.8.0_392"')
    middle = java(tmp_path / "jvm" / "middle", '"21"')
    (java(tmp_path / "jvm" / "empty", '"17"') / "bin" / "java").unlink()
    (tmp_path / "jvm" / "file").write_text("not a folder")
    assert jdk.java_home(8) == tmp_path / "jvm" / "eight"
    assert jdk.java_home(9) == middle
    assert jdk.java_home(22) == tmp_path / "jvm" / "new"
    with pytest.raises(Missing, match=r"^no JDK 26 or newer$"):
        jdk.java_home(26)


def test_package_lists_are_fetched_when_the_package_is_not_found(tmp_path: Path, tools: Path) -> None:
    """A fresh machine has no lists: one update, one more try."""
    tool(tools, "apt-get", f'echo "$*" >> {tmp_path}/said; [ "$1" = update ] || [ -e up ] && touch up toy.deb')
    tool(tools, "dpkg", 'mkdir -p "$3/usr/bin" && echo "#!/bin/sh" > "$3/usr/bin/toy"')
    folder = making_folder(tmp_path)
    apt_package("toy", "2", ("toy",))(folder)
    assert (tmp_path / "said").read_text() == "download toy=2*\nupdate\ndownload toy=2*\n"
    assert (folder / "bin" / "toy").is_file()


def test_a_maven_zip_is_unpacked_with_its_permissions(tmp_path: Path, tools: Path) -> None:
    """The programs in it can be run, and its one folder is gone."""
    entry = zipfile.ZipInfo("toy-1/bin/toy")
    entry.external_attr = 0o100755 << 16
    with zipfile.ZipFile(tmp_path / "toy.zip", "w") as archive:
        archive.writestr(entry, "#!/bin/sh\n")
        archive.writestr("toy-1/config/toy.yml", "a: b\n")
    folder = making_folder(tmp_path)
    tool(tools, "mvn", f"mkdir {folder}/fetched && cp {tmp_path}/toy.zip {folder}/fetched/")
    maven_zip("org.toy:toy:1:zip")(folder)
    assert os.access(folder / "bin" / "toy", os.X_OK)
    assert sorted(one.name for one in folder.iterdir()) == ["bin", "config"]


def test_mavens_first_error_is_the_reason(tmp_path: Path, tools: Path) -> None:
    """Its last line is the address of a help page."""
    tool(tools, "mvn", "echo '[ERROR] no such artifact'; echo '[ERROR] [Help 1] somewhere'; exit 1")
    with pytest.raises(Missing, match=r"mvn -q failed: \[ERROR\] no such artifact$"):
        maven_file("org.toy:toy:1:jar", "toy.jar")(making_folder(tmp_path))


GO = """case "$1" in
install) printf '#!/bin/sh\\n%s\\nexit 1\\n' "$MAKES" > "$GOBIN/builder"; chmod +x "$GOBIN/builder";;
build) while [ "$1" != -o ]; do shift; done; echo built > "$2";;
esac"""


def test_a_builder_that_could_not_tidy_is_enough_when_its_sources_are_whole(
    tmp_path: Path, tools: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without sources its failure is the reason."""
    tool(tools, "go", GO)
    folder = making_folder(tmp_path)
    monkeypatch.setenv("MAKES", "mkdir out; touch out/go.mod")
    collector("v1", "v1", {})(folder)
    assert (folder / "bin" / "otelcol").read_text() == "built\n"
    monkeypatch.setenv("MAKES", "echo no such module >&2")
    with pytest.raises(Missing, match="no such module"):
        collector("v1", "v1", {})(folder)


def make_servers(tmp_path: Path, **env: str) -> subprocess.CompletedProcess[str]:
    """`make servers` with an empty cache on a machine without tools."""
    return subprocess.run(
        [sys.executable, "-c", "from pathlib import Path; from tests.servers import jdk, __main__ as m; "
         "jdk.PACKAGED = Path('/nowhere'); raise SystemExit(m.main())"],
        cwd=ROOT,
        env={"PATH": str(tmp_path), "HOME": str(tmp_path), **env},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )  # fmt: skip


def test_make_servers_says_what_cannot_be_had_and_fails_only_in_ci(tmp_path: Path) -> None:
    """One line a server; nothing was started, and nothing is written outside the cache."""
    done = make_servers(tmp_path)
    assert done.returncode == 0, done.stderr
    assert f"servers in {tmp_path}/.cache/opsctl/servers: 0 of {len(SERVERS)} there" in done.stdout
    assert done.stdout.count("not here (no ") == len(SERVERS)
    assert list(tmp_path.iterdir()) == []
    strict = make_servers(tmp_path, CI="true")
    assert strict.returncode == 1
    assert strict.stderr == f"{len(SERVERS)} servers are missing and CI requires them all\n"


@pytest.mark.parametrize(
    ("ci", "last", "code"),
    [("", "0 passed, 0 failed, 1 skipped (no Go: 1)", 0), ("true", "0 passed, 1 failed, 0 skipped", 1)],
)
def test_skips_are_counted_by_reason_and_fail_in_ci(tmp_path: Path, ci: str, last: str, code: int) -> None:
    """A missing server is the last line's business, and in CI a failure."""
    (tmp_path / "cache").mkdir()
    (tmp_path / "bin").mkdir()
    test = "tests/integration/test_real_servers.py::test_stop_ends_the_process_and_removes_its_data"
    env = {**os.environ, "CI": ci, "OPSCTL_SERVERS_CACHE": str(tmp_path / "cache"), "PATH": str(tmp_path / "bin")}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", test],
        cwd=ROOT,
        env=env,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stdout.splitlines()[-1] == last, done.stdout + done.stderr
    assert done.returncode == code
