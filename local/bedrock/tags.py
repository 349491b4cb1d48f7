"""The tags of jobs."""

from collections.abc import Iterable, Mapping

from local.state import State
from local.wire import AwsError

MAX_TAGS = 50  # of a resource, those it has and those that come

_SCHEMA = """
CREATE TABLE IF NOT EXISTS bedrock_tags (
    arn TEXT NOT NULL,
    key TEXT NOT NULL,
    value TEXT NOT NULL,
    PRIMARY KEY (arn, key)
);
"""


class Tags:
    """By the ARN of what they are on; whether there is such a thing is the caller's to know."""

    def __init__(self, state: State) -> None:
        state.create(_SCHEMA)
        self._state = state

    def first(self, arn: str, tags: Iterable[Mapping[str, str]]) -> None:
        """The tags of something new, whose operation does not know `TooManyTagsException`."""
        try:
            self.add(arn, tags)
        except AwsError as error:
            raise AwsError("ValidationException", error.message) from error

    def add(self, arn: str, tags: Iterable[Mapping[str, str]]) -> None:
        """A part of the caller's transaction. Raises `TooManyTagsException`."""
        with self._state.transaction() as db:
            rows = [(arn, tag["key"], tag["value"]) for tag in tags]
            db.executemany("INSERT OR REPLACE INTO bedrock_tags VALUES (?, ?, ?)", rows)
            if len(self.list(arn)) > MAX_TAGS:
                message = f"A resource has at most {MAX_TAGS} tags"
                raise AwsError("TooManyTagsException", message, 400, resourceName=arn)

    def remove(self, arn: str, keys: Iterable[str]) -> None:
        with self._state.transaction() as db:
            db.executemany("DELETE FROM bedrock_tags WHERE arn = ? AND key = ?", [(arn, key) for key in keys])

    def list(self, arn: str) -> list[dict[str, str]]:
        with self._state.transaction() as db:
            rows = db.execute("SELECT key, value FROM bedrock_tags WHERE arn = ? ORDER BY key", (arn,)).fetchall()
        return [dict(row) for row in rows]
