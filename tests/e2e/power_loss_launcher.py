"""Plays the story on a recorded disk and lets the power fail at one moment after the other.

    python -m tests.e2e.power_loss_launcher PLOT FAULT PART PARTS

It records the plot once, looks at its share of the moments, and prints what it found as JSON. From each state that a
disk may be in then, the shipped journal is opened and asked for what was promised, and the story goes on to its end.
"""

from __future__ import annotations

import copy
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence, Set
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from opsctl.adapters.journal import SqliteJournal
from opsctl.core.keys import key_of
from tests.e2e.kill_launcher import MINUTES
from tests.e2e.power_loss import Disk, Event, Image, Said, moments, write_image
from tests.e2e.power_loss_shim import Recorder
from tests.e2e.power_loss_story import (
    KEYS,
    NAMESPACE,
    Committed,
    Dump,
    ForgetfulJournal,
    Remote,
    SplitJournal,
    Story,
    ToldJournal,
    World,
    dump,
    triggered,
    write_first_journal,
    wrongly_paged,
)
from tests.unit.paging.world import SteppedClock, alert

FOLDER = "state"
FILE = f"{FOLDER}/journal.sqlite3"
CORRUPT: Image = {FOLDER: None, FILE: b"not a journal" * 1000, f"{FILE}-wal": b"nor its log" * 500}

PLOTS = {
    "cron": "each run opens the journal and closes it",
    "daemon": "one process, with checkpoints and a vacuum on the way; somebody else made the folder and synced nothing",
    "corrupt": "the file that is there is no journal",
    "upgraded": "the file that is there is of the first opsctl, with an open incident",
    "twice": "the power fails again while the story goes on",
}
MOST_MOMENTS = {"cron": 400, "daemon": 400, "corrupt": 180, "upgraded": 180}
SECOND_LOSSES = 12
LATE = ((30, 40), (90, 100))  # the minutes of the runs after a longer loss; `not_after` is one hour
GO_ON_EVERY = 4  # of the states that differ on the disk; of those that differ in what they mean, from each


@dataclass(frozen=True)
class Fault:
    """What is made worse than it is, to see that it is noticed."""

    level: str = "FULL"
    lies: frozenset[str] = frozenset()  # the kinds of sync that do nothing
    journal: type[ToldJournal] = ToldJournal


FAULTS = {
    "none": Fault(),
    "synchronous=NORMAL": Fault(level="NORMAL"),
    "synchronous=OFF": Fault(level="OFF"),
    "file syncs lie": Fault(lies=frozenset({"files"})),
    "folder syncs lie": Fault(lies=frozenset({"folders"})),
    "request before attempt": Fault(journal=ForgetfulJournal),
    "alert before outbox": Fault(journal=SplitJournal),
}


# -- recording


@dataclass
class Recording:
    """What was on the disk and known to the world, and what happened then."""

    before: Image
    start: World
    events: list[Event]


def record(plot: str, fault: Fault, root: Path, before: Image | None = None, start: World | None = None) -> Recording:
    """Play the plot in that empty folder, from the files and the knowledge given."""
    start = start or World([frozenset()])
    before = before or (CORRUPT if plot == "corrupt" else {})
    daemon = plot == "daemon"
    level = f"synchronous={fault.level}"
    if daemon:  # else a checkpoint comes after 1,000 pages: not in half an hour
        level += "; PRAGMA wal_autocheckpoint=40"
    recorder = Recorder(root, lambda sql: sql.replace("synchronous=FULL", level))
    write_image(before, root)

    def opened(clock: SteppedClock) -> SqliteJournal:
        return fault.journal(root / FOLDER, NAMESPACE, clock.now).telling(recorder.say)

    remote = Remote(recorder.say, start.arrived, faults=not start.arrived)
    with recorder.recording():
        if daemon:
            os.mkdir(root / FOLDER)
        story = Story(opened, remote, recorder.say, one_process=daemon)
        last = 1 if plot in ("corrupt", "upgraded") else MINUTES[-1]
        story.run([minute for minute in MINUTES if start.minute <= minute <= last])
    said = [event.what for event in recorder.events if isinstance(event, Said)]
    states = [start.states[0], *(what.rows for what in said if isinstance(what, Committed))]
    return Recording(before, replace(start, states=states), recorder.events)


