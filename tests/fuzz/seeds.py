#!/usr/bin/env python3
"""Writes seeds of the fuzz targets into a folder: requests of tests/cases, examples of the tools, zip archives, links,
headers. scripts/fuzz runs it. What fuzzing has found is in tests/fuzz/seeds.

    seeds.py FOLDER
"""

import base64
import hashlib
import io
import json
import re
import struct
import sys
import zipfile
import zlib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
# In the order of the table of tools, by whose places the fuzz target knows them.
TOOLS = re.findall(r'tool!\(.*, "(\w+)"\)', (ROOT / "src/tools.rs").read_text())
OPENAPI = json.loads((ROOT / "assets/pages/openapi.json").read_text())
TASK = "5e2b2a7c-8b49-4d2f-9b8f-6a3c1f05b9a1"
# Longer inputs are only slower.
LONGEST = 4096


def write(target, seed):
    seed = seed if isinstance(seed, bytes) else seed.encode()
    if len(seed) <= LONGEST:
        name = hashlib.sha1(seed).hexdigest()[:12]
        (FOLDER / target).mkdir(parents=True, exist_ok=True)
        (FOLDER / target / name).write_bytes(seed)


def requests():
    for path in sorted((ROOT / "tests/cases").glob("*.json")):
        for case in json.loads(path.read_text())["cases"]:
            yield case["request"]


def bodies(request):
    """The body of a case as bytes: each message of a batch by itself."""
    if "body" in request:
        batch = request["body"] if isinstance(request["body"], list) else [request["body"]]
        yield from (json.dumps(message, separators=(",", ":")).encode() for message in batch)
    elif "text" in request:
        yield request["text"].encode()
    elif "base64" in request:
        yield base64.b64decode(request["base64"])


def messages():
    for request in requests():
        if request["path"].startswith("/mcp"):
            headers = {name.lower(): value or "" for name, value in request.get("headers", {}).items()}
            head = "|".join(headers.get(name, "") for name in ("mcp-protocol-version", "mcp-method", "mcp-name"))
            for body in bodies(request):
                yield head.encode() + b"\n" + body


def calls():
    for request in requests():
        for message in bodies(request):
            try:
                message = json.loads(message)
            except ValueError:
                continue
            if isinstance(message, dict):
                params = message.get("params") if isinstance(message.get("params"), dict) else message
                yield params.get("name", params.get("tool")), params.get("arguments")
    body = OPENAPI["paths"]["/mcp/tools/call"]["post"]["requestBody"]["content"]["application/json"]
    for example in body["examples"].values():
        yield example["value"]["tool"], example["value"]["arguments"]


def arguments():
    for name, given in calls():
        if name in TOOLS and given is not None:
            yield bytes([TOOLS.index(name)]) + json.dumps(given).encode()
    create = bytes([TOOLS.index("task_create")])
    yield create + json.dumps({
        "prompt": "A bakery", "speed_vs_detail": "fast", "user_api_key": "pex_a", "client_request_id": "order-7",
    }).encode()
    yield create + b'{"prompt":"a","prompt":7,"speed_vs_detail":null,"\\u0007":"x"}'


def zipped(entries, descriptors=False):
    """An archive of (name, bytes, method). Writers that cannot go back put the sizes behind the content."""

    class Pipe(io.BytesIO):
        def seekable(self):
            return not descriptors

        def seek(self, *to):
            if descriptors:
                raise io.UnsupportedOperation
            return super().seek(*to)

        def tell(self):
            if descriptors:
                raise io.UnsupportedOperation
            return super().tell()

    pipe = Pipe()
    with zipfile.ZipFile(pipe, "w") as archive:
        for name, content, method in entries:
            archive.writestr(zipfile.ZipInfo(name, (2026, 1, 31, 12, 0, 0)), content, method)
    return pipe.getvalue()


