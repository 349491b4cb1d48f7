"""What roles and resource policies allow: AWS's policy language, and which actions each request of a service needs."""

from local.iam.behalf import OnBehalf
from local.iam.needs import Need
from local.iam.permissions import Permissions
from local.iam.principals import Principal
from local.iam.statements import PolicyError

__all__ = ["Need", "OnBehalf", "Permissions", "PolicyError", "Principal"]
