"""What happens in every trace of one kind in one minute: when each operation begins, how long it takes, what fails.

The same arithmetic as `model.py`'s, for single requests: times are drawn around the model's means, a request fails when
its service refuses it, breaks, or a call of it failed; what would have come after is not done.
All arrays are (traces,); times are seconds from the trace's start.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from opsctl.demo.controls import Bools
from opsctl.demo.faults import REGIONS
from opsctl.demo.fleet import LAG_SECONDS, LAG_SECONDS_UNSERVED
from opsctl.demo.model import State
from opsctl.demo.noise import Floats, Ids, series_id, uniform
from opsctl.demo.play import EXPIRED_SHARE
from opsctl.demo.telemetry.draw import Draw, Ints, trace_words
from opsctl.demo.telemetry.people import People, people
from opsctl.demo.telemetry.rates import Asked, asked, networks
from opsctl.demo.telemetry.shapes import Step
from opsctl.demo.topology import NODE, NODES

FINE, BROKEN, REFUSED, CALLEE, SILENT, NO_HOME, SHED, STUCK = range(8)
"""Why an operation failed; SHED is an answer, not an error. STUCK waited for a connection until its time was over."""
_SLOW = 0.5  # share of a wait that is the datastore's doing from which refusals are its doing too


@dataclass(slots=True)
class Row:
    """One operation in all traces of a plan."""

    step: Step
    parent: int | None  # the row above
    present: Bools
    start: Floats
    seconds: Floats
    why: Ints

    @property
    def failed(self) -> Bools:
        """Where it ended in an error."""
        failed: Bools = (self.why != FINE) & (self.why != SHED)
        return failed


@dataclass(slots=True)
class Plan:
    """All traces of one kind in one minute; `begin` is microseconds since the epoch."""

    asked: Asked
    region: Ints
    begin: Ints
    high: Ids
    low: Ids
    people: People
    login: Ints  # row of LOGIN_REASONS; 0 where it is no log-in
    expired: Bools  # a matchmaking ticket that nobody took in time
    verdict: Ints  # index into the shape's verdicts, or -1
    spare: Ids  # 64 random bits for what else a trace needs
    rows: list[Row]

    @property
    def count(self) -> int:
        """Traces."""
        return len(self.begin)


@dataclass(frozen=True, slots=True)
class _Flow:
    """One service in one minute, by region."""

    own: float
    store: Floats
    wait: Floats
    slow: Floats  # share of the wait that its datastores cause
    surplus: Floats
    error_ratio: float
    variation: float


class Planner:
    """Plans minutes under one seed."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._keys: dict[str, int] = {}

    def plans(self, state: State) -> list[Plan]:
        """Every kind's traces in the minute of `state`, which has just one."""
        minute = int(state.minutes[0])
        flows = _flows(state)
        hidden = {"chat"} if bool(state.levels.chat_gone[0]) else set()
        found = (self._plan(one, state, minute, flows, hidden) for one in asked(state))
        return [plan for plan in found if plan is not None]

    def _plan(self, one: Asked, state: State, minute: int, flows: Mapping[str, _Flow], hidden: set[str]) -> Plan | None:
        key = self._key(one.name)
        keys = np.array([key ^ number for number in range(len(REGIONS))], dtype=np.uint64)
        kept = one.kept(state.curve[:, 0], uniform(keys, state.minutes)[:, 0])
        count = int(kept.sum())
        if count == 0:
            return None
        draw = Draw(key, minute, count)
        region = np.repeat(np.arange(len(REGIONS)), kept)
        begin = (minute - 1) * 60_000_000 + (draw.uniform() * 60_000_000).astype(np.int64)
        high, low = trace_words(draw, minute)
        network, login = networks(draw, one.mix, region)
        verdict = _verdicts(draw, one.shape.verdicts)
        who, spare = people(draw, network), draw.words()
        unserved = state.flows["matchmaking"].surplus[:, 0][region]
        expired = draw.uniform() < np.maximum(unserved, EXPIRED_SHARE)
        plan = Plan(one, region, begin, high, low, who, login, expired, verdict, spare, [])
        _Walk(plan, draw, flows, unserved).run()
        if hidden:
            _hide(plan.rows, hidden)
        return plan

    def _key(self, name: str) -> int:
        if name not in self._keys:
            self._keys[name] = series_id(self._seed, f"traces/{name}")
        return self._keys[name]


def _verdicts(draw: Draw, verdicts: Sequence[tuple[str, float]]) -> Ints:
    chosen = draw.pick([share for _, share in verdicts])
    return np.where(chosen < len(verdicts), chosen, -1)


def _flows(state: State) -> Mapping[str, _Flow]:
    found = {}
    for node in NODES:
        flow = state.flows[node.name]
        store = flow.store[:, 0]
        slow = 1.0 - node.store_seconds / store if node.store_seconds else np.zeros(store.shape)
        surplus = flow.surplus[:, 0] if node.name != "matchmaking" else np.zeros(store.shape)
        found[node.name] = _Flow(
            node.own_seconds, store, flow.wait[:, 0], slow, surplus, node.error_ratio, node.variation
        )
    return found


@dataclass(slots=True)
class _Inside:
    """What a service's operation gives its own parts; the first request to a datastore takes the wait for one."""

    own: Floats
    store: Floats
    pooled: Floats  # waiting for a connection of its datastore
    stuck: Bools  # until it gives up


