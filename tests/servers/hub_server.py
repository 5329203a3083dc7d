"""A Hugging Face Hub in the small, for tests: the few addresses that fetching a model needs.

    python hub_server.py FOLDER --port N

FOLDER/<owner>/<name>/<commit> has the files of a model; those over `LFS_BYTES` count as large ones
and are answered by a redirect to another host, as the hub does. A model called ``gated-...`` asks
for the token ``TOKEN``. It listens on 127.0.0.1 and knows:

    GET /api/models/<owner>/<name>/revision/<commit>?blobs=true
    GET /<owner>/<name>/resolve/<commit>/<file>
    GET /cdn/<owner>/<name>/<commit>/<file>
    GET /health
"""

import argparse
import hashlib
import json
import re
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

TOKEN = "hf_of_the_tests"
LFS_BYTES = 10_000
ADDRESS = re.compile(
    r"/api/models/(?P<listed>[^/]+/[^/]+)/revision/(?P<revision>[^/]+)"
    r"|/(?P<model>[^/]+/[^/]+)/resolve/(?P<commit>[^/]+)/(?P<file>.+)"
    r"|/cdn/(?P<content>.+)"
)


class Handler(BaseHTTPRequestHandler):
    """Answers one connection; `root` is the folder of the models."""

    protocol_version = "HTTP/1.1"
    root: Path

    def do_GET(self) -> None:
        """Answer a request."""
        path = unquote(urlsplit(self.path).path)
        match = ADDRESS.fullmatch(path)
        if path == "/health":
            self.answer(200, b"ok")
        elif not match:
            self.answer(404)
        elif match["content"]:
            self.send_file(self.root / match["content"])
        elif match["listed"]:
            if folder := self.find(match["listed"], match["revision"]):
                self.list_files(match["listed"], match["revision"], folder)
        elif folder := self.find(match["model"], match["commit"]):
            self.resolve(folder, match["file"])

    def find(self, model: str, commit: str) -> Path | None:
        """Return the folder of a model, or refuse the request."""
        if not (self.root / model).is_dir():
            self.answer(401, code="RepoNotFound")
        elif not (self.root / model / commit).is_dir():
            self.answer(404, code="RevisionNotFound")
        elif "/gated-" in model and self.headers["Authorization"] != f"Bearer {TOKEN}":
            self.answer(403, code="GatedRepo")
        else:
            return self.root / model / commit
        return None

    def list_files(self, model: str, commit: str, folder: Path) -> None:
        """Answer with the files of a model and their checksums."""
        siblings = []
        for file in sorted(path for path in folder.rglob("*") if path.is_file()):
            content = file.read_bytes()
            git = hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
            sibling = {"rfilename": file.relative_to(folder).as_posix(), "size": len(content)}
            lfs = {
                "size": len(content),
                "sha256": hashlib.sha256(content).hexdigest(),
                "pointerSize": 134,
            }
            large = {"lfs": lfs} if len(content) > LFS_BYTES else {}
            siblings.append({**sibling, "blobId": git, **large})
        self.answer(200, json.dumps({"id": model, "sha": commit, "siblings": siblings}).encode())

    def resolve(self, folder: Path, name: str) -> None:
        """Answer with a file, or with where it lies."""
        file = folder / name
        if not file.is_file():
            self.answer(404, code="EntryNotFound")
        elif file.stat().st_size > LFS_BYTES:
            port = self.headers["Host"].rpartition(":")[2]
            path = file.relative_to(self.root).as_posix()
            self.answer(302, location=f"http://localhost:{port}/cdn/{path}")
        else:
            self.send_file(file)

    def send_file(self, file: Path) -> None:
        """Answer with a file's content from the first byte that is wanted."""
        content = file.read_bytes()
        start = int(self.headers.get("Range", "bytes=0-").removeprefix("bytes=").rstrip("-"))
        end = f"bytes {start}-{len(content) - 1}/{len(content)}"
        self.answer(206, content[start:], content_range=end)

    def answer(self, status: int, body: bytes = b"", code: str = "", **headers: str) -> None:
        """Send an answer."""
        self.send_response(status)
        if code:
            self.send_header("X-Error-Code", code)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-").title(), value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def main() -> None:
    """Read the command line and serve."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--port", type=int, required=True)
    arguments = parser.parse_args()
    Handler.root = arguments.folder
    ThreadingHTTPServer(("127.0.0.1", arguments.port), Handler).serve_forever()


if __name__ == "__main__":
    main()
