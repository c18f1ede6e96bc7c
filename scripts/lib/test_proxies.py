"""nginx and Caddy with the files of deploy/server, and requests through them to a stand-in for Spin.

Only names of files and ports are replaced; the rest is what an operator installs.
"""

import contextlib
import http.server
import shutil
import socket
import subprocess
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pytest
import trustme
import urllib3

SERVER = Path(__file__).resolve().parents[2] / "deploy/server"
HOST = "planexe.example.com"
LARGEST = 100_000_000
BODY_BOUND = 1_048_576
SIGNED = "/download/task/030-report.html?expires=1&signature=abcdef"


class Spin(http.server.BaseHTTPRequestHandler):
    """Tells what arrived, and hands out the largest download that there is."""

    protocol_version = "HTTP/1.1"
    waiting = threading.Event()
    arrived = threading.Semaphore(0)

    def log_message(self, *_arguments: object) -> None:
        """Says nothing."""

    def do_GET(self) -> None:
        """A download; or, at /wait, an answer that comes when `waiting` is set."""
        if self.path.startswith("/wait"):
            self.arrived.release()
            self.waiting.wait(60)
        self.answer(bytes(LARGEST if self.path.endswith("/run.zip") else 5_000))

    def do_POST(self) -> None:
        """The size of the body, and the headers that arrived."""
        length = len(self.rfile.read(int(self.headers["Content-Length"])))
        self.answer("\n".join([str(length), *(f"{k.lower()}: {v}" for k, v in self.headers.items())]).encode())

    def answer(self, body: bytes) -> None:
        """200 with this body. A proxy that refuses what it passes on hangs up here."""
        with contextlib.suppress(ConnectionError):
            self.send_response(200)
            self.send_header("ETag", '"whole"')
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)


@pytest.fixture
def spin(tmp_path: Path):
    """The port of the stand-in; the folder of the test has a certificate."""
    Spin.waiting.clear()
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "authority.pem")
    certificate = authority.issue_cert(HOST)
    certificate.private_key_pem.write_to_path(tmp_path / "privkey.pem")
    certificate.cert_chain_pems[0].write_to_path(tmp_path / "fullchain.pem")
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Spin) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_address[1]
        Spin.waiting.set()
        server.shutdown()


