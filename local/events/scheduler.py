"""Rules that fire by the clock."""

import threading
from collections.abc import Callable

from local import clock
from local.events.rules import Rule, Rules
from local.state import State

_SCHEMA = """
CREATE TABLE IF NOT EXISTS events_schedules (
    rule TEXT PRIMARY KEY, expression TEXT NOT NULL, next REAL -- NULL: never again
) WITHOUT ROWID;
"""
_IDLE_SECONDS = 3600.0


class Scheduler:
    """Calls `fire` with each due rule and the time it was due at, in the transaction that notes when it is due again.

    The time of the next run survives a restart: one that was missed while nothing ran is made up for, once.
    """

    def __init__(self, state: State, rules: Rules, fire: Callable[[Rule, float], None]) -> None:
        self._state, self._rules, self._fire = state, rules, fire
        self._stopped = threading.Event()
        self._bell = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True, name="events-schedule")
        state.create(_SCHEMA)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopped.set()
        self._bell.set()
        if self._thread.is_alive():
            self._thread.join(1)

    def wake(self) -> None:
        """The rules changed."""
        self._bell.set()

    def fire_due(self) -> float:
        """Fire what is due; when to look again."""
        scheduled = {rule.name: rule for rule in self._rules.all() if rule.enabled and rule.schedule}
        self._forget_all_but(set(scheduled))
        times = [self._fire_if_due(rule) for rule in scheduled.values()]
        return min((time for time in times if time is not None), default=clock.now() + _IDLE_SECONDS)

    def _run(self) -> None:
        while not self._stopped.is_set():
            self._bell.clear()
            clock.wait(min(self.fire_due() - clock.now(), _IDLE_SECONDS), self._bell)

    def _fire_if_due(self, rule: Rule) -> float | None:
        """When the rule is due next."""
        assert rule.schedule
        now, expression = clock.now(), rule.definition["ScheduleExpression"]
        with self._state.transaction() as db:
            query = "SELECT next FROM events_schedules WHERE rule = ? AND expression = ?"
            row = db.execute(query, (rule.name, expression)).fetchone()
            due: float | None = row["next"] if row else rule.schedule.after(now)
            if row and due is not None and due <= now:
                self._fire(rule, due)
                missed = rule.schedule.after(due)
                due = missed if missed is None or missed > now else rule.schedule.after(now)
            db.execute("INSERT OR REPLACE INTO events_schedules VALUES (?, ?, ?)", (rule.name, expression, due))
        return due

    def _forget_all_but(self, names: set[str]) -> None:
        """A disabled rule starts afresh when it is enabled again."""
        with self._state.transaction() as db:
            for row in db.execute("SELECT rule FROM events_schedules").fetchall():
                if row["rule"] not in names:
                    db.execute("DELETE FROM events_schedules WHERE rule = ?", (row["rule"],))
