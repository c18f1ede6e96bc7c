"""What schemathesis asks of POST /mcp/tools/call in place of its own check: calls that break the schema of their tool are
answered with an error, the others never with INVALID_ARGUMENT. scripts/openapi has it loaded.
"""

import json
from pathlib import Path

import jsonschema_rs
import schemathesis

DOCUMENT = json.loads((Path(__file__).resolve().parents[2] / "assets/pages/openapi.json").read_text())
CALLS = jsonschema_rs.Draft202012Validator(DOCUMENT["components"]["schemas"]["ToolCall"])


@schemathesis.check
def arguments_are_checked(_context, response, case) -> None:
    """The schema of the document and the server's own check say the same of every call."""
    if case.path != "/mcp/tools/call" or case.method != "POST" or response.status_code != 200:
        return
    try:
        call = json.loads(response.request.body)
    except (TypeError, ValueError) as broken:
        raise AssertionError("a body that is no JSON was taken for a call") from broken
    # Null stands for what is left out, as models write it; the schema does not say so.
    arguments = call.get("arguments") or {}
    call["arguments"] = {name: value for name, value in arguments.items() if value is not None}
    # Nor does it say that a text must hold more than blanks, and no U+0000, nor which dates there are.
    texts = [value for value in call["arguments"].values() if isinstance(value, str)]
    odd = "start_date" in call["arguments"] or any("\0" in text or not text.strip() for text in texts)
    error = response.json()["error"]
    code = error and error["code"]
    if CALLS.is_valid(call):
        assert odd or code != "INVALID_ARGUMENT", f"the schema allows this call: {error['message']}"
    else:
        assert error, "the schema forbids this call"
