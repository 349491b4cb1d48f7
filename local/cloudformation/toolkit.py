"""The stack that `cdk bootstrap` makes: what it would hold is there from the start."""

from local.others import BOOTSTRAP_VERSION
from local.stack.records import Stack
from local.wire import ACCOUNT

NAME = "CDKToolkit"
VARIANT = "the AWS on the laptop"


def toolkit(region: str) -> Stack:
    """The CDK's command line leaves one alone whose variant is not its own."""
    template = {
        "Parameters": {"BootstrapVariant": {"Type": "String", "Default": VARIANT}},
        "Resources": {},
    }
    outputs = {
        "BootstrapVersion": BOOTSTRAP_VERSION,
        "BucketName": f"cdk-hnb659fds-assets-{ACCOUNT}-{region}",
    }
    id_ = f"arn:aws:cloudformation:{region}:{ACCOUNT}:stack/{NAME}/00000000-0000-0000-0000-000000000000"
    return Stack(id_, NAME, "CREATE_COMPLETE", template=template, outputs=outputs)
