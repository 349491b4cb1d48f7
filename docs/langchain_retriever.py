"""A LangChain retriever on the index that Bucketlens wrote: `python docs/langchain_retriever.py OUTPUTS QUESTION…`.

It needs `pip install langchain-aws`, and reads the vectors beside the API: it does not see whether a file is still
there, for the seconds until its vectors are gone, and claims of a token do not narrow it.
"""

import json
import os
import sys
from pathlib import Path

import boto3
from langchain_aws.vectorstores import AmazonS3Vectors
from langchain_core.embeddings import Embeddings
from langchain_core.retrievers import BaseRetriever

MODEL = "amazon.nova-2-multimodal-embeddings-v1:0"
DIMENSION = 1024  # of the profile; this one is the default's


class NovaQueries(Embeddings):
    """Questions are embedded for retrieval, as Nova wants it; langchain-aws's own class embeds them as if they were
    to be indexed. What is indexed the pipeline has embedded."""

    def __init__(self, endpoint: str | None) -> None:
        self._bedrock = boto3.client("bedrock-runtime", endpoint_url=endpoint)

    def embed_query(self, text: str) -> list[float]:
        asked = {
            "embeddingPurpose": "GENERIC_RETRIEVAL",
            "embeddingDimension": DIMENSION,
            "text": {"truncationMode": "END", "value": text},
        }
        body = json.dumps({"taskType": "SINGLE_EMBEDDING", "singleEmbeddingParams": asked})
        answer = json.loads(self._bedrock.invoke_model(modelId=MODEL, body=body)["body"].read())
        vector: list[float] = answer["embeddings"][0]["embedding"]
        return vector

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        raise NotImplementedError("files are added by dropping them in the bucket")


def retriever_of(outputs: dict[str, str]) -> BaseRetriever:
    """Passages of texts and pages of documents, of the default profile."""
    endpoint = outputs.get("AwsEndpointUrl")  # of the laptop; AWS has its own
    store = AmazonS3Vectors(
        vector_bucket_name=outputs["VectorBucket"],
        index_name=outputs["IndexName"],
        embedding=NovaQueries(endpoint),
        page_content_metadata_key="_text",
        create_index_if_not_exist=False,
        endpoint_url=endpoint,
    )
    return store.as_retriever(search_kwargs={"k": 3, "filter": {"_modality": {"$in": ["text", "document"]}}})


def main() -> None:
    file, *words = sys.argv[1:]
    (outputs,) = json.loads(Path(file).read_text()).values()
    os.environ.setdefault("AWS_DEFAULT_REGION", "us-east-1")
    for found in retriever_of(outputs).invoke(" ".join(words)):
        page = f", page {found.metadata['_page']:.0f}" if "_page" in found.metadata else ""
        print(f"{found.metadata['_uri'].split('/', 3)[3]}{page}: {' '.join(found.page_content.split())[:90]}")


if __name__ == "__main__":
    main()
