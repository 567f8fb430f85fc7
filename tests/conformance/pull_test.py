"""Pulls that nobody waits for any more: they end at once and leave nothing; whoever waits for the same image still
gets it. The registry is a small one that stops in the middle of a layer until it is told to go on."""
import gzip
import hashlib
import json
import os
import signal
import threading

from harness import Case, main, serve_http, wait_until
from image_test import layer


def digest_of(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


class HaltingRegistry:
    """One image under every name. What it `halts` at is sent by half, until go() is called: base, manifest,
    configuration, first layer, layer (the last)."""

    def __init__(self, layers, halts="layer"):
        self.halts = halts
        stored = [gzip.compress(x, 1) for x in layers]
        config = json.dumps({"architecture": "amd64", "os": "linux", "config": {"Cmd": ["sh"]},
                             "rootfs": {"type": "layers", "diff_ids": [digest_of(x) for x in layers]}}).encode()
        self.manifest = json.dumps({
            "schemaVersion": 2, "mediaType": "application/vnd.docker.distribution.manifest.v2+json",
            "config": {"mediaType": "application/vnd.docker.container.image.v1+json", "size": len(config),
                       "digest": digest_of(config)},
            "layers": [{"mediaType": "application/vnd.docker.image.rootfs.diff.tar.gzip", "size": len(x),
                        "digest": digest_of(x)} for x in stored]}).encode()
        self.blobs = {digest_of(x): x for x in stored}
        self.layers = [digest_of(x) for x in stored]
        self.configs = {digest_of(config): config}
        self.asked = []  # their targets
        self.halted = 0  # requests that stand in the middle of a layer
        self.left = 0    # of them, those whose client has gone
        self.lock = threading.Lock()
        self.may_go = threading.Event()
        self.server, self.address = serve_http(self.answer)

    def answer(self, h):
        # As a proxy it is asked by a whole URL.
        self.asked.append(h.path)
        path = "/" + h.path.split("://", 1)[1].split("/", 1)[1] if "://" in h.path else h.path
        digest = path.rsplit("/", 1)[-1]
        if path == "/v2/":
            self.send(h, "base", b"{}")
        elif "/manifests/" in path:
            self.send(h, "manifest", self.manifest, "application/vnd.docker.distribution.manifest.v2+json")
        elif digest in self.configs:
            self.send(h, "configuration", self.configs[digest])
        elif digest in self.blobs:
            self.send(h, "layer" if digest == self.layers[-1] else "first layer", self.blobs[digest])
        else:
            h.send_error(404)

    def send(self, h, what, body, kind="application/octet-stream"):
        halt = what == self.halts and not self.may_go.is_set()
        half = len(body) // 2 if halt else len(body)
        try:
            h.send_response(200)
            h.send_header("Content-Type", kind)
            h.send_header("Content-Length", str(len(body)))
            h.end_headers()
            h.wfile.write(body[:half])
            if not halt:
                return
            with self.lock:
                self.halted += 1
            h.connection.settimeout(0.02)
            while not self.may_go.is_set():
                try:
                    if h.connection.recv(1) == b"":
                        raise OSError
                except TimeoutError:
                    pass
            h.connection.settimeout(60)
            h.wfile.write(body[half:])
        except OSError:
            h.close_connection = True
            with self.lock:
                self.left += 1

    def go(self):
        self.may_go.set()

    def close(self):
        self.go()
        self.server.shutdown()
        self.server.server_close()


class Pulls(Case):
    def setUp(self):
        super().setUp()
        self.layers = [layer({"big": os.urandom(3 << 20).hex()}), layer({"small": os.urandom(1 << 16).hex()})]

    def serve(self, halts):
        self.registry = HaltingRegistry(self.layers, halts)
        self.addCleanup(self.registry.close)
        return f"{self.registry.address}/halting"

    def tearDown(self):
        for image in self.images():
            self.ok("rmi", "-f", image)
        super().tearDown()

    def images(self):
        return [x for x in self.ok("images", "--format", "{{.Repository}}:{{.Tag}}").split() if x.startswith("127.")]

    def traces(self):
        """What a pull may leave below the data root."""
        out = []
        for part in ("tmp", "layers", "blobs/sha256", "trash"):
            folder = f"{self.daemon.data}/storage/{part}"
            if os.path.isdir(folder):
                out += [f"{part}/{x}" for x in os.listdir(folder)]
        return sorted(out)

    def kill(self, client):
        client.send_signal(signal.SIGKILL)
        client.communicate(timeout=60)

    def test_a_pull_whose_client_was_killed_ends_and_leaves_nothing(self):
        for halts in ("base", "manifest", "configuration", "first layer", "layer"):
            with self.subTest(halts=halts):
                wait_until(lambda: not any(x.startswith("trash") for x in self.traces()), 5, "the trash is empty")
                before = self.traces()
                name = self.serve(halts) + ":1"
                client = self.daemon.popen("pull", name)
                wait_until(lambda: self.registry.halted == 1, 10, f"it is in the middle of the {halts}")
                if halts == "layer":
                    line = b""
                    while b"Pull complete" not in line:
                        line = client.stdout.readline()
                        self.assertNotEqual(line, b"")
                self.kill(client)
                wait_until(lambda: self.registry.left == 1, what="the pull ends", bound=10)  # within a second
                try:
                    wait_until(lambda: self.traces() == before, 2, "nothing is left of it")
                except AssertionError:
                    self.assertEqual(self.traces(), before)
                self.registry.go()
                self.assertEqual(self.images(), [])
                # The next one is as any other.
                self.assertIn("Downloaded newer image", self.ok("pull", name))
                self.assertEqual(self.images(), [name])
                self.ok("rmi", name)

    def test_a_pull_goes_on_for_the_one_who_still_waits(self):
        name = self.serve("first layer")
        clients = [self.daemon.popen("pull", name + ":1")]
        wait_until(lambda: self.registry.halted == 1, 10, "the layer is half there")
        clients.append(self.daemon.popen("pull", name + ":2"))
        # It waits for the same layers, and says so.
        line = b""
        while b"Pulling fs layer" not in line:
            line = clients[1].stdout.readline()
            self.assertNotEqual(line, b"")
        self.kill(clients[0])
        self.registry.go()
        _, err = clients[1].communicate(timeout=60)
        self.assertEqual(clients[1].returncode, 0, err)
        self.assertEqual(self.images(), [name + ":2"])

    def test_through_a_proxy(self):
        self.serve("nothing")
        config = f"{self.daemon.scratch}/daemon.json"
        with open(config, "w") as f:
            json.dump({"insecure-registries": ["far.invalid"],
                       "proxies": {"http-proxy": f"http://ann:secret@{self.registry.address}", "no-proxy": "near"}}, f)
        self.daemon.stop()
        self.daemon.start(env={"HTTP_PROXY": "http://127.0.0.1:1", "http_proxy": "http://127.0.0.1:1"})
        self.assertIn("Downloaded newer image", self.ok("pull", "far.invalid/x:1"))
        self.assertIn("http://far.invalid/v2/x/manifests/1", self.registry.asked)
        _, _, info = self.daemon.request("GET", "/info")
        self.assertEqual((info["HttpProxy"], info["NoProxy"]), (f"http://xxxxx:xxxxx@{self.registry.address}", "near"))
        self.ok("rmi", "far.invalid/x:1")
        # Nothing of it is the containers'.
        self.assertNotIn("proxy", self.ok("run", "--rm", "busybox", "env").lower())
        self.daemon.stop()
        os.unlink(config)
        self.daemon.start()

    def test_import_of_a_url(self):
        """A layer's blob is an archive like others."""
        address = self.serve("nothing").split("/")[0]
        archive = f"{address}/blobs/{self.registry.layers[0]}"
        out = self.ok("import", "-c", "CMD /big", f"http://{archive}", "by-url:1")
        self.assertIn(f"Downloading from http://{archive}", out)
        image = self.inspect("by-url:1", "Id")
        self.assertEqual(out.split("\n")[-1], image)
        self.assertEqual(self.inspect("by-url:1", "Comment"), f"Imported from http://{archive}")
        self.ok("rmi", "by-url:1")
        # Without a scheme it is http.
        status, _, body = self.daemon.request("POST", f"/images/create?fromSrc={archive}&repo=by-url&tag=2")
        self.assertEqual(status, 200, body)
        self.ok("rmi", "by-url:2")

        def refusal(source):
            status, _, body = self.daemon.request("POST", f"/images/create?fromSrc={source}&repo=none")
            if isinstance(body, bytes):  # it had begun: the error is the stream's last line
                return status, json.loads(body.split(b"\r\n")[-2])["error"]
            return status, body.get("message")
        status, message = refusal(f"http://{address}/none.tar")
        self.assertEqual(status, 404)
        self.assertRegex(message, f"failed to GET http://{address}/none.tar with status 404")
        for source in ("file:///etc/passwd", "%2Fdata%2Ffile.tar", "ftp://x/y", "http://", ""):
            status, message = refusal(source)
            self.assertEqual(status, 400, message)
            self.assertIn("invalid source", message)
        self.assertEqual(refusal("http://nowhere.invalid/x.tar")[0], 404)
        status, message = refusal("http://127.0.0.1:1/x.tar")
        self.assertEqual((status, "connect: connection refused" in message), (500, True), message)
        # What comes is no archive: a manifest.
        status, message = refusal(f"http://{address}/manifests/1")
        self.assertIn(status, (200, 400))  # whether its progress had been told
        self.assertRegex(message, "^import: ")
        self.assertNotIn("none:latest", self.ok("images", "--format", "{{.Repository}}:{{.Tag}}"))

    def test_an_import_whose_client_was_killed_ends_and_leaves_nothing(self):
        before = self.traces()
        address = self.serve("layer").split("/")[0]
        client = self.daemon.popen("import", f"http://{address}/blobs/{self.registry.layers[-1]}", "gone:1")
        wait_until(lambda: self.registry.halted == 1, 10, "it is in the middle")
        self.kill(client)
        wait_until(lambda: self.registry.left == 1, what="the download ends", bound=10)
        wait_until(lambda: self.traces() == before, what="nothing is left", bound=10)


if __name__ == "__main__":
    main()
