"""A Hugging Face hub on this machine: serves files as the real one does, and misbehaves on request."""

import hashlib
import http.server
import threading

COMMIT = "0123456789abcdef0123456789abcdef01234567"


class HubServer:
    """Serves `{(repository, revision, file name): bytes}`; use as a context manager.

    Attributes:
        url: Endpoint, for `HF_ENDPOINT`.
        files: What is served.
        requests: Every request as `"METHOD path"`.
        tokens: The Authorization header of every request.
        fault: `None`, `"wrong hash"` (the record is of other content) or `"truncated"` (half of the
            content arrives).
    """

    def __init__(self):
        self.files, self.requests, self.tokens, self.fault = {}, [], [], None
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def add(self, repository, content, revision="main", name="model.safetensors"):
        self.files[f"/{repository}/resolve/{revision}/{name}"] = content

    def __enter__(self):
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *exception):
        self._server.shutdown()
        self._server.server_close()

    def _handler(hub):
        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_HEAD(self):
                self._answer(with_body=False)

            def do_GET(self):
                self._answer(with_body=True)

            def _answer(self, with_body):
                hub.requests.append(f"{self.command} {self.path}")
                hub.tokens.append(self.headers.get("Authorization"))
                content = hub.files.get(self.path)
                if content is None:
                    known = {path.split("/resolve/")[0] for path in hub.files}
                    is_known = self.path.split("/resolve/")[0] in known
                    self.send_response(404)
                    self.send_header("X-Error-Code", "EntryNotFound" if is_known else "RepoNotFound")
                    self.send_header("Content-Length", "0")
                    self.end_headers()
                    return
                recorded = content + b"!" if hub.fault == "wrong hash" else content
                self.send_response(200)
                self.send_header("ETag", f'"{hashlib.sha256(recorded).hexdigest()}"')
                self.send_header("X-Linked-Etag", f'"{hashlib.sha256(recorded).hexdigest()}"')
                self.send_header("X-Linked-Size", str(len(content)))
                self.send_header("X-Repo-Commit", COMMIT)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                if with_body and hub.fault == "truncated":
                    self.wfile.write(content[: len(content) // 2])
                    self.close_connection = True
                elif with_body:
                    self.wfile.write(content)

            def log_message(self, *args):
                pass

        return Handler