def played(recording: Recording, lies: frozenset[str], wanted: Sequence[int]) -> Iterator[tuple[int, Disk, World]]:
    """The disk and the world at each of these moments."""
    disk, world = Disk(recording.before, lies), copy.deepcopy(recording.start)
    for number in range(len(recording.events) + 1):
        if number in wanted:
            yield number, disk, world
        if number < len(recording.events):
            event = recording.events[number]
            disk.apply(event)
            if isinstance(event, Said):
                world.hear(event.what)


# -- looking at every moment


@dataclass
class Findings:
    """What was looked at, and what was wrong."""

    events: int = 0
    syncs: int = 0  # of files and folders, in the recording
    moments: int = 0
    images: int = 0  # states of the disk, over all moments
    reopened: int = 0  # different ones
    continued: int = 0  # from which the story went on to its end
    broken: dict[str, int] = field(default_factory=dict)  # promise -> how often
    first: list[str] = field(default_factory=list)

    def add(self, where: str, wrong: Iterator[str]) -> None:
        for text in wrong:
            name = text.split(":")[0]
            self.broken[name] = self.broken.get(name, 0) + 1
            if len(self.first) < 20:
                self.first.append(f"{where}: {text}")


@dataclass
class Reopened:
    """A journal found after a power loss."""

    rows: Dump
    problem: str | None
    unsound: tuple[str, ...]


class Examiner:
    """Reopens each image once with the journal as shipped, and goes on from it."""

    def __init__(self, plot: str, scratch: Path) -> None:
        self.evidence = CORRUPT[FILE] if plot == "corrupt" else None  # must not get lost
        self.one_process = plot == "daemon"
        self.scratch = scratch
        self.found = Findings()
        self._reopened: dict[str, Reopened] = {}
        self._continued: set[Any] = set()

    def examine(self, recording: Recording, lies: frozenset[str], wanted: Sequence[int]) -> None:
        """Every image at these moments."""
        self.found.events += len(recording.events)
        self.found.syncs += sum(type(event).__name__.startswith("Synced") for event in recording.events)
        self.found.moments += len(wanted)
        for number, disk, world in played(recording, lies, wanted):
            for mark, name, image in disk.images():
                self._look(f"after event {number}, {name}", mark, image, world)

    def _look(self, where: str, mark: str, image: Image, world: World) -> None:
        self.found.images += 1
        new = mark not in self._reopened
        if new:
            self.found.reopened += 1
            self._reopened[mark] = self.reopen(image)
        reopened = self._reopened[mark]
        self.found.add(where, self._promises(image, reopened, world))
        then = (reopened.rows, tuple(world.arrived), world.minute)
        if then not in self._continued or (new and self.found.reopened % GO_ON_EVERY == 0):
            self._go_on(where, image, reopened, world, late=then not in self._continued)
            self._continued.add(then)

    def _promises(self, image: Image, reopened: Reopened, world: World) -> Iterator[str]:
        if self.evidence and self.evidence not in image.values():
            yield "evidence: the file that is no journal is gone"
        yield from self._said(reopened.problem, world)
        yield from (f"sound: {text}" for text in reopened.unsound)
        yield from world.broken(reopened.rows)

    def _said(self, problem: str | None, world: World) -> Iterator[str]:
        """What the journal says is wrong with it, unless the story began with that and nothing was promised yet."""
        if problem and (world.committed or not self.evidence):
            yield f"sound: {problem}"

    def reopen(self, image: Image) -> Reopened:
        """What a journal finds."""
        with self._disk(image) as folder:
            try:
                journal = SqliteJournal(Path(folder) / FOLDER, NAMESPACE, SteppedClock().now)
                found = Reopened(journal.read(dump), journal.problem, journal.integrity())
            except Exception as wrong:  # noqa: BLE001 - whatever it is, a journal that does not open is a finding
                return Reopened(frozenset(), f"{type(wrong).__name__}: {wrong}", ())
            journal.close()
            return found

    def _go_on(self, where: str, image: Image, reopened: Reopened, world: World, *, late: bool) -> None:
        """The power is back at once; it is also back late, when all is over, or so late that nothing is sent."""
        at_once = [minute for minute in MINUTES if minute >= world.minute]
        self._end(f"{where}, at once", image, world, at_once, KEYS)
        for minutes in LATE if late else ():
            self._end(f"{where}, minute {minutes[0]}", image, world, minutes, triggered(reopened.rows))

    def _end(self, where: str, image: Image, world: World, when: Sequence[int], expected: Set[str]) -> None:
        self.found.continued += 1
        self.found.add(where, self._wrong_at_the_end(image, world, when, expected))

    def _wrong_at_the_end(self, image: Image, world: World, when: Sequence[int], expected: Set[str]) -> Iterator[str]:
        remote = Remote(lambda _: None, world.arrived)
        with self._disk(image) as folder:
            path = Path(folder) / FOLDER
            story = Story(
                lambda clock: SqliteJournal(path, NAMESPACE, clock.now), remote, lambda _: None, self.one_process
            )
            try:
                problem = story.run(when)
            except Exception as wrong:  # noqa: BLE001 - whatever it is, a run that cannot go on is a finding
                yield f"going on: {type(wrong).__name__}: {wrong}"
                return
        yield from self._said(problem, world)
        yield from wrongly_paged(remote.arrived, expected - story.undelivered)

    def _disk(self, image: Image) -> tempfile.TemporaryDirectory[str]:
        folder = tempfile.TemporaryDirectory(dir=self.scratch)
        write_image(image, Path(folder.name))
        return folder


