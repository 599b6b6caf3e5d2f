"""How each kind of server is made: Go modules, Debian packages, Maven artifacts. Versions are pinned by the rows."""

from __future__ import annotations

import json
import re
import shutil
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path

from tests.servers.jdk import no_java
from tests.servers.making import Missing, run

Make = Callable[[Path], None]
Lacking = Callable[[], str | None]

COPY = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy"
MAVEN_JAVA = 8
LEAN = ("-trimpath", "-ldflags=-s -w")


def go_install(module: str, version: str, commands: tuple[str, ...], tags: str = "") -> Make:
    """A maker: `go install` of some commands of one module at a pinned version."""

    def make(folder: Path) -> None:
        packages = [f"{module}/cmd/{command}@{version}" for command in commands]
        flags = [*LEAN, *(("-tags", tags) if tags else ())]
        run(["go", "install", *flags, *packages], folder, GOBIN=str(folder / "bin"), CGO_ENABLED="0")

    return make


def go_wrapped(module: str, version: str, command: str, replace: Mapping[str, str]) -> Make:
    """A maker for a command whose module has `replace` lines, which `go install` refuses: a module around it.

    The checksums are the ones that the module itself ships.
    """

    def make(folder: Path) -> None:
        around = folder / "around"
        around.mkdir()
        package = f"{module}/cmd/{command}"
        lines = ["module opsctl.invalid/around", "go 1.26", f"tool {package}", f"require {module} {version}"]
        lines += [f"replace {old} => {new}" for old, new in replace.items()]
        (around / "go.mod").write_text("\n".join(lines) + "\n")
        source = json.loads(run(["go", "mod", "download", "-json", f"{module}@{version}"], around))["Dir"]
        (around / "go.sum").write_bytes((Path(source) / "go.sum").read_bytes())
        run(["go", "get", f"{package}@{version}"], around)
        run(["go", "build", *LEAN, "-o", str(folder / "bin" / command), package], around, CGO_ENABLED="0")
        shutil.rmtree(around)

    return make


def go_program(source: Path, module: str, version: str) -> Make:
    """A maker: a program of ours around one module of others, both at pinned versions; named like its source.

    The checksums are the ones that the module itself ships, and its own, which Go asks for.
    """

    def make(folder: Path) -> None:
        around = folder / "around"
        around.mkdir()
        (around / "go.mod").write_text(f"module opsctl.invalid/around\n\ngo 1.22\n\nrequire {module} {version}\n")
        (around / "main.go").write_bytes(source.read_bytes())
        shipped = json.loads(run(["go", "mod", "download", "-json", f"{module}@{version}"], around))["Dir"]
        (around / "go.sum").write_bytes((Path(shipped) / "go.sum").read_bytes())
        output = str(folder / "bin" / source.stem)
        run(["go", "build", "-mod=mod", *LEAN, "-o", output, "."], around, CGO_ENABLED="0")
        shutil.rmtree(around)

    return make


def go_kubernetes(source: Path, version: str, staging: str) -> Make:
    """A maker: a program of ours around Kubernetes's own code, whose module names its parts by folders that it lacks.

    Their published versions (`staging`) take the folders' place; the checksums are those that the module ships.
    """

    def make(folder: Path) -> None:
        around = folder / "around"
        around.mkdir()
        (around / "go.mod").write_text("module opsctl.invalid/around\n")
        module = "k8s.io/kubernetes"
        shipped = Path(json.loads(run(["go", "mod", "download", "-json", f"{module}@{version}"], around))["Dir"])
        lines = re.sub(r"(?m)^module .*$", "module opsctl.invalid/around", (shipped / "go.mod").read_text())
        lines = re.sub(r"=> \./staging/src/(k8s\.io/[a-z0-9-]+)", rf"=> \1 {staging}", lines)
        (around / "go.mod").write_text(f"{lines}\nrequire {module} {version}\n")
        (around / "go.sum").write_bytes((shipped / "go.sum").read_bytes())
        (around / "main.go").write_bytes(source.read_bytes())
        output = str(folder / "bin" / source.stem)
        run(["go", "build", "-mod=mod", *LEAN, "-o", output, "."], around, CGO_ENABLED="0")
        shutil.rmtree(around)

    return make


def npm_package(package: str, version: str) -> Make:
    """A maker: one npm package and what it needs, in `node_modules`; no script of any package is run."""

    def make(folder: Path) -> None:
        (folder / "package.json").write_text('{"private": true}\n')
        quiet = ["--no-package-lock", "--no-audit", "--no-fund", "--ignore-scripts", "--loglevel=error"]
        run(["npm", "install", *quiet, f"{package}@{version}"], folder)

    return make


