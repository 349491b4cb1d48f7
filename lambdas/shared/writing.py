"""The one way into the index, and the two ways an attempt ends: committed or failed."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

import orjson

from lambdas.shared.assets import FailedSegment, Segment, StoredObject, Work, vector_key
from lambdas.shared.catalog import Catalog
from lambdas.shared.derived import Derived
from lambdas.shared.errors import ConflictError, PermanentError, SupersededError
from lambdas.shared.metadata import Attributes, common_metadata, own_metadata
from lambdas.shared.records import Head
from lambdas.shared.vectors import Batch, StoredVector, Stores, Vector, make_vector


@dataclass(frozen=True)
class Described:
    """Segments of one asset, read as they are needed, with what the metadata of their vectors says of it.

    `profile` names the index that they belong in.
    """

    work: Work
    profile: str
    stored: StoredObject
    modality: str
    duration: float | None
    labels: Attributes
    segments: Iterable[Segment]


@dataclass
class Outcome:
    """What became of the segments of one attempt: the numbers that were put, per embedding type, and the failures."""

    numbers: dict[str, set[int]] = field(default_factory=lambda: defaultdict(set))
    failures: list[FailedSegment] = field(default_factory=list)

    @property
    def count(self) -> int:
        """Vectors in the index."""
        return sum(map(len, self.numbers.values()))

    @property
    def extent(self) -> dict[str, int]:
        """The last number per embedding type, failed ones included."""
        last = {embedding_type: max(numbers) for embedding_type, numbers in self.numbers.items() if numbers}
        for failure in self.failures:
            last[failure.embedding_type] = max(failure.number, last.get(failure.embedding_type, 0))
        return last


@dataclass(frozen=True)
class Writer:
    """The one way into the indexes. Every way to embed ends here."""

    stores: Stores
    catalog: Catalog
    derived: Derived

    def write_segments(self, described: Iterable[Described]) -> dict[Work, Outcome]:
        """Put segments, of one asset or of many, into the index of each; what was put, by the work it was put for.

        Work that may not write any more is left out from there on; what it has put is cleared as anything stale is. The
        generation record is raised before the put it covers, so whoever dies in between leaves a record of what may be
        there. Repeating it writes the same vectors again.
        """
        put: dict[Work, Outcome] = defaultdict(Outcome)
        refused: set[Work] = set()
        by_profile: dict[str, list[Described]] = defaultdict(list)
        for one in described:
            by_profile[one.profile].append(one)
        for profile, some in by_profile.items():
            store = self.stores[profile]
            for batch in store.batches(vector for one in some for vector in vectors_of(one)):
                refused |= self._cover(batch)
                allowed = [entry for entry in batch.entries if entry.work not in refused]
                if allowed:
                    store.put(batch if len(allowed) == len(batch.entries) else batch.with_only(allowed))
                for entry in allowed:
                    put[entry.work].numbers[entry.embedding_type].add(entry.number)
        return {work: outcome for work, outcome in put.items() if work not in refused}

    def commit(self, work: Work, outcome: Outcome, labels: Attributes) -> Head:
        """Make the generation live with its failures recorded, and clear the one it replaces; the head from then on.

        SupersededError if another is wanted by now: what this one wrote is deleted then. ConflictError if the head
        moved meanwhile, and it is worth another try.
        """
        self._count_earlier(work, outcome)
        self.catalog.record_failures(work, outcome.failures)
        head = self.catalog.commit(work, outcome.count, len(outcome.failures), outcome.extent, labels)
        return self._end(work, head)

    def fail(self, work: Work, error: PermanentError, outcome: Outcome) -> None:
        """Record why there is nothing to find, and clear what was written; errors as with `commit`.

        A failed retry of what is live leaves it live, with whatever it has put before it failed.
        """
        head = self.catalog.head(work.asset_id)
        if head and head.told and head.live_generation == work.generation:
            there = Outcome(failures=list(self.catalog.failures(head.told)))
            self._count_earlier(work, there)
            self.catalog.record_failures(work, there.failures)
            ended = self.catalog.commit(work, there.count, len(there.failures), there.extent, retry_failure=str(error))
        else:
            self.catalog.record_failures(work, outcome.failures, expires=True)
            ended = self.catalog.fail(work, error.status, str(error), len(outcome.failures), outcome.extent)
        self._end(work, ended)

    def relabel(self, head: Head) -> Head:
        """Put the vectors of what is live once more, with the attributes of the head; the head from then on.

        The model is not asked. One at a time: ConflictError when somebody else writes them, or the attributes change
        meanwhile. Who dies here leaves a mark that keeps others out until nothing more can come of him.
        """
        store = self.stores.get(head.live.profile) if head.live else None
        if head.live is None or store is None:  # there is nothing, or it lies in an index that is ours no more
            return head
        record = self.catalog.generation(head.asset_id, head.live.generation)
        if record is None or record.state != "live":
            raise ConflictError(f"{head.live.generation} of {head.key} is not live any more")
        # A retry may have begun, and been given up for other content: its attempt is the one that may write.
        work = Work(head.asset_id, head.live.generation, record.attempt)
        try:
            self.catalog.raise_highest(work, record.highest)
        except SupersededError as error:
            raise ConflictError(str(error)) from error
        try:
            if not self.catalog.is_alone(work):
                raise ConflictError(f"others write vectors of {work.name}")
            keys = _keys(work.asset_id, work.generation, record.highest)
            for batch in store.batches(_relabelled(work, head.labels, store.stored(keys))):
                store.put(batch)
            after = self.catalog.end_relabelling(head)
        finally:
            self.catalog.release(work)
        return after

    def give_up(self, work: Work) -> None:
        """End superseded work, which changes nothing but what it wrote: that is deleted."""
        self.catalog.release(work)
        self.clear_stale(work.asset_id)

    def clear_stale(self, asset_id: str) -> None:
        """Delete the vectors of every retired generation, by key range, what is derived from it, then what tells of it.

        Repeating it is harmless, and finishes what somebody who died left.
        """
        retired = self.catalog.retired_of(asset_id)
        head = self.catalog.head(asset_id) if retired else None
        for generation, record in retired:
            if store := self.stores.get(record.profile):  # else the index is ours no more: it goes as a whole
                store.delete(_keys(asset_id, generation, record.highest))
            if record.derived:
                self.derived.delete(asset_id, generation)
            if head is None or generation != head.wanted:  # else it has failed, and what failed is still to be read
                self.catalog.forget_details(asset_id, generation)
            self.catalog.forget_generation(asset_id, generation, record)

    def _end(self, work: Work, head: Head | None) -> Head:
        self.give_up(work)
        if head is None:
            raise SupersededError(f"{work.name} is not wanted any more")
        return head

    def _cover(self, batch: Batch) -> set[Work]:
        """Raise the records that the batch needs; the work that may not write any more."""
        highest: dict[Work, dict[str, int]] = defaultdict(dict)
        for entry in batch.entries:
            last = highest[entry.work]
            last[entry.embedding_type] = max(entry.number, last.get(entry.embedding_type, 0))
        refused = set()
        for work, numbers in highest.items():
            try:
                self.catalog.raise_highest(work, numbers)
            except SupersededError:
                self.catalog.release(work)
                refused.add(work)
        return refused

    def _count_earlier(self, work: Work, outcome: Outcome) -> None:
        """Count what is live already where a retry of it has nothing: it is in the index, and right.

        Deleting it instead would take from a later attempt, should this one be superseded just now.
        """
        record = self.catalog.generation(work.asset_id, work.generation) if work.attempt else None
        if record is None or record.state != "live":
            return
        for embedding_type, last in record.highest.items():
            gaps = set(range(last + 1)) - outcome.numbers[embedding_type]
            keys = {
                vector_key(work.asset_id, work.generation, embedding_type, number): number for number in sorted(gaps)
            }
            there = {keys[key] for key in self.stores[record.profile].existing(list(keys))}
            outcome.numbers[embedding_type] |= there
            outcome.failures = [
                one for one in outcome.failures if one.embedding_type != embedding_type or one.number not in there
            ]


def vectors_of(one: Described) -> Iterator[Vector]:
    """The segments as they are put."""
    common = orjson.dumps(common_metadata(one.stored, one.modality, one.duration, one.labels))[1:-1]
    for segment in one.segments:
        own = own_metadata(segment)
        yield make_vector(one.work, segment.embedding_type, segment.number, segment.embedding, common, own)


def _relabelled(work: Work, labels: Attributes, stored: Iterable[StoredVector]) -> Iterator[Vector]:
    common = orjson.dumps({**labels.indexed, "_asset_id": work.asset_id})[1:-1]
    for vector in stored:
        own = {name: value for name, value in vector.metadata.items() if name.startswith("_") and name != "_asset_id"}
        yield make_vector(work, vector.embedding_type, vector.number, orjson.dumps(vector.values), common, own)


def _keys(asset_id: str, generation: str, highest: Mapping[str, int]) -> list[str]:
    return [
        vector_key(asset_id, generation, embedding_type, number)
        for embedding_type, last in highest.items()
        for number in range(last + 1)
    ]
