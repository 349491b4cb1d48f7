"""Header names and form fields, whose case does not count."""

from collections.abc import Iterable, Iterator, Mapping


class Headers(Mapping[str, str]):
    """Looks up in any case and iterates in lower case; the values of a repeated name are joined by commas."""

    def __init__(self, pairs: Iterable[tuple[str, str]]) -> None:
        self._values: dict[str, str] = {}
        for name, value in pairs:
            name = name.lower()
            self._values[name] = f"{self._values[name]},{value}" if name in self._values else value

    def __getitem__(self, name: str) -> str:
        return self._values[name.lower()]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)
