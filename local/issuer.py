"""The laptop's issuer of JSON Web Tokens, which stands in for those that JWT authorizers name.

`python -m local token --subject alice --claim tenant=acme --scope read` prints a token for the laptop that runs on
the folder given by `--data`.
"""

import argparse
import json
import sys
import time
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from jwt.algorithms import RSAAlgorithm

from local import options

ALGORITHM = "RS256"
PATH = "/_local/issuer"
KEY_ID = "laptop"
_HOUR = 3600


class Issuer:
    """Signs with a key in `folder`, made when it is first needed. `url` is where its public half is found."""

    def __init__(self, folder: Path, url: str = "") -> None:
        self._file, self.url = folder / "issuer.pem", url

    @cached_property
    def _key(self) -> RSAPrivateKey:
        if not self._file.exists():
            made = generate_private_key(public_exponent=65537, key_size=2048)
            self._file.parent.mkdir(parents=True, exist_ok=True)
            self._file.touch(0o600)
            self._file.write_bytes(made.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        key = load_pem_private_key(self._file.read_bytes(), None)
        assert isinstance(key, RSAPrivateKey)
        return key

    def token(self, claims: Mapping[str, Any]) -> str:
        return jwt.encode(dict(claims), self._key, ALGORITHM, headers={"kid": KEY_ID})

    def claims(self, token: str, issuers: Sequence[str]) -> dict[str, Any]:
        """Of a token that one of the issuers may have signed and whose time it is; `jwt.InvalidTokenError` else."""
        found: dict[str, Any] = jwt.decode(
            token,
            self._key.public_key(),
            algorithms=[ALGORITHM],
            issuer=[*issuers, self.url],
            options={"require": ["exp", "iss"], "verify_aud": False},
        )
        return found

    def document(self, path: str) -> Mapping[str, Any] | None:
        """What is served below `PATH`: the OpenID configuration and the key set."""
        match path.removeprefix(PATH):
            case "/.well-known/openid-configuration":
                return {
                    "issuer": self.url,
                    "jwks_uri": f"{self.url}/.well-known/jwks.json",
                    "response_types_supported": ["token"],
                    "subject_types_supported": ["public"],
                    "id_token_signing_alg_values_supported": [ALGORITHM],
                }
            case "/.well-known/jwks.json":
                public = RSAAlgorithm.to_jwk(self._key.public_key(), as_dict=True)
                return {"keys": [{**public, "kid": KEY_ID, "alg": ALGORITHM, "use": "sig"}]}
        return None


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m local token", description=__doc__)
    parser.add_argument("--data", type=Path, default=Path(".local"), help="the laptop's folder (default: .local)")
    parser.add_argument("--subject", default="local", help="the claim `sub` (default: local)")
    parser.add_argument("--audience", help="default: the first that an authorizer of the stack wants")
    parser.add_argument("--issuer", help="default: the one which that authorizer names")
    parser.add_argument("--scope", action="append", default=[], help="may be given more than once")
    parser.add_argument(
        "--claim",
        type=options.claim,
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="may be given more than once",
    )
    parser.add_argument(
        "--seconds",
        type=int,
        default=_HOUR,
        help="how long it is valid (default: an hour); a negative number: how long not any more",
    )
    given = parser.parse_args(argv)
    known = given.data / "authorizers.json"
    if not known.exists():
        print(f"no laptop has run on {given.data}", file=sys.stderr)
        return 2
    first = json.loads(known.read_text())[0]
    now = int(time.time())  # the clock of whoever checks it elsewhere
    claims = {
        "iss": given.issuer or first["issuer"],
        "aud": given.audience or first["audiences"][0],
        "sub": given.subject,
        "iat": now,
        "exp": now + given.seconds,
        **({"scope": " ".join(given.scope)} if given.scope else {}),
        **dict(given.claim),
    }
    print(Issuer(given.data / "aws").token(claims))
    return 0
