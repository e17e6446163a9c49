"""The worker's side of the pipe: one JSON line in, one JSON line out. Standard library only."""

import json
import os
import sys
import traceback


def serve(methods):
    """Answers requests `{"method": name, "arguments": {...}}` on stdin until it ends.

    The reply is `{"result": ...}`, or `{"error": "one line"}` with the traceback on stderr. Whatever
    a framework prints on stdout goes to stderr instead.

    Args:
        methods: `{name: function}`; results must be JSON.
    """
    replies = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    for line in sys.stdin:
        request = json.loads(line)
        try:
            reply = {"result": methods[request["method"]](**request["arguments"])}
        except Exception as error:  # whatever it is, the other side must hear of it
            traceback.print_exc()
            reply = {"error": f"{type(error).__name__}: {str(error).strip().splitlines()[0] if str(error) else ''}"}
        replies.write(json.dumps(reply) + "\n")
        replies.flush()
