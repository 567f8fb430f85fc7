"""coracle check: names each kind of damage, mends it without deleting, and the daemon works again."""
import glob
import json
import os
import shutil
import subprocess
import tempfile

import harness
from harness import Case, alive, main, wait_until
from image_test import RegistryCase, layer


def command(daemon, name, *flags):
    p = subprocess.run(
        [os.path.join(harness.BIN, "coracle"), name, "--data-root", daemon.data, "--exec-root",
         daemon.exec, "--config-file", f"{daemon.scratch}/daemon.json", *flags],
        capture_output=True, text=True, timeout=120, stdin=subprocess.DEVNULL)
    return p.returncode, p.stdout, p.stderr


def check(daemon, *flags):
    return command(daemon, "check", *flags)


class Check(Case):
    """Each test damages something of a stopped daemon."""

    def setUp(self):
        super().setUp()
        self.store = f"{self.daemon.data}/storage"
        self.ok("run", "--name", "c1", "-v", "v1:/data", "busybox", "sh", "-c",
                "echo kept > /data/f; echo mine > /f")
        self.id = self.inspect("c1", "Id")
        self.image = self.inspect("busybox", "Id").removeprefix("sha256:")
        self.daemon.stop()
        self.assertEqual(self.check()[0], 0)

    def tearDown(self):
        if self.daemon.process is None:
            self.daemon.start()
        super().tearDown()
        for name in self.ok("volume", "ls", "-q").split():
            self.ok("volume", "rm", name)

    def check(self, *flags):
        return check(self.daemon, *flags)

    def finds(self, *texts, flags=()):
        code, out, err = self.check(*flags)
        self.assertEqual((code, err), (1, ""), out)
        for text in texts:
            self.assertIn(text, out)
        # It has changed nothing.
        self.assertEqual(self.check(*flags), (code, out, err))
        return out

    def mends(self, *flags):
        code, out, err = self.check("--repair", *flags)
        self.assertEqual((code, err), (0, ""), out)
        self.assertIn("mended: ", out)
        code, out, err = self.check(*flags)
        self.assertEqual(code, 0, out)

    def works(self, image=True):
        if self.daemon.process is None:
            self.daemon.start()
        if not image:
            self.daemon.import_busybox()
        self.assertEqual(self.run_box("--", "echo", "works"), "works")

    def layer(self):
        (path,) = glob.glob(f"{self.store}/layers/*")
        return path

    def spoil(self, path, text="{"):
        with open(path, "w") as f:
            f.write(text)

    def aside(self, pattern):
        found = glob.glob(f"{self.daemon.data}/lost+found/{pattern}")
        self.assertTrue(found, os.listdir(self.daemon.data))
        return found[0]

    def test_container_record(self):
        self.spoil(f"{self.daemon.data}/containers/{self.id}/config.json")
        self.finds(f"container {self.id}: config.json: ", "docker rm -f " + self.id[:12])
        self.mends()
        self.aside(f"container-{self.id}.*/config.json")
        layer = self.aside(f"writable-layer-{self.id}.*")
        self.assertTrue(glob.glob(f"{layer}/*/f"), "what the container wrote is kept")
        self.works()
        self.assertEqual(self.ok("ps", "-aq"), "")

    def test_container_state(self):
        self.spoil(f"{self.daemon.data}/containers/{self.id}/state.json", "[]")
        self.finds(f"container {self.id}: state.json: ")
        self.mends()
        self.works()
        self.assertEqual(self.inspect("c1", "State.Status"), "created")
        self.ok("start", "c1")

    def test_volume_record_and_data(self):
        self.spoil(f"{self.daemon.data}/volumes/v1/volume.json")
        self.finds("volume v1: volume.json: ")
        self.mends()
        self.works()
        self.assertEqual(self.run_box("-v", "v1:/data", "--", "cat", "/data/f"), "kept")
        self.daemon.stop()
        shutil.rmtree(f"{self.daemon.data}/volumes/v1/_data")
        self.finds("volume v1: its data directory is missing")
        self.mends()
        self.works()
        self.ok("start", "-a", "c1")

    def test_missing_volume(self):
        shutil.rmtree(f"{self.daemon.data}/volumes/v1")
        self.finds(f"volume v1: it is missing, and container {self.id[:12]} uses it",
                   "docker volume create v1")
        self.mends()
        self.works()
        self.ok("start", "-a", "c1")

    def test_blob_of_the_configuration(self):
        self.spoil(f"{self.store}/blobs/sha256/{self.image}", "{}")
        self.finds(f"blob sha256:{self.image}: its bytes are not those of its digest",
                   f"image sha256:{self.image}: its configuration sha256:{self.image} is missing")
        self.mends()
        self.works(image=False)

    def test_layer_blob(self):
        with open(f"{self.layer()}/layer.json") as f:
            blob = json.load(f)["blob"].removeprefix("sha256:")
        path = f"{self.store}/blobs/sha256/{blob}"
        # As many bytes, so that only hashing can tell.
        with open(path, "r+b") as f:
            f.seek(1000)
            byte = f.read(1)
            f.seek(1000)
            f.write(bytes([byte[0] ^ 1]))
        if os.path.getsize(path) > 1 << 20:
            self.assertEqual(self.check()[0], 0)
        self.finds(f"blob sha256:{blob}: its bytes", f"image sha256:{self.image}: of its layer",
                   "containers go on with it", flags=["--deep"])
        os.truncate(path, 5000)
        self.finds(f"blob sha256:{blob}")
        # The container stands on the layer: it stays, and is told.
        code, out, _ = self.check("--repair")
        self.assertEqual(code, 1, out)
        self.assertIn("containers go on with it", out)
        self.daemon.start()
        self.ok("start", "-a", "c1")
        self.ok("rm", "c1")
        self.daemon.stop()
        code, out, _ = self.check("--repair")
        self.assertEqual(code, 0, out)
        self.works(image=False)

    def test_layer_directory(self):
        layer = self.layer()
        os.rename(f"{layer}/diff", f"{self.daemon.scratch}/lost")
        code, out, _ = self.check()
        self.assertEqual(code, 0, out)
        self.assertIn("it is not unpacked", out)
        self.daemon.start()  # makes it again from the layer's blob
        wait_until(lambda: os.path.isdir(f"{layer}/diff"), 10, "the layer's directory")
        self.ok("start", "-a", "c1")
        self.daemon.stop()
        with open(f"{layer}/layer.json") as f:
            blob = json.load(f)["blob"].removeprefix("sha256:")
        os.rename(f"{layer}/diff", f"{self.daemon.scratch}/diff")
        os.remove(f"{self.store}/blobs/sha256/{blob}")
        self.finds(f"layer sha256:{os.path.basename(layer)}: its directory diff is missing",
                   f"image sha256:{self.image}: its layer", f"writable-layer {self.id}: the layer sha256:")
        code, out, _ = self.check("--repair")
        self.assertEqual(code, 1, out)  # the container waits for the layer
        self.assertIn(f"layer-{os.path.basename(layer)}", out)
        self.daemon.start()
        self.assertEqual(self.docker("start", "c1").code, 1)
        self.daemon.import_busybox()  # brings the same layer again
        self.ok("start", "-a", "c1")
        self.assertEqual(self.run_box("--", "echo", "works"), "works")
        self.daemon.stop()
        self.assertEqual(self.check()[0], 0)

    def test_a_layer_that_is_not_what_its_blob_holds(self):
        path = f"{self.layer()}/diff/etc/passwd"
        before = os.stat(path)
        with open(path, "r+b") as f:
            f.write(b"toor")
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
        self.assertEqual(self.check()[0], 0)
        said = f"layer sha256:{os.path.basename(self.layer())}: its directory is not what its blob holds: etc/passwd: its content"
        self.finds(said, "containers stand on it", flags=["--deep"])
        self.assertEqual(self.check("--deep", "--repair")[0], 1)
        self.daemon.start()
        self.ok("rm", "c1")
        # Beside a daemon it is only told.
        code, out, _ = self.check("--deep")
        self.assertEqual(code, 1)
        self.assertIn(said, out)
        self.daemon.stop()
        self.mends("--deep")
        self.works()
        self.assertIn("root:x:0:0", self.run_box("--", "cat", "/etc/passwd"))

    def test_records_of_layers_and_images(self):
        self.spoil(f"{self.store}/images/{self.image}/image.json")
        self.finds(f"image sha256:{self.image}: image.json: ")
        self.mends()
        self.works(image=False)
        self.ok("rm", "c1")
        self.daemon.stop()
        layer = self.layer()
        self.spoil(f"{layer}/layer.json")
        self.finds(f"layer sha256:{os.path.basename(layer)}: layer.json: ")
        self.mends()
        self.works(image=False)

    def test_writable_layer(self):
        self.spoil(f"{self.store}/containers/{self.id}/layer.json")
        self.finds(f"writable-layer {self.id}: layer.json: ")
        code, out, _ = self.check("--repair")
        self.assertIn("mended: moved to", out)
        code, out, _ = self.check()
        self.assertEqual(code, 1)
        self.assertIn(f"container {self.id}: its writable layer is missing", out)
        self.daemon.start()
        self.ok("rm", "c1")
        self.works()

    def test_networks_file(self):
        self.spoil(f"{self.daemon.data}/networks.json")
        self.finds("file networks.json: ")
        self.mends()
        self.works()

    def test_notes_are_no_damage(self):
        os.makedirs(f"{self.store}/tmp/layer-x")
        os.makedirs(f"{self.daemon.data}/containers/{'f' * 64}")
        code, out, _ = self.check()
        self.assertEqual(code, 0)
        self.assertIn("note: left-over tmp/layer-x: ", out)
        self.assertIn("note: left-over containers/ffff", out)
        self.works()
        wait_until(lambda: not os.path.exists(f"{self.store}/tmp/layer-x"), what="it is removed")
        self.daemon.stop()
        self.assertNotIn("tmp/layer-x", self.check()[1])


