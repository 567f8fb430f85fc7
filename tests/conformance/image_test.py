"""Images: import, save, load, tag, rmi, history, and pull from docker-registry on loopback."""
import hashlib
import io
import json
import os
import signal
import subprocess
import tarfile
import tempfile
import time
import urllib.parse

from harness import Case, busybox_tar, free_port, main, wait_until


def layer(files):
    """A tar of {name: text, or (type, target) for links}."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as t:
        for name, value in files.items():
            info = tarfile.TarInfo(name)
            if isinstance(value, tuple):
                info.type, info.linkname = value
                t.addfile(info)
            elif value is None:
                info.type, info.mode = tarfile.DIRTYPE, 0o755
                t.addfile(info)
            else:
                data = value.encode()
                info.size, info.mode = len(data), 0o644
                t.addfile(info, io.BytesIO(data))
    return out.getvalue()


def docker_archive(path, layers, tag, config=None):
    """Writes a docker-archive with these layers (tar bytes, lowest first)."""
    diff_ids = ["sha256:" + hashlib.sha256(x).hexdigest() for x in layers]
    image = {"architecture": "amd64", "os": "linux", "created": "2026-01-02T03:04:05Z",
             "config": {"Cmd": ["sh"], "Env": ["PATH=/bin"], **(config or {})},
             "rootfs": {"type": "layers", "diff_ids": diff_ids},
             "history": [{"created_by": f"layer {i}"} for i in range(len(layers))]}
    text = json.dumps(image).encode()
    image_id = hashlib.sha256(text).hexdigest()
    names = [f"{i}/layer.tar" for i in range(len(layers))]
    manifest = json.dumps([{"Config": f"{image_id}.json", "RepoTags": [tag], "Layers": names}])
    with tarfile.open(path, "w") as t:
        for name, data in [(f"{image_id}.json", text), *zip(names, layers),
                           ("manifest.json", manifest.encode())]:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            t.addfile(info, io.BytesIO(data))
    return "sha256:" + image_id


class Registry:
    """docker-registry on loopback; images come in through its HTTP API."""

    def __init__(self, folder):
        self.port = free_port()
        with open(f"{folder}/registry.yml", "w") as f:
            f.write(f"version: 0.1\nlog: {{level: error}}\nstorage:\n  filesystem: "
                    f"{{rootdirectory: {folder}/registry}}\nhttp: {{addr: '127.0.0.1:{self.port}'}}\n")
        self.p = subprocess.Popen(["docker-registry", "serve", f"{folder}/registry.yml"],
                                  stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.address = f"127.0.0.1:{self.port}"
        wait_until(lambda: self.call("GET", "/v2/")[0] == 200, 10, "docker-registry answers")

    def call(self, method, path, body=None, headers=None):
        import http.client
        c = http.client.HTTPConnection(self.address, timeout=10)
        try:
            c.request(method, path, body, headers or {})
            r = c.getresponse()
            return r.status, dict(r.getheaders()), r.read()
        except OSError:
            return 0, {}, b""
        finally:
            c.close()

    def push_blob(self, repo, data):
        digest = "sha256:" + hashlib.sha256(data).hexdigest()
        _, headers, _ = self.call("POST", f"/v2/{repo}/blobs/uploads/")
        where = headers["Location"].split(self.address, 1)[-1]
        status, _, text = self.call("PUT", f"{where}&digest={digest}", data,
                                    {"Content-Type": "application/octet-stream"})
        assert status == 201, text
        return digest

    def push(self, repo, tag, layers, config=None, compress=True):
        """layers: tar bytes, lowest first. Answers the manifest's digest."""
        import gzip
        diff_ids = ["sha256:" + hashlib.sha256(x).hexdigest() for x in layers]
        image = json.dumps({"architecture": "amd64", "os": "linux",
                            "config": {"Cmd": ["sh"], "Env": ["PATH=/bin"], **(config or {})},
                            "rootfs": {"type": "layers", "diff_ids": diff_ids}}).encode()
        kind = "application/vnd.docker.image.rootfs.diff.tar" + (".gzip" if compress else "")
        stored = [gzip.compress(x, 1) if compress else x for x in layers]
        manifest = json.dumps({
            "schemaVersion": 2,
            "mediaType": "application/vnd.docker.distribution.manifest.v2+json",
            "config": {"mediaType": "application/vnd.docker.container.image.v1+json",
                       "size": len(image), "digest": self.push_blob(repo, image)},
            "layers": [{"mediaType": kind, "size": len(x), "digest": self.push_blob(repo, x)}
                       for x in stored]}).encode()
        status, _, text = self.call(
            "PUT", f"/v2/{repo}/manifests/{tag}", manifest,
            {"Content-Type": "application/vnd.docker.distribution.manifest.v2+json"})
        assert status == 201, text
        return "sha256:" + hashlib.sha256(manifest).hexdigest()

    def close(self):
        self.p.terminate()
        self.p.wait()


