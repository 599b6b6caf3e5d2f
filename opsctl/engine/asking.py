"""Questions to one backend, side by side, each with a deadline, all with another.

Must never raise for what a backend does, wait past a deadline, or go on asking a backend that answers nobody.
"""

from __future__ import annotations

import math
import queue
import threading
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Any, Literal, TypeVar

from opsctl.core.signals import Failed, Matrix, Reading, Reason, Vector
from opsctl.ports import MetricsSource

T = TypeVar("T")

_HOPELESS = frozenset({Reason.UNREACHABLE, Reason.DEADLINE, Reason.AUTH})
_HOPELESS_TOO = _HOPELESS - {Reason.DEADLINE}  # of many questions at once: one of them may be to blame
GIVE_UP_AFTER = 8
"""So many questions in a row without any answer at all, and the rest of the cycle's are not asked."""


class Asker:
    """Asks one source and keeps count of what it did; safe to call from several threads."""

    def __init__(self, source: MetricsSource, request_seconds: float, monotonic: Callable[[], float]) -> None:
        self.source = source
        self.request_seconds = request_seconds
        self.monotonic = monotonic
        self.deadline = math.inf
        self.questions = 0
        self.whole = 0
        self.first_failure: Failed[Any] | None = None
        self.partial: Failed[Any] | None = None
        self._in_vain = 0
        self._hopeless: Failed[Any] | None = None
        self._lock = threading.Lock()

    def instant(self, query: str, at: datetime) -> Reading[Vector]:
        """One question now, or why it was not asked."""
        return self.settled(self.attempt(query, at))

    def attempt(self, query: str, at: datetime, *, parts: int = 1, most_seconds: float = math.inf) -> Reading[Vector]:
        """A question that may be asked again in its parts: what comes of it is not held against the backend yet."""
        return self._ask(lambda left: self.source.instant(query, at, min(left, most_seconds)), parts)

    def settled(self, reading: Reading[T]) -> Reading[T]:
        """What a question finally came to."""
        if isinstance(reading, Failed):
            with self._lock:
                if reading.reason is Reason.PARTIAL:
                    self.partial = self.partial or reading
                else:
                    self.first_failure = self.first_failure or reading
        return reading

    def range(self, query: str, start: datetime, end: datetime, step: timedelta) -> Reading[Matrix]:
        """One look back, or why it was not made."""
        return self.settled(self._ask(lambda left: self.source.range(query, start, end, step, left)))

    def _ask(self, question: Callable[[float], Reading[T]], parts: int = 1) -> Reading[T]:
        left = min(self.request_seconds, self.deadline - self.monotonic())
        if left <= 0:
            return self.late()
        refused = self._refused()
        if refused is not None:
            return refused
        try:
            reading = question(left)
        except Exception as bug:  # noqa: BLE001  a source that breaks its contract must cost its own readings only
            reading = Failed(Reason.MALFORMED, f"{type(bug).__name__}: {bug}", self.source.name)
        self._count(reading, parts)
        return reading

    @property
    def open(self) -> bool:
        """Whether another question would be asked at all."""
        return self.monotonic() < self.deadline and self._refused() is None

    def late(self) -> Failed[Any]:
        """What a question becomes that the cycle's deadline overtook."""
        failed: Failed[Any] = Failed(Reason.DEADLINE, "no answer before the cycle's deadline", self.source.name)
        self.settled(failed)
        return failed

    def late_range(self, query: str, start: datetime, end: datetime, step: timedelta) -> Reading[Matrix]:
        """A look back that there is no time for."""
        return self.late()

    def _refused(self) -> Failed[Any] | None:
        """Why nothing more is asked: so many questions in a row got no answer at all."""
        with self._lock:
            first = self._hopeless
            if self.whole or first is None or self._in_vain < GIVE_UP_AFTER:
                return None
        message = f"not asked: {GIVE_UP_AFTER} questions got no answer ({first.message})"
        return Failed(first.reason, message, self.source.name)

    def _count(self, reading: Reading[Any], parts: int) -> None:
        with self._lock:
            self.questions += 1
            if not isinstance(reading, Failed):
                self.whole += 1
            elif reading.reason in (_HOPELESS if parts == 1 else _HOPELESS_TOO):
                self._in_vain += 1
                self._hopeless = self._hopeless or reading

    @property
    def asked(self) -> bool:
        """Whether anything was asked of it, or should have been."""
        return bool(self.whole or self.first_failure or self.partial)

    @property
    def silent(self) -> bool:
        """Whether nothing came whole of what was asked."""
        return self.asked and not self.whole

    def status(self) -> Literal["ok", "partial", "failed"]:
        """Failed when nothing came whole, partial when something did not."""
        if self.silent:
            return "failed" if self.first_failure else "partial"
        return "partial" if self.first_failure or self.partial else "ok"


def gather(
    tasks: Sequence[Callable[[], T]],
    late: Callable[[int], T],
    *,
    workers: int,
    deadline: float,
    monotonic: Callable[[], float],
    hang_up: Callable[[], None] | None = None,
) -> list[T]:
    """Every task's result, in order; what is not back by the deadline is `late(i)`, and `hang_up` frees its thread.

    One worker means the calling thread. The threads are daemons: one that hangs in a task keeps nobody waiting.
    """
    if workers <= 1 or (len(tasks) <= 1 and hang_up is None):
        return [task() if monotonic() < deadline else late(i) for i, task in enumerate(tasks)]
    return _Pool(tasks, min(workers, len(tasks))).results(late, deadline, monotonic, hang_up)


class _Pool:
    def __init__(self, tasks: Sequence[Callable[[], T]], workers: int) -> None:
        self.tasks = tasks
        self.waiting: queue.SimpleQueue[int] = queue.SimpleQueue()
        self.done: queue.SimpleQueue[tuple[int, Any, BaseException | None]] = queue.SimpleQueue()
        self.stopped = False
        for i in range(len(tasks)):
            self.waiting.put(i)
        for n in range(workers):
            threading.Thread(target=self._work, name=f"ask-{n}", daemon=True).start()

    def _work(self) -> None:
        while not self.stopped:
            try:
                i = self.waiting.get_nowait()
            except queue.Empty:
                return
            try:
                self.done.put((i, self.tasks[i](), None))
            except BaseException as wrong:  # noqa: BLE001  it is raised again in the thread that asked
                self.done.put((i, None, wrong))

    def results(
        self,
        late: Callable[[int], Any],
        deadline: float,
        monotonic: Callable[[], float],
        hang_up: Callable[[], None] | None,
    ) -> list[Any]:
        found: dict[int, Any] = {}
        while len(found) < len(self.tasks):
            left = deadline - monotonic()
            try:
                i, result, wrong = self.done.get(timeout=max(0.0, left)) if left > 0 else self.done.get_nowait()
            except queue.Empty:
                self.stopped = True
                if hang_up is not None:
                    hang_up()
                break
            if wrong is not None:
                self.stopped = True
                raise wrong
            found[i] = result
        return [found[i] if i in found else late(i) for i in range(len(self.tasks))]
