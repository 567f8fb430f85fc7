#!/usr/bin/env python3
"""What a thousand containers cost: lists, the client's ps, the daemon's restart.

  many.py [--count 1000] [--bin DIR]       as an unprivileged user; a daemon of its own

Containers are created through the API. The last figure is the list's answer while others come and go.
"""
import argparse
import http.client
import json
import os
import socket
import statistics
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "conformance"))


def kept(path):
    c = http.client.HTTPConnection("localhost", timeout=60)
    c.sock = socket.socket(socket.AF_UNIX)
    c.sock.connect(path)
    return c


def api(c, method, path, body=None):
    c.request(method, path, json.dumps(body) if body is not None else None,
              {"Content-Type": "application/json"} if body is not None else {})
    r = c.getresponse()
    data = r.read()
    if r.status >= 400:
        raise RuntimeError(f"{method} {path}: {r.status} {data[:200]!r}")
    return data


def answer_alike(path, text):
    """A server that answers every request with `text` at once: what the client's own work takes."""
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.listen()

    def serve(client):
        seen = b""
        while True:
            piece = client.recv(65536)
            if not piece:
                return
            seen += piece
            while b"\r\n\r\n" in seen:
                head, seen = seen.split(b"\r\n\r\n", 1)
                body = b"" if head.startswith(b"HEAD") else text
                client.sendall(b"HTTP/1.1 200 OK\r\nApi-Version: 1.51\r\nOstype: linux\r\n"
                               b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n"
                               % len(text) + body)

    def accept():
        while True:
            client, _ = listener.accept()
            threading.Thread(target=serve, args=(client,), daemon=True).start()
    threading.Thread(target=accept, daemon=True).start()


def timed(act, rounds=15):
    times = []
    for _ in range(rounds):
        begin = time.monotonic()
        act()
        times.append((time.monotonic() - begin) * 1000)
    return f"{min(times):8.1f} {statistics.median(times):8.1f} {max(times):8.1f}"


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--bin", default=os.environ.get("CORACLE_BIN", ""))
    args = parser.parse_args()
    os.environ["CORACLE_BIN"] = args.bin
    import harness
    harness.BIN = args.bin
    d = harness.Daemon().start()
    try:
        d.import_busybox()
        c = kept(d.socket)
        body = {"Image": "busybox", "Cmd": ["sh", "-c", "echo hello; sleep 1"],
                "Labels": {"com.example.project": "many", "com.example.service": "web"},
                "Env": [f"VARIABLE_{i}=value {i}" for i in range(10)],
                "HostConfig": {"Binds": ["/tmp:/host"]}}
        made = []
        print("milliseconds                                 min   median      max")
        for n in range(1, args.count + 1):
            body["Labels"]["com.example.number"] = str(n)
            made.append(json.loads(api(c, "POST", f"/containers/create?name=many-{n}", body))["Id"])
            if n in (100, args.count):
                print(f"GET containers/json?all=1, {n:5}      ",
                      timed(lambda: api(c, "GET", "/containers/json?all=1")))
        print("docker ps -a                           ", timed(lambda: d.docker("ps", "-a"), 7))
        alone = os.path.join(os.path.dirname(d.socket), "alike.sock")
        answer_alike(alone, api(c, "GET", "/containers/json?all=1"))
        print("docker ps -a, from a server that only sends",
              timed(lambda: d.docker("-H", f"unix://{alone}", "ps", "-a"), 7))
        print("docker ps -aq --filter name=many-77    ",
              timed(lambda: d.docker("ps", "-aq", "--filter", "name=many-77"), 7))

        def restart():
            d.kill()
            d.start()
        print("kill -9, start, answers                ", timed(restart, 5))

        stop = threading.Event()

        def churn():
            mine = kept(d.socket)
            while not stop.is_set():
                cid = json.loads(api(mine, "POST", "/containers/create", {
                    "Image": "busybox", "Cmd": ["sleep", "100"],
                    "HostConfig": {"NetworkMode": "none"}}))["Id"]
                api(mine, "POST", f"/containers/{cid}/start")
                api(mine, "POST", f"/containers/{cid}/stop?t=0")
                api(mine, "DELETE", f"/containers/{cid}")
        threads = [threading.Thread(target=churn) for _ in range(50)]
        for t in threads:
            t.start()
        time.sleep(1)
        c = kept(d.socket)
        print("the list, 50 create/start/stop/rm beside",
              timed(lambda: api(c, "GET", "/containers/json?all=1"), 60))
        stop.set()
        for t in threads:
            t.join()
        for i in range(0, len(made), 100):
            d.docker("rm", *made[i:i + 100])
    finally:
        d.close()


if __name__ == "__main__":
    main()
