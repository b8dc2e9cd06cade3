"""A stdio MCP server that does what the tests want of one: its methods are their wishes."""

import json
import os
import subprocess
import sys
import time

cancelled = []


def send(message):
    print(json.dumps({"jsonrpc": "2.0", **message}), flush=True)


def read():
    line = sys.stdin.readline()
    if not line:
        sys.exit(0)
    return json.loads(line)


def initialize(_):
    if os.environ.get("FAILS"):
        raise ValueError("will not")
    return {"protocolVersion": "2025-06-18", "pid": os.getpid(), "arguments": sys.argv[1:]}


def environment(_):
    return dict(os.environ)


def child(_):
    # Ignores being asked to end, and keeps the output open.
    code = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('{}', flush=True); time.sleep(600)"
    return {"pid": subprocess.Popen([sys.executable, "-c", code]).pid}


def die(_):
    os._exit(3)


def last_words(request):
    send({"id": request["id"], "result": "bye"})
    os._exit(0)


def hang(_):
    return None


def deaf(_):
    time.sleep(600)


def progress(request):
    token = request["params"]["_meta"]["progressToken"]
    send({"method": "notifications/progress", "params": {"progressToken": token, "progress": 1}})
    return "done"


def ask(_):
    send({"id": 1, "method": "roots/list"})
    while True:
        message = read()
        if message.get("id") == 1 and "method" not in message:
            return message["result"]


def say(request):
    send({"method": "notifications/message", "params": {"data": request["params"]["text"]}})
    return "said"


def complain(request):
    print(request["params"]["text"], file=sys.stderr, flush=True)
    return "complained"


def long(request):
    return "x" * request["params"]["length"]


def heard(_):
    return cancelled


def main():
    print("this is no message", flush=True)
    while True:
        message = read()
        if message.get("method") == "notifications/cancelled":
            cancelled.append(message["params"]["requestId"])
        if "id" not in message or "method" not in message:
            continue
        try:
            result = globals()[message["method"]](message)
        except ValueError as error:
            send({"id": message["id"], "error": {"code": -32000, "message": str(error)}})
            continue
        if result is not None:
            send({"id": message["id"], "result": result})


main()
