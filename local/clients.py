"""boto3 clients onto the laptop's own port, as one role or another: services call each other as they do on AWS."""

import threading
from typing import Any

import boto3
from botocore.config import Config

from local.auth import Credentials, Keyring

REGION = "us-east-1"
_CONFIG = Config(retries={"total_max_attempts": 1}, connect_timeout=5, read_timeout=900, max_pool_connections=64)


class Clients:
    """Hands out clients, made once for each service, role and session (that costs 50 ms; using one is thread-safe)."""

    def __init__(self, endpoint: str, keyring: Keyring, region: str = REGION) -> None:
        self.endpoint = endpoint
        self.region = region
        self._keyring = keyring
        self._lock = threading.Lock()
        self._made: dict[tuple[str, str | None, str], Any] = {}

    def get(self, service: str, role_arn: str | None, session: str = "laptop") -> Any:
        """A client of `service` (boto3's name) that signs as the role, or as the local user without one."""
        with self._lock:
            key = (service, role_arn, session)
            if key not in self._made:
                self._made[key] = self._make(service, role_arn, session)
            return self._made[key]

    def _make(self, service: str, role_arn: str | None, session: str) -> Any:
        keys = self._keyring.issue(role_arn, session) if role_arn else Credentials("local", "local", "")
        return boto3.session.Session().client(
            service,
            endpoint_url=self.endpoint,
            region_name=self.region,
            aws_access_key_id=keys.access_key,
            aws_secret_access_key=keys.secret_key,
            aws_session_token=keys.session_token or None,
            config=_CONFIG,
        )
