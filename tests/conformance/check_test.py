"""coracle check: names each kind of damage, mends it without deleting, and the daemon works again."""
import glob
import json
import os
import shutil
import subprocess

import harness
from harness import Case, main, wait_until


def check(daemon, *flags):
    p = subprocess.run(
        [os.path.join(harness.BIN, "coracle"), "check", "--data-root", daemon.data, "--exec-root",
         daemon.exec, "--config-file", f"{daemon.scratch}/daemon.json", *flags],
        capture_output=True, text=True, timeout=120)
    return p.returncode, p.stdout, p.stderr


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