class Again(RegistryCase):
    """What a registry has is pulled again."""

    def setUp(self):
        super().setUp()
        if self.daemon.process is None:
            self.daemon.start()
        with open(harness.busybox_tar(), "rb") as f:
            layers = [f.read(), layer({"lower": self.id()}), layer({"upper": self.id()})]
        self.name = f"{self.registry.address}/again"
        image = self.registry.push("again", "part", layers)
        kind = "application/vnd.docker.distribution.manifest.v2+json"
        size = len(self.registry.call("GET", f"/v2/again/manifests/{image}", None, {"Accept": kind})[2])
        index = json.dumps({
            "schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json",
            "manifests": [{"mediaType": kind, "digest": image, "size": size,
                           "platform": {"os": "linux", "architecture": "amd64"}}]}).encode()
        self.assertEqual(self.registry.call("PUT", "/v2/again/manifests/1", index, {
            "Content-Type": "application/vnd.oci.image.index.v1+json"})[0], 201)
        self.ok("pull", f"{self.name}:1")
        self.ok("tag", f"{self.name}:1", "mine:2")
        self.ok("run", "--name", "c1", "mine:2", "true")
        self.before = json.loads(self.ok("image", "inspect", "mine:2"))[0]
        with open(f"{self.daemon.data}/storage/images/{self.before['Id'][7:]}/image.json") as f:
            self.manifest = json.load(f)["manifest"]
        blob = self.registry.call("GET", f"/v2/again/manifests/{self.manifest}", None, {"Accept": kind})[2]
        self.blobs = [x["digest"] for x in json.loads(blob)["layers"][1:]]
        self.daemon.stop()
        self.assertEqual(check(self.daemon), (0, "", ""))

    def tearDown(self):
        if self.daemon.process is None:
            self.daemon.start()
        super().tearDown()
        self.ok("rmi", "-f", "mine:2")

    def blob(self, digest):
        return f"{self.daemon.data}/storage/blobs/sha256/{digest[7:]}"

    def damage(self):
        os.truncate(self.blob(self.blobs[0]), 50)
        os.remove(self.blob(self.blobs[1]))
        with open(self.blob(self.before["Id"]), "w") as f:
            f.write("{}")
        self.assertEqual(check(self.daemon)[0], 1)

    def test_what_a_registry_has(self):
        self.damage()
        code, out, err = check(self.daemon, "--repair")
        self.assertEqual((code, err), (0, ""), out)
        self.assertIn(f"mended: pulled again from {self.name}@{self.manifest}", out)
        self.assertEqual(check(self.daemon, "--deep"), (0, "", ""))
        self.daemon.start()
        after = json.loads(self.ok("image", "inspect", "mine:2"))[0]
        self.assertEqual(after["Id"], self.before["Id"])
        self.assertEqual(after["RepoTags"], self.before["RepoTags"])
        self.assertLessEqual(set(self.before["RepoDigests"]), set(after["RepoDigests"]))
        self.ok("save", "-o", f"{self.folder.name}/saved.tar", "mine:2")
        self.ok("start", "-a", "c1")

    def test_what_it_has_no_more(self):
        self.damage()
        folder = f"{self.folder.name}/registry/docker/registry/v2/repositories/again/_manifests"
        shutil.rmtree(folder)
        code, out, err = check(self.daemon, "--repair")
        self.assertEqual(err, "")
        self.assertIn("not pulled again: manifest for", out)
        self.assertIn("lost+found/image-", out)
        # Its container stands on what is left of it.
        self.daemon.start()
        self.assertEqual(self.docker("image", "inspect", "mine:2").code, 1)
        self.ok("rm", "c1")
        with open(harness.busybox_tar(), "rb") as f:
            self.registry.push("again", "1", [f.read()])
        self.ok("pull", f"{self.name}:1")
        self.ok("tag", f"{self.name}:1", "mine:2")


