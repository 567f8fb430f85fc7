"""Fail points: the daemon ends, or meets an error, at a named step; nothing is lost or left behind.

The names stand in the sources: fail_point("container.create.written"). This test finds them there,
so that none is forgotten. And clients that stall or leave: they hold up nobody, and leave nothing.
"""
import os
import re
import signal
import socket
import subprocess
import time

from harness import BIN, Case, Daemon, busybox_tar, main, wait_until

TOP = os.path.join(os.path.dirname(__file__), "..", "..")


def points():
    """{area: [name…]} of every fail point in the daemon's sources."""
    out = set()
    for folder in ("engine", "storage"):
        for where, _, names in os.walk(os.path.join(TOP, folder)):
            for name in names:
                if name.endswith(".cpp"):
                    with open(os.path.join(where, name)) as f:
                        out.update(re.findall(r'fail_point\("([a-z_.]+)"\)', f.read()))
    return sorted(out)


class Faults(Case):
    def scenario(self):
        """Everything that passes fail points. Failures are what is asked for here."""
        d = self.daemon
        d.docker("import", busybox_tar(), "second:1")
        d.docker("run", "-d", "--name", "f1", "-v", "fv:/data", "busybox", "sleep", "1000")
        d.docker("run", "--rm", "--name", "f2", "busybox", "true")
        d.docker("exec", "f1", "touch", "/root/committed")
        d.docker("commit", "f1", "committed:1")
        d.docker("run", "--rm", "committed:1", "test", "-e", "/root/committed")
        d.docker("rm", "-f", "f1")
        d.docker("rmi", "committed:1")
        d.docker("volume", "rm", "fv")
        d.docker("rmi", "second:1")

    def clean(self):
        """No container, volume or second image is left; and all of it works again."""
        for name in self.ok("ps", "-aq").split():
            self.ok("rm", "-f", name)
        for name in self.ok("volume", "ls", "-q").split():
            self.ok("volume", "rm", name)
        for name in ("second:1", "committed:1"):
            if name in self.ok("images", "--format", "{{.Repository}}:{{.Tag}}").split():
                self.ok("rmi", name)
        self.assertEqual(self.run_box("-v", "fv:/data", "--", "echo", "works"), "works")
        self.ok("volume", "rm", "fv")
        self.assertEqual(self.ok("ps", "-aq"), "")

    def left(self):
        found = []
        for folder in ("tmp", "trash", "containers"):
            for base in (self.daemon.data, f"{self.daemon.data}/storage"):
                path = f"{base}/{folder}"
                if os.path.isdir(path):
                    found += [f"{path}/{name}" for name in os.listdir(path)]
        return found

    def assert_whole(self):
        """What coracle check says of the stopped daemon's files: left-overs, no damage."""
        p = subprocess.run(
            [os.path.join(BIN, "coracle"), "check", "--deep", "--data-root", self.daemon.data,
             "--exec-root", self.daemon.exec], capture_output=True, text=True, timeout=300)
        self.assertEqual((p.returncode, p.stderr), (0, ""), p.stdout)

    def test_kill_at_every_step(self):
        names = points()
        self.assertGreater(len(names), 8, names)
        for name in names:
            with self.subTest(point=name):
                self.daemon.stop()
                self.daemon.start(env={"CORACLE_FAIL": f"{name}:kill"}, wait=False)
                try:
                    self.daemon.wait_ready()
                    self.scenario()
                except (AssertionError, subprocess.TimeoutExpired):
                    pass  # killed while it started
                if self.daemon.process.poll() is None:
                    self.daemon.stop()
                self.daemon.process = None
                self.assert_whole()
                self.daemon.start()
                self.ok("ps", "-a")
                self.ok("images", "-a")
                self.clean()
                wait_until(lambda: not self.left(), 5, f"nothing left: {self.left()}")

    def test_error_at_every_step(self):
        for name in points():
            with self.subTest(point=name):
                self.daemon.stop()
                self.daemon.start(env={"CORACLE_FAIL": f"{name}:error"}, wait=False)
                try:
                    self.daemon.wait_ready()
                    self.scenario()
                except AssertionError:
                    pass  # an error while it started
                if self.daemon.process.poll() is None:
                    self.assertEqual(self.daemon.request("GET", "/_ping")[0], 200)
                    self.daemon.stop()
                self.daemon.process = None
                self.assert_whole()
                self.daemon.start()
                self.clean()


class Peer:
    """A client that says what it likes and leaves when it likes."""

    def __init__(self, daemon, head, body=b""):
        self.s = socket.socket(socket.AF_UNIX)
        self.s.settimeout(60)
        self.s.connect(daemon.socket)
        self.s.sendall(head.encode() + b"\r\nHost: x\r\n" + body)

    def await_answer(self):
        """Its head, or a part of it, has come; nothing is taken."""
        return self.s.recv(15, socket.MSG_PEEK)

    def rest(self):
        out = b""
        while piece := self.s.recv(1 << 20):
            out += piece
        return out

    def close(self):
        self.s.close()


def upload(daemon, head, sent, of=1_000_000_000):
    return Peer(daemon, f"{head} HTTP/1.1", f"Content-Length: {of}\r\n\r\n".encode() + sent)


