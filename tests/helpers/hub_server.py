"""A Hugging Face hub on this machine: keeps repositories as the real one does, and misbehaves on request.

It answers what `huggingface_hub` 2.4 asks with status, `X-Error-Code` and `X-Error-Message` as the library reads them:
files, repositories, branches, commits, and large files by LFS (not Xet). Anonymous visitors read what is public.
"""

import base64
import contextlib
import hashlib
import http.server
import json
import re
import threading
import time
import urllib.parse

import yaml
from huggingface_hub import constants

TEMPLATE = "{endpoint}/{{repo_id}}/resolve/{{revision}}/{{filename}}"  # the hub library's own
LARGE = (".safetensors", ".keras")


class HubServer:
    """Use as a context manager.

    Attributes:
        url: Endpoint, for `HF_ENDPOINT`.
        repositories: `{"user/repo": {"private": bool, "branches": {branch: commit}, "commits": {commit: files}}}`.
        users: `{token: (user, whether the token may write)}`.
        messages: Messages of the commits that were pushed.
        requests: Every request as `"METHOD path"`.
        tokens: The Authorization header of every request.
        fault: `None`, `"wrong hash"` (the record is of other content), `"truncated"` (half of the content arrives) or
            `"error"` (every request is answered by a 500).
        pause: Seconds between the two halves of a file.
    """

    def __init__(self):
        self.repositories, self.users, self.large = {}, {}, {}
        self.messages, self.requests, self.tokens, self.fault, self.pause = [], [], [], None, 0.0
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler_for(self))
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def add(self, repository, content, revision="main", name="model.safetensors", private=False):
        """Adds a file in a commit of its own."""
        repo = self.repositories.setdefault(repository, {"private": private, "branches": {}, "commits": {}})
        self.commit(repo, revision, {**self.files(repository, revision), name: content})

    def files(self, repository, revision="main"):
        """Returns the files of a revision, `{name: content}`."""
        repo = self.repositories[repository]
        return repo["commits"].get(repo["branches"].get(revision, revision), {})

    def commit(self, repo, branch, files):
        """Sets the files of a branch; returns the commit."""
        seed = f"{len(repo['commits'])} {branch} {sorted(files)}"
        commit = hashlib.sha1(seed.encode()).hexdigest()
        repo["commits"][commit] = files
        repo["branches"][branch] = commit
        return commit

    @contextlib.contextmanager
    def connected(self, monkeypatch, cache):
        """Makes the hub library talk to this server, without Xet, with an empty cache and nobody logged in."""
        monkeypatch.setattr(constants, "ENDPOINT", self.url)
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", TEMPLATE.format(endpoint=self.url))
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(cache))
        monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(cache / "token"))
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
        monkeypatch.delenv("HF_TOKEN", raising=False)
        with self:
            yield self

    def __enter__(self):
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *exception):
        self._server.shutdown()
        self._server.server_close()


class Refused(Exception):
    """An answer other than 200: status, error code and message."""


