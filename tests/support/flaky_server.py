"""A local HTTP server that misbehaves as told, for tests of downloads."""

from __future__ import annotations

import threading

from support.local_service import LocalHandler, LocalService


class _Handler(LocalHandler):
    def do_GET(self) -> None:  # noqa: N802
        state = self.service
        header = self.headers.get("Range")
        state.requests.append((self.path, header))
        planned = state.statuses.get(self.path)
        if planned:
            return self._fail(planned.pop(0))
        if self.path not in state.files:
            return self._fail(404)
        if state.together and self.path != "/md5sum.txt":
            try:
                state.together.wait(20)
            except threading.BrokenBarrierError:
                return self._fail(403)
        content = state.files[self.path]
        start = 0
        if header and state.honour_range:
            start = int(header[len("bytes=") : -1]) + state.range_shift
            if start >= len(content):
                return self._fail(416, f"bytes */{len(content)}")
        self.send_response(206 if header and state.honour_range else 200)
        if header and state.honour_range:
            total = len(content)
            self.send_header("Content-Range", f"bytes {start}-{total - 1}/{total}")
        body = content[start:]
        if state.chunked:
            self.send_header("Transfer-Encoding", "chunked")
        else:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self._send(body)

    def _send(self, body: bytes) -> None:
        state = self.service
        drops = state.drop_after.get(self.path)
        sent = body[: drops.pop(0)] if drops else body
        if state.hold and self.path != "/md5sum.txt":
            self.wfile.write(sent[: len(sent) // 2])
            self.wfile.flush()
            state.waiting.set()
            state.hold.wait(20)
            sent = sent[len(sent) // 2 :]
        if state.chunked:
            self.wfile.write(f"{len(body):x}\r\n".encode() + sent)
            if len(sent) == len(body):
                self.wfile.write(b"\r\n0\r\n\r\n")
        else:
            self.wfile.write(sent)
        self.close_connection = True

    def _fail(self, status: int, content_range: str = "") -> None:
        self.send_response(status)
        if content_range:
            self.send_header("Content-Range", content_range)
        self.send_header("Content-Length", "0")
        self.end_headers()
        self.close_connection = True


class FlakyServer(LocalService):
    """Serves ``files`` on 127.0.0.1.

    Attributes:
        files: Content by path, for example ``/dev-clean.tar.gz``.
        requests: (path, Range header or None) in the order of arrival.
        drop_after: Path -> list of byte counts after which the next answers break off.
        statuses: Path -> list of status codes that the next answers have.
        honour_range: Whether Range is followed.
        range_shift: Added to the start of what is sent for a Range, a faulty server.
        together: Archives are answered when this many are asked for at once.
        hold: Set by tests to let answers other than md5sum.txt wait midway.
        waiting: Set by the server when an answer waits.
    """

    handler = _Handler

    def __init__(self):
        self.files: dict[str, bytes] = {}
        self.requests: list[tuple[str, str | None]] = []
        self.drop_after: dict[str, list[int]] = {}
        self.statuses: dict[str, list[int]] = {}
        self.honour_range = True
        self.range_shift = 0
        self.chunked = False
        self.together: threading.Barrier | None = None
        self.hold: threading.Event | None = None
        self.waiting = threading.Event()

    def __exit__(self, *error: object) -> None:
        if self.hold:
            self.hold.set()
        super().__exit__(*error)

    def ranges(self, path: str) -> list[str | None]:
        """Return the Range headers that came for ``path``."""
        return [header for name, header in self.requests if name == path]
