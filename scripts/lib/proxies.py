"""Starts nginx and Caddy with the files of deploy/server, and sends requests through them to a stand-in for Spin.

Only names of files and ports are replaced; the rest is what an operator installs.
"""

import contextlib
import http.client
import http.server
import json
import shutil
import socket
import ssl
import subprocess
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import trustme
from problem import Problem, run

SERVER = Path(__file__).resolve().parents[2] / "deploy/server"
HOST = "planexe.example.com"
LARGEST = 100_000_000
BODY_BOUND = 1_048_576


class Spin(http.server.BaseHTTPRequestHandler):
    """Stands in for Spin: tells what arrived, and hands out the largest download that there is."""

    protocol_version = "HTTP/1.1"
    waiting = threading.Event()
    # Released by each request that has arrived at /wait.
    arrived: threading.Semaphore

    def log_message(self, *_arguments: object) -> None:
        """Says nothing."""

    def do_GET(self) -> None:
        """A download; or, at /wait, an answer that comes when `waiting` is set."""
        if self.path.startswith("/wait"):
            self.arrived.release()
            self.waiting.wait(60)
        size = LARGEST if self.path.endswith("/run.zip") else 5_000
        self.send_response(200)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("ETag", '"whole"')
        self.send_header("Content-Length", str(size))
        self.end_headers()
        piece = bytes(5_000)
        with contextlib.suppress(ConnectionError):
            for _ in range(size // len(piece)):
                self.wfile.write(piece)

    def do_POST(self) -> None:
        """The headers and the size of the body."""
        length = len(self.rfile.read(int(self.headers["Content-Length"])))
        body = json.dumps({"headers": {k.lower(): v for k, v in self.headers.items()}, "length": length}).encode()
        # A proxy that refuses a body while it passes it on hangs up here.
        with contextlib.suppress(ConnectionError):
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)


