"""Late answers: those of one keep-alive connection that come after more than 30 ms, as when the host sends head and
body in two packets and the client delays its acknowledgement of the first. wrk does not count them: it adds answers
that it would have had meanwhile."""

import http.client
import time
import urllib.parse

import workload
from wrk import show

OPERATIONS = ("ping", "tools_list", "prompt_examples", "status_pending")
LIMIT = 0.030


def measure(targets, options):
    rows = []
    for operation in workload.OPERATIONS:
        if operation.name not in OPERATIONS or operation.name not in options.only:
            continue
        shares = {target.name: count(target, operation, options.answers) / options.answers for target in targets}
        words = ", ".join(f"{name} {share:.3%}" for name, share in shares.items())
        print(f"{operation.title}: later than 30 ms: {words}")
        rows.append({"operation": operation.name, "answers": options.answers, "shares": shares})
    return rows


def count(target, operation, answers):
    show(f"{operation.title}, {answers:,} answers on one connection: {target.name}")
    url, method, headers, body = target.request(operation)
    headers["Content-Type"] = "application/json"
    address = urllib.parse.urlsplit(url)
    connection = http.client.HTTPConnection(address.netloc, timeout=60)
    # Without it the client would connect anew after an end of the connection.
    connection.connect()
    connection.auto_open = 0
    late = 0
    for _ in range(answers):
        begun = time.perf_counter()
        connection.request(method, address.path, body, headers)
        answer = connection.getresponse()
        answer.read()
        late += time.perf_counter() - begun > LIMIT
        if answer.status != 200:
            raise SystemExit(f"bench: {target.name}: {operation.title}: {answer.status}")
    connection.close()
    return late
