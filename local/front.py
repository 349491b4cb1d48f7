"""The AWS door: one WSGI application that tells by the signature which service a request is for."""

import logging
from collections.abc import Callable, Iterable, Mapping
from io import BytesIO
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from werkzeug.wrappers import Request, Response

from local.auth import Keyring, read_signature
from local.wire import LOCAL_USER, AwsError, Service, json_response, xml_error

log = logging.getLogger(__name__)


class Front:
    """Hands a request to the service its credential scope names (`s3` where there is none).

    `services` maps signing names to services; what it does not hold goes to `fallback(name)`. Unsigned requests below
    `/_local/` are the laptop's own and go to `_local`.
    """

    def __init__(
        self, services: Mapping[str, Service], keyring: Keyring, fallback: Callable[[str], WSGIApplication]
    ) -> None:
        self._services = services
        self._keyring = keyring
        self._fallback = fallback

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        request = Request(environ)
        return self._route(request)(environ, start_response)

    def _route(self, request: Request) -> WSGIApplication:
        name = "s3"
        try:
            signature = read_signature(request)
            name = signature.service if signature else "s3"
            # A browser asks before it sends what was signed: its question carries the URL, but is no use of it.
            caller = LOCAL_USER if request.method == "OPTIONS" else self._keyring.identify(request)
        except AwsError as error:
            return _refused(name, error)
        if signature is None and request.path.startswith("/_local/"):  # no bucket's name starts with an underscore
            name = "_local"
        service = self._services.get(name)
        if service is not None:
            return service(request, caller)
        # Who checked the signature read the body, which the next application reads from the socket: it would wait.
        body = request.get_data()
        request.environ |= {"wsgi.input": BytesIO(body), "CONTENT_LENGTH": str(len(body))}
        return self._fallback(name)


def _refused(service: str, error: AwsError) -> Response:
    if service == "s3":
        return xml_error(error)
    return json_response({"__type": error.code, "message": error.message}, error.status, error.code)
