"""An HTTP server on 127.0.0.1 that runs while it is a context."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class LocalService:
    """Answers by ``handler``, which sees this object as ``service``.

    Attributes:
        url: Where.
    """

    handler: type[LocalHandler]

    def __enter__(self):
        handler = type("Handler", (self.handler,), {"service": self})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._server.daemon_threads = True
        serve = self._server.serve_forever
        threading.Thread(target=serve, args=(0.02,), daemon=True).start()
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()


class LocalHandler(BaseHTTPRequestHandler):
    """Answers the requests to a service without a log."""

    protocol_version = "HTTP/1.1"
    service: LocalService

    def log_message(self, *_: object) -> None:
        pass