def fetch(daemon, path, method="GET"):
    return Peer(daemon, f"{method} {path} HTTP/1.1", b"Content-Length: 0\r\n\r\n")


class Peers(Case):
    limit = 60  # seconds for what takes milliseconds: never is what is meant

    def threads(self):
        return len(os.listdir(f"/proc/{self.daemon.process.pid}/task"))

    def tmp(self):
        return os.listdir(f"{self.daemon.data}/storage/tmp")

    def quick(self, *args):
        self.assertEqual(self.docker(*args, timeout=self.limit).code, 0, args)

    def test_stalled_uploads_and_unread_archives_hold_up_nobody(self):
        before = self.threads()
        peers = [upload(self.daemon, f"POST {path}", b"x") for _ in range(8)
                 for path in ("/images/load", "/images/create?fromSrc=-&repo=never")]
        saves = [fetch(self.daemon, "/images/busybox/get") for _ in range(8)]
        self.addCleanup(lambda: [p.close() for p in peers + saves])
        self.assertEqual(self.daemon.request("GET", "/_ping")[0], 200)  # all of them have been heard
        self.quick("create", "--name", "s1", "busybox", "sh", "-c", "echo said; sleep 1000")
        self.quick("start", "s1")
        wait_until(lambda: self.docker("logs", "s1", timeout=self.limit).out == "said\n", self.limit, "its log")
        self.quick("commit", "s1", "beside:1")
        self.quick("cp", "s1:/etc/passwd", "-")
        self.quick("rm", "-f", "s1")
        self.quick("rmi", "beside:1")
        for p in peers + saves:
            p.close()
        wait_until(lambda: self.threads() <= before, 5, "their threads end")
        wait_until(lambda: not self.tmp(), 5, f"nothing is left: {self.tmp()}")
        self.assertNotIn("never", self.ok("images"))

    def test_more_unread_archives_than_there_are_threads(self):
        self.ok("create", "--name", "e1", "busybox", "true")
        saves = [fetch(self.daemon, "/containers/e1/export") for _ in range(40)]
        self.addCleanup(lambda: [p.close() for p in saves])
        self.assertEqual(self.daemon.request("GET", "/_ping")[0], 200)
        self.assertLess(self.threads(), 40)
        # Who waits gets his turn, and a whole archive.
        for p in saves[:-1]:
            p.close()
        answer = self.answer(saves[-1])
        self.assertTrue(answer.startswith(b"HTTP/1.1 200"), answer[:200])
        self.assertIn(b"bin/busybox", answer)

    def answer(self, peer):
        out = b""
        while not out.endswith(b"0\r\n\r\n"):
            piece = peer.s.recv(1 << 20)
            if not piece:
                break
            out += piece
        return out

    def test_work_ends_with_its_client_and_leaves_nothing(self):
        """Each is broken off in its middle: that it is there is waited for."""
        self.ok("run", "-d", "--name", "big", "busybox", "sh", "-c",
                "head -c 200000000 /dev/zero > /root/zeros; echo made; sleep 1000")
        wait_until(lambda: self.ok("logs", "big") == "made", 60, "its file is written")
        before, images = self.threads(), self.ok("images", "-qa")
        works = {
            "save": lambda: fetch(self.daemon, "/images/busybox/get"),
            "export": lambda: fetch(self.daemon, "/containers/big/export"),
            "copy out": lambda: fetch(self.daemon, "/containers/big/archive?path=/root"),
            "commit": lambda: fetch(self.daemon, "/commit?container=big&repo=never", "POST"),
            "paused": lambda: fetch(self.daemon, "/commit?container=big&repo=never&pause=1", "POST"),
        }
        for what, begin in works.items():
            with self.subTest(work=what):
                p = begin()
                if "commit" in what or "paused" in what:
                    wait_until(self.tmp, 20, "it has begun")
                else:
                    self.assertEqual(p.await_answer(), b"HTTP/1.1 200 OK")
                p.close()
                wait_until(lambda: not self.tmp(), 5, f"nothing is left: {self.tmp()}")
                wait_until(lambda: self.threads() <= before, 5, "its threads end")
                self.assertEqual(self.ok("images", "-qa"), images)
                wait_until(lambda: self.inspect("big", "State.Status") == "running", 5, "it runs on")
        self.quick("exec", "big", "true")

    def test_an_upload_that_is_cut_is_an_error_whatever_it_held(self):
        with open(busybox_tar(), "rb") as f:
            data = f.read()
        self.ok("save", "-o", f"{self.daemon.scratch}/saved.tar", "busybox")
        with open(f"{self.daemon.scratch}/saved.tar", "rb") as f:
            saved = f.read()
        self.ok("create", "--name", "cut", "busybox", "true")
        for head, sent in (("PUT /containers/cut/archive?path=/root", data),
                           ("POST /images/load", saved),
                           ("POST /images/create?fromSrc=-&repo=cut", data)):
            with self.subTest(head=head):
                p = upload(self.daemon, head, sent, of=len(sent) + 1000)
                p.s.shutdown(socket.SHUT_WR)
                answer = p.rest()
                p.close()
                self.assertTrue(answer.startswith(b"HTTP/1.1 4") or b"errorDetail" in answer, answer[:300])
                self.assertNotIn("cut", self.ok("images"))


if __name__ == "__main__":
    main()
