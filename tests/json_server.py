"""A small web server that answers with JSON, for tests of what asks another system's server."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any


@contextmanager
def json_server(answer: Callable[[str, str, Any], tuple[int, Any]]) -> Iterator[str]:
    """Serve on a free port of this machine as long as the block lasts, and give the address.

    Args:
        answer: of method, path with its query, and what was posted (None where nothing was); gives the status and what
            is sent, None for nothing.
    """

    class Handler(BaseHTTPRequestHandler):
        def handle(self) -> None:
            self.do_GET = self.do_POST = self.do_PUT = self.do_PATCH = self.answer
            super().handle()

        def answer(self) -> None:
            given = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            status, content = answer(self.command, self.path, json.loads(given) if given else None)
            body = b"" if content is None else json.dumps(content).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
