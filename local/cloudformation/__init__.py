"""AWS CloudFormation: change sets, stacks and their events, as the CDK command line and boto3 use them."""

from local.cloudformation.service import CloudFormation

__all__ = ["CloudFormation"]
