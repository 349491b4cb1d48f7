"""The LangChain retriever of docs/, as it stands there, in an environment that has langchain-aws."""

import json
import subprocess
from pathlib import Path

from samples.tour import MEDIA, ROOT
from tests.more.conftest import MORE, Aws
from tests.user import User

NOTE = b"Otters hold hands while they sleep, and this note says so."


def test_the_retriever_of_the_docs_finds_passages_and_pages_that_the_pipeline_indexed(
    user: User, aws: Aws, tmp_path: Path
) -> None:
    user.dropped("animals/otters.txt", NOTE)
    user.dropped("lease.pdf", (MEDIA / "lease.pdf").read_bytes())
    user.dropped("sunset.jpg", (MEDIA / "sunset.jpg").read_bytes())
    outputs = tmp_path / "outputs.json"
    outputs.write_text(json.dumps({"Bucketlens": user.outputs}))
    ended = subprocess.run(
        [MORE / "venv/bin/python", ROOT / "docs/langchain_retriever.py", outputs, "which animals hold hands"],
        env={**aws.environment(tmp_path), "AWS_ENDPOINT_URL": user.outputs["AwsEndpointUrl"]},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    first, *others = ended.stdout.splitlines()
    assert first == f"animals/otters.txt: {NOTE.decode()}"
    assert [line.partition(":")[0].partition(",")[0] for line in others] == ["lease.pdf", "lease.pdf"]
