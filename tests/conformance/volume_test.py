"""Volumes through the unmodified docker CLI: their life, options, filters, events, and what fills them."""
import json
import os
import subprocess
import threading
import time
import unittest

import harness


class Volumes(harness.Case):
    def tearDown(self):
        super().tearDown()
        for name in self.ok("volume", "ls", "-q").split():
            self.ok("volume", "rm", name)

    def volume(self, name):
        return json.loads(self.ok("volume", "inspect", name))[0]

    # -- life

    def test_volumes_of_an_older_coracle_are_found(self):
        self.ok("run", "--rm", "-v", "old:/v", "busybox", "sh", "-c", "echo kept > /v/f")
        self.daemon.stop()
        os.rename(f"{self.daemon.data}/volumes", f"{self.daemon.data}/storage/volumes")
        self.daemon.start()
        self.assertEqual(self.ok("run", "--rm", "-v", "old:/v", "busybox", "cat", "/v/f"), "kept")
        self.assertTrue(self.volume("old")["Mountpoint"].startswith(f"{self.daemon.data}/volumes/"))

    def test_create_inspect_list_remove(self):
        self.assertEqual(self.ok("volume", "create", "--label", "a=1", "--label", "b", "data"), "data")
        self.assertEqual(self.ok("volume", "create", "data"), "data")  # again: the same one
        v = self.volume("data")
        self.assertEqual((v["Name"], v["Driver"], v["Scope"], v["Labels"], v["Options"]),
                         ("data", "local", "local", {"a": "1", "b": ""}, None))
        root = self.ok("info", "--format", "{{.DockerRootDir}}")
        self.assertEqual(v["Mountpoint"], f"{root}/volumes/data/_data")
        self.assertTrue(os.path.isdir(v["Mountpoint"]))
        self.assertEqual(self.ok("volume", "rm", "data"), "data")
        self.assertIn("get data: no such volume", self.fails(1, "volume", "inspect", "data"))
        self.assertIn("get data: no such volume", self.fails(1, "volume", "rm", "data"))
        self.ok("volume", "rm", "-f", "data")

    def test_a_volume_without_a_name(self):
        name = self.ok("volume", "create")
        self.assertEqual(len(name), 64)
        self.assertEqual(self.volume(name)["Labels"], {"com.docker.volume.anonymous": ""})

    def test_filters(self):
        self.ok("volume", "create", "--label", "team=red", "one")
        self.ok("volume", "create", "--label", "team", "two")
        self.ok("create", "-v", "one:/x", "busybox")

        def ls(*filters):
            flags = [w for f in filters for w in ("-f", f)]
            return sorted(self.ok("volume", "ls", "-q", *flags).split())
        self.assertEqual(ls(), ["one", "two"])
        self.assertEqual(ls("dangling=true"), ["two"])
        self.assertEqual(ls("dangling=0"), ["one"])
        self.assertEqual(ls("label=team"), ["one", "two"])
        self.assertEqual(ls("label=team=red"), ["one"])
        self.assertEqual(ls("name=tw"), ["two"])
        self.assertEqual(ls("name=^o", "driver=local"), ["one"])
        self.assertEqual(ls("driver=nfs"), [])
        self.assertIn("invalid filter 'dangling=[maybe]'",
                      self.fails(1, "volume", "ls", "-f", "dangling=maybe"))
        self.assertIn("invalid filter 'odd'", self.fails(1, "volume", "ls", "-f", "odd=1"))

    def test_names_that_are_refused(self):
        for name, words in (("a", "volume name is too short, names should be at least two"),
                            ("a/b", "includes invalid characters for a local volume name"),
                            ("-ab", "includes invalid characters"),
                            ("x" * 256, "create xxx")):
            status, _, body = self.daemon.request("POST", "/volumes/create", {"Name": name})
            self.assertEqual(status, 400, body)
            self.assertIn(words, body["message"])
        self.ok("volume", "create", "x" * 255)

    def test_other_drivers(self):
        self.assertIn('create data: error looking up volume plugin odd: plugin "odd" not found',
                      self.fails(1, "volume", "create", "-d", "odd", "data"))
        self.ok("volume", "create", "data")
        status, _, body = self.daemon.request("POST", "/volumes/create",
                                              {"Name": "data", "Driver": "odd"})
        self.assertEqual(status, 409)
        self.assertIn("volume name must be unique", body["message"])
        # A 404, as at Docker: the CLI would pull the image.
        self.assertIn('plugin "odd" not found', self.fails(
            125, "run", "--pull", "never", "--mount", "type=volume,src=new,dst=/x,volume-driver=odd", "busybox"))

    def test_cluster_volumes_are_refused(self):
        status, _, body = self.daemon.request("PUT", "/volumes/any?version=1", {"Spec": {}})
        self.assertEqual(status, 503)
        self.assertIn("not a swarm manager", body["message"])
        status, _, body = self.daemon.request("POST", "/volumes/create",
                                              {"Name": "cv", "ClusterVolumeSpec": {}})
        self.assertEqual(status, 503)
        self.assertIn("not a swarm manager", body["message"])

    def test_a_used_volume_stays(self):
        a = self.ok("create", "-v", "used:/x", "busybox")
        b = self.ok("create", "-v", "used:/x", "busybox")
        status, _, body = self.daemon.request("DELETE", "/volumes/used?force=1")
        self.assertEqual(status, 409)
        ids = ", ".join(sorted((a, b)))
        self.assertEqual(body["message"], f"remove used: volume is in use - [{ids}]")

    def test_what_goes_with_its_container(self):
        self.run_box("-v", "named:/a", "-v", "/b", "--", "true")
        self.assertEqual(self.ok("volume", "ls", "-q"), "named")
        c = self.ok("create", "-v", "named:/a", "-v", "/b", "busybox")
        self.ok("rm", c)
        left = self.ok("volume", "ls", "-q").split()
        self.assertEqual(len(left), 2)
        c = self.ok("create", "-v", "named:/a", "-v", "/b", "busybox")
        self.ok("rm", "-v", c)
        self.assertEqual(sorted(self.ok("volume", "ls", "-q").split()), sorted(left))

    # -- options

    def test_tmpfs_is_one_for_all_and_ends_with_the_last(self):
        self.ok("volume", "create", "-o", "type=tmpfs", "-o", "device=tmpfs", "-o",
                "o=size=4m,uid=33,mode=0711,noexec", "mem")
        a = self.ok("run", "-d", "-v", "mem:/m", "busybox", "sh", "-c", "echo hi > /m/f; sleep 1000")
        b = self.ok("run", "-d", "-v", "mem:/m", "busybox", "sleep", "1000")
        harness.wait_until(lambda: self.docker("exec", b, "cat", "/m/f").out == "hi\n", 5)
        self.assertEqual(self.ok("exec", b, "stat", "-c", "%u %a", "/m"), "33 711")
        line = [w for w in self.ok("exec", b, "cat", "/proc/mounts").splitlines() if " /m " in w][0]
        self.assertIn("tmpfs /m tmpfs", line)
        self.assertIn("noexec", line)
        self.assertIn("size=4096k", line)
        self.ok("rm", "-f", a)
        self.assertEqual(self.ok("exec", b, "cat", "/m/f"), "hi")
        # Neither a restart of the daemon nor its death troubles it.
        self.daemon.kill()
        self.daemon.start()
        self.assertEqual(self.ok("exec", b, "cat", "/m/f"), "hi")
        self.assertEqual(self.run_box("-v", "mem:/m", "--", "cat", "/m/f"), "hi")
        self.ok("rm", "-f", b)
        self.assertEqual(self.run_box("-v", "mem:/m", "--", "ls", "/m"), "")
        self.assertNotIn("volume stays mounted", self.daemon.log_tail(100000))

    def test_a_tmpfs_that_is_left_is_looked_through(self):
        keep = self.ok("run", "-d", "busybox", "sleep", "1000")  # keeps the keeper
        self.ok("volume", "create", "-o", "type=tmpfs", "-o", "device=tmpfs", "mem")
        c = self.ok("run", "-d", "-v", "mem:/m", "busybox", "sh", "-c", "echo hi > /m/f; sleep 1000")
        pid = int(self.ok("inspect", "-f", "{{.State.Pid}}", c))
        place = self.volume("mem")["Mountpoint"]
        self.daemon.kill()
        subprocess.run(["kill", "-9", str(pid)], check=True)
        harness.wait_until(lambda: not os.path.exists(f"/proc/{pid}"), 5)
        self.daemon.start()
        # Seen from the daemon's own mount namespace: nothing is mounted there any more.
        def mounted():
            with open(f"/proc/{self.daemon.process.pid}/mounts") as f:
                return place in f.read()
        harness.wait_until(lambda: not mounted(), 5, "the tmpfs is unmounted")
        self.assertEqual(self.run_box("-v", "mem:/m", "--", "ls", "/m"), "")
        self.ok("rm", "-f", keep, c)

    def test_a_directory_of_the_host(self):
        folder = os.path.join(self.daemon.scratch, "shown")
        os.mkdir(folder)
        self.ok("volume", "create", "-o", "type=none", "-o", "o=bind", "-o", f"device={folder}", "bound")
        self.run_box("-v", "bound:/x", "--", "sh", "-c", "echo hi > /x/f")
        with open(f"{folder}/f") as f:
            self.assertEqual(f.read(), "hi\n")
        self.ok("volume", "rm", "bound")
        self.assertTrue(os.path.exists(f"{folder}/f"))
        self.ok("volume", "create", "-o", "type=none", "-o", "o=bind,ro", "-o", f"device={folder}", "bound")
        self.assertIn("Read-only", self.fails(1, "run", "--rm", "-v", "bound:/x", "busybox", "touch",
                                              "/x/g"))

    def test_a_missing_directory_is_told_at_the_mount(self):
        self.ok("volume", "create", "-o", "type=none", "-o", "o=bind", "-o", "device=/none/such", "bad")
        err = self.fails(127, "run", "--rm", "-v", "bad:/x", "busybox")
        self.assertIn("error while mounting volume", err)
        self.assertIn("failed to mount local volume: mount /none/such:", err)
        self.assertIn("/bad/_data, flags: 0x1000: no such file or directory", err)

    def test_options_that_are_refused(self):
        def create(**options):
            status, _, body = self.daemon.request("POST", "/volumes/create",
                                                  {"Name": "opt", "DriverOpts": options})
            return status, body["message"]
        self.assertEqual(create(odd="1"), (400, 'create opt: invalid option: "odd"'))
        self.assertEqual(create(type="tmpfs"), (400, 'create opt: missing required option: "device"'))
        self.assertEqual(create(o="bind", device="/x"), (400, 'create opt: missing required option: "type"'))
        self.assertEqual(create(size="1g"), (400, "create opt: quota size requested but no quota support"))
        status, text = create(type="nfs", o="addr=192.0.2.1,rw", device=":/export")
        self.assertEqual(status, 501)
        self.assertIn("cannot be mounted without root (rootless)", text)
        self.ok("volume", "create", "-o", "type=tmpfs", "-o", "device=tmpfs", "-o", "o=size=lots", "bad")
        err = self.fails(125, "run", "--rm", "-v", "bad:/x", "busybox")
        self.assertIn("failed to mount local volume: mount tmpfs:", err)
        self.assertIn("data: size=lots", err)

    # -- events

    def test_events(self):
        since = f"{time.time():.6f}"
        self.run_box("-v", "ev:/x:ro", "--", "true")
        self.ok("volume", "rm", "ev")
        out = self.ok("events", "--since", since, "--until", f"{time.time() + 0.1:.6f}", "--filter",
                      "type=volume", "--filter", "type=container", "--format", "{{json .}}")
        events = [json.loads(line) for line in out.splitlines()]
        order = [f"{e['Type']} {e['Action']}" for e in events]
        wanted = ["volume create", "container create", "volume mount", "container start",
                  "container die", "volume unmount", "container destroy", "volume destroy"]
        self.assertEqual([o for o in order if o in wanted], wanted)
        mount = next(e for e in events if e["Action"] == "mount")
        a = mount["Actor"]["Attributes"]
        self.assertEqual((mount["Actor"]["ID"], a["destination"], a["driver"], a["read/write"]),
                         ("ev", "/x", "local", "false"))
        self.assertEqual(len(a["container"]), 64)

    # -- filling

    def image_with(self, name, *commands):
        """An image whose files are made by these shell lines on busybox's."""
        tar = os.path.join(self.daemon.scratch, f"{name}.tar")
        box = os.path.join(self.daemon.scratch, f"box-{name}")
        script = "set -e; mkdir BOX; tar -C BOX -xf TAR; cd BOX; %s; tar --numeric-owner -cf OUT ." % (
            "; ".join(commands))
        script = script.replace("BOX", box).replace("TAR", harness.busybox_tar()).replace("OUT", tar)
        subprocess.run(["unshare", "--map-auto", "--map-root-user", "sh", "-c", script], check=True)
        self.ok("import", tar, name)
        return name

    def test_filled_from_the_image(self):
        image = self.image_with("filled", "mkdir -p srv/d/sub", "echo 1 > srv/d/f", "chmod 640 srv/d/f",
                                "chown 33:44 srv/d srv/d/f", "chmod 2750 srv/d", "ln -s f srv/d/l")
        look = "cd /srv/d; stat -c '%n %u:%g %a' . f; readlink l; ls"
        want = ". 33:44 2750\nf 33:44 640\nf\nf\nl\nsub"
        self.assertEqual(self.ok("run", "--rm", "-v", "nm:/srv/d", image, "sh", "-c", look), want)
        self.assertEqual(self.ok("run", "--rm", "-v", "/srv/d", image, "sh", "-c", look), want)
        # What has something in it is left alone; what is empty is filled, whoever emptied it.
        self.ok("run", "--rm", "-v", "nm:/v", image, "sh", "-c", "rm -r /v/*; echo mine > /v/own")
        self.assertEqual(self.ok("run", "--rm", "-v", "nm:/srv/d", image, "ls", "/srv/d"), "own")
        self.ok("run", "--rm", "-v", "nm:/v", image, "rm", "/v/own")
        self.assertEqual(self.ok("run", "--rm", "-v", "nm:/srv/d", image, "ls", "/srv/d"), "f\nl\nsub")
        # Not when it is said; not binds.
        self.assertEqual(self.ok("run", "--rm", "-v", "n2:/srv/d:nocopy", image, "ls", "/srv/d"), "")
        self.assertEqual(self.ok("run", "--rm", "--mount", "src=n3,dst=/srv/d,volume-nocopy", image,
                                 "ls", "/srv/d"), "")
        folder = os.path.join(self.daemon.scratch, "plain")
        self.assertEqual(self.ok("run", "--rm", "-v", f"{folder}:/srv/d", image, "ls", "/srv/d"), "")
        # A part of a volume.
        self.ok("run", "--rm", "-v", "parts:/v", image, "mkdir", "/v/one")
        self.assertEqual(self.ok("run", "--rm", "--mount", "src=parts,dst=/srv/d,volume-subpath=one",
                                 image, "ls", "/srv/d"), "f\nl\nsub")
        self.assertEqual(self.ok("run", "--rm", "-v", "parts:/v", image, "ls", "/v", "/v/one"),
                         "/v:\none\n\n/v/one:\nf\nl\nsub")
        self.assertIn("no such file or directory", self.fails(
            127, "run", "--rm", "--mount", "src=parts,dst=/srv/d,volume-subpath=two", image, "true"))
        self.ok("rmi", image)

    def test_two_begin_with_one_new_volume(self):
        image = self.image_with("race", "mkdir -p srv/d",
                                "i=0; while [ $i -lt 300 ]; do echo $i > srv/d/$i; i=$((i+1)); done")
        seen = []

        def one():
            seen.append(self.docker("run", "--rm", "-v", "both:/srv/d", image, "sh", "-c",
                                    "ls /srv/d | wc -l"))
        threads = [threading.Thread(target=one) for _ in range(4)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        self.assertEqual([r.out.strip() for r in seen], ["300"] * 4, seen)
        self.ok("rmi", image)

    def test_an_interrupted_filling_leaves_nothing_half(self):
        image = self.image_with("cut", "mkdir -p srv/d", "echo 1 > srv/d/f")
        self.daemon.stop()
        self.daemon.start(env={"CORACLE_FAIL": "volume.fill:kill"})
        if self.docker("create", "-v", "cut:/srv/d", image, "true").code == 0:
            self.daemon.stop()
            self.daemon.start()
            self.skipTest("this build has no failpoints")
        self.daemon.process.wait(timeout=60)
        self.daemon.stop()
        self.daemon.start()
        self.assertEqual(os.listdir(self.volume("cut")["Mountpoint"]), [])
        self.assertEqual(self.ok("run", "--rm", "-v", "cut:/srv/d", image, "ls", "/srv/d"), "f")
        self.ok("rmi", image)


if __name__ == "__main__":
    harness.main()
