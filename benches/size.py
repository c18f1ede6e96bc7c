"""The size of the component by crate: the bytes of each function's code, under the crate that its name begins with.

Reads a component that has its names (built without `strip`). Generic code counts where its name says that it is from,
which may be another crate than the one that asked for it.
"""

import collections
import os
import re
import subprocess

from stage import ROOT

FOLDER = ROOT / "target" / "names"
COMPONENT = "wasm32-wasip2/release/planexe_mcp.wasm"

# Ids of sections: of a component, and of a core module (WebAssembly specification, binary format).
CORE_MODULE = 1
CUSTOM, IMPORTS, CODE, DATA = 0, 2, 10, 11


def measure():
    """Bytes of the shipped file, and of its parts."""
    environment = {**os.environ, "CARGO_PROFILE_RELEASE_STRIP": "none"}
    command = ["cargo", "rustc", "--release", "--target", "wasm32-wasip2", "--lib", "--crate-type", "cdylib"]
    command += ["--locked", "--quiet", "--target-dir", FOLDER]
    subprocess.run(command, cwd=ROOT, env=environment, check=True)
    modules = [body for kind, body in sections((FOLDER / COMPONENT).read_bytes()) if kind == CORE_MODULE]
    by_crate, data = parts(max(modules, key=len))
    shipped = (ROOT / "target" / COMPONENT).stat().st_size
    print(f"size: {shipped:,} bytes as shipped; code {sum(by_crate.values()):,}, data {data:,}")
    for crate, size in by_crate.most_common(25):
        print(f"  {size:>8,}  {crate}")
    return {"bytes": shipped, "data": data, "code_by_crate": dict(by_crate.most_common())}


def parts(module):
    """Code by crate, and data, of a core module."""
    names, sizes, imported, data = {}, [], 0, 0
    for kind, body in sections(module):
        if kind == CUSTOM and body[1:5] == b"name":
            names = function_names(body[5:])
        elif kind == IMPORTS:
            imported = count_imported_functions(body)
        elif kind == CODE:
            sizes = list(code_sizes(body))
        elif kind == DATA:
            data = len(body)
    by_crate = collections.Counter()
    for number, size in enumerate(sizes):
        by_crate[crate_of(names.get(imported + number, ""))] += size
    return by_crate, data


def crate_of(name):
    """The crate in a mangled name, of the legacy form or of v0."""
    legacy = re.match(r"_ZN(\d+)(.*)", name)
    if legacy:
        path = legacy.group(2)[: int(legacy.group(1))].replace("..", "::").replace("$LT$", "<").replace("$RF$", "")
        found = re.search(r"([a-z_0-9]+)(::|$)", path)
        return found.group(1) if found else "unknown"
    if name.startswith("_R"):
        found = re.search(r"C(?:s[0-9a-zA-Z]*_)?(\d+)([a-z_0-9]+)", name)
        return found.group(2)[: int(found.group(1))] if found else "unknown"
    return "libc and allocator"


def leb(data, at):
    """An unsigned LEB128 number, and where it ends."""
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            return value, at


def sections(data):
    at = 8
    while at < len(data):
        kind = data[at]
        length, begin = leb(data, at + 1)
        at = begin + length
        yield kind, data[begin:at]


def function_names(data):
    at, names = 0, {}
    while at < len(data):
        kind = data[at]
        length, at = leb(data, at + 1)
        end = at + length
        if kind == 1:
            count, at = leb(data, at)
            for _ in range(count):
                index, at = leb(data, at)
                size, at = leb(data, at)
                names[index] = data[at : at + size].decode()
                at += size
        at = end
    return names


def count_imported_functions(data):
    """The imports of a component's module are all functions, but for what a toolchain may add in front of them."""
    count, at = leb(data, 0)
    functions = 0
    for _ in range(count):
        for _ in range(2):
            length, at = leb(data, at)
            at += length
        kind = data[at]
        if kind != 0:
            raise SystemExit("bench: the module imports something else than functions: size.py does not know how to read it")
        _, at = leb(data, at + 1)
        functions += 1
    return functions


def code_sizes(data):
    count, at = leb(data, 0)
    for _ in range(count):
        length, at = leb(data, at)
        yield length
        at += length