class Reset(Case):
    def test_everything_goes_and_nothing_else(self):
        with tempfile.TemporaryDirectory() as folder:
            os.chmod(folder, 0o777)
            with open(f"{folder}/mine", "w") as f:
                f.write("kept")
            self.ok("volume", "create", "-o", "type=none", "-o", "o=bind", "-o", f"device={folder}", "bound")
            self.ok("volume", "create", "-o", "type=tmpfs", "-o", "device=tmpfs", "memory")
            self.ok("run", "-d", "--name", "r1", "-v", "bound:/b", "-v", "memory:/m", "-v", f"{folder}:/c",
                    "-v", "own:/o", "busybox", "sh", "-c", "echo x > /b/x; echo x > /m/x; touch /o/y; chown 33 /o/y; sleep 1000")
            self.ok("create", "busybox")
            pid = int(self.inspect("r1", "State.Pid"))
            code, out, err = command(self.daemon, "reset", "--force")
            self.assertEqual((code, out), (2, ""))
            self.assertIn(f"another coracled (pid {self.daemon.process.pid}) uses the data-root", err)
            self.daemon.kill()
            code, out, err = command(self.daemon, "reset")
            what = "2 containers (1 running), 1 image and 3 volumes of "
            self.assertEqual((code, out), (1, ""))
            self.assertIn(f"reset removes {what}{self.daemon.data}: --force says that it is wanted", err)
            self.assertTrue(alive(pid))
            with open(f"{self.daemon.data}/notes", "w") as f:
                f.write("not ours")
            code, out, err = command(self.daemon, "reset", "--force")
            self.assertEqual((code, out, err), (0, f"removed {what}{self.daemon.data}\n", ""))
            self.assertFalse(alive(pid))
            self.assertEqual(os.listdir(self.daemon.data), ["notes"])
            self.assertEqual(os.listdir(self.daemon.exec + "/containers") if os.path.exists(
                self.daemon.exec + "/containers") else [], [])
            self.assertEqual(sorted(os.listdir(folder)), ["mine", "x"])
            self.daemon.start()
            for listing in (("ps", "-aq"), ("images", "-q"), ("volume", "ls", "-q")):
                self.assertEqual(self.ok(*listing), "")
            self.daemon.import_busybox()
            self.assertEqual(self.run_box("--", "echo", "works"), "works")

    def test_what_is_not_there(self):
        p = subprocess.run([os.path.join(harness.BIN, "coracle"), "reset", "--force", "--data-root",
                            f"{self.daemon.scratch}/nowhere", "--exec-root", self.daemon.exec], capture_output=True, text=True)
        self.assertEqual((p.returncode, p.stdout), (2, ""))
        self.assertIn("there is no such data root", p.stderr)
        self.assertIn("--force", command(self.daemon, "reset", "--help")[1])


