"""The worker's side of the pipe: one JSON line in, one JSON line out. Standard library only."""

import json
import os
import sys
import traceback
from collections.abc import Callable, Mapping
from typing import Any


def serve(methods: Mapping[str, Callable[..., Any]]) -> None:
    """Answers requests `{"method": name, "arguments": {...}}` on stdin until stdin ends.

    The reply is `{"result": ...}`, or `{"error": "one line"}` with the traceback on stderr. Whatever
    a framework prints on stdout goes to stderr instead.

    Args:
        methods: `{name: function}`; what they return must be JSON.
    """
    replies = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    for line in sys.stdin:
        request = json.loads(line)
        try:
            reply = {"result": methods[request["method"]](**request["arguments"])}
        except Exception as error:  # any error is reported to the other side
            traceback.print_exc()
            reply = {"error": f"{type(error).__name__}: {str(error).strip().splitlines()[0] if str(error) else ''}"}
        replies.write(json.dumps(reply) + "\n")
        replies.flush()
