"""A relay in front of Postgres that writes down what comes through, so that the floor can do the same."""

import re
import socket
import struct
import threading

# Between two steps of the floor, and before each parameter of a statement.
STEP, PARAMETER = "\x1e", "\x1f"
STARTUP = struct.pack(">i", 196608)


class Recorder:
    """Relays connections to a Postgres on this machine. `statements` are those that were run, as the floor reads
    them."""

    def __init__(self, postgres_port):
        self.statements = []
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, args=(postgres_port,), daemon=True).start()

    def accept(self, postgres_port):
        while True:
            client, _ = self.listener.accept()
            server = socket.create_connection(("127.0.0.1", postgres_port))
            for relay in (self.ask, self.answer):
                threading.Thread(target=relay, args=(client, server), daemon=True).start()

    def ask(self, client, server):
        """From client to server: a byte of kind, but for the messages up to the startup, a length, the content."""
        texts, kind_size, stream = {}, 0, client.makefile("rb")
        while head := stream.read(kind_size + 4):
            content = stream.read(int.from_bytes(head[kind_size:]) - 4)
            if kind_size == 0 and content.startswith(STARTUP):
                kind_size = 1
            elif head.startswith(b"P"):
                name, text, _ = content.split(b"\0", 2)
                texts[name] = text.decode()
            elif head.startswith(b"B"):
                _, name, values = content.split(b"\0", 2)
                self.statements.append(PARAMETER.join([texts[name], *parameters(texts[name], values)]))
            server.sendall(head + content)
        server.shutdown(socket.SHUT_WR)

    def answer(self, client, server):
        while content := server.recv(1 << 16):
            client.sendall(content)
        client.close()


def parameters(text, values):
    """The binary values of a statement whose parameters all have casts."""
    (formats,) = struct.unpack_from(">h", values)
    at = 2 + 2 * formats
    (count,) = struct.unpack_from(">h", values, at)
    at += 2
    for number in range(1, count + 1):
        (size,) = struct.unpack_from(">i", values, at)
        at += 4
        value = values[at : at + max(size, 0)]
        at += len(value)
        kind = re.search(rf"\${number}::(\w+)", text).group(1)
        if size < 0:
            yield "null"
        elif kind == "text":
            yield "text" + value.decode()
        else:
            yield {"int4": "int4", "float8": "bits"}[kind] + str(int.from_bytes(value, signed=kind == "int4"))