def handler_for(hub):
    """Returns the class that answers the requests of a `HubServer`."""

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_HEAD(self):
            self._answer()

        do_GET = do_POST = do_PUT = do_HEAD

        def _answer(self):
            hub.requests.append(f"{self.command} {self.path}")
            hub.tokens.append(self.headers.get("Authorization"))
            self.body = self._read_body()
            path = urllib.parse.urlsplit(self.path).path
            try:
                if hub.fault == "error":
                    raise Refused(500, None, "Internal Error - We're working hard to fix this as soon as possible!")
                for pattern, method in routes.items():
                    match = re.fullmatch(pattern, path)
                    if match:
                        return method(self, *map(urllib.parse.unquote, match.groups()))
                raise Refused(404, None, f"the test's hub does not know {self.command} {path}")
            except Refused as refused:
                status, code, message, *details = refused.args
                headers = {"X-Error-Code": code, "X-Error-Message": message, **dict(*details)}
                self._send(status, json.dumps({"error": message}).encode(), headers)

        def _read_body(self):
            if self.headers.get("Transfer-Encoding") != "chunked":
                return self.rfile.read(int(self.headers.get("Content-Length") or 0))
            body = b""
            while size := int(self.rfile.readline(), 16):
                body += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
            return body

        def _send(self, status, content=b"", headers=None, cut=False):
            self.send_response(status)
            for name, value in {**(headers or {}), "Content-Length": str(len(content))}.items():
                if value is not None:
                    self.send_header(name, value)
            self.end_headers()
            if self.command != "HEAD":
                half = len(content) // 2
                self.wfile.write(content[:half])
                time.sleep(hub.pause)
                self.wfile.write(b"" if cut else content[half:])
                self.close_connection = cut

        def _send_json(self, value, status=200):
            self._send(status, json.dumps(value).encode(), {"Content-Type": "application/json"})

        def _user(self):
            """Returns name and permission of the visitor, `(None, False)` if anonymous."""
            token = self.headers.get("Authorization")
            if token is None:
                return None, False
            if token.removeprefix("Bearer ") not in hub.users:
                raise Refused(401, None, "Invalid credentials in Authorization header")
            return hub.users[token.removeprefix("Bearer ")]

        def _repo(self, name, write=False):
            """Returns a repository that the visitor may read, or write."""
            user, may_write = self._user()
            repo = hub.repositories.get(name)
            if repo is None or (repo["private"] and user != name.split("/")[0]) or (write and user is None):
                if user is None:
                    raise Refused(401, None, "Invalid username or password.")
                raise Refused(404, "RepoNotFound", "Repository not found")
            if write and not (may_write and user == name.split("/")[0]):
                raise Refused(403, None, "Authorization error.")
            return repo

        def _commit(self, repo, revision):
            commit = repo["branches"].get(revision, revision)
            if commit not in repo["commits"]:
                raise Refused(404, "RevisionNotFound", f"Invalid rev id: {revision}")
            return commit

        def file(self, name, revision, path):
            repo = self._repo(name)
            commit = self._commit(repo, revision)
            content = repo["commits"][commit].get(path)
            if content is None:
                raise Refused(404, "EntryNotFound", "Entry not found", {"X-Repo-Commit": commit})
            headers = {"X-Repo-Commit": commit, "ETag": f'"{blob_id(content)}"'}
            if path.endswith(LARGE):
                recorded = content + b"!" if hub.fault == "wrong hash" else content
                etag = f'"{hashlib.sha256(recorded).hexdigest()}"'
                headers.update({"ETag": etag, "X-Linked-Etag": etag, "X-Linked-Size": str(len(content))})
            self._send(200, content, headers, cut=hub.fault == "truncated" and self.command == "GET")

        def create(self):
            wanted = json.loads(self.body)
            user, may_write = self._user()
            if user is None:
                raise Refused(401, None, "Invalid username or password.")
            owner = wanted["organization"] or user
            name = f"{owner}/{wanted['name']}"
            if owner != user or not may_write:
                raise Refused(403, None, f'You don\'t have the rights to create a model under the namespace "{owner}"')
            url = f"{hub.url}/{name}"
            if name in hub.repositories:
                return self._send_json({"url": url, "error": "You already created this model repo"}, 409)
            private = wanted.get("visibility") == "private" or wanted.get("private", False)  # as older clients say it
            hub.repositories[name] = {"private": private, "branches": {}, "commits": {}}
            hub.commit(hub.repositories[name], "main", {".gitattributes": b""})
            self._send_json({"url": url, "name": name})

        def info(self, name, revision="main"):
            repo = self._repo(name)
            commit = self._commit(repo, revision)
            files = [{"rfilename": path} for path in repo["commits"][commit]]
            self._send_json({"id": name, "sha": commit, "private": repo["private"], "siblings": files, "tags": []})

        def branch(self, name, branch):
            repo = self._repo(name, write=True)
            if branch in repo["branches"]:
                raise Refused(409, None, "Reference already exists")
            repo["branches"][branch] = repo["branches"]["main"]
            self._send_json({})

        def validate(self):
            header = re.match(r"---\n(.*?)\n---\n", json.loads(self.body)["content"], re.DOTALL)
            metadata = yaml.safe_load(header[1])
            wrong = [key for key in ("license", "library_name", "tags") if not metadata.get(key)]
            errors = [{"message": f'"{key}" is required'} for key in wrong]
            self._send_json({"errors": errors, "warnings": []}, 400 if errors else 200)

        def preupload(self, name, revision):
            repo = self._repo(name, write=True)
            there = repo["commits"][self._commit(repo, revision)]
            self._send_json(
                {
                    "files": [
                        {
                            "path": file["path"],
                            "uploadMode": "lfs" if file["path"].endswith(LARGE) else "regular",
                            "shouldIgnore": False,
                            "oid": remote_id(file["path"], there.get(file["path"])),
                        }
                        for file in json.loads(self.body)["files"]
                    ]
                }
            )

        def batch(self, name):
            self._repo(name, write=True)
            objects = []
            for wanted in json.loads(self.body)["objects"]:
                actions = {"actions": {"upload": {"href": f"{hub.url}/lfs/{wanted['oid']}"}}}
                objects.append({**wanted, **({} if wanted["oid"] in hub.large else actions)})
            self._send_json({"transfer": "basic", "objects": objects})

        def put(self, oid):
            if hashlib.sha256(self.body).hexdigest() != oid:
                raise Refused(400, None, "the content has another SHA-256")
            hub.large[oid] = self.body
            self._send(200)

        def pushed(self, name, revision):
            repo = self._repo(name, write=True)
            files = dict(repo["commits"][self._commit(repo, revision)])
            for line in self.body.splitlines():
                item = json.loads(line)
                value = item["value"]
                if item["key"] == "header":
                    hub.messages.append(value["summary"])
                elif item["key"] == "file":
                    files[value["path"]] = base64.b64decode(value["content"])
                elif item["key"] == "lfsFile":
                    files[value["path"]] = hub.large[value["oid"]]
                else:
                    del files[value["path"]]
            commit = hub.commit(repo, revision, files)
            self._send_json(
                {
                    "success": True,
                    "commitOid": commit,
                    "commitUrl": f"{hub.url}/{name}/commit/{commit}",
                    "hookOutput": "",
                }
            )

        def log_message(self, *args):
            pass

    repo, part = r"([^/]+/[^/]+)", r"([^/]+)"
    routes = {
        f"/{repo}/resolve/{part}/(.+)": Handler.file,
        "/api/repos/create": Handler.create,
        "/api/validate-yaml": Handler.validate,
        f"/api/models/{repo}": Handler.info,
        f"/api/models/{repo}/revision/{part}": Handler.info,
        f"/api/models/{repo}/branch/{part}": Handler.branch,
        f"/api/models/{repo}/preupload/{part}": Handler.preupload,
        f"/api/models/{repo}/commit/{part}": Handler.pushed,
        rf"/{repo}\.git/info/lfs/objects/batch": Handler.batch,
        f"/lfs/{part}": Handler.put,
    }
    return Handler


def blob_id(content):
    """The id that git gives a file."""
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


def remote_id(path, content):
    """What the hub says a file of the repository is: its hash by git, or by LFS."""
    if content is None:
        return None
    return hashlib.sha256(content).hexdigest() if path.endswith(LARGE) else blob_id(content)