def examine(plot: str, fault_name: str, part: int, parts: int) -> Findings:
    """Record the plot and look at this part of its moments."""
    fault = FAULTS[fault_name]
    shared = Path("/dev/shm")  # where there is one, the syncs of reopened journals cost nothing
    with tempfile.TemporaryDirectory(dir=shared if shared.is_dir() else None) as folder:
        scratch = Path(folder).resolve()
        (scratch / "recorded").mkdir()
        examiner = Examiner(plot, scratch)
        before, start = _upgrade(examiner) if plot == "upgraded" else (None, None)
        recording = record("cron" if plot == "twice" else plot, fault, scratch / "recorded", before, start)
        if plot == "twice":
            _second_losses(examiner, recording, part, parts)
        else:
            examiner.examine(recording, fault.lies, moments(recording.events, MOST_MOMENTS[plot])[part::parts])
        return examiner.found


def _upgrade(examiner: Examiner) -> tuple[Image, World]:
    """The first opsctl's journal, and the world that knows of its page."""
    path = examiner.scratch / "first.sqlite3"
    write_first_journal(path)
    before: Image = {FOLDER: None, FILE: path.read_bytes()}
    return before, World([examiner.reopen(before).rows], arrived=[("trigger", key_of(NAMESPACE, alert("pay")))])


def _second_losses(examiner: Examiner, first: Recording, part: int, parts: int) -> None:
    """From some images of the first loss the rest is recorded too, and the power fails at some moments of it."""
    boundaries = moments(first.events, 0)
    losses = [boundaries[(2 * n + 1) * len(boundaries) // (2 * SECOND_LOSSES)] for n in range(SECOND_LOSSES)]
    for number, disk, world in played(first, frozenset(), losses[part::parts]):
        *_, (_, _, image) = disk.images()
        rows = examiner.reopen(image).rows
        root = examiner.scratch / f"second-{number}"
        root.mkdir()
        start = replace(copy.deepcopy(world), states=[rows], committed=0)
        second = record("cron", FAULTS["none"], root, image, start)
        examiner.examine(second, frozenset(), moments(second.events, 0)[number % 10 :: 10])
        shutil.rmtree(root)


def main(plot: str, fault: str, part: str, parts: str) -> int:
    """Print the findings."""
    sys.stdout.write(json.dumps(asdict(examine(plot, fault, int(part), int(parts)))) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