def archives():
    stored, deflated = zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED
    text = b"# A plan\n\n- one\n- two\n" * 8
    whole = zipped([("a", text, deflated), ("b.md", b"stored", stored)])
    yield whole
    yield zipped([])
    yield zipped([("a", b"", stored)])
    yield zipped([("a", b"first", stored), ("a", b"second", stored)])
    yield zipped([("run/", b"", stored), ("run/a", text, deflated), ("run/b/c.json", b"{}", stored)])
    yield zipped([("../a", b"x", stored), ("/a", b"x", stored), ("__MACOSX/a", b"x", stored), ("Ü.md", b"x", stored)])
    yield zipped([("b", text, deflated), ("a", text, deflated)], descriptors=True)
    # A bomb: many bytes in few, and one that says to be small.
    bomb = zipped([("a", b"\0" * 100_000, deflated)])
    yield bomb
    yield bomb.replace(struct.pack("<I", 100_000), struct.pack("<I", 10))
    # Encrypted, by its flag; packed in a way that runs are not; broken off; a checksum that is wrong.
    yield whole.replace(b"PK\x03\x04\x14\0\0\0", b"PK\x03\x04\x14\0\1\0").replace(
        b"PK\x01\x02\x14\x03\x14\0\0\0", b"PK\x01\x02\x14\x03\x14\0\1\0"
    )
    yield zipped([("a", text, zipfile.ZIP_BZIP2)])
    yield whole[: len(whole) // 2]
    yield whole[:-10]
    yield whole.replace(struct.pack("<I", zlib.crc32(text)), b"\0\0\0\0")
    with io.BytesIO() as file:
        with zipfile.ZipFile(file, "w") as archive, archive.open("a", "w", force_zip64=True) as entry:
            entry.write(text)
        yield file.getvalue()
    # A comment that looks like the end of another archive.
    yield whole[:-2] + struct.pack("<H", 22) + whole[-22:-2] + b"\0\0"


def addresses():
    for request in requests():
        yield request["path"]
    yield "http://127.0.0.1:8001/mcp\nhttp://planexe.example:8443/mcp?x=1"
    for name in ["030-report.html", "run.zip", "a/b.md", "%2e%2e/x", "..%2fx", "%C3%9Cber%20blick.svg", "a%00b", "C:x"]:
        yield f"/download/{TASK}/{name}"
    yield TASK.replace("-", "")
    yield ":8080"


def links():
    for edits in ["", "aaa", "\0\1b", "(\2x"]:
        yield "\n".join([TASK, "run.zip", "1767225600", "1767225000", TASK, "a/b.md", "other", "", edits])
    query = "expires=99999999999&signature=" + "0" * 64
    yield "\n".join(["a", "b:1", "7", "8", "a1:", "b", "", query, "\x20\3\x20"])


def headers():
    trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    for lines in [
        ["bytes=0-9", "", "", "", "1000", "", "secret", "call-7", trace, "plan exe", "p@ss:w/rd?#%"],
        ["bytes=-5", "", '"abc"', '"x", W/"abc"', "3", "", "Bearer “pex_a”", "", trace, "=?base64?dGFza19jcmVhdGU=?=", ""],
        ["bytes=990-99999999999999999999999", "bytes=0-0", "W/x", "*", "18446744073709551615", "y", '"a"', "a", "", "", ""],
        ["Bytes = 7-", "", "", "", "7", "", "\ufeffpex_a\u200b", "a b", "00-0-0", "postgresql+psycopg2://u:p@h:1/d", "x"],
        ["", "", "", "", "0", "", "'Bearer: pex_a'", "", "", "postgres://h/d?sslmode=require", "ü"],
    ]:
        yield "\n".join(lines)


def main():
    for seed in archives():
        write("stored_zip", b"\x20\x03\x05" + seed)
        write("zip_stream", b"\x06" + seed)
    for target in [messages, arguments, addresses, links, headers]:
        name = {messages: "message", addresses: "address"}.get(target, target.__name__)
        for seed in target():
            write(name, seed)


FOLDER = Path(sys.argv[1])
main()
