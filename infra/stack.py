"""The stack: storage, the way in, the way out."""

from aws_cdk import CfnOutput, Environment, Stack
from constructs import Construct

from infra.agents import Agents
from infra.config import Config
from infra.functions import Runtime
from infra.ingestion import Ingestion
from infra.search import Search
from infra.storage import Storage


class BucketlensStack(Stack):
    """One deployment in one region."""

    def __init__(self, scope: Construct, construct_id: str, *, config: Config) -> None:
        super().__init__(
            scope,
            construct_id,
            env=Environment(region=config.region),
            description="Bucketlens: drop a file in a bucket, search what is inside it",
        )
        runtime = Runtime(self, "Runtime")
        storage = Storage(self, "Storage", config=config, runtime=runtime)
        ingestion = Ingestion(self, "Ingestion", config=config, runtime=runtime, storage=storage)
        search = Search(self, "Search", config=config, runtime=runtime, storage=storage, queue=ingestion.queue)
        Agents(self, "Agents", runtime=runtime, search=search)
        outputs = {
            "ApiUrl": search.url,
            "MediaBucket": storage.media_bucket.bucket_name,
            "OutputBucket": storage.output_bucket.bucket_name,
            "VectorBucket": storage.vector_bucket_name,
            "IndexName": config.profiles.default.name,
            "CatalogTable": storage.catalog.table_name,
            "IngestQueueArn": ingestion.queue.queue_arn,
            "DeadLettersArn": ingestion.dead_letters.queue_arn,
        }
        if search.web_url:
            outputs["WebApiUrl"] = search.web_url
        for name, value in outputs.items():
            CfnOutput(self, name, value=value)
