"""Images on bad days: kills at any moment of a pull, a load and a commit, a registry that sends what it should not, many at once.

CORACLE_SEED repeats the random moments of an earlier run.
"""
import concurrent.futures
import json
import os
import random
import subprocess
import sys
import time

import harness
from harness import main, serve_http, wait_until
from image_test import RegistryCase, docker_archive, layer

SEED = int(os.environ.get("CORACLE_SEED", random.randrange(1 << 30)))
KILLS = 10


def noise(size):
    return random.Random(size).randbytes(size // 2).hex()


class Kills(RegistryCase):
    """kill -9 at ten random moments of each."""

    def check(self):
        p = subprocess.run([os.path.join(harness.BIN, "coracle"), "check", "--data-root", self.daemon.data, "--exec-root",
                            self.daemon.exec, "--config-file", f"{self.daemon.scratch}/daemon.json"],
                           capture_output=True, text=True, timeout=60)
        self.assertEqual((p.returncode, p.stderr), (0, ""), p.stdout)

    def kill_ten_times(self, undo, *command):
        """At moments of the time that it takes; then it is done, and nothing else is left."""
        chance = random.Random(SEED)
        begin = time.monotonic()
        self.ok(*command)
        takes = time.monotonic() - begin
        undo()
        for _ in range(KILLS):
            client = self.daemon.popen(*command)
            time.sleep(chance.random() * takes)  # any moment will do
            self.daemon.kill()
            client.communicate(timeout=60)
            self.check()
            self.daemon.start()
            undo()
        self.ok(*command)

    def assert_nothing_left(self):
        folders = [f"{self.daemon.data}/{f}" for f in ("trash", "storage/trash", "storage/tmp")]
        wait_until(lambda: not any(os.listdir(f) for f in folders if os.path.isdir(f)), what="nothing is under way")
        self.assertEqual(self.ok("images", "-q", "--filter", "dangling=true"), "")

    def test_pull(self):
        name = f"{self.registry.address}/killed:1"
        digest = self.registry.push("killed", "1", [layer({f"f{i}": noise(1 << 20)}) for i in range(4)])
        self.kill_ten_times(lambda: self.docker("rmi", "-f", name), "pull", name)
        self.assertEqual(self.inspect(name, "RepoDigests"), [f"{self.registry.address}/killed@{digest}"])
        self.assert_nothing_left()
        self.ok("rmi", name)

    def test_load(self):
        path = f"{self.folder.name}/load.tar"
        image = docker_archive(path, [layer({f"f{i}": noise(1 << 20)}) for i in range(4)], "loaded:1")
        self.kill_ten_times(lambda: self.docker("rmi", "-f", "loaded:1"), "load", "-i", path)
        self.assertEqual(self.inspect("loaded:1", "Id"), image)
        self.assert_nothing_left()
        self.ok("rmi", "loaded:1")

    def test_commit(self):
        self.ok("run", "--name", "c1", "busybox", "sh", "-c", "head -c 10000000 /dev/urandom > /f; md5sum /f > /sum")
        self.kill_ten_times(lambda: self.docker("rmi", "-f", "committed:1"), "commit", "c1", "committed:1")
        self.assertIn("/f: OK", self.ok("run", "--rm", "committed:1", "md5sum", "-c", "/sum"))
        self.assert_nothing_left()
        self.ok("rmi", "committed:1")


class Liar:
    """Stands before a registry, and changes what comes."""

    def __init__(self, registry):
        self.registry, self.change, self.where = registry, None, ""
        self.server, self.address = serve_http(self.answer)

    def answer(self, h):
        status, headers, body = self.registry.call(h.command, h.path, None, {"Accept": h.headers.get("Accept", "*/*")})
        length = len(body)
        if self.where in h.path and self.change:
            body, length = self.change(body)
        h.send_response(status)
        for name in ("Content-Type", "Docker-Content-Digest"):
            if name in headers:
                h.send_header(name, headers[name])
        h.send_header("Content-Length", str(length))
        h.end_headers()
        if h.command != "HEAD":
            h.wfile.write(body)
        if len(body) < length:
            h.close_connection = True

    def close(self):
        self.server.shutdown()
        self.server.server_close()


class Lies(RegistryCase):
    def test_what_is_not_what_its_digest_says(self):
        manifest = self.registry.push("lied", "1", [layer({"f": noise(400000)})])
        kind = "application/vnd.docker.distribution.manifest.v2+json"
        parsed = json.loads(self.registry.call("GET", f"/v2/lied/manifests/{manifest}", None, {"Accept": kind})[2])
        blob, config = parsed["layers"][0]["digest"], parsed["config"]["digest"]
        liar = Liar(self.registry)
        self.addCleanup(liar.close)
        self.ok("run", "-d", "--name", "r1", "busybox", "sleep", "1000")
        layers = sorted(os.listdir(f"{self.daemon.data}/storage/layers"))
        flip = (lambda b: (b[:-20] + bytes([b[-20] ^ 1]) + b[-19:], len(b)))
        table = (
            # what, where, how, what is said
            ("a layer's byte", blob, flip, blob),
            ("a layer that is longer", blob, lambda b: (b + b"x", len(b) + 1), blob),
            ("a layer that is something else", blob, lambda b: ((b"no layer" * len(b))[:len(b)], len(b)), blob),
            ("a configuration's byte", config, flip, config),
            ("a manifest's byte", "manifests/sha256", lambda b: (b.replace(b'"size"', b'"sizf"'), len(b)), manifest),
            ("a manifest that is none", "manifests/", lambda b: (b"[" * len(b), len(b)), "manifest"),
        )
        for what, where, change, said in table:
            with self.subTest(what=what):
                liar.where, liar.change = where, change
                name = f"{liar.address}/lied@{manifest}" if "sha256" in where and "manifests" in where else f"{liar.address}/lied:1"
                self.assertIn(said, self.fails(1, "pull", name))
                self.assertEqual(os.listdir(f"{self.daemon.data}/storage/tmp"), [])
                self.assertEqual(self.ok("images", "-q", f"{liar.address}/lied"), "")
        self.assertEqual(sorted(os.listdir(f"{self.daemon.data}/storage/layers")), layers)
        self.ok("exec", "r1", "true")
        liar.change = None
        self.ok("pull", f"{liar.address}/lied:1")


class Many(RegistryCase):
    """Fifty pulls, and twenty pushes, at once."""

    AT_ONCE = 50

    def watch(self, work):
        """The most threads, descriptors and bytes of memory while it runs, beyond what there was."""
        def now():
            pid = self.daemon.process.pid
            with open(f"/proc/{pid}/statm") as f:
                memory = int(f.read().split()[1]) * 4096
            return len(os.listdir(f"/proc/{pid}/task")), len(os.listdir(f"/proc/{pid}/fd")), memory
        before, most = now(), [0, 0, 0]
        with concurrent.futures.ThreadPoolExecutor(self.AT_ONCE) as pool:
            running = [pool.submit(*w) for w in work]
            while not all(r.done() for r in running):
                most = [max(a, b) for a, b in zip(most, now())]
                time.sleep(0.02)
        for r in running:
            self.assertEqual(r.result().code, 0, r.result())
        grown = [m - b for m, b in zip(most, before)]
        print(f"{len(work)} at once: {grown[0]} threads, {grown[1]} descriptors, {grown[2] / 1e6:.0f} MB", file=sys.stderr)
        return grown

    def test_pulls_and_pushes(self):
        names = []
        for i in range(self.AT_ONCE):
            self.registry.push(f"many{i}", "1", [layer({f"f{i}": noise(200000 + i)}), layer({"g": noise(100000)})])
            names.append(f"{self.registry.address}/many{i}:1")
        grown = self.watch([(self.docker, "pull", n) for n in names])
        # Three layers at a time, whatever number of pulls; a connection of a client and one of the registry each.
        self.assertLess(grown[0], 20)
        self.assertLess(grown[1], 6 * self.AT_ONCE)
        self.assertLess(grown[2], 64 << 20)
        self.ok("rmi", *names[1:])
        self.registry.push("same", "1", [layer({"big": noise(4 << 20)})])
        grown = self.watch([(self.docker, "pull", f"{self.registry.address}/same:1")] * self.AT_ONCE)
        self.assertLess(grown[0], 20)
        self.assertLess(grown[2], 64 << 20)
        self.ok("tag", "busybox", f"{self.registry.address}/pushed:0")
        targets = [f"{self.registry.address}/pushed{i}:1" for i in range(20)]
        for t in targets:
            self.ok("tag", "busybox", t)
        grown = self.watch([(self.docker, "push", t) for t in targets])
        self.assertLess(grown[0], 20)
        self.assertLess(grown[2], 64 << 20)
        digests = {self.registry.call("GET", f"/v2/pushed{i}/manifests/1", None, {
            "Accept": "application/vnd.docker.distribution.manifest.v2+json"})[1]["Docker-Content-Digest"] for i in range(20)}
        self.assertEqual(len(digests), 1)


if __name__ == "__main__":
    print(f"CORACLE_SEED={SEED}", file=sys.stderr)
    main()
