"""Pushes: into docker-registry on loopback (open, and with TLS and passwords), and into a small registry of our own
that cuts, halts and mounts as it is told."""
import gzip
import hashlib
import json
import os
import random
import re
import signal
import socket
import subprocess
import tarfile
import threading
import time
import urllib.parse

from harness import free_port, main, serve_http, wait_until
from image_test import RegistryCase, layer


def digest_of(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"


class SmallRegistry:
    """Keeps what is pushed in memory. `cuts`: so many uploads end in their middle, and what came is kept; `halts`: an
    upload stands still until its client goes; `busy`: so many uploads are answered by 429; `refuses`: a media type of
    manifests that it does not take; `tokens`: it asks for them, and says what they were asked for in `scopes`."""

    def __init__(self, cuts=0, halts=False, busy=0, refuses=None, tokens=False):
        self.tokens, self.scopes = tokens, []
        self.cuts, self.halts, self.busy, self.refuses = cuts, halts, busy, refuses
        self.uploads, self.blobs, self.manifests = {}, {}, {}
        self.offsets = []  # where each upload went on
        self.halted = self.left = 0
        self.lock = threading.Lock()
        self.server, self.address = serve_http(self.answer)

    def send(self, h, status, headers=(), body=b""):
        h.send_response(status)
        for name, value in headers:
            h.send_header(name, value)
        h.send_header("Content-Length", str(len(body)))
        h.end_headers()
        if h.command != "HEAD":
            h.wfile.write(body)

    def error(self, h, status, code, headers=()):
        self.send(h, status, headers, json.dumps({"errors": [{"code": code, "message": f"it is {code}"}]}).encode())

    def pieces(self, h):
        """Of a body, with its length said or in chunks."""
        if h.headers.get("Transfer-Encoding") == "chunked":
            while True:
                size = int(h.rfile.readline(), 16)
                data = h.rfile.read(size)
                h.rfile.readline()
                if size == 0:
                    return
                yield data
        left = int(h.headers.get("Content-Length") or 0)
        while left > 0:
            data = h.rfile.read(min(left, 65536))
            if not data:
                raise OSError
            left -= len(data)
            yield data

    def answer(self, h):
        path, _, query = h.path.partition("?")
        scopes = urllib.parse.parse_qs(query).get("scope", [])
        query = dict(urllib.parse.parse_qsl(query))
        name = path.rsplit("/", 1)[-1]
        if path == "/token":
            self.scopes.append(scopes)
            return self.send(h, 200, body=json.dumps({"token": "T"}).encode())
        if self.tokens and h.headers.get("Authorization") != "Bearer T":
            for _ in self.pieces(h):
                pass
            challenge = f'Bearer realm="http://{self.address}/token",service="small"'
            return self.error(h, 401, "UNAUTHORIZED", [("WWW-Authenticate", challenge)])
        try:
            if h.command in ("GET", "HEAD"):
                self.read(h, path, name)
            elif h.command == "POST":
                self.uploads[f"u{len(self.uploads)}"] = b""
                self.send(h, 202, [("Location", f"/v2/x/blobs/uploads/u{len(self.uploads) - 1}?state=1")])
            elif h.command == "PATCH":
                self.patch(h, name)
            elif "/manifests/" in path:
                body = b"".join(self.pieces(h))
                if h.headers["Content-Type"] == self.refuses:
                    self.error(h, 415, "MANIFEST_INVALID")
                else:
                    self.manifests[name] = (h.headers["Content-Type"], body)
                    self.send(h, 201)
            else:
                body = self.uploads.pop(name) + b"".join(self.pieces(h))
                if digest_of(body) != query["digest"]:
                    self.error(h, 400, "DIGEST_INVALID")
                else:
                    self.blobs[query["digest"]] = body
                    self.send(h, 201)
        except OSError:
            h.close_connection = True
            with self.lock:
                self.left += 1

    def read(self, h, path, name):
        if path == "/v2/":
            self.send(h, 200)
        elif "/uploads/" in path and name in self.uploads:
            self.send(h, 204, [("Range", f"0-{max(len(self.uploads[name]) - 1, 0)}"), ("Location", path)])
        elif name in self.blobs:
            self.send(h, 200, body=self.blobs[name])
        elif name in self.manifests:
            kind, body = self.manifests[name]
            self.send(h, 200, [("Content-Type", kind)], body)
        else:
            self.error(h, 404, "BLOB_UNKNOWN")

    def patch(self, h, name):
        with self.lock:
            busy, self.busy = self.busy > 0, self.busy - 1
        if busy:
            for _ in self.pieces(h):
                pass
            return self.error(h, 429, "TOOMANYREQUESTS", [("Retry-After", "1")])
        with self.lock:
            cut, self.cuts = self.cuts > 0, self.cuts - 1
        self.offsets.append(len(self.uploads[name]))
        came = 0
        for data in self.pieces(h):
            self.uploads[name] += data
            came += len(data)
            if came < 1 << 20:
                continue
            if cut:
                h.connection.shutdown(socket.SHUT_RDWR)
                raise OSError
            if self.halts:
                with self.lock:
                    self.halted += 1
                while h.connection.recv(1 << 20):
                    pass
                raise OSError
        self.send(h, 202, [("Location", f"/v2/x/blobs/uploads/{name}?state=2")])

    def close(self):
        self.server.shutdown()
        self.server.server_close()


class Pushes(RegistryCase):
    def small(self, **how):
        registry = SmallRegistry(**how)
        self.addCleanup(registry.close)
        return registry

    def image(self, name, *layers):
        """An image that is made here, of these layers (tars)."""
        archive = f"{self.folder.name}/image.tar"
        with open(archive, "wb") as f:
            f.write(layers[0])
        self.ok("import", "-c", "CMD sh", archive, name)
        self.addCleanup(self.docker, "rmi", "-f", name)
        return name

    def manifest(self, repo, tag, kind=f"{DOCKER_MANIFEST}, {OCI_MANIFEST}"):
        status, headers, body = self.registry.call("GET", f"/v2/{repo}/manifests/{tag}", headers={"Accept": kind})
        self.assertEqual(status, 200, body)
        return headers["Content-Type"], body

    def pushed_digest(self, out):
        return re.search(r"digest: (sha256:[0-9a-f]{64}) size: \d+$", out).group(1)

    def test_what_is_made_here_is_pushed_and_pulled(self):
        address = self.registry.address
        name = self.image(f"{address}/made:1", layer({"etc/": None, "etc/x": "text\n" * 1000}))
        out = self.ok("push", name)
        lines = out.split("\n")
        self.assertEqual(lines[0], f"The push refers to repository [{address}/made]")
        self.assertRegex(out, "(?m)^[0-9a-f]{12}: Pushed$")
        digest = self.pushed_digest(out)
        self.assertTrue(lines[-1].startswith("1: digest: "), out)
        kind, body = self.manifest("made", "1")
        self.assertEqual((kind, digest_of(body)), (DOCKER_MANIFEST, digest))
        manifest = json.loads(body)
        self.assertEqual(manifest["layers"][0]["mediaType"], "application/vnd.docker.image.rootfs.diff.tar.gzip")
        # What was a tar is gzip there, and unpacks to the layer.
        _, _, blob = self.registry.call("GET", f"/v2/made/blobs/{manifest['layers'][0]['digest']}")
        self.assertEqual([digest_of(gzip.decompress(blob))], self.inspect(name, "RootFS.Layers"))
        self.assertEqual(self.inspect(name, "RepoDigests"), [f"{address}/made@{digest}"])
        self.assertIn(f"push {name}", self.ok("events", "--since", "1", "--until", str(int(time.time()) + 1), "--filter",
                                              "type=image", "--filter", "event=push", "--format",
                                              "{{.Action}} {{.Actor.ID}}"))
        image = self.inspect(name, "Id")
        # Once more: nothing is sent, the digest is the same.
        again = self.ok("push", name)
        self.assertRegex(again, "(?m)^[0-9a-f]{12}: Layer already exists$")
        self.assertEqual(self.pushed_digest(again), digest)
        self.ok("rmi", name)
        self.assertIn(f"Digest: {digest}", self.ok("pull", name))
        self.assertEqual(self.inspect(name, "Id"), image)
        # What came with a manifest goes with it.
        self.ok("tag", name, f"{address}/again:2")
        out = self.ok("push", f"{address}/again:2")
        self.assertIn("Mounted from made", out)
        self.assertEqual(self.pushed_digest(out), digest)
        self.ok("rmi", f"{address}/again:2", name)

    def test_manifests_go_as_they_came(self):
        """Whatever its author wrote into it: other fields, spaces, plain layers."""
        address, layers = self.registry.address, [layer({"a": "1"}), layer({"b": "2"})]
        config = json.dumps({"architecture": "amd64", "os": "linux", "config": {},
                             "rootfs": {"type": "layers", "diff_ids": [digest_of(x) for x in layers]}}).encode()
        stored = [(gzip.compress(layers[0]), "+gzip"), (layers[1], "")]
        manifest = json.dumps({
            "schemaVersion": 2, "mediaType": OCI_MANIFEST, "annotations": {"by": "hand"},
            "config": {"mediaType": "application/vnd.oci.image.config.v1+json", "size": len(config),
                       "digest": self.registry.push_blob("hand", config)},
            "layers": [{"mediaType": f"application/vnd.oci.image.layer.v1.tar{kind}", "size": len(x),
                        "digest": self.registry.push_blob("hand", x)} for x, kind in stored]}, indent=5).encode()
        status, _, text = self.registry.call("PUT", "/v2/hand/manifests/1", manifest, {"Content-Type": OCI_MANIFEST})
        self.assertEqual(status, 201, text)
        self.ok("pull", f"{address}/hand:1")
        small = self.small()
        for target in (f"{address}/copy:1", f"{small.address}/copy:1"):
            self.ok("tag", f"{address}/hand:1", target)
            self.assertEqual(self.pushed_digest(self.ok("push", target)), digest_of(manifest))
        self.assertEqual(self.manifest("copy", "1"), (OCI_MANIFEST, manifest))
        self.assertEqual(small.manifests["1"], (OCI_MANIFEST, manifest))
        self.assertEqual(set(small.blobs), {digest_of(config)} | {digest_of(x) for x, _ in stored})
        # Through save and load it is still the same.
        self.ok("save", "-o", f"{self.folder.name}/saved.tar", f"{address}/copy:1")
        self.ok("rmi", f"{address}/hand:1", f"{address}/copy:1", f"{small.address}/copy:1")
        self.ok("load", "-i", f"{self.folder.name}/saved.tar")
        self.assertEqual(self.pushed_digest(self.ok("push", f"{address}/copy:1")), digest_of(manifest))
        self.ok("rmi", f"{address}/copy:1")

    def test_all_tags(self):
        name = self.image(f"{self.registry.address}/all:one", layer({"x": "y"}))
        self.ok("tag", name, f"{self.registry.address}/all:two")
        self.addCleanup(self.docker, "rmi", f"{self.registry.address}/all:two")
        out = self.ok("push", "-a", f"{self.registry.address}/all")
        for tag in ("one", "two"):
            self.assertRegex(out, f"(?m)^{tag}: digest: sha256:")
            self.manifest("all", tag)

    def test_what_is_not_there(self):
        address = self.registry.address
        self.assertIn(f"An image does not exist locally with the tag: {address}/none",
                      self.fails(1, "push", f"{address}/none:1"))
        name = self.image(f"{address}/some:1", layer({"x": "y"}))
        self.assertIn(f"tag does not exist: {address}/some:2", self.fails(1, "push", f"{address}/some:2"))
        self.assertIn("invalid reference format", self.fails(1, "push", f"{address}/Some:2"))
        status, _, body = self.daemon.request(
            "POST", f"/v1.46/images/{address}/some/push?tag=1&platform=" +
            urllib.parse.quote('{"os":"linux","architecture":"s390x"}'))
        self.assertIn("does not match the specified platform", str(body), status)
        self.ok("tag", name, f"127.0.0.1:{free_port()}/x:1")
        self.addCleanup(self.docker, "rmi", *[x for x in self.inspect(name, "RepoTags") if x != name])
        unreachable = next(x for x in self.inspect(name, "RepoTags") if x != name)
        self.assertIn("connect: connection refused", self.fails(1, "push", unreachable))

    def test_the_registry_says_which_schema(self):
        small = self.small(refuses=DOCKER_MANIFEST)
        name = self.image(f"{small.address}/oci:1", layer({"x": "y"}))
        digest = self.pushed_digest(self.ok("push", name))
        kind, body = small.manifests["1"]
        self.assertEqual((kind, digest_of(body)), (OCI_MANIFEST, digest))
        self.assertEqual(json.loads(body)["layers"][0]["mediaType"], "application/vnd.oci.image.layer.v1.tar+gzip")
        none = self.small(refuses=OCI_MANIFEST)
        none.refuses = None
        self.ok("tag", name, f"{none.address}/oci:1")
        self.ok("push", f"{none.address}/oci:1")
        self.assertEqual(none.manifests["1"][0], DOCKER_MANIFEST)
        self.ok("rmi", f"{none.address}/oci:1")

    def test_a_cut_upload_goes_on_where_it_stopped(self):
        tar = layer({"big": os.urandom(3 << 20).hex()})
        for what in ("a tar that is compressed", "a blob as it came"):
            with self.subTest(what=what):
                small = self.small(cuts=2, busy=1)
                name = f"{small.address}/cut:1"
                if what.startswith("a tar"):
                    self.image(name, tar)
                else:
                    self.registry.push("cut", "1", [tar])
                    self.ok("pull", f"{self.registry.address}/cut:1")
                    self.ok("tag", f"{self.registry.address}/cut:1", name)
                    self.addCleanup(self.docker, "rmi", "-f", f"{self.registry.address}/cut:1", name)
                out = self.ok("push", name)
                self.assertIn("Retrying in 1 second", out)
                self.assertEqual((len(small.offsets), small.offsets[0]), (3, 0))
                self.assertGreaterEqual(small.offsets[1], 1 << 20)
                self.assertGreaterEqual(small.offsets[2], small.offsets[1] + (1 << 20))
                manifest = json.loads(small.manifests["1"][1])
                blob = small.blobs[manifest["layers"][0]["digest"]]
                self.assertEqual(gzip.decompress(blob), tar)
                self.assertEqual(manifest["layers"][0]["size"], len(blob))

    def test_a_push_whose_client_was_killed_ends(self):
        small = self.small(halts=True)
        name = self.image(f"{small.address}/halt:1", layer({"big": os.urandom(20 << 20).hex()}))
        client = self.daemon.popen("push", name)
        wait_until(lambda: small.halted == 1, what="it is in the middle of a layer")
        client.send_signal(signal.SIGKILL)
        client.communicate(timeout=60)
        wait_until(lambda: small.left == 1, what="the upload ends", bound=10)
        small.halts = False
        self.ok("push", name)

    def test_tokens_are_asked_for_what_is_done_with_them(self):
        small = self.small(tokens=True)
        name = self.image(f"{small.address}/first:1", layer({"x": "tokens"}))
        self.ok("push", name)
        self.assertEqual(small.scopes, [["repository:first:pull,push"]])
        # A layer that may be mounted: each repository is a scope of its own. This registry never mounts.
        small.scopes.clear()
        small.blobs.clear()
        self.ok("tag", name, f"{small.address}/second:1")
        self.addCleanup(self.docker, "rmi", f"{small.address}/second:1")
        self.assertIn("Pushed", self.ok("push", f"{small.address}/second:1"))
        self.assertEqual(small.scopes, [["repository:second:pull,push"],
                                        ["repository:second:pull,push", "repository:first:pull"]])

    def test_a_daemon_that_is_killed_pushes_again(self):
        name = self.image(f"{self.registry.address}/killed:1", layer({"big": os.urandom(8 << 20).hex()}))
        random.seed(12)
        for _ in range(10):
            client = self.daemon.popen("push", name)
            time.sleep(random.random() * 0.6)  # any moment will do
            self.daemon.kill()
            client.communicate(timeout=60)
            self.daemon.start()
        digest = self.pushed_digest(self.ok("push", name))
        image = self.inspect(name, "Id")
        self.ok("rmi", name)
        self.assertIn(f"Digest: {digest}", self.ok("pull", name))
        self.assertEqual(self.inspect(name, "Id"), image)
        self.assertEqual(self.ok("images", "-q", "--filter", "dangling=true"), "")

    def test_search_of_a_registry_reads_its_catalog(self):
        for repo in ("tools/alpha", "tools/beta", "alphabet"):
            self.registry.push(repo, "1", [layer({"x": repo})])
        address = self.registry.address
        out = self.ok("search", "--format", "{{.Name}} {{.StarCount}}", f"{address}/alpha")
        self.assertEqual(sorted(out.split("\n")), [f"{address}/alphabet 0", f"{address}/tools/alpha 0"])
        self.assertEqual(self.ok("search", "--limit", "1", "--format", "{{.Name}}", f"{address}/alpha"),
                         f"{address}/alphabet")
        self.assertEqual(self.ok("search", "--filter", "stars=1", "--format", "{{.Name}}", f"{address}/alpha"), "")
        self.assertEqual(self.ok("search", "--format", "{{.Name}}", f"{address}/nothing-of-that"), "")
        self.assertIn("outside the range of [1, 100]", self.fails(1, "search", "--limit", "101", f"{address}/alpha"))

    def test_a_registry_is_asked_for_an_image(self):
        digest = self.registry.push("asked", "1", [layer({"x": "y"})])
        status, _, body = self.daemon.request("GET", f"/distribution/{self.registry.address}/asked:1/json")
        self.assertEqual(status, 200, body)
        self.assertEqual(body["Descriptor"]["digest"], digest)
        self.assertEqual(body["Descriptor"]["mediaType"], DOCKER_MANIFEST)
        self.assertEqual(body["Platforms"], [{"architecture": "amd64", "os": "linux"}])
        _, manifest = self.manifest("asked", "1")
        entries = [{"mediaType": DOCKER_MANIFEST, "digest": digest, "size": len(manifest), "platform": platform}
                   for platform in ({"architecture": "amd64", "os": "linux"},
                                    {"architecture": "arm", "os": "linux", "variant": "v7"})]
        kind = "application/vnd.docker.distribution.manifest.list.v2+json"
        index = json.dumps({"schemaVersion": 2, "mediaType": kind, "manifests": entries}).encode()
        status, _, text = self.registry.call("PUT", "/v2/asked/manifests/all", index, {"Content-Type": kind})
        self.assertEqual(status, 201, text)
        _, _, body = self.daemon.request("GET", f"/distribution/{self.registry.address}/asked:all/json")
        self.assertEqual(body["Descriptor"], {"mediaType": kind, "digest": digest_of(index), "size": len(index)})
        self.assertEqual(body["Platforms"], [x["platform"] for x in entries])
        status, _, body = self.daemon.request("GET", f"/distribution/{self.registry.address}/asked:none/json")
        self.assertEqual(status, 404, body)
        self.assertIn("manifest unknown", body["message"])


class Skopeo(RegistryCase):
    """Another's tool reads what we push and save, and we read what it writes; nothing changes on the way."""

    def skopeo(self, *args):
        r = subprocess.run(["skopeo", "--insecure-policy", "--tmpdir", self.folder.name, *args], capture_output=True,
                           text=True, timeout=120, env={**os.environ, "XDG_RUNTIME_DIR": self.folder.name})
        self.assertEqual(r.returncode, 0, r.stderr)
        return r.stdout

    def copy(self, source, target):
        self.skopeo("copy", "--src-tls-verify=false", "--dest-tls-verify=false", source, target)

    def remote(self, name):
        """(manifest's digest, its type, its layers' digests)"""
        raw = self.skopeo("inspect", "--tls-verify=false", "--raw", f"docker://{name}")
        manifest = json.loads(raw)
        return digest_of(raw.encode()), manifest["mediaType"], [x["digest"] for x in manifest["layers"]]

    def test_both_ways(self):
        address, folder = self.registry.address, self.folder.name
        archive = f"{folder}/image.tar"
        with open(archive, "wb") as f:
            f.write(layer({"etc": None, "etc/x": "text\n" * 1000}))
        made = f"{address}/made:1"
        self.ok("import", "-c", "CMD sh", "-c", "LABEL a=b", archive, made)
        pushed = re.search(r"digest: (\S+) size", self.ok("push", made)).group(1)
        image = self.inspect(made, "Id")
        digest, kind, _ = self.remote(made)
        self.assertEqual((digest, kind), (pushed, DOCKER_MANIFEST))

        # From registry to registry, and back to us.
        self.copy(f"docker://{made}", f"docker://{address}/copied:1")
        self.assertEqual(self.remote(f"{address}/copied:1")[0], pushed)
        self.ok("rmi", made)
        self.assertIn(f"Digest: {pushed}", self.ok("pull", f"{address}/copied:1"))
        self.assertEqual(self.inspect(f"{address}/copied:1", "Id"), image)

        # What we save is a docker-archive, and an OCI layout (of which skopeo reads OCI's manifests: below).
        saved = f"{folder}/saved.tar"
        self.ok("save", "-o", saved, f"{address}/copied:1")
        self.copy(f"docker-archive:{saved}", f"docker://{address}/from-archive:1")
        self.ok("rmi", f"{address}/copied:1")
        self.ok("pull", f"{address}/from-archive:1")
        self.assertEqual(self.inspect(f"{address}/from-archive:1", "Id"), image)
        self.ok("rmi", f"{address}/from-archive:1")

        # What it writes is loaded, and pushed as it came.
        for transport in ("docker-archive", "oci-archive"):
            written = f"{folder}/{transport}.tar"
            self.copy(f"docker://{made}", f"{transport}:{written}:{address}/loaded:1")
            out = self.ok("load", "-i", written)
            loaded = re.search(r"Loaded image(?: ID)?: (\S+)", out).group(1)
            if transport == "docker-archive":  # an OCI layout has a configuration of its own
                self.assertEqual(self.inspect(loaded, "Id"), image)
            self.ok("tag", loaded, f"{address}/loaded:1")
            again = re.search(r"digest: (\S+) size", self.ok("push", f"{address}/loaded:1")).group(1)
            self.assertEqual(self.remote(f"{address}/loaded:1")[0], again)
            if transport == "oci-archive":
                with tarfile.open(written) as tar:
                    index = json.load(tar.extractfile("index.json"))
                self.assertEqual(again, index["manifests"][0]["digest"])
                self.ok("save", "-o", saved, f"{address}/loaded:1")
                self.copy(f"oci-archive:{saved}:1", f"docker://{address}/from-layout:1")
                self.assertEqual(self.remote(f"{address}/from-layout:1")[0], again)
            self.ok("rmi", "-f", self.inspect(f"{address}/loaded:1", "Id"))


if __name__ == "__main__":
    main()
