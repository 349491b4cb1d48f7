"""A WSGI application on a loopback port, one thread a connection."""

import socket
import threading
from wsgiref.types import WSGIApplication, WSGIEnvironment

from werkzeug.serving import WSGIRequestHandler, make_server

HOST = "127.0.0.1"


class PortBusyError(Exception):
    """Something else listens on the port."""


class _Handler(WSGIRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def make_environ(self) -> WSGIEnvironment:
        """Adds `laptop.headers`, all headers as they came: WSGI's own form loses those with an underscore."""
        environ = super().make_environ()
        environ["laptop.headers"] = list(self.headers.items())
        return environ

    def connection_dropped(self, error: BaseException, environ: WSGIEnvironment | None = None) -> None:
        """Nothing more is read from it: what is left of a body is no request."""
        self.close_connection = True

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Silent: a laptop's terminal is for its user."""


class HttpServer:
    """Listens from the moment it is made (port 0 picks a free one); serves between `start` and `stop`."""

    def __init__(self, app: WSGIApplication, port: int) -> None:
        listening = socket.socket()
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listening.bind((HOST, port))
        except OSError as error:
            listening.close()
            raise PortBusyError(f"port {port} is in use by another program") from error
        listening.listen(128)
        self._server = make_server(
            HOST, listening.getsockname()[1], app, threaded=True, request_handler=_Handler, fd=listening.fileno()
        )
        listening.close()  # the server holds a copy of it
        self._server.daemon_threads = True  # type: ignore[attr-defined]
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.05,), name=f"http-{self.port}", daemon=True
        )

    @property
    def port(self) -> int:
        return self._server.port

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.port}"

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()
