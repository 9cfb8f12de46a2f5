"""A stand-in for a Qdrant server: the requests of its REST interface that the memory makes, answered by its local mode.

It shows that the requests are well-formed, that several clients can work at once, and how refusals are dealt with. It says
nothing about Qdrant's own storage, indices and consistency.
"""

import json
import threading
from collections.abc import Generator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from pydantic import TypeAdapter
from qdrant_client import QdrantClient, models


class StandIn:
    """What the requests are answered from."""

    def __init__(self, folder: Path, *, version: str = "1.20.0", key: str | None = None) -> None:
        self.client = QdrantClient(path=str(folder), force_disable_check_same_thread=True)
        self.lock = threading.Lock()
        self.version = version
        self.key = key
        self.indices: dict[str, dict[str, str]] = {}
        self.requests: list[str] = []
        self.url = ""

    def answer(self, method: str, path: list[str], body: Any) -> Any:
        """The result of a request."""
        match method, path:
            case "GET", ["collections", name, "exists"]:
                return {"exists": self.client.collection_exists(name)}
            case "GET", ["collections", name]:
                info = self.client.get_collection(name).model_dump(mode="json")
                schema = {field: {"data_type": kind, "points": 0} for field, kind in self.indices.get(name, {}).items()}
                return {**info, "payload_schema": schema}
            case "PUT", ["collections", name]:
                wanted = models.CreateCollection.model_validate(body)
                return self.client.create_collection(
                    name, vectors_config=wanted.vectors, sparse_vectors_config=wanted.sparse_vectors
                )
            case "DELETE", ["collections", name]:
                self.indices.pop(name, None)
                return self.client.delete_collection(name)
            case "PUT", ["collections", name, "index"]:
                self.client.get_collection(name)
                self.indices.setdefault(name, {})[body["field_name"]] = body["field_schema"]
                return DONE
            case "PUT", ["collections", name, "vectors", vector]:
                config: Any = TypeAdapter(models.VectorNameConfig).validate_python(body)
                self.client.create_vector_name(name, vector, config)
                return DONE
            case "DELETE", ["collections", name, "vectors", vector]:
                self.client.delete_vector_name(name, vector)
                return DONE
            case _, ["collections", name, *rest]:
                return self.points(method, name, "/".join(rest), body)
        raise AssertionError(f"{method} {path}")

    def points(self, method: str, name: str, path: str, body: Any) -> Any:
        """The result of a request about points."""
        match method, path:
            case "PUT", "points":
                points = models.PointsList.model_validate(body)
                self.client.upsert(
                    name, points.points, update_filter=points.update_filter, update_mode=points.update_mode
                )
                return DONE
            case "POST", "points":
                ids = models.PointRequest.model_validate(body).ids
                return [point.model_dump(mode="json") for point in self.client.retrieve(name, ids)]
            case "POST", "points/delete":
                self.client.delete(name, models.FilterSelector.model_validate(body))
                return DONE
            case "POST", "points/count":
                count = models.CountRequest.model_validate(body)
                return {"count": self.client.count(name, count.filter, exact=True).count}
            case "POST", "points/scroll":
                asked = models.ScrollRequest.model_validate(body)
                found, following = self.client.scroll(
                    name, asked.filter, asked.limit or 10, offset=asked.offset, with_payload=asked.with_payload
                )
                return {"points": [point.model_dump(mode="json") for point in found], "next_page_offset": following}
            case "POST", "points/query/batch":
                requests = models.QueryRequestBatch.model_validate(body).searches
                for request in requests:
                    request.params = None  # the local mode warns of them
                answers = self.client.query_batch_points(name, requests)
                return [answer.model_dump(mode="json") for answer in answers]
            case "POST", "points/batch":
                self.client.batch_update_points(name, models.UpdateOperations.model_validate(body).operations)
                return [DONE]
            case "POST", "facet":
                facet = models.FacetRequest.model_validate(body)
                assert facet.key in self.indices[name], "a facet needs an index"
                return self.client.facet(name, facet.key, limit=facet.limit or 10).model_dump(mode="json")
        raise AssertionError(f"{method} {path}")


DONE = {"operation_id": 0, "status": "completed"}


@contextmanager
def standing_in(folder: Path, *, port: int = 0, **more: Any) -> Generator[StandIn]:
    """Runs one, on a free port if none is said."""
    stand_in = StandIn(folder, **more)

    class Handler(BaseHTTPRequestHandler):
        def handle_any(self) -> None:
            path = [unquote(part) for part in urlsplit(self.path).path.strip("/").split("/")]
            body = json.loads(self.rfile.read(int(self.headers.get("Content-Length") or 0)) or b"null")
            stand_in.requests.append(f"{self.command} /{'/'.join(path)}")
            if path == [""]:
                return self.say(200, {"title": "qdrant", "version": stand_in.version})
            if stand_in.key and self.headers.get("api-key") != stand_in.key:
                return self.say(401, {"status": {"error": "Must provide an API key"}})
            try:
                with stand_in.lock:
                    result = stand_in.answer(self.command, path, body)
            except ValueError as error:
                told = str(error)
                status = 409 if "already exists" in told else 404 if "not found" in told else 400
                return self.say(status, {"status": {"error": told}})
            return self.say(200, {"result": result, "status": "ok", "time": 0.0})

        do_GET = do_PUT = do_POST = do_DELETE = handle_any  # noqa: N815

        def say(self, status: int, data: Any) -> None:
            content = json.dumps(data).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    server.daemon_threads = True
    stand_in.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield stand_in
    finally:
        server.shutdown()
        server.server_close()
        stand_in.client.close()
