"""The AWS door: one WSGI application that tells by the signature which service a request is for."""

from collections.abc import Callable, Iterable, Mapping
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from werkzeug.wrappers import Request, Response

from local.auth import Keyring, read_signature
from local.faults import Faults
from local.iam import Permissions
from local.refusals import refusal
from local.wire import LOCAL_USER, AwsError, Caller, Service


class Front:
    """Hands a request to the service its credential scope names (`s3` where there is none).

    `services` maps signing names to services; what it does not hold goes to `fallback`, with that name. Unsigned
    requests below `/_local/` are the laptop's own and go to `_local`. `faults` sees every other request, and counts it.
    Without `permissions` everybody may do everything.
    """

    def __init__(
        self,
        services: Mapping[str, Service],
        keyring: Keyring,
        fallback: Callable[[str, Request, Caller], Response],
        faults: Faults | None = None,
        permissions: Permissions | None = None,
    ) -> None:
        self._services = services
        self._keyring = keyring
        self._fallback = fallback
        self._faults = faults or Faults()
        self._permissions = permissions

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        request = Request(environ)
        return self._route(request)(environ, start_response)

    def _route(self, request: Request) -> WSGIApplication:
        name = "s3"
        try:
            signature = read_signature(request)
            name = signature.service if signature else "s3"
            if signature is None and request.path.startswith("/_local/"):  # no bucket's name starts with an underscore
                return self._services["_local"](request, LOCAL_USER)
            if request.method == "OPTIONS":
                # A browser asks before it sends what was signed: its question carries the URL, but is no use of it.
                return self._answer(name, request, LOCAL_USER)
            caller = self._keyring.identify(request)
        except AwsError as error:
            refused = refusal(name, self._services.get(name), error)
            return self._faults.around(name, None, request, LOCAL_USER, lambda: refused)
        service = self._services.get(name)
        return self._faults.around(name, service, request, caller, lambda: self._answer(name, request, caller))

    def _answer(self, name: str, request: Request, caller: Caller) -> Response:
        service = self._services.get(name)
        if self._permissions and request.method != "OPTIONS":
            try:
                self._permissions.check(name, request, caller)
            except AwsError as error:
                return refusal(name, service, error)
        if service is not None:
            return service(request, caller)
        return self._fallback(name, request, caller)
