"""attach: many clients, stalled ones, the log before the stream, WebSockets, signals, events."""
import json
import select
import signal
import socket
import threading
import time
import urllib.parse

from harness import Case, main, wait_until
from streams import Stream, WebSocket
from tty_test import Terminal

OUT = "stream=1&stdout=1&stderr=1"


class Attach(Case):
    def attach(self, name, query=OUT, **kw):
        return Stream(self.daemon, "POST", f"/containers/{name}/attach?{query}", **kw)

    def actions(self, since, until=None):
        text = self.ok("events", "--since", since, "--until", until or f"{time.time() + 0.01:.6f}",
                       "--format", "{{json .}}")
        return [json.loads(line) for line in text.splitlines()]

    def head_and_rest(self, request, body=""):
        """As docker-py reads: the head through a buffer, that takes all there is, the stream past it."""
        with socket.socket(socket.AF_UNIX) as s:
            s.connect(self.daemon.socket)
            s.sendall(f"POST {request} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n"
                      f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode())
            s.recv(1, socket.MSG_PEEK)
            for _ in range(3):  # by then it has been written, if the head's reading were not waited for
                self.daemon.request("GET", "/_ping")
            head = s.recv(65536)
            self.assertTrue(head.startswith(b"HTTP/1.1 101 ") and head.endswith(b"\r\n\r\n"), head)
            return s.makefile("rb").read()

    def test_nothing_comes_in_one_piece_with_the_head(self):
        self.ok("run", "-d", "--name", "said", "busybox", "sh", "-c", "echo before; sleep 100")
        wait_until(lambda: self.ok("logs", "said") == "before", 5, "it has spoken")
        self.assertEqual(self.head_and_rest("/containers/said/attach?logs=1&stdout=1"),
                         b"\x01\0\0\0\0\0\0\x07before\n")
        created = self.daemon.request("POST", "/containers/said/exec", {"Cmd": ["echo", "quick"], "AttachStdout": True})
        self.assertEqual(self.head_and_rest(f"/exec/{created[2]['Id']}/start", "{}"),
                         b"\x01\0\0\0\0\0\0\x06quick\n")

    def test_a_stalled_client_blocks_nobody_else(self):
        size = 20_000_000
        self.ok("create", "--name", "many", "busybox", "sh", "-c",
                f"yes {'x' * 999} | head -c {size}; echo end")
        stalled = self.attach("many")
        readers, got = [self.attach("many") for _ in range(3)], [0, 0, 0]

        def read(n):
            for _, payload in readers[n].frames():
                got[n] += len(payload)
        threads = [threading.Thread(target=read, args=(n,)) for n in range(3)]
        for t in threads:
            t.start()
        self.ok("start", "many")
        for t in threads:
            t.join(120)
        for r in readers:
            r.close()
        # With the stalled one still there: were each of hundreds of pieces held up for it, this would be no matter of
        # seconds.
        self.assertEqual(got, [size + 4] * 3)
        wait_until(lambda: not self.inspect("many", "State.Running"), 5, "it ends")
        self.assertEqual(self.docker("logs", "--tail", "1", "many").out, "end\n")
        stalled.close()

    def test_a_stalled_client_holds_back_no_stop_and_no_removal(self):
        self.ok("run", "-d", "--name", "y1", "busybox", "sh", "-c", "trap 'exit 3' TERM; while :; do echo "
                + "x" * 1000 + "; done")
        stalled = self.attach("y1")
        time.sleep(0.5)  # for what it does not read to fill all there is; with less of it the rest holds as well
        self.assertEqual(self.daemon.request("GET", "/_ping")[0], 200)
        self.ok("stop", "-t", "1", "y1", timeout=60)
        self.ok("rm", "y1", timeout=60)
        stalled.close()

    def test_one_that_reads_slowly_gets_all_of_it(self):
        self.ok("create", "--name", "one", "busybox", "sh", "-c", f"yes {'x' * 999} | head -c 2000000")
        stream = self.attach("one")
        self.ok("start", "one")
        time.sleep(2.5)  # longer than one that holds up others may take
        self.assertTrue(self.inspect("one", "State.Running"))
        self.assertEqual(len(stream.payload()), 2_000_000)
        stream.close()

    def test_the_log_before_the_stream(self):
        self.ok("run", "-di", "--name", "l1", "busybox", "sh", "-c",
                "echo before; echo err >&2; while read x; do echo got $x; done")
        for line in ("before", "err"):
            self.says("l1", line)
        s = self.attach("l1", "logs=1&stdin=1&" + OUT)
        s.s.sendall(b"one\n")
        seen = {1: b"", 2: b""}
        for kind, payload in s.frames():
            seen[kind] += payload
            if seen[1].endswith(b"got one\n"):
                break
        self.assertEqual(seen, {1: b"before\ngot one\n", 2: b"err\n"})
        s.close()
        self.says("l1", "got one")
        only = self.attach("l1", "logs=1&stdout=1")
        self.assertEqual(only.payload(), b"before\ngot one\n")
        only.close()

    def test_resize_without_a_terminal_is_nothing(self):
        self.ok("run", "-d", "--name", "plain", "busybox", "sleep", "1000")
        self.assertEqual(self.daemon.request("POST", "/containers/plain/resize?h=24&w=80")[0], 200)
        _, _, made = self.daemon.request("POST", "/containers/plain/exec", {"Cmd": ["sleep", "1000"]})
        self.assertEqual(self.daemon.request("POST", f"/exec/{made['Id']}/start", {"Detach": True})[0], 200)
        self.assertEqual(self.daemon.request("POST", f"/exec/{made['Id']}/resize?h=24&w=80")[0], 200)

    def test_detach_keys_that_are_none_are_refused_before_the_upgrade(self):
        self.ok("run", "-dit", "--name", "keyed", "busybox", "sh")
        upgrade = {"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13",
                   "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ=="}
        for keys in ("invalid", "ctrl-", "ctrl-A", "ctrl-p,", ",", "ctrl-p,,q", "ctrl-%C3%A9"):
            for method, path, headers in (("POST", "keyed/attach", {}), ("GET", "keyed/attach/ws", upgrade),
                                          ("POST", "nobody/attach", {})):
                status, _, body = self.daemon.request(
                    method, f"/containers/{path}?{OUT}&detachKeys={keys}", headers=headers)
                self.assertEqual(status, 400, (keys, path, body))
                self.assertIn("Invalid detach keys", body["message"])
            status, _, body = self.daemon.request("POST", "/containers/keyed/exec", {
                "Cmd": ["sh"], "DetachKeys": urllib.parse.unquote(keys)})
            self.assertEqual(status, 400, (keys, body))

    def test_detach_attach_again_and_their_events(self):
        """By the API: today's CLI keeps the keys to itself and only leaves."""
        since = f"{time.time():.6f}"
        self.ok("run", "-dit", "--name", "det", "busybox", "sh")
        for keys, typed in (("", b"\x10\x11"), ("ctrl-x,q", b"\x18q")):
            s = self.attach("det", f"{OUT}&stdin=1&detachKeys={keys}")
            s.s.sendall(b"echo a''gain\n")
            seen = b""
            for piece in s.pieces():
                seen += piece
                if b"again\r\n" in seen:
                    break
            s.s.sendall(typed)
            s.read_all()  # ends
            s.close()
        status, _, _ = self.daemon.request("POST", "/containers/det/resize?h=33&w=99")
        self.assertEqual(status, 200)
        _, _, made = self.daemon.request("POST", "/containers/det/exec", {
            "Cmd": ["sh"], "Tty": True, "AttachStdin": True, "AttachStdout": True, "DetachKeys": "ctrl-x"})
        s = Stream(self.daemon, "POST", f"/exec/{made['Id']}/start", {"Tty": True})
        s.s.sendall(b"\x18")
        s.read_all()
        s.close()
        self.assertTrue(self.daemon.request("GET", f"/exec/{made['Id']}/json")[2]["Running"])
        def all_told():
            told = self.actions(since)
            names = [e["Action"] for e in told]
            return told if names.count("detach") >= 2 and "exec_detach" in names else None
        events = wait_until(all_told, what="the detaching is told")
        names = [e["Action"] for e in events]
        self.assertEqual(names.count("attach"), 2, names)
        self.assertEqual(names.count("detach"), 2, names)
        self.assertEqual(names.count("exec_detach"), 1, names)
        size = [e["Actor"]["Attributes"] for e in events if e["Action"] == "resize"][-1]
        self.assertEqual((size["height"], size["width"]), ("33", "99"))
        self.assertTrue(self.inspect("det", "State.Running"))
        t = Terminal(self, "attach", "--detach-keys", "ctrl-y", "det", rows=20, cols=60)
        t.send("echo b''ack\r")
        t.expect("back")
        t.send("\x19")
        t.wait()
        self.assertTrue(self.inspect("det", "State.Running"))

    def test_signals_are_passed_on(self):
        p = self.popen_run("sig", "trap 'echo usr1' USR1; trap 'echo term; exit 4' TERM; echo up; "
                           "while :; do sleep 0.1; done")
        p.send_signal(signal.SIGUSR1)
        self.assertEqual(p.stdout.readline(), b"usr1\n")
        p.send_signal(signal.SIGTERM)
        self.assertEqual(p.communicate(timeout=60)[0], b"term\n")
        self.assertEqual(p.returncode, 4)

    def popen_run(self, name, script, *flags):
        p = self.daemon.popen("run", "--name", name, *flags, "busybox", "sh", "-c", script)
        self.assertEqual(p.stdout.readline(), b"up\n")
        return p

    # --- WebSocket

    def test_websocket(self):
        self.ok("run", "-di", "--name", "w1", "busybox", "sh", "-c",
                "while read x; do echo out $x; echo err $x >&2; [ $x = end ] && exit 2; done")
        ws = WebSocket(self.daemon, "/v1.44/containers/w1/attach/ws?stream=1&stdin=1&stdout=1")
        self.assertEqual(ws.status, 101)
        self.assertTrue(ws.accepted, ws.head)
        ws.send(b"hello\n")
        data, kinds = ws.read_until(b"out hello\n")
        self.assertEqual((data, kinds), (b"out hello\n", {2}))  # no frames of Docker's, no stderr
        ws.send(b"", opcode=9)  # ping
        self.assertEqual(ws.receive()[0], 10)
        # The handshake is answered before the container's output is joined to it: until something comes.
        both, err = (WebSocket(self.daemon, f"/v1.44/containers/w1/attach/ws?stream=1&{q}")
                     for q in ("stdout=1&stderr=1", "stderr=1"))
        self.assertEqual((both.status, err.status), (101, 101))

        def joined(other):
            ws.send(b"more\n")
            return other.buffer or select.select([other.s], [], [], 0.1)[0]
        for other in (both, err):
            wait_until(lambda: joined(other), 10, "it is attached")
        ws.send(b"x" * 3000 + b"\nend\n")
        # Where a stream is cut into messages, and how two of them lie between each other, is nobody's promise.
        out, errors, mixed = (s.read_to_close() for s in (ws, err, both))
        self.assertIn(b"out " + b"x" * 3000 + b"\nout end\n", out)
        self.assertNotIn(b"err", out)
        self.assertIn(b"err " + b"x" * 3000 + b"\nerr end\n", errors)
        self.assertNotIn(b"out", errors)
        self.assertEqual(mixed.count(b"x"), 6000)
        for s in (ws, err, both):
            s.close()
        self.assertEqual(self.inspect("w1", "State.ExitCode"), 2)

    def test_websocket_with_a_terminal_text_and_a_client_that_leaves(self):
        self.ok("run", "-dit", "--name", "t1", "busybox", "sh")
        ws = WebSocket(self.daemon, "/v1.27/containers/t1/attach/ws?stream=1&stdin=1&stdout=1")
        ws.send(b"echo a''b\n", opcode=1)
        _, kinds = ws.read_until(b"ab\r\n")
        self.assertEqual(kinds, {1})
        ws.close()
        ws = WebSocket(self.daemon, "/v1.44/containers/t1/attach/ws?stream=1&stdin=1&stdout=1")
        ws.send(b"exit 9\n")
        wait_until(lambda: not self.inspect("t1", "State.Running"), 5, "the shell ends")
        self.assertEqual(self.inspect("t1", "State.ExitCode"), 9)
        ws.close()

    def test_websocket_refusals(self):
        nobody = WebSocket(self.daemon, "/containers/nobody/attach/ws?stream=1")
        nobody.close()
        self.assertEqual(nobody.status, 404)
        self.ok("run", "-d", "--name", "r1", "busybox", "sleep", "100")
        status, _, body = self.daemon.request("GET", "/containers/r1/attach/ws?stream=1")
        self.assertEqual(status, 400)
        self.assertIn("Upgrade: websocket", body["message"])


if __name__ == "__main__":
    main()
