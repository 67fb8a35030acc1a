"""Stand-ins on 127.0.0.1 for the services that models are shared through."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from urllib.parse import parse_qs, unquote, urlsplit

import yaml
from support.local_service import LocalHandler, LocalService

COMMIT = "c" * 40


class Service(LocalService):
    """A service that notes what it is asked.

    Attributes:
        requests: (method, path) in the order of arrival.
        unknown: Those that the stand-in has no answer for.
    """

    def __init__(self):
        self.requests: list[tuple[str, str]] = []
        self.unknown: list[tuple[str, str]] = []


class _Handler(LocalHandler):
    service: Service

    def _dispatch(self):
        parts = urlsplit(self.path)
        self.place, self.query = unquote(parts.path), parse_qs(parts.query)
        length = int(self.headers.get("Content-Length") or 0)
        self.body = self.rfile.read(length)
        if self.headers.get("Transfer-Encoding") == "chunked":
            self.body = self._chunks()
        self.service.requests.append((self.command, self.place))
        if not self.answer():
            self.service.unknown.append((self.command, self.place))
            self.json(404, {"error": f"no stand-in for {self.place}"})

    do_GET = do_HEAD = do_POST = do_PUT = _dispatch

    def _chunks(self) -> bytes:
        content = b""
        while size := int(self.rfile.readline(), 16):
            content += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return content

    def answer(self) -> bool:
        raise NotImplementedError

    def json(self, status: int, content) -> bool:
        return self.send(status, json.dumps(content).encode(), "application/json")

    def send(self, status: int, content: bytes, kind: str, **headers) -> bool:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)
        return True


class _HubHandler(_Handler):
    def answer(self) -> bool:
        hub, path = self.service, self.place
        writing = path.startswith("/api/") and self.command != "GET"
        if writing and self.headers.get("Authorization") != f"Bearer {hub.token}":
            return self.json(401, {"error": "Invalid user token."})
        if path == "/api/agent-harnesses":
            return self.json(200, {})
        if path == "/api/validate-yaml":
            content = json.loads(self.body)["content"]
            hub.cards.append(yaml.safe_load(content.split("---")[1]))
            return self.json(200, {"errors": [], "warnings": []})
        if path == "/api/repos/create":
            asked = json.loads(self.body)
            name = asked["name"]
            if asked.get("organization"):
                name = f"{asked['organization']}/{name}"
            hub.repositories.setdefault(name, {})
            return self.json(200, {"url": f"{hub.url}/{name}"})
        if found := re.fullmatch("/api/models/([^/]+/[^/]+)(/.*)?", path):
            return self.model(found[1], found[2] or "")
        if path.endswith("/info/lfs/objects/batch"):
            return self.large_files()
        if path.startswith("/objects/"):
            hub.objects[path.split("/")[-1]] = self.body
            return self.json(200, {})
        if found := re.fullmatch("/([^/]+/[^/]+)/resolve/[^/]+/(.+)", path):
            content = hub.repositories.get(found[1], {}).get(found[2])
            return content is not None and self.send(
                *(200, content, "application/octet-stream"),
                **dict(ETag=f'"{hashlib.sha1(content).hexdigest()}"'),
                X_Repo_Commit=COMMIT,
            )
        return False

    def model(self, name: str, rest: str) -> bool:
        files = self.service.repositories.get(name)
        if files is None:
            error, kind = b'{"error": "Repository not found"}', "application/json"
            return self.send(404, error, kind, X_Error_Code="RepoNotFound")
        if rest.startswith("/preupload/"):
            asked = json.loads(self.body)["files"]
            return self.json(200, {"files": [self.upload_mode(f) for f in asked]})
        if rest.startswith("/commit/"):
            for line in self.body.splitlines():
                self.commit(files, json.loads(line))
            url = f"{self.service.url}/{name}/commit/{COMMIT}"
            return self.json(
                200, {"commitUrl": url, "commitOid": COMMIT, "success": True}
            )
        if rest.startswith("/tree/"):
            listed = [
                {"type": "file", "path": path, "size": len(content), "oid": "0"}
                for path, content in files.items()
            ]
            return self.json(200, listed)
        if rest == "" or rest.startswith("/revision/"):
            siblings = [{"rfilename": path} for path in files]
            about = {"_id": "0", "id": name, "modelId": name, "sha": COMMIT}
            about.update(private=False, tags=[], downloads=0, siblings=siblings)
            return self.json(200, about)
        return False

    def upload_mode(self, file: dict) -> dict:
        large = file["path"].endswith((".pth", ".model", ".npz"))
        mode = "lfs" if large else "regular"
        return {"path": file["path"], "uploadMode": mode, "shouldIgnore": False}

    def commit(self, files: dict, line: dict) -> None:
        value = line["value"]
        if line["key"] == "file":
            files[value["path"]] = base64.b64decode(value["content"])
        elif line["key"] == "lfsFile":
            files[value["path"]] = self.service.objects[value["oid"]]

    def large_files(self) -> bool:
        objects = [
            {
                **{key: asked[key] for key in ("oid", "size")},
                "actions": {
                    "upload": {"href": f"{self.service.url}/objects/{asked['oid']}"}
                },
            }
            for asked in json.loads(self.body)["objects"]
        ]
        return self.json(200, {"transfer": "basic", "objects": objects})


class ModelHub(Service):
    """What ``huggingface_hub`` needs of the Hugging Face hub.

    Attributes:
        token: That may write.
        repositories: Files by path, by repository.
        objects: Large files by SHA-256.
        cards: Metadata of the model cards that were sent.
    """

    handler = _HubHandler

    def __init__(self, token: str):
        super().__init__()
        self.token = token
        self.repositories: dict[str, dict[str, bytes]] = {}
        self.objects: dict[str, bytes] = {}
        self.cards: list[dict] = []


class _ZenodoHandler(_Handler):
    def answer(self) -> bool:
        zenodo, path = self.service, self.place
        if self.command in ("GET", "HEAD") and path.startswith("/records/1/files/"):
            name = path.split("/")[-1]
            content = zenodo.files[name]
            return self.send(
                *(200, content, "application/zip"),
                Content_Disposition=f"attachment; filename={name}",
                Content_MD5=hashlib.md5(content).hexdigest(),
            )
        if self.query.get("access_token") != [zenodo.token]:
            return self.json(403, {"message": "Permission denied."})
        links = {
            "bucket": f"{zenodo.url}/api/files/bucket",
            "html": f"{zenodo.url}/deposit/1",
            "latest_html": f"{zenodo.url}/records/1",
        }
        if path == "/api/deposit/depositions":
            return self.json(201, {"id": 1, "links": links})
        if path == "/api/deposit/depositions/1":
            zenodo.metadata = json.loads(self.body)["metadata"]
            return self.json(200, {"id": 1, "links": links})
        if path.startswith("/api/files/bucket/"):
            zenodo.files[path.split("/")[-1]] = self.body
            return self.json(200, {})
        if path == "/api/deposit/depositions/1/actions/publish":
            zenodo.published = True
            return self.json(202, {"id": 1, "links": links})
        return False


class Zenodo(Service):
    """What ``espnet_model_zoo_upload`` needs of Zenodo, for one record.

    Attributes:
        token: That may write.
        metadata: Of the record.
        files: Content by name.
        published: Whether it is.
    """

    handler = _ZenodoHandler

    def __init__(self, token: str):
        super().__init__()
        self.token = token
        self.metadata: dict = {}
        self.files: dict[str, bytes] = {}
        self.published = False