@dataclass(slots=True)
class _Walk:
    """Walks down the operations of a plan, filling its rows."""

    plan: Plan
    draw: Draw
    flows: Mapping[str, _Flow]
    unserved: Floats  # share of matchmaking tickets that nobody takes

    def run(self) -> None:
        """From the root on."""
        plan, zero = self.plan, np.zeros(self.plan.count)
        nowhere = np.zeros(plan.count, dtype=np.bool_)
        root = plan.asked.shape.root
        if plan.asked.variant:
            self._edge_only(root, zero, ~nowhere)
        else:
            self._walk(root, None, zero, ~nowhere, _Inside(zero, zero, zero, nowhere))

    def _edge_only(self, root: Step, zero: Floats, everywhere: Bools) -> None:
        """Requests that the gateway answers by itself."""
        why = {"orphan": NO_HOME, "shed": SHED}.get(self.plan.asked.variant, FINE)
        seconds = NODE["gateway"].own_seconds * self.draw.stretch(NODE["gateway"].variation)
        whys = np.full(self.plan.count, why, dtype=np.int64)
        self.plan.rows.append(Row(root, None, everywhere, zero, seconds, whys))

    def _walk(self, step: Step, parent: int | None, start: Floats, present: Bools, inside: _Inside) -> Row:
        """Adds the operation's row and those below it."""
        row = Row(step, parent, present, start, start, np.zeros(self.plan.count, dtype=np.int64))
        number = len(self.plan.rows)
        self.plan.rows.append(row)
        match step.timing:
            case "store":
                self._store(step, row, inside)
                self._consume(step, number, row)
            case "part":
                used = inside.own * step.share
                row.seconds = used + self._in_turn(step, number, start + 0.5 * used, row, inside)
            case "proxy":
                self._proxy(step, number, row, inside.own * step.share * 0.5)
            case _:
                self._serve(step, number, row)
        return row

    def _store(self, step: Step, row: Row, inside: _Inside) -> None:
        """A request to a datastore, with the wait for a connection."""
        stuck = row.present & inside.stuck
        row.seconds = inside.pooled + np.where(stuck, 0.0, inside.store * step.share)
        row.why = np.where(stuck, STUCK, FINE)
        inside.pooled, inside.stuck = np.zeros(self.plan.count), np.zeros(self.plan.count, dtype=np.bool_)

    def _consume(self, step: Step, number: int, sent: Row) -> None:
        """Who takes the message later; nobody waits for that."""
        for worker in step.steps:
            lag = (LAG_SECONDS + LAG_SECONDS_UNSERVED * self.unserved) * self.draw.stretch(0.4)
            start = sent.start + sent.seconds + lag
            whys = np.zeros(self.plan.count, dtype=np.int64)
            self.plan.rows.append(Row(worker, number, sent.present, start, 0.008 * self.draw.stretch(0.5), whys))

    def _proxy(self, step: Step, number: int, row: Row, gap: Floats) -> None:
        """The gateway's request to a service, which may never answer."""
        (callee,) = step.steps
        hung = row.present & (self.draw.uniform() < self.plan.asked.hung[self.plan.region])
        nothing = np.zeros(self.plan.count)
        empty = _Inside(nothing, nothing, nothing, np.zeros(self.plan.count, dtype=np.bool_))
        answer = self._walk(callee, number, row.start + gap, row.present & ~hung, empty)
        row.seconds = 2.0 * gap + answer.seconds
        row.why = np.where(hung, SILENT, np.where(answer.failed, CALLEE, FINE))

    def _serve(self, step: Step, number: int, row: Row) -> None:
        """An operation of a service: it waits, works, asks others in turn, works."""
        flow, region = self.flows[step.node or step.service], self.plan.region
        stretch = self.draw.stretch(flow.variation)
        wait = flow.wait[region] * self.draw.stretch(0.25)
        own, store = flow.own * stretch, flow.store[region] * stretch
        turned_down = row.present & (self.draw.uniform() < flow.surplus[region])
        broken = row.present & (self.draw.uniform() < flow.error_ratio)
        stores = any(below.timing == "store" for below in step.steps)
        pooled = wait * flow.slow[region] if stores else np.zeros(len(wait))
        stuck = turned_down & (flow.slow[region] > _SLOW) if stores else np.zeros(len(wait), dtype=np.bool_)
        row.why = np.where(turned_down & ~stuck, REFUSED, np.where(broken, BROKEN, FINE))
        spent = sum(below.share for below in step.steps if below.timing != "store")
        around = 0.5 * own * (1.0 - spent)
        before = wait - pooled + around
        below = self._in_turn(step, number, row.start + before, row, _Inside(own, store, pooled, stuck))
        row.seconds = before + below + np.where(row.why == REFUSED, 0.0, around)

    def _in_turn(self, step: Step, number: int, begin: Floats, row: Row, inside: _Inside) -> Floats:
        """The operations below, one after the other, until one fails; answers what they took together."""
        cursor = begin
        for below in step.steps:
            goes = row.present & (row.why == FINE) & self._chosen(below)
            done = self._walk(below, number, cursor, goes, inside)
            cursor = cursor + np.where(goes, done.seconds, 0.0)
            row.why = np.where(goes & done.failed, CALLEE, row.why)
        return cursor - begin

    def _chosen(self, step: Step) -> Bools:
        """Which requests come to this operation by chance, and were not turned down before."""
        everyone: Bools = np.ones(self.plan.count, dtype=np.bool_)
        chance = step.chance
        if step.only_accepted:
            accepted = 1.0 - sum(share for _, share in self.plan.asked.shape.verdicts)
            chance = min(chance / accepted, 1.0)
            everyone = self.plan.verdict < 0
        return everyone & (self.draw.uniform() < chance) if chance < 1.0 else everyone


def _hide(rows: list[Row], services: set[str]) -> None:
    """What a service does not export, nor anybody below it, is not there."""
    hidden: set[int] = set()
    for number, row in enumerate(rows):
        if row.step.service in services or row.parent in hidden:
            hidden.add(number)
            row.present = np.zeros_like(row.present)
