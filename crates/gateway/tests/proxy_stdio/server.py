"""A stdio MCP server that does what the tests want of one: its methods are their wishes."""

import json
import os
import resource
import subprocess
import sys
import time

# What all requests are called by their ids, and those that were cancelled, and requests that wait for `release`.
asked = {}
cancelled = []
held = []
# What came while something else was waited for.
backlog = []


def send(message):
    print(json.dumps({"jsonrpc": "2.0", **message}), flush=True)


def read():
    line = sys.stdin.readline()
    if not line:
        sys.exit(0)
    return json.loads(line)


def initialize(request):
    if os.environ.get("FAILS") or request["params"].get("fails"):
        raise ValueError("will not")
    if os.environ.get("STALLS"):
        # Says something, and never answers.
        return send({"method": "notifications/message", "params": {"data": "starting"}})
    capabilities = request["params"].get("capabilities")
    return {"protocolVersion": "2025-06-18", "pid": os.getpid(), "arguments": sys.argv[1:], "told": capabilities, "heard": request["params"]}


def pid(_):
    return os.getpid()


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


def hold(request):
    held.append(request)


def release(_):
    # The last one first.
    while held:
        params = (request := held.pop())["params"]
        if token := params.get("_meta", {}).get("progressToken"):
            send({"method": "notifications/progress", "params": {"progressToken": token, "progress": params["as"]}})
        send({"id": request["id"], "result": params["as"]})
    return "released"


def allocate(request):
    try:
        return len(bytearray(request["params"]["bytes"]))
    except MemoryError:
        return "refused"


def limits(_):
    code = "import resource; print(*resource.getrlimit(resource.RLIMIT_DATA))"
    of_child = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout
    return {"child": of_child.strip(), "own": " ".join(map(str, resource.getrlimit(resource.RLIMIT_DATA)))}


def deaf(_):
    time.sleep(600)


def progress(request):
    token = request["params"].get("_meta", {}).get("progressToken")
    send({"method": "notifications/progress", "params": {"progressToken": token, "progress": 1}})
    return "done"


def burst(request):
    token = request["params"]["_meta"]["progressToken"]
    message = {"jsonrpc": "2.0", "method": "notifications/progress", "params": {"progressToken": token, "progress": 1}}
    print("\n".join(json.dumps(message) for _ in range(300)), flush=True)
    return "done"


def ask(_):
    send({"id": 1, "method": "roots/list"})
    while True:
        message = read()
        if message.get("id") == 1 and "method" not in message:
            return message.get("result", message.get("error"))
        backlog.append(message)


def ask_in_vain(request):
    for n in range(request["params"]["times"]):
        send({"id": n + 1000, "method": "roots/list"})
        send({"method": "notifications/cancelled", "params": {"requestId": n + 1000}})
    return "asked"


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


def tools_call(request):
    return {"called": request["params"]["name"], "pid": os.getpid()}


def subscriptions_listen(request):
    held.append(request)
    changed("notifications/subscriptions/acknowledged", request)


def changed(method, request):
    meta = {"io.modelcontextprotocol/subscriptionId": request["id"]}
    send({"method": method, "params": {"_meta": meta}})
    return meta


def change(_):
    # Some servers end a subscription with an answer, others cancel it.
    for request in held:
        meta = changed("notifications/tools/list_changed", request)
        if request["params"].get("end") == "answer":
            send({"id": request["id"], "result": {"_meta": meta}})
        else:
            send({"method": "notifications/cancelled", "params": {"requestId": request["id"], "_meta": meta}})
    return "changed"


if os.environ.get("MODERN"):

    def server_discover(_):
        return {"supportedVersions": ["2026-07-28"], "pid": os.getpid()}


if os.environ.get("ODD"):

    def server_discover(_):
        raise ValueError("before initialize")


if os.environ.get("DIES"):
    server_discover = die


def main():
    print("this is no message", flush=True)
    while True:
        message = backlog.pop(0) if backlog else read()
        if message.get("method") == "notifications/cancelled":
            cancelled.append(asked[message["params"]["requestId"]])
        if "id" not in message or "method" not in message:
            continue
        asked[message["id"]] = message.get("params", {}).get("as", message["method"])
        try:
            result = globals()[message["method"].replace("/", "_")](message)
        except KeyError:
            send({"id": message["id"], "error": {"code": -32601, "message": "no such method", "data": message.get("params")}})
            continue
        except ValueError as error:
            send({"id": message["id"], "error": {"code": -32000, "message": str(error)}})
            continue
        if result is not None:
            send({"id": message["id"], "result": result})


main()