class Running(Case):
    def settled(self):
        """What was removed before is unlinked later, what was imported unpacked later: until then there is a note of it."""
        folders = [f"{self.daemon.data}/{f}" for f in ("trash", "storage/trash", "storage/tmp")]
        wait_until(lambda: not any(os.listdir(f) for f in folders if os.path.isdir(f)), what="nothing is under way")

    def test_beside_a_running_daemon(self):
        self.ok("run", "-d", "--name", "r1", "busybox", "sleep", "1000")
        self.settled()
        self.assertEqual(check(self.daemon), (0, "", ""))
        code, out, err = check(self.daemon, "--repair")
        self.assertEqual((code, out), (2, ""))
        self.assertIn(f"coracled (pid {self.daemon.process.pid}) uses it", err)

    def test_container_that_runs_without_a_daemon(self):
        self.ok("run", "-d", "--name", "r1", "busybox", "sleep", "1000")
        self.settled()
        self.daemon.kill()
        code, out, _ = check(self.daemon)
        self.assertEqual((code, out), (0, ""))
        self.daemon.start()
        self.assertEqual(self.inspect("r1", "State.Status"), "running")

    def test_what_cannot_be_checked(self):
        p = subprocess.run([os.path.join(harness.BIN, "coracle"), "check", "--data-root",
                            f"{self.daemon.scratch}/nowhere", "--exec-root", self.daemon.exec],
                           capture_output=True, text=True)
        self.assertEqual((p.returncode, p.stdout), (2, ""))
        self.assertIn("there is no such data root", p.stderr)
        self.assertEqual(check(self.daemon, "--odd")[0], 2)
        self.assertIn("lost+found", check(self.daemon, "--help")[1])


if __name__ == "__main__":
    main()
