"""Mounts of a container through the unmodified docker CLI: -v, --mount, --tmpfs, --volumes-from."""
import json
import os
import stat
import unittest

import harness


class Mounts(harness.Case):
    def setUp(self):
        super().setUp()
        self.folder = os.path.join(self.daemon.scratch, f"host-{self._testMethodName}")
        os.mkdir(self.folder)

    def tearDown(self):
        super().tearDown()
        for name in self.ok("volume", "ls", "-q").split():
            self.ok("volume", "rm", name)

    def write(self, path, text):
        path = f"{self.folder}/{path}"
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w") as f:
            f.write(text)
        return path

    # -- binds

    def test_what_the_container_makes_is_mine_outside(self):
        self.run_box("-v", f"{self.folder}:/x", "--", "sh", "-c", "echo hi > /x/f; mkdir /x/d")
        for name in ("f", "d"):
            self.assertEqual(os.stat(f"{self.folder}/{name}").st_uid, os.getuid())
        with open(f"{self.folder}/f") as f:
            self.assertEqual(f.read(), "hi\n")

    def test_a_missing_source_is_made_for_v_and_refused_for_mount(self):
        new = f"{self.folder}/a/b"
        self.run_box("-v", f"{new}:/x", "--", "touch", "/x/f")
        for path in (f"{self.folder}/a", new):
            st = os.stat(path)
            self.assertEqual((st.st_uid, stat.S_IMODE(st.st_mode)), (os.getuid(), 0o755))
        gone = f"{self.folder}/gone"
        self.assertIn(f'invalid mount config for type "bind": bind source path does not exist: {gone}',
                      self.fails(125, "run", "--mount", f"type=bind,src={gone},dst=/x", "busybox"))
        self.assertFalse(os.path.exists(gone))
        status, _, body = self.daemon.request("POST", "/containers/create", {
            "Image": "busybox", "HostConfig": {"Mounts": [
                {"Type": "bind", "Source": gone, "Target": "/x", "BindOptions": {"CreateMountpoint": True}}]}})
        self.assertEqual(status, 201, body)
        self.ok("start", body["Id"])
        self.assertTrue(os.path.isdir(gone))

    def test_a_source_that_cannot_be_made_is_named(self):
        r = self.docker("run", "--rm", "-v", "/sys/none/such:/x", "busybox", "true")
        self.assertNotEqual(r.code, 0)
        self.assertIn("error while creating mount source path '/sys/none/such'", r.err)

    def test_files_links_and_nested_places(self):
        one = self.write("one", "1\n")
        os.symlink("one", f"{self.folder}/link")
        self.write("deep/f", "deep\n")
        self.write("top/f", "top\n")
        out = self.run_box("-v", f"{self.folder}/deep:/n/a/b", "-v", f"{one}:/n/a/file", "-v",
                           f"{self.folder}/link:/linked", "-v", f"{self.folder}/top:/n", "--",
                           "cat", "/n/f", "/n/a/b/f", "/n/a/file", "/linked")
        self.assertEqual(out, "top\ndeep\n1\n1")

    def test_a_directory_on_a_file_is_refused(self):
        r = self.docker("run", "--rm", "-v", f"{self.folder}:/etc/passwd", "busybox", "true")
        self.assertNotEqual(r.code, 0)
        self.assertIn("Are you trying to mount a directory onto a file (or vice-versa)?", r.err)

    def test_the_whole_host(self):
        path = self.write("f", "here\n")
        self.assertEqual(self.run_box("-v", "/:/host:ro", "--", "cat", f"/host{path}"), "here")

    def test_read_only_and_other_words(self):
        for words in ("ro", "ro,z", "Z,ro,rslave", "ro,cached"):
            self.assertIn("Read-only file system", self.fails(
                1, "run", "--rm", "-v", f"{self.folder}:/x:{words}", "busybox", "touch", "/x/f"))
        for words in ("rw", "z", "Z", "rprivate", "rw,consistent", "slave", "shared"):
            self.run_box("-v", f"{self.folder}:/x:{words}", "--", "touch", "/x/f")

    def test_propagation_that_cannot_be_kept_is_told(self):
        r = self.docker("create", "-v", f"{self.folder}:/x:rshared", "busybox")
        self.assertEqual(r.code, 0, r)
        self.assertIn("are not seen on the host", r.err)
        self.assertEqual(self.inspect(r.out.strip(), "Mounts")[0]["Propagation"], "rshared")

    def test_mounts_made_inside_a_shared_bind_stay_inside(self):
        os.mkdir(f"{self.folder}/m")
        self.run_box("--privileged", "-v", f"{self.folder}:/x:rshared", "--", "mount", "-t", "tmpfs",
                     "none", "/x/m")
        with open("/proc/self/mounts") as f:
            self.assertNotIn(self.folder, f.read())

    def test_recursive_and_not(self):
        # A volume that is mounted, below the folder of all volumes.
        self.ok("volume", "create", "-o", "type=tmpfs", "-o", "device=tmpfs", "mem")
        self.ok("run", "-d", "-v", "mem:/x", "busybox", "sleep", "1000")

        # By another name: of the data root itself only rslave and rshared are taken.
        source = f"{self.daemon.scratch}/seen"
        os.symlink(f"{self.daemon.data}/volumes", source)

        def mounted(*options):
            out = self.run_box("--mount", ",".join((f"type=bind,src={source},dst=/all",) + options), "--",
                               "cat", "/proc/mounts")
            found = {w.split()[1]: w.split()[3].split(",") for w in out.splitlines()}
            return found.get("/all/mem/_data")
        self.assertIsNotNone(mounted())
        self.assertIsNone(mounted("bind-recursive=disabled"))
        self.assertIn("ro", mounted("readonly"))
        self.assertIn("rw", mounted("readonly", "bind-recursive=writable"))
        self.assertIn("ro", mounted("readonly", "bind-recursive=readonly", "bind-propagation=rprivate"))

    # -- tmpfs

    def options_at(self, place, *flags):
        out = self.run_box(*flags, "--", "cat", "/proc/mounts")
        return next(line.split()[3].split(",") for line in out.splitlines()
                    if line.split()[1] == place)

    def test_tmpfs(self):
        have = self.options_at("/t", "--tmpfs", "/t")
        self.assertTrue({"rw", "nosuid", "nodev", "noexec"} <= set(have), have)
        have = self.options_at("/t", "--read-only", "--tmpfs", "/t:exec,size=64k,mode=1770,uid=33")
        self.assertTrue({"rw", "nosuid", "nodev", "size=64k", "mode=1770"} <= set(have), have)
        self.assertNotIn("noexec", have)
        self.assertEqual(self.run_box("--tmpfs", "/t:uid=33,gid=44", "--", "stat", "-c", "%u:%g", "/t"), "33:44")
        have = self.options_at("/t", "--mount", "type=tmpfs,dst=/t,tmpfs-size=1m,tmpfs-mode=700")
        self.assertTrue({"nosuid", "nodev", "noexec", "size=1024k", "mode=700"} <= set(have), have)
        have = self.options_at("/t", "--mount", "type=tmpfs,dst=/t,readonly")
        self.assertIn("ro", have)
        self.assertEqual(self.run_box("--tmpfs", "/t:exec", "--", "sh", "-c",
                                      "cp /bin/busybox /t/true && /t/true && echo ran"), "ran")

    def test_a_read_only_root_with_places_to_write(self):
        self.assertEqual(self.run_box("--read-only", "--tmpfs", "/run", "-v", "wr:/w", "-v",
                                      f"{self.folder}:/b", "--", "sh", "-c",
                                      "touch /run/f /w/f /b/f && ! touch /f 2>/dev/null && echo fine"),
                         "fine")

    # -- images

    def test_an_image_is_mounted(self):
        out = self.run_box("--mount", "type=image,src=busybox,dst=/img", "--", "sh", "-c",
                           "cat /img/etc/group; touch /img/f; ls -l /img/bin/sh | grep -c busybox")
        self.assertIn("extra:x:44:web", out)
        self.assertTrue(out.endswith("\n1"), out)
        c = self.ok("create", "--mount", "type=image,src=busybox,dst=/img", "busybox", "touch", "/img/f")
        self.assertIn("Read-only", self.docker("start", "-a", c).err)
        m = self.inspect(c, "Mounts")[0]
        self.assertEqual((m["Type"], m["Destination"], m["RW"]), ("image", "/img", False))
        # A part of it: a directory, or a file.
        out = self.run_box("--mount", "type=image,src=busybox,dst=/img,image-subpath=etc", "--mount",
                           "type=image,src=busybox,dst=/pw,image-subpath=etc/passwd", "--",
                           "sh", "-c", "ls /img; head -n1 /pw")
        self.assertEqual(out, "group\npasswd\nroot:x:0:0:root:/root:/bin/sh")
        self.assertIn("No such image: none", self.docker(
            "create", "--pull", "never", "--mount", "type=image,src=none,dst=/x", "busybox").err)
        # It survives the daemon, and leaves nothing.
        self.daemon.stop()
        self.daemon.start()
        self.assertIn("Read-only", self.docker("start", "-a", c).err)
        self.ok("rm", c)
        harness.wait_until(lambda: not os.listdir(f"{self.daemon.data}/storage/containers"), 5,
                           "the layers are gone")

    # -- from others

    def test_volumes_from(self):
        self.write("f", "bound\n")
        a = self.ok("create", "-v", "/own", "-v", f"{self.folder}:/bound:ro", "-v", "named:/named",
                    "--tmpfs", "/tmp", "busybox", "sh", "-c", "echo own > /own/f")
        self.ok("start", "-a", a)
        b = self.ok("create", "-v", "other:/named", "-v", "/two", "busybox", "sh", "-c",
                    "echo other > /named/f")
        self.ok("start", "-a", b)
        # Stopped ones are fine; of the same place the last one counts.
        self.assertEqual(self.run_box("--volumes-from", a, "--volumes-from", b, "--", "cat", "/own/f",
                                      "/bound/f", "/named/f"), "own\nbound\nother")
        self.assertEqual(self.run_box("--volumes-from", b, "--volumes-from", a, "--", "ls", "/named",
                                      "/two"), "/named:\n\n/two:")
        # What is asked for covers what is inherited.
        self.assertEqual(self.run_box("--volumes-from", a, "-v", "new:/own", "--", "ls", "/own"), "")
        for place in ("/own", "/bound"):
            self.assertIn("Read-only", self.fails(1, "run", "--rm", "--volumes-from", f"{a}:ro",
                                                  "busybox", "touch", f"{place}/x"))
        self.assertIn("Read-only", self.fails(1, "run", "--rm", "--volumes-from", f"{a}:rw", "busybox",
                                              "touch", "/bound/x"))
        self.run_box("--volumes-from", a, "--", "touch", "/own/x")
        for spec, code, text in ((f"{a}:odd", 400, "invalid mode: odd"),
                                 (f"{a}:ro,rshared", 400, "invalid mode: ro,rshared"),
                                 (f"{a}:nocopy", 400, "invalid mode: nocopy"),
                                 ("none", 400, "No such container: none")):  # a 404 is the image's
            status, _, body = self.daemon.request("POST", "/containers/create", {
                "Image": "busybox", "HostConfig": {"VolumesFrom": [spec]}})
            self.assertEqual((status, body["message"]), (code, text))
        # The volume goes with the last that has it.
        c = self.ok("create", "--volumes-from", a, "busybox")
        own = next(m["Name"] for m in self.inspect(a, "Mounts") if m["Destination"] == "/own")
        self.ok("rm", "-v", a)
        self.assertIn(own, self.ok("volume", "ls", "-q"))
        self.ok("rm", "-v", c)
        self.assertNotIn(own, self.ok("volume", "ls", "-q"))

    def test_volumes_of_the_image_give_way_to_inherited_ones(self):
        r = self.docker("import", "-c", "VOLUME /data", harness.busybox_tar(), "vols")
        self.assertEqual(r.code, 0, r)
        a = self.ok("run", "-d", "vols", "sh", "-c", "echo a > /data/f")
        self.ok("wait", a)
        self.assertEqual(self.ok("run", "--rm", "--volumes-from", a, "vols", "cat", "/data/f"), "a")
        self.ok("rm", "-v", a)
        self.ok("rmi", "vols")

    # -- what inspect shows

    def test_inspect(self):
        c = self.ok("create", "-v", f"{self.folder}:/b:ro,z", "-v", "vol:/v", "-v", "/anon", "--mount",
                    "type=tmpfs,dst=/t", "--mount", "src=vol2,dst=/v2,readonly", "--tmpfs", "/short", "busybox")
        have = {m.pop("Destination"): m for m in self.inspect(c, "Mounts")}
        anon = have.pop("/anon")
        self.assertEqual((len(anon["Name"]), anon["Driver"], anon["RW"]), (64, "local", True))
        data = f"{self.daemon.data}/volumes"
        self.assertEqual(have, {
            "/b": {"Type": "bind", "Source": self.folder, "Mode": "ro,z", "RW": False,
                   "Propagation": "rprivate"},
            "/v": {"Type": "volume", "Name": "vol", "Source": f"{data}/vol/_data", "Driver": "local",
                   "Mode": "z", "RW": True, "Propagation": ""},
            "/v2": {"Type": "volume", "Name": "vol2", "Source": f"{data}/vol2/_data", "Driver": "local",
                    "Mode": "z", "RW": False, "Propagation": ""},
            "/t": {"Type": "tmpfs", "Source": "", "Mode": "", "RW": True, "Propagation": ""}})
        # Fed back it validates.
        host = self.inspect(c, "HostConfig")
        status, _, body = self.daemon.request("POST", "/containers/create",
                                              {"Image": "busybox", "HostConfig": host})
        self.assertEqual(status, 201, body)

    def test_options_of_a_volume_in_mount(self):
        self.run_box("--mount", "type=volume,src=opt,dst=/x,volume-label=a=b,volume-driver=local,"
                     "volume-opt=type=tmpfs,volume-opt=device=tmpfs", "--", "grep", "tmpfs /x",
                     "/proc/mounts")
        v = json.loads(self.ok("volume", "inspect", "opt"))[0]
        self.assertEqual((v["Labels"], v["Options"]), ({"a": "b"}, {"type": "tmpfs", "device": "tmpfs"}))

    def test_a_subpath_does_not_lead_out(self):
        self.run_box("-v", "sub:/v", "--", "sh", "-c",
                     "mkdir -p /v/d/etc; echo inside > /v/d/f; ln -s / /v/out; ln -s d /v/in; ln -s ../../../../../../../../tmp /v/up")
        self.assertEqual(self.run_box("--mount", "src=sub,dst=/x,volume-subpath=d", "--", "cat", "/x/f"),
                         "inside")
        self.assertEqual(self.run_box("--mount", "src=sub,dst=/x,volume-subpath=in/f", "--", "cat", "/x"),
                         "inside")
        for part in ("out", "up"):
            # It is the start that fails, as at Docker: the part may be made in between.
            self.ok("create", "--name", part, "--mount", f"src=sub,dst=/x,volume-subpath={part}", "busybox", "true")
            self.assertIn("path concatenation escapes the base directory", self.fails(1, "start", part))
        self.ok("create", "--name", "later", "--mount", "src=sub,dst=/x,volume-subpath=later", "busybox", "ls", "/x")
        self.assertIn("cannot access path", self.fails(1, "start", "later"))
        self.run_box("-v", "sub:/v", "--", "mkdir", "-p", "/v/later/found")
        self.assertEqual(self.ok("start", "-a", "later"), "found")

    # -- what is refused

    def test_refused_with_dockers_words(self):
        def m(**fields):
            return {"Mounts": [{k: v for k, v in fields.items()}]}
        table = [
            (m(Type="bind", Source="/a", Target=""), 'invalid mount config for type "bind": field Target must not be empty'),
            (m(Type="bind", Source="/a", Target="/"), 'invalid mount config for type "bind": invalid specification: destination can\'t be \'/\''),
            (m(Type="bind", Source="/a", Target="x"), 'invalid mount config for type "bind": invalid mount path: \'x\' mount path must be absolute'),
            (m(Type="bind", Source="", Target="/x"), 'invalid mount config for type "bind": field Source must not be empty'),
            (m(Type="bind", Source="a", Target="/x"), 'invalid mount config for type "bind": invalid mount path: \'a\' mount path must be absolute'),
            (m(Type="bind", Source="/", Target="/x", BindOptions={"Propagation": "odd"}), 'invalid mount config for type "bind": invalid propagation mode: odd'),
            (m(Type="bind", Source="/", Target="/x", VolumeOptions={}), 'invalid mount config for type "bind": field VolumeOptions must not be specified'),
            (m(Type="bind", Source="/", Target="/x", TmpfsOptions={}), 'invalid mount config for type "bind": field TmpfsOptions must not be specified'),
            (m(Type="volume", Source="vv", Target="/x", BindOptions={}), 'invalid mount config for type "volume": field BindOptions must not be specified'),
            (m(Type="volume", Source="v", Target="/x"), 'create v: volume name is too short, names should be at least two alphanumeric characters'),
            (m(Type="volume", Source="", Target="/x", VolumeOptions={"Subpath": "a"}), 'invalid mount config for type "volume": must not set Subpath when using anonymous volumes'),
            (m(Type="volume", Source="vv", Target="/x", VolumeOptions={"Subpath": "a/../../b"}), 'invalid mount config for type "volume": subpath must be a relative path within the volume'),
            (m(Type="volume", Source="vv", Target="/x", VolumeOptions={"Subpath": "/a"}), 'invalid mount config for type "volume": subpath must be a relative path within the volume'),
            (m(Type="tmpfs", Source="a", Target="/x"), 'invalid mount config for type "tmpfs": field Source must not be specified'),
            (m(Type="tmpfs", Target="/x", BindOptions={}), 'invalid mount config for type "tmpfs": field BindOptions must not be specified'),
            (m(Type="tmpfs", Target="/x", TmpfsOptions={"Options": [["odd"]]}), 'invalid mount config for type "tmpfs": invalid option: odd'),
            (m(Type="tmpfs", Target="/x", TmpfsOptions={"Options": [[]]}), 'invalid mount config for type "tmpfs": invalid option array length'),
            (m(Type="image", Source="", Target="/x"), 'invalid mount config for type "image": field Source must not be empty'),
            (m(Type="odd", Source="a", Target="/x"), 'invalid mount config for type "odd": mount type unknown'),
            (m(Type="npipe", Source="a", Target="/x"), 'invalid mount config for type "npipe": mount type unknown'),
            ({"Mounts": [{"Type": "tmpfs", "Target": "/x"}, {"Type": "tmpfs", "Target": "/x/"}]}, "Duplicate mount point: /x"),
            ({"Binds": ["/a:/x", "/b:/x"]}, "Duplicate mount point: /x"),
            ({"Binds": ["/a:/x"], "Tmpfs": {"/x": ""}}, "Duplicate mount point: /x"),
            ({"Binds": ["/a:/"]}, 'invalid volume specification: \'/a:/\': invalid mount config for type "bind": invalid specification: destination can\'t be \'/\''),
            ({"Binds": [".:app"]}, 'invalid volume specification: \'.:app\': invalid mount config for type "volume": invalid mount path: \'app\' mount path must be absolute'),
            ({"Binds": ["/a:ro"]}, "invalid volume specification: '/a:ro'"),
            ({"Binds": ["/a:/b:ro:c"]}, "invalid volume specification: '/a:/b:ro:c'"),
            ({"Binds": [":/b"]}, "invalid volume specification: ':/b'"),
            ({"Binds": ["/a:/b:odd"]}, "invalid mode: odd"),
            ({"Binds": ["/a:/b:ro,rw"]}, "invalid mode: ro,rw"),
            ({"Binds": ["/a:/b:nocopy"]}, 'invalid volume specification: \'/a:/b:nocopy\': invalid mount config for type "bind": field VolumeOptions must not be specified'),
            ({"Binds": ["vol:/b:rshared"]}, 'invalid volume specification: \'vol:/b:rshared\': invalid mount config for type "volume": field BindOptions must not be specified'),
            ({"Binds": ["a/b:/b"]}, 'create a/b: "a/b" includes invalid characters for a local volume name, only "[a-zA-Z0-9][a-zA-Z0-9_.-]" are allowed. If you intended to pass a host directory, use absolute path'),
            ({"Tmpfs": {"x": ""}}, "invalid mount path: 'x' mount path must be absolute"),
            ({"Tmpfs": {"/": ""}}, "invalid specification: destination can't be '/'"),
            ({"Tmpfs": {"/x": "odd"}}, 'invalid tmpfs option ["odd"]'),
            ({"Tmpfs": {"/x": "odd=1"}}, 'invalid tmpfs option ["odd" "1"]'),
            ({"VolumesFrom": [""]}, "volumes-from specification cannot be an empty string"),
        ]
        for host, text in table:
            status, _, body = self.daemon.request("POST", "/containers/create",
                                                  {"Image": "busybox", "HostConfig": host})
            self.assertEqual((status, body.get("message")), (400, text), host)
        self.assertEqual(self.ok("ps", "-aq"), "")
        self.assertEqual(self.ok("volume", "ls", "-q"), "")


if __name__ == "__main__":
    harness.main()
