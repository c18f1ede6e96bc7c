"""Checks the OpenAPI document of a running server and its examples, then makes a plan and prints its task's id.

    openapi.py BASE_URL     with the server's key in API_KEY
"""

import json
import os
import sys
import time
import urllib.request

import jsonschema_rs
from openapi_spec_validator import OpenAPIV31SpecValidator

BASE = sys.argv[1]
PATIENCE = 60


def ask(path: str, body: object = None) -> object:
    """The JSON that a route answers with."""
    headers = {"X-API-Key": os.environ["API_KEY"], "Content-Type": "application/json"}
    data = None if body is None else json.dumps(body).encode()
    with urllib.request.urlopen(urllib.request.Request(BASE + path, data, headers), timeout=30) as answer:
        return json.load(answer)


def examples(document: dict):
    """Every example of a body with its schema, and where it stands."""
    bodies = list(document["components"]["responses"].items())
    for path, item in document["paths"].items():
        for method, operation in item.items():
            bodies.append((f"{method} {path} request", operation.get("requestBody", {})))
            bodies += [(f"{method} {path} {status}", body) for status, body in operation["responses"].items()]
    for name, body in bodies:
        for media in body.get("content", {}).values():
            for key, example in media.get("examples", {}).items():
                yield f"{name} {key}", media["schema"], example["value"]


def main() -> None:
    document = ask("/openapi.json")
    for problem in OpenAPIV31SpecValidator(document).iter_errors():
        sys.exit(f"the document is no OpenAPI 3.1: {problem.message}")
    count = 0
    for place, schema, value in examples(document):
        # The schema, able to refer to the document's others.
        whole = {**schema, "components": document["components"]}
        for problem in jsonschema_rs.Draft202012Validator(whole).iter_errors(value):
            sys.exit(f"the example {place} does not fit its schema: {problem.message}")
        count += 1
    routes = sum(len(item) for item in document["paths"].values())
    print(f"valid OpenAPI {document['openapi']}: {routes} operations, {count} examples", file=sys.stderr)

    made = ask("/mcp/tools/call", {"tool": "task_create", "arguments": {"prompt": "A tea house in Graz."}})
    task = made["structuredContent"]["task_id"]
    began = time.monotonic()
    while True:
        status = ask("/mcp/tools/call", {"tool": "task_status", "arguments": {"task_id": task}})["structuredContent"]
        if status["state"] == "completed":
            break
        if status["state"] == "failed" or time.monotonic() - began > PATIENCE:
            sys.exit(f"the plan was not made: {status}")
        time.sleep(0.2)
    print(task)


main()
