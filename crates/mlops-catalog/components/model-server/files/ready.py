"""Ends well when a server on this machine has all of these models ready.

    python -IS ready.py PORT MODEL...

A readiness probe of Kubernetes can ask for one address only.
"""

import http.client
import sys


def main() -> None:
    """Asks for one model after the other over one connection."""
    connection = http.client.HTTPConnection("127.0.0.1", int(sys.argv[1]), timeout=4)
    for model in sys.argv[2:]:
        connection.request("GET", f"/v2/models/{model}/ready")
        answer = connection.getresponse()
        answer.read()
        if answer.status != 200:
            sys.exit(f"The model `{model}` is not ready: {answer.status}")


if __name__ == "__main__":
    main()