def free_port() -> int:
    """A port without a listener."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def replaced(text: str, *pairs: tuple[str, str]) -> str:
    """The text with each first part replaced by its second; every one has to occur."""
    for old, new in pairs:
        assert old in text, "the file does not have any more what this test replaces"
        text = text.replace(old, new)
    return text


@contextlib.contextmanager
def started(folder: Path, port: int, *command: str):
    """A function that sends requests through the proxy as its clients do: request(METHOD, PATH, BODY, HEADERS)."""
    with subprocess.Popen(command, stdin=subprocess.DEVNULL) as process:
        try:
            certificate = str(folder / "authority.pem")
            names = {"server_hostname": HOST, "assert_hostname": HOST, "ca_certs": certificate}
            pool = urllib3.HTTPSConnectionPool("127.0.0.1", port, maxsize=70, timeout=60, headers={"Host": HOST}, **names)
            pool.request("GET", "/", retries=urllib3.Retry(8, backoff_factor=0.1))

            def request(method: str, path: str, body: bytes | None = None, **headers: str) -> urllib3.BaseHTTPResponse:
                return pool.request(method, path, body=body, headers={"Host": HOST, **headers}, retries=False)

            yield request
        finally:
            process.terminate()


def assert_refused(answer: urllib3.BaseHTTPResponse, status: int) -> None:
    """A refusal of the proxy's own has the form of the server's errors."""
    assert (answer.status, answer.headers["Content-Type"]) == (status, "application/json")
    assert list(answer.json()) == ["detail"]


def assert_passage(request) -> None:
    """What has to arrive does: host, every form of the key, bodies up to the bound, whole downloads."""
    keys = {"API_KEY": "one", "X-API-Key": "two", "Authorization": "Bearer three"}
    answer = request("POST", "/mcp", bytes(BODY_BOUND), **keys)
    arrived = answer.data.decode().split("\n")
    assert (answer.status, arrived[0]) == (200, str(BODY_BOUND))
    assert {f"host: {HOST}", *(f"{name.lower()}: {value}" for name, value in keys.items())} <= set(arrived)
    assert_refused(request("POST", "/mcp", bytes(BODY_BOUND + 1)), 413)
    answer = request("GET", "/download/task/030-report.html", **{"Accept-Encoding": "gzip"})
    assert (answer.status, answer.headers["Content-Length"], answer.headers["ETag"]) == (200, "5000", '"whole"')
    answer = request("GET", "/download/task/run.zip")
    assert (answer.status, len(answer.data)) == (200, LARGEST)


def test_nginx(tmp_path: Path, spin: int) -> None:
    """`nginx -t`; then limits, errors, keys, downloads and the log."""
    port, plain = free_port(), free_port()
    site = replaced(
        (SERVER / "nginx.conf").read_text(),
        (f"/etc/letsencrypt/live/{HOST}", str(tmp_path)),
        ("/var/log/nginx", str(tmp_path)),
        ("127.0.0.1:8001", f"127.0.0.1:{spin}"),
        ("listen 443", f"listen 127.0.0.1:{port}"),
        ("listen [::]:443 ssl http2;", ""),
        ("listen 80;", f"listen 127.0.0.1:{plain};"),
        ("listen [::]:80;", ""),
    )
    (tmp_path / "site.conf").write_text(site)
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    temporary = "".join(f"{kind}_temp_path {tmp_path}/{kind}; " for kind in kinds)
    # As Debian's nginx.conf has it; `gzip on` is there to be overruled.
    (tmp_path / "nginx.conf").write_text(
        f"daemon off;\nmaster_process off;\npid {tmp_path}/pid;\nerror_log stderr warn;\nevents {{}}\n"
        f"http {{ gzip on; access_log off; {temporary} include {tmp_path}/site.conf; }}\n"
    )
    # -e: the file that it would open before it has read where to write.
    command = [shutil.which("nginx"), "-p", str(tmp_path), "-e", "stderr", "-c", str(tmp_path / "nginx.conf")]
    subprocess.run([*command, "-t"], check=True)
    with started(tmp_path, port, *command) as request:
        assert_passage(request)
        # 20 at once and 5 a second: after this pause the first 20 are let through.
        time.sleep(5)
        with ThreadPoolExecutor(20) as pool:
            # On a slow machine 60 calls may take so long that none is refused.
            for turn in range(10):
                answers = list(pool.map(lambda _: request("POST", "/mcp", b"{}"), range(60)))
                refused = [answer for answer in answers if answer.status != 200]
                if refused:
                    break
        assert refused and (turn or len(refused) <= 40)
        assert_refused(refused[0], 429)
        assert refused[0].headers["Retry-After"] == "2"
        request("GET", SIGNED)
        log = (tmp_path / "planexe-mcp.log").read_text()
        assert "/download/task/030-report.html" in log and "abcdef" not in log


def test_caddy(tmp_path: Path, spin: int) -> None:
    """`caddy validate`; then errors, keys, downloads, the log and the bound for all clients together."""
    port, original, adapter = free_port(), SERVER / "Caddyfile", ("--adapter", "caddyfile")
    subprocess.run(["caddy", "fmt", "--diff", original], check=True)
    subprocess.run(["caddy", "validate", "--config", original, *adapter], check=True)
    text = replaced(
        original.read_text(),
        ("127.0.0.1:8001", f"127.0.0.1:{spin}"),
        ("{\n\tservers {", "{\n\tadmin off\n\tauto_https off\n\tservers {"),
        (f"\n{HOST} {{\n", f"\nhttps://{HOST}:{port} {{\nbind 127.0.0.1\ntls {tmp_path}/fullchain.pem {tmp_path}/privkey.pem\n"),
        ("\tlog {\n", f"\tlog {{\n\t\toutput file {tmp_path}/access.log\n"),
    )
    (tmp_path / "Caddyfile").write_text(text)
    with started(tmp_path, port, "caddy", "run", "--config", str(tmp_path / "Caddyfile"), *adapter) as request:
        assert_passage(request)
        request("GET", SIGNED, API_KEY="geheim")
        log = (tmp_path / "access.log").read_text()
        assert "REDACTED" in log and "abcdef" not in log and "geheim" not in log
        with ThreadPoolExecutor(65) as pool:
            waiting = [pool.submit(partial(request, "GET", f"/wait/{turn}")) for turn in range(64)]
            assert all(Spin.arrived.acquire(timeout=30) for _ in waiting), "of 64 calls at once not all came through"
            answer = request("POST", "/mcp", b"{}")
            Spin.waiting.set()
            assert_refused(answer, 503)
            assert {call.result().status for call in waiting} == {200}
