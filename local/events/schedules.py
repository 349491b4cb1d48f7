"""Schedule expressions: `rate(5 minutes)` and `cron(0 3 ? * MON-FRI *)`, in UTC.

EventBridge user guide, "Setting a schedule pattern for scheduled rules".
"""

import calendar
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

_RATE = re.compile(r"rate\(([1-9]\d{0,8}) (minute|hour|day)(s?)\)")
_CRON = re.compile(r"cron\((\S+) (\S+) (\S+) (\S+) (\S+) (\S+)\)")
_UNITS = {"minute": 60, "hour": 3600, "day": 86400}
_MONTHS = {name: number for number, name in enumerate(calendar.month_abbr) if name}
_DAYS = {name: number for number, name in enumerate(("Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"), 1)}
_FIRST_YEAR, _LAST_YEAR = 1970, 2199

IsDue = Callable[[date], bool]


class InvalidScheduleError(ValueError):
    """No schedule expression."""


@dataclass(frozen=True)
class Rate:
    seconds: int

    def after(self, time: float) -> float | None:
        """The next time, in seconds since the epoch."""
        return time + self.seconds


@dataclass(frozen=True)
class Cron:
    minutes: frozenset[int]
    hours: frozenset[int]
    months: frozenset[int]
    years: frozenset[int]
    is_due: IsDue

    def after(self, time: float) -> float | None:
        """The next time, in seconds since the epoch; None when there is none any more."""
        start = datetime.fromtimestamp(time, UTC).replace(second=0, microsecond=0) + timedelta(minutes=1)
        times = [(hour, minute) for hour in sorted(self.hours) for minute in sorted(self.minutes)]
        day = self._day_from(start.date())
        while day:
            for hour, minute in times:
                found = datetime(day.year, day.month, day.day, hour, minute, tzinfo=UTC)
                if found >= start:
                    return found.timestamp()
            day = self._day_from(day + timedelta(days=1))
        return None

    def _day_from(self, day: date) -> date | None:
        while day.year <= _LAST_YEAR:
            if day.year not in self.years:
                day = date(day.year + 1, 1, 1)
            elif day.month not in self.months:
                day = (day.replace(day=1) + timedelta(days=32)).replace(day=1)
            elif self.is_due(day):
                return day
            else:
                day += timedelta(days=1)
        return None


def parse_schedule(expression: str) -> Rate | Cron:
    if found := _RATE.fullmatch(expression):
        count, unit, plural = int(found[1]), found[2], found[3]
        if (count == 1) == bool(plural):
            raise InvalidScheduleError(expression)
        return Rate(count * _UNITS[unit])
    if found := _CRON.fullmatch(expression):
        minutes, hours, days, months, weekdays, years = found.groups()
        return Cron(
            _numbers(minutes, 0, 59),
            _numbers(hours, 0, 23),
            _numbers(months, 1, 12, _MONTHS),
            _numbers(years, _FIRST_YEAR, _LAST_YEAR),
            _days(days, weekdays),
        )
    raise InvalidScheduleError(expression)


def _days(days: str, weekdays: str) -> IsDue:
    """One of the two says which days; the other must be a question mark."""
    if (days == "?") == (weekdays == "?"):
        raise InvalidScheduleError(f"{days} {weekdays}")
    return _by_weekday(weekdays) if days == "?" else _by_day(days)


def _by_day(field: str) -> IsDue:
    if field == "L":
        return lambda day: day.day == _length(day)
    if field == "LW":
        return lambda day: day == _nearest_weekday(day.replace(day=_length(day)))
    if found := re.fullmatch(r"(\d{1,2})W", field):
        (wanted,) = _numbers(found[1], 1, 31)
        return lambda day: wanted <= _length(day) and day == _nearest_weekday(day.replace(day=wanted))
    numbers = _numbers(field, 1, 31)
    return lambda day: day.day in numbers


def _by_weekday(field: str) -> IsDue:
    if field == "L":
        return lambda day: _weekday(day) == _DAYS["Sat"]
    if found := re.fullmatch(r"(\w+)L", field):
        (last,) = _numbers(found[1], 1, 7, _DAYS)
        return lambda day: _weekday(day) == last and day.day + 7 > _length(day)
    if found := re.fullmatch(r"(\w+)#([1-5])", field):
        (wanted,), which = _numbers(found[1], 1, 7, _DAYS), int(found[2])
        return lambda day: _weekday(day) == wanted and (day.day - 1) // 7 + 1 == which
    numbers = _numbers(field, 1, 7, _DAYS)
    return lambda day: _weekday(day) in numbers


def _length(day: date) -> int:
    return calendar.monthrange(day.year, day.month)[1]


def _weekday(day: date) -> int:
    """1 is Sunday."""
    return day.isoweekday() % 7 + 1


def _nearest_weekday(day: date) -> date:
    """Monday to Friday, in the same month."""
    if day.isoweekday() == 6:
        return day - timedelta(days=1) if day.day > 1 else day + timedelta(days=2)
    if day.isoweekday() == 7:
        return day + timedelta(days=1) if day.day < _length(day) else day - timedelta(days=2)
    return day


def _numbers(field: str, low: int, high: int, names: dict[str, int] | None = None) -> frozenset[int]:
    return frozenset(number for part in field.split(",") for number in _part(part, low, high, names or {}))


def _part(part: str, low: int, high: int, names: dict[str, int]) -> range:
    span, slash, step = part.partition("/")
    first, dash, last = span.partition("-")
    if span == "*":
        start, end = low, high
    else:
        start = _number(first, names)
        end = _number(last, names) if dash else high if slash else start
    stride = _number(step, {}) if slash else 1
    if not low <= start <= end <= high or stride < 1:
        raise InvalidScheduleError(part)
    return range(start, end + 1, stride)


def _number(text: str, names: dict[str, int]) -> int:
    if text.isascii() and text.isdigit():
        return int(text)
    if text.capitalize() in names:
        return names[text.capitalize()]
    raise InvalidScheduleError(text)