class RegistryCase(Case):
    """A test class with a docker-registry and a folder besides."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.folder = tempfile.TemporaryDirectory()
        cls.registry = Registry(cls.folder.name)

    @classmethod
    def tearDownClass(cls):
        cls.registry.close()
        cls.folder.cleanup()
        super().tearDownClass()


class Images(RegistryCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        with open(busybox_tar(), "rb") as f:
            cls.busybox = f.read()

    def test_import_list_inspect(self):
        self.assertIn("busybox:latest", self.ok("images", "--format", "{{.Repository}}:{{.Tag}}"))
        image = json.loads(self.ok("image", "inspect", "busybox"))[0]
        self.assertEqual(image["Config"]["Cmd"], ["sh"])
        self.assertEqual(image["RootFS"]["Type"], "layers")
        self.assertEqual(self.ok("images", "-q", "--no-trunc", "busybox"), image["Id"])
        self.assertTrue(os.path.isdir(image["GraphDriver"]["Data"]["UpperDir"]))
        for name in ("busybox:latest", "docker.io/library/busybox", "docker.io/library/busybox:latest",
                     image["Id"], image["Id"][7:19]):
            self.assertEqual(json.loads(self.ok("image", "inspect", name))[0]["Id"], image["Id"])
        self.assertIn("No such image", self.fails(1, "image", "inspect", "nothing-here"))

    def test_tag_and_rmi(self):
        self.ok("tag", "busybox", "other/name:v1")
        self.assertEqual(self.ok("rmi", "other/name:v1"), "Untagged: other/name:v1")
        self.assertIn("invalid reference format", self.fails(1, "tag", "busybox", "UPPER"))
        # It would read as an id.
        for command in (("tag", "busybox", "sha256:x"), ("import", busybox_tar(), "sha256:x"), ("pull", "sha256:x")):
            self.assertIn("ambiguous tag using digest algorithm as name", self.fails(1, *command))
        self.ok("create", "--name", "holds", "busybox", "true")
        self.assertIn("ambiguous tag", self.fails(1, "commit", "holds", "sha256:x"))
        err = self.fails(1, "rmi", "busybox")
        self.assertIn("unable to remove repository reference", err)
        self.assertIn("is using its referenced image", err)

    def test_an_image_that_a_container_mounts_is_used(self):
        self.ok("import", busybox_tar(), "shown:1")
        image = self.ok("image", "inspect", "-f", "{{.Id}}", "shown:1")
        mount = ("--mount", "type=image,src=shown:1,dst=/img", "busybox")
        held = self.ok("create", *mount, "ls", "/img/bin/sh")
        short = image.removeprefix("sha256:")[:12]
        self.assertIn(f'unable to remove repository reference "shown:1" (must force) - container {held[:12]} '
                      f"is using its referenced image {short}", self.fails(1, "rmi", "shown:1"))
        self.assertIn(f"unable to delete {short} (must be forced) - image is being used by stopped container "
                      f"{held[:12]}", self.fails(1, "rmi", short))
        running = self.ok("run", "-d", *mount, "sleep", "1000")
        self.assertIn(f"unable to delete {short} (cannot be forced) - image is being used by running container "
                      f"{running[:12]}", self.fails(1, "rmi", "-f", short))
        # By name and by force the name alone goes.
        self.assertEqual(self.ok("rmi", "-f", "shown:1"), "Untagged: shown:1")
        self.assertEqual(self.ok("image", "inspect", "-f", "{{.Id}}", image), image)
        self.ok("image", "prune", "-f")
        self.assertEqual(self.ok("image", "inspect", "-f", "{{.Id}}", image), image)
        self.ok("rm", "-f", running)
        # One that rests keeps the layers, not the image.
        self.assertIn(f"Deleted: {image}", self.ok("rmi", "-f", short))
        self.assertEqual(self.ok("start", "-a", held), "/img/bin/sh")
        self.ok("rm", held)

    def test_rmi_by_force_of_what_runs_takes_the_name_alone(self):
        self.ok("import", busybox_tar(), "busy:1")
        image = self.ok("image", "inspect", "-f", "{{.Id}}", "busy:1")
        c = self.ok("run", "-d", "busy:1", "/bin/sleep", "1000")
        self.assertEqual(self.ok("rmi", "-f", "busy:1"), "Untagged: busy:1")
        self.assertEqual(self.inspect(c, "Image"), image)
        self.assertEqual(self.ok("images", "-qf", "dangling=true", "--no-trunc"), image)
        self.ok("rm", "-f", c)
        self.assertIn(f"Deleted: {image}", self.ok("rmi", image))

    def test_save_and_load_give_the_same_image(self):
        before = json.loads(self.ok("image", "inspect", "busybox"))[0]
        self.ok("tag", "busybox", "saved:1")
        path = f"{self.folder.name}/saved.tar"
        self.ok("save", "-o", path, "saved:1")
        with tarfile.open(path) as t:
            names = t.getnames()
        self.assertIn("manifest.json", names)
        self.assertIn("index.json", names)
        self.ok("rmi", "saved:1")
        self.assertIn("Loaded image: saved:1", self.ok("load", "-i", path))
        after = json.loads(self.ok("image", "inspect", "saved:1"))[0]
        self.assertEqual((before["Id"], before["RootFS"]), (after["Id"], after["RootFS"]))
        self.ok("rmi", "saved:1")

    def test_save_of_a_repository_takes_all_its_tags(self):
        self.ok("import", busybox_tar(), "whole:1")
        self.ok("import", "-c", "ENV A=1", busybox_tar(), "whole:two")
        self.ok("tag", "whole:1", "whole:three")
        self.ok("tag", "busybox", "wholes:1")
        every = ["whole:1", "whole:three", "whole:two"]
        # `docker save A B` asks for several names at once, `docker save A` for one.
        for names, wanted in ((["whole"], every), (["whole", "wholes:1"], [*every, "wholes:1"])):
            r = self.docker("save", *names)
            with tarfile.open(fileobj=io.BytesIO(r.out_bytes)) as t:
                manifest = json.load(t.extractfile("manifest.json"))
            self.assertEqual(sorted(tag for m in manifest for tag in m["RepoTags"]), wanted)
        ids = {name: self.ok("image", "inspect", "-f", "{{.Id}}", name) for name in every}
        self.ok("rmi", *every, "wholes:1")
        self.ok("load", input=r.out_bytes)
        for name in every:
            self.assertEqual(self.ok("image", "inspect", "-f", "{{.Id}}", name), ids[name])
        self.assertIn("reference does not exist", self.fails(1, "save", "nothing-here"))
        self.ok("rmi", *every, "wholes:1")

    def test_another_platform_is_not_found(self):
        other = "platform=" + urllib.parse.quote(json.dumps({"os": "linux", "architecture": "s390x"}))
        for path in ("/v1.49/images/busybox/json", "/v1.48/images/busybox/history"):
            status, _, answer = self.daemon.request("GET", f"{path}?{other}")
            self.assertEqual(status, 404, answer)
            self.assertRegex(answer["message"], r"^image with reference busybox was found but its platform "
                             r"\(linux/\w+\) does not match the specified platform \(linux/s390x\)$")
        status, _, answer = self.daemon.request("GET", f"/v1.48/images/busybox/get?{other}")
        self.assertEqual((status, answer["message"]),
                         (404, "no suitable export target found for platform linux/s390x"))

    def test_a_load_that_fails_is_an_error_in_the_stream(self):
        status, headers, body = self.daemon.request("POST", "/images/load", b"abc",
                                                    {"Content-Type": "application/x-tar"})
        self.assertEqual(status, 200, body)
        self.assertIn("errorDetail", str(body))
        self.assertNotEqual(self.docker("load", input=b"abc").code, 0)

    def test_a_relative_volume_is_meant_from_the_root(self):
        self.ok("import", "-c", "ENV PATH=/bin", "-c", "VOLUME data sub/dir", busybox_tar(), "relative:1")
        self.assertEqual(set(self.inspect("relative:1", "Config.Volumes")), {"data", "sub/dir"})
        out = self.ok("run", "--rm", "relative:1", "sh", "-c", "grep -oE ' /data | /sub/dir ' /proc/mounts")
        self.assertEqual(sorted(out.split()), ["/data", "/sub/dir"])
        self.ok("run", "--rm", "-v", "kept-data:/data", "relative:1", "touch", "/data/file")
        self.assertEqual(self.ok("run", "--rm", "-v", "kept-data:/data", "relative:1", "ls", "/data"), "file")
        self.ok("volume", "rm", "kept-data")
        self.ok("rmi", "relative:1")

    def test_load_with_whiteouts(self):
        """Upper layers take away what lower ones had."""
        path = f"{self.folder.name}/white.tar"
        lower = layer({"d": None, "d/one": "1", "d/two": "2", "o": None, "o/old": "x", "gone": "g"})
        upper = layer({"d/.wh.one": "", "o": None, "o/.wh..wh..opq": "", "o/new": "n",
                       ".wh.gone": ""})
        docker_archive(path, [self.busybox, lower, upper], "white:1")
        self.ok("load", "-i", path)
        self.assertEqual(self.ok("run", "--rm", "white:1", "sh", "-c", "ls /d /o; ls /gone || true"),
                         "/d:\ntwo\n\n/o:\nnew")
        self.ok("rmi", "white:1")

    def test_an_archive_cannot_leave_its_layer(self):
        path = f"{self.folder.name}/evil.tar"
        target = f"{self.folder.name}/outside"
        evil = layer({"link": (tarfile.SYMTYPE, self.folder.name), "link/outside": "written",
                      "../../../outside": "written", f"/{target}": "absolute"})
        docker_archive(path, [self.busybox, evil], "evil:1")
        self.docker("load", "-i", path)
        self.assertFalse(os.path.exists(target))

    def test_a_damaged_archive_is_refused(self):
        path = f"{self.folder.name}/bad.tar"
        docker_archive(path, [self.busybox], "bad:1")
        with open(path, "r+b") as f:
            f.seek(5000)
            f.write(b"\xff" * 100)
        self.assertNotEqual(self.docker("load", "-i", path).code, 0)
        self.assertNotIn("bad", self.ok("images", "--format", "{{.Repository}}"))
        with open(path, "wb") as f:
            f.write(os.urandom(100000))
        self.assertNotEqual(self.docker("load", "-i", path).code, 0)

    def test_pull(self):
        more = [layer({f"file{i}": f"{i}" * 1000}) for i in range(5)]
        digest = self.registry.push("pull/me", "1", [self.busybox, *more])
        name = f"{self.registry.address}/pull/me:1"
        out = self.ok("pull", name)
        self.assertIn(f"Digest: {digest}", out)
        self.assertIn(f"Status: Downloaded newer image for {name}", out)
        self.assertEqual(self.ok("run", "--rm", name, "sh", "-c", "cat /file4 | wc -c"), "1000")
        self.assertIn("Status: Image is up to date", self.ok("pull", name))
        image = json.loads(self.ok("image", "inspect", name))[0]
        self.assertEqual(image["RepoDigests"], [f"{self.registry.address}/pull/me@{digest}"])
        by_digest = f"{self.registry.address}/pull/me@{digest}"
        self.assertEqual(json.loads(self.ok("image", "inspect", by_digest))[0]["Id"], image["Id"])
        self.ok("rmi", name)
        self.ok("pull", by_digest)
        self.ok("rmi", by_digest)

    def test_pull_of_all_tags(self):
        for tag in ("one", "two"):
            self.registry.push("pull/all", tag, [self.busybox], {"Labels": {"tag": tag}})
        name = f"{self.registry.address}/pull/all"
        out = self.ok("pull", "-a", name)
        for tag in ("one", "two"):
            self.assertIn(f"{tag}: Pulling from pull/all", out)
            self.assertEqual(self.inspect(f"{name}:{tag}", "Config.Labels"), {"tag": tag})
        self.assertEqual(out.count("Digest: sha256:"), 2)
        self.assertIn(f"Status: Downloaded newer image for {name}\n", out + "\n")
        self.assertIn(f"Status: Image is up to date for {name}", self.ok("pull", "-a", name))
        self.assertIn("repository does not exist", self.fails(1, "pull", "-a", f"{name}/none"))
        self.ok("rmi", f"{name}:one", f"{name}:two")

    def test_run_pulls_what_is_missing(self):
        self.registry.push("auto", "latest", [self.busybox])
        name = f"{self.registry.address}/auto"
        r = self.docker("run", "--rm", name, "echo", "pulled")
        self.assertEqual((r.code, r.out), (0, "pulled\n"), r)
        self.assertIn("Unable to find image", r.err)
        self.ok("rmi", name)

    def test_pull_errors(self):
        self.registry.push("exists", "1", [self.busybox])
        err = self.fails(1, "pull", f"{self.registry.address}/exists:2")
        self.assertIn("manifest unknown", err)
        self.assertIn("127.0.0.1:1", self.fails(1, "pull", "127.0.0.1:1/x:1"))
        self.assertIn("invalid reference format", self.fails(1, "pull", "127.0.0.1:1/UPPER"))

    def test_login(self):
        r = self.docker("login", "-u", "me", "--password-stdin", self.registry.address, input="any")
        self.assertEqual(r.code, 0, r)
        self.assertIn("Login Succeeded", r.out)
        self.assertNotEqual(self.docker("login", "-u", "me", "--password-stdin", "127.0.0.1:1",
                                        input="any").code, 0)

    def test_a_killed_pull_is_finished_by_the_next(self):
        layers = [self.busybox, layer({"big": "y" * (8 << 20)}), layer({"more": "z" * (8 << 20)})]
        self.registry.push("killed", "1", layers)
        name = f"{self.registry.address}/killed:1"
        for delay in (0.02, 0.05, 0.1, 0.2):
            p = self.daemon.popen("pull", name)
            time.sleep(delay)  # chance: wherever it is by then, the next one finishes it
            self.daemon.kill()
            p.communicate(timeout=60)
            self.daemon.start()
            self.ok("images", "-a")
            self.ok("ps", "-a")
        self.ok("pull", name)
        self.assertEqual(self.ok("run", "--rm", name, "sh", "-c", "cat /big /more | wc -c"),
                         str(16 << 20))
        self.ok("rmi", name)

    def test_history(self):
        path = f"{self.folder.name}/history.tar"
        docker_archive(path, [self.busybox, layer({"a": "1"})], "history:1")
        self.ok("load", "-i", path)
        out = self.ok("history", "--no-trunc", "--format", "{{.CreatedBy}}", "history:1")
        self.assertEqual(out, "layer 1\nlayer 0")
        self.ok("rmi", "history:1")

    def test_removing_an_image_frees_its_layers(self):
        path = f"{self.folder.name}/free.tar"
        docker_archive(path, [layer({"blob": "q" * (4 << 20)})], "free:1")
        self.ok("load", "-i", path)

        def used():
            total = 0
            for folder, _, names in os.walk(self.daemon.data):
                total += sum(os.lstat(f"{folder}/{n}").st_size for n in names
                             if os.path.lexists(f"{folder}/{n}"))
            return total

        folders = [f"{self.daemon.data}/storage/{f}" for f in ("tmp", "trash")]
        wait_until(lambda: not any(map(os.listdir, filter(os.path.isdir, folders))), what="nothing is under way")
        before = used()
        self.ok("rmi", "free:1")
        wait_until(lambda: used() < before - (4 << 20), 10, "4 MiB are free again")


if __name__ == "__main__":
    main()