def free_port() -> int:
    """A port that nobody listens at."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Proxy:
    """A running proxy, and requests to it as its clients send them."""

    def __init__(self, name: str, port: int, authority: trustme.CA) -> None:
        self.name, self.port = name, port
        self.context = ssl.create_default_context()
        authority.configure_trust(self.context)

    def request(self, method: str, path: str, body: bytes | None = None, **headers: str) -> tuple[int, dict, bytes]:
        """Status, headers and body of an answer, over a connection of its own."""
        connection = http.client.HTTPSConnection(HOST, self.port, context=self.context, timeout=60)
        raw = socket.create_connection(("127.0.0.1", self.port), 60)
        connection.sock = self.context.wrap_socket(raw, server_hostname=HOST)
        with contextlib.closing(connection):
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            content = answer.read()
            return answer.status, {k.lower(): v for k, v in answer.getheaders()}, content

    def expect(self, what: str, found: object, wanted: object) -> None:
        """Fails with what is not as it shall be."""
        if found != wanted:
            raise Problem(f"{self.name}: {what}: {found!r} instead of {wanted!r}")

    def problem(self, what: str, status: int, answer: tuple[int, dict, bytes]) -> None:
        """A refusal of the proxy's own has the form of the server's errors."""
        self.expect(what, answer[0], status)
        self.expect(f"{what}: type", answer[1].get("content-type"), "application/json")
        self.expect(f"{what}: members", list(json.loads(answer[2])), ["detail"])

    def check_passage(self) -> None:
        """What has to arrive does: host, every form of the key, bodies up to the bound, whole downloads."""
        keys = {"API_KEY": "one", "X-API-Key": "two", "Authorization": "Bearer three"}
        status, _, content = self.request("POST", "/mcp", bytes(BODY_BOUND), Host=HOST, **keys)
        self.expect("a body as large as allowed", status, 200)
        arrived = json.loads(content)
        self.expect("length", arrived["length"], BODY_BOUND)
        self.expect("host", arrived["headers"]["host"], HOST)
        for name, value in keys.items():
            self.expect(name, arrived["headers"].get(name.lower()), value)
        self.problem("a larger body", 413, self.request("POST", "/mcp", bytes(BODY_BOUND + 1), Host=HOST))

        wants = {"Host": HOST, "Accept-Encoding": "gzip"}
        status, headers, content = self.request("GET", "/download/task/030-report.html", **wants)
        self.expect("a page", (status, headers.get("content-length"), headers.get("etag")), (200, "5000", '"whole"'))
        status, headers, content = self.request("GET", "/download/task/run.zip", **wants)
        self.expect("the largest download", (status, len(content)), (200, LARGEST))


@contextlib.contextmanager
def started(name: str, command: list[str], port: int, authority: trustme.CA):
    """The proxy while it runs."""
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        try:
            for _ in range(300):
                with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                    break
                if process.poll() is not None:
                    log.seek(0)
                    raise Problem(f"{name} did not start:\n{log.read().decode(errors='replace')[-2000:]}")
                time.sleep(0.1)
            yield Proxy(name, port, authority)
        finally:
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


@contextlib.contextmanager
def stage():
    """A folder with a certificate, and the stand-in for Spin: (folder, its port, the authority)."""
    Spin.waiting.clear()
    Spin.arrived = threading.Semaphore(0)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Spin)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        with tempfile.TemporaryDirectory() as name:
            folder, authority = Path(name), trustme.CA()
            certificate = authority.issue_cert(HOST)
            certificate.private_key_pem.write_to_path(folder / "privkey.pem")
            certificate.cert_chain_pems[0].write_to_path(folder / "fullchain.pem")
            yield folder, server.server_address[1], authority
    finally:
        Spin.waiting.set()
        server.shutdown()


def replaced(text: str, *pairs: tuple[str, str]) -> str:
    """The text with each first part replaced by its second; every one has to occur."""
    for old, new in pairs:
        if old not in text:
            raise Problem(f"the check looks for {old!r}, which the file does not have any more")
        text = text.replace(old, new)
    return text


def check_nginx() -> None:
    """`nginx -t`; then limits, errors, keys and downloads through it."""
    with stage() as (folder, spin, authority):
        port, plain = free_port(), free_port()
        site = replaced(
            (SERVER / "nginx.conf").read_text(),
            (f"/etc/letsencrypt/live/{HOST}", str(folder)),
            ("/var/log/nginx", str(folder)),
            ("127.0.0.1:8001", f"127.0.0.1:{spin}"),
            ("listen 443", f"listen 127.0.0.1:{port}"),
            ("listen [::]:443 ssl http2;", ""),
            ("listen 80;", f"listen 127.0.0.1:{plain};"),
            ("listen [::]:80;", ""),
        )
        (folder / "site.conf").write_text(site)
        temporary = "".join(
            f"  {kind}_temp_path {folder}/{kind};\n" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        )
        # As Debian's nginx.conf has it; `gzip on` is there to be overruled.
        (folder / "nginx.conf").write_text(
            f"daemon off;\nmaster_process off;\npid {folder}/pid;\nerror_log stderr warn;\nevents {{}}\n"
            f"http {{\n  gzip on;\n  access_log off;\n{temporary}  include {folder}/site.conf;\n}}\n"
        )
        # -e: the file that it would open before it has read where to write.
        command = [shutil.which("nginx") or "nginx", "-p", str(folder), "-e", "stderr", "-c", str(folder / "nginx.conf")]
        run(*command, "-t")
        with started("nginx", command, port, authority) as proxy:
            proxy.check_passage()
            # 20 at once and 5 a second: after this pause the first 20 are let through.
            time.sleep(5)
            refused = []
            with ThreadPoolExecutor(20) as pool:
                # On a slow machine 60 calls may take so long that none is refused.
                for turn in range(10):
                    answers = list(pool.map(lambda _: proxy.request("POST", "/mcp", b"{}", Host=HOST), range(60)))
                    refused = [answer for answer in answers if answer[0] != 200]
                    if refused:
                        break
            if not refused or (turn == 0 and len(refused) > 40):
                raise Problem(f"nginx: of 60 calls at once {len(refused)} were refused")
            proxy.problem("a call too many", 429, refused[0])
            proxy.expect("Retry-After", refused[0][1].get("retry-after"), "2")
            # No answer carries a signature into the log.
            proxy.request("GET", "/download/task/030-report.html?expires=1&signature=abcdef", Host=HOST)
            log = (folder / "planexe-mcp.log").read_text()
            proxy.expect("log", ("/download/task/030-report.html" in log, "abcdef" in log), (True, False))


def check_caddy() -> None:
    """`caddy validate`; then errors, keys and downloads through it."""
    with stage() as (folder, spin, authority):
        port = free_port()
        original = SERVER / "Caddyfile"
        run("caddy", "fmt", "--diff", str(original))
        run("caddy", "validate", "--config", str(original), "--adapter", "caddyfile")
        text = replaced(
            original.read_text(),
            ("127.0.0.1:8001", f"127.0.0.1:{spin}"),
            ("{\n\tservers {", "{\n\tadmin off\n\tauto_https off\n\tservers {"),
            (
                f"\n{HOST} {{\n",
                f"\nhttps://{HOST}:{port} {{\n\tbind 127.0.0.1\n\ttls {folder}/fullchain.pem {folder}/privkey.pem\n",
            ),
            ("\tlog {\n", f"\tlog {{\n\t\toutput file {folder}/access.log\n"),
        )
        (folder / "Caddyfile").write_text(text)
        command = ["caddy", "run", "--config", str(folder / "Caddyfile"), "--adapter", "caddyfile"]
        with started("caddy", command, port, authority) as proxy:
            proxy.check_passage()
            proxy.request("GET", "/download/task/030-report.html?expires=1&signature=abcdef", Host=HOST, API_KEY="geheim")
            log = (folder / "access.log").read_text()
            proxy.expect("log", ("REDACTED" in log, "abcdef" in log, "geheim" in log), (True, False, False))
            with ThreadPoolExecutor(65) as pool:
                waiting = [pool.submit(proxy.request, "GET", f"/wait/{turn}", Host=HOST) for turn in range(64)]
                for _ in waiting:
                    if not Spin.arrived.acquire(timeout=30):
                        raise Problem("caddy: of 64 calls at once not all came through")
                answer = proxy.request("POST", "/mcp", b"{}", Host=HOST)
                Spin.waiting.set()
                proxy.problem("a call beside 64 others", 503, answer)
                proxy.expect("the 64 others", {call.result()[0] for call in waiting}, {200})