def no_npm() -> str | None:
    """Why no npm package can be fetched or run."""
    return None if shutil.which("npm") and shutil.which("node") else "no npm"


def collector(version: str, providers: str, parts: Mapping[str, tuple[str, ...]]) -> Make:
    """A maker: an OpenTelemetry Collector of some Go modules (by kind), made with the project's own builder.

    The builder ends with `go mod tidy`, which wants modules that only tests need and may fail where those are not
    served; the sources that it leaves are whole, and are built without them.
    """

    def make(folder: Path) -> None:
        around = folder / "around"
        around.mkdir()
        builder = f"go.opentelemetry.io/collector/cmd/builder@{version}"
        run(["go", "install", *LEAN, builder], around, GOBIN=str(around), CGO_ENABLED="0")
        manifest = {
            "dist": {"name": "otelcol", "version": version.removeprefix("v"), "output_path": str(around / "out")},
            **{kind: [{"gomod": f"{module} {version}"} for module in modules] for kind, modules in parts.items()},
            "providers": [
                {"gomod": f"go.opentelemetry.io/collector/confmap/provider/{one}provider {providers}"}
                for one in ("env", "file", "yaml")
            ],
        }
        (around / "manifest.yaml").write_text(json.dumps(manifest))
        try:
            run([str(around / "builder"), "--config", "manifest.yaml", "--skip-compilation"], around)
        except Missing:
            if not (around / "out" / "go.mod").is_file():
                raise
        output = str(folder / "bin" / "otelcol")
        run(["go", "build", "-mod=mod", *LEAN, "-o", output, "."], around / "out", CGO_ENABLED="0")
        shutil.rmtree(around)

    return make


def no_go() -> str | None:
    """Why nothing can be built with Go."""
    return None if shutil.which("go") else "no Go"


def apt_package(package: str, version: str, programs: tuple[str, ...]) -> Make:
    """A maker: the programs of one Debian package, unpacked without root."""

    def make(folder: Path) -> None:
        try:
            run(["apt-get", "download", f"{package}={version}*"], folder)
        except Missing:
            run(["apt-get", "update"], folder)
            run(["apt-get", "download", f"{package}={version}*"], folder)
        (deb,) = folder.glob("*.deb")
        run(["dpkg", "-x", deb.name, "unpacked"], folder)
        for program in programs:
            (folder / "unpacked/usr/bin" / program).rename(folder / "bin" / program)
        deb.unlink()
        shutil.rmtree(folder / "unpacked")

    return make


def no_apt() -> str | None:
    """Why no Debian package can be fetched."""
    return None if shutil.which("apt-get") and shutil.which("dpkg") else "no apt"


def maven_file(artifact: str, name: str) -> Make:
    """A maker: one Maven artifact (`group:name:version:type[:classifier]`) as the file `name`."""

    def make(folder: Path) -> None:
        run(["mvn", "-q", "-B", COPY, f"-Dartifact={artifact}", f"-DoutputDirectory={folder / 'fetched'}"], folder)
        (fetched,) = (folder / "fetched").iterdir()
        fetched.rename(folder / name)
        (folder / "fetched").rmdir()

    return make


def maven_zip(artifact: str) -> Make:
    """A maker: the content of the one folder in a zip that is a Maven artifact."""

    def make(folder: Path) -> None:
        maven_file(artifact, "fetched.zip")(folder)
        _unzip(folder / "fetched.zip", folder / "unpacked")
        (top,) = (folder / "unpacked").iterdir()
        (folder / "bin").rmdir()
        for one in top.iterdir():
            one.rename(folder / one.name)
        shutil.rmtree(folder / "unpacked")
        (folder / "fetched.zip").unlink()

    return make


def _unzip(archive: Path, folder: Path) -> None:
    """Unpack with the permissions that the archive names, which `extractall` forgets."""
    with zipfile.ZipFile(archive) as packed:
        for entry in packed.infolist():
            path = Path(packed.extract(entry, folder))
            if mode := entry.external_attr >> 16 & 0o777:
                path.chmod(mode)


def no_maven(java: int) -> Lacking:
    """Why nothing can be fetched with Maven, or not be run with at least this Java."""

    def lacking() -> str | None:
        return no_java(max(java, MAVEN_JAVA)) or (None if shutil.which("mvn") else "no Maven")

    return lacking
