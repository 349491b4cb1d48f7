"""How near every part of one asset is to a query."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from time import perf_counter

from lambdas.search.answers import Heat, HeatAnswer, Scores
from lambdas.search.caller import Caller
from lambdas.search.embeddings import Embeddings
from lambdas.search.errors import RequestError
from lambdas.search.listing import known
from lambdas.search.ranking import Similarity, cosine_to
from lambdas.search.requests import HeatRequest
from lambdas.search.search import Stages
from lambdas.shared.assets import vector_key
from lambdas.shared.catalog import Catalog
from lambdas.shared.nova import PURPOSES
from lambdas.shared.profiles import Profiles
from lambdas.shared.vectors import KEYS_A_GET, StoredVector, Stores, VectorStore

READERS = 4  # side by side; a hundred vectors are 2 MB


@dataclass(frozen=True)
class HeatMap:
    """`answer` reads the asset's vectors by their keys: the index is not searched."""

    profiles: Profiles
    embeddings: Embeddings
    stores: Stores
    catalog: Catalog

    def answer(self, caller: Caller, asset_id: str, request: HeatRequest) -> HeatAnswer:
        """RequestError 404 where there is no such asset, 422 where the query is of another profile."""
        stages = Stages()
        head = known(self.catalog, caller, asset_id)
        if not request.query.parts:
            raise RequestError("a query has a text, image, audio, video, asset or vector", "query")
        profile = self.profiles.of(head.live.profile) if head.live else None
        if profile is None or head.live is None:
            return self._shown(head.asset_id, head.key, head.modality, [], stages)
        bound = self.embeddings.bound(caller, request.query)
        if bound and self.profiles.named[bound].name != profile.name:
            raise RequestError("the query is of another profile than the asset: their vectors do not compare", "query")
        since = perf_counter()
        purpose = request.purpose or PURPOSES.get(head.modality or "", "GENERIC_RETRIEVAL")
        sources = self.embeddings.sources(request.query)
        similarity = cosine_to(self.embeddings.vector(caller, request.query, sources, profile, purpose))
        stages.measure("embed", since)
        since = perf_counter()
        names = [(name, number) for name, last in sorted(head.extent.items()) for number in range(last + 1)]
        keys = [vector_key(head.asset_id, head.live.generation, name, number) for name, number in names]
        found = _warmth(self.stores[profile.name], keys, similarity)
        stages.measure("vectors", since)
        return self._shown(head.asset_id, head.key, head.live.modality, found, stages)

    def _shown(self, asset_id: str, key: str, modality: str | None, segments: list[Heat], stages: Stages) -> HeatAnswer:
        return HeatAnswer(
            asset_id=asset_id,
            key=key,
            modality=modality,
            segments=segments,
            took_ms=stages.total,
            stages_ms=stages.spent,
        )


def _warmth(store: VectorStore, keys: list[str], similarity: Similarity) -> list[Heat]:
    """Of those that are there, in the order of their names and numbers."""

    def some(start: int) -> list[tuple[str, int, Heat]]:
        read = store.stored(keys[start : start + KEYS_A_GET])
        return [(one.embedding_type, one.number, _heat(one, similarity(one.values))) for one in read]

    with ThreadPoolExecutor(READERS) as pool:
        found = [one for hundred in pool.map(some, range(0, len(keys), KEYS_A_GET)) for one in hundred]
    return [heat for _, _, heat in sorted(found, key=lambda one: one[:2])]


def _heat(stored: StoredVector, score: float) -> Heat:
    meta = stored.metadata
    return Heat(
        segment_id=f"{stored.embedding_type}/{stored.number}",
        start=meta.get("_start"),
        end=meta.get("_end"),
        page=meta.get("_page"),
        start_char=meta.get("_start_char"),
        end_char=meta.get("_end_char"),
        score=score,
        scores=Scores(similarity=score),
    )
