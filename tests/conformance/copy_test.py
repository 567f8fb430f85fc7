"""docker cp, docker diff, docker export: files into and out of created, running and stopped containers,
their volumes, binds and tmpfs, and archives that want to leave the container's root."""
import base64
import bz2
import gzip
import io
import json
import lzma
import os
import socket
import subprocess
import tarfile
import tempfile
import time

from harness import DRIVER, Case, main, wait_until


def tar_of(entries):
    """[(name, kind, text or link target, {fields})…] as tar bytes."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as t:
        for name, kind, arg, *more in entries:
            info = tarfile.TarInfo(name)
            info.mode = 0o755 if kind == "d" else 0o644
            for key, value in (more[0] if more else {}).items():
                setattr(info, key, value)
            if kind == "f":
                data = arg.encode() if isinstance(arg, str) else arg
                info.size = len(data)
                t.addfile(info, io.BytesIO(data))
            else:
                info.type = {"d": tarfile.DIRTYPE, "l": tarfile.SYMTYPE, "h": tarfile.LNKTYPE,
                             "p": tarfile.FIFOTYPE, "c": tarfile.CHRTYPE}[kind]
                info.linkname = arg
                t.addfile(info)
    return out.getvalue()


class Copy(Case):
    def setUp(self):
        super().setUp()
        self.folder = tempfile.TemporaryDirectory(prefix="coracle-copy-")
        self.addCleanup(self.folder.cleanup)

    def tearDown(self):
        super().tearDown()
        for name in self.ok("volume", "ls", "-q").split():
            self.ok("volume", "rm", name)

    def path(self, name, text=None):
        path = os.path.join(self.folder.name, name)
        if text is not None:
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "w") as f:
                f.write(text)
        return path

    def read(self, name):
        with open(os.path.join(self.folder.name, name)) as f:
            return f.read()

    def put(self, container, path, data, query="", headers=None):
        return self.daemon.request("PUT", f"/containers/{container}/archive?path={path}{query}",
                                   data, {"Content-Type": "application/x-tar", **(headers or {})})

    def members(self, data):
        with tarfile.open(fileobj=io.BytesIO(data)) as t:
            return {m.name: m for m in t.getmembers()}

    def states(self):
        """The same container as it may be: (what, name)."""
        self.ok("create", "--name", "made", "busybox", "true")
        self.ok("run", "-d", "--name", "runs", "busybox", "sleep", "1000")
        self.ok("run", "--name", "ended", "busybox", "true")
        return ("made", "runs", "ended")

    def test_file_in_and_out_in_every_state(self):
        source = self.path("in/hello.txt", "hello\n")
        for name in self.states():
            with self.subTest(state=name):
                self.ok("cp", source, f"{name}:/root/")
                self.ok("cp", source, f"{name}:/root/other.txt")
                self.ok("cp", f"{name}:/root/other.txt", self.path(f"{name}.txt"))
                self.assertEqual(self.read(f"{name}.txt"), "hello\n")
        self.assertEqual(self.ok("exec", "runs", "cat", "/root/hello.txt", "/root/other.txt"),
                         "hello\nhello")
        self.ok("start", "made")
        self.ok("cp", "made:/root/hello.txt", self.path("again.txt"))

    def test_a_paused_container_is_copied_too(self):
        self.ok("run", "-d", "--name", "p1", "busybox", "sleep", "1000")
        self.ok("pause", "p1")
        self.addCleanup(self.docker, "unpause", "p1")
        self.ok("cp", self.path("x", "frozen"), "p1:/root/x")
        self.ok("cp", "p1:/root/x", self.path("y"))
        self.assertEqual(self.read("y"), "frozen")

    def test_directories_and_their_contents(self):
        self.path("tree/a", "1")
        self.path("tree/sub/b", "2")
        os.symlink("a", self.path("tree/link"))
        for name in self.states():
            with self.subTest(state=name):
                self.ok("cp", self.path("tree"), f"{name}:/root")        # /root/tree
                self.ok("cp", self.path("tree") + "/.", f"{name}:/root")  # /root/a …
                self.ok("cp", self.path("tree"), f"{name}:/root/new")     # /root/new
                out = self.path(f"out-{name}")
                self.ok("cp", f"{name}:/root", out)
                for where in ("tree", ".", "new"):
                    self.assertEqual(self.read(f"out-{name}/{where}/sub/b"), "2")
                    self.assertEqual(os.readlink(f"{out}/{where}/link"), "a")
                os.mkdir(self.path(f"in-{name}"))
                self.ok("cp", f"{name}:/root/new/.", self.path(f"in-{name}"))
                self.assertEqual(self.read(f"in-{name}/a"), "1")

    def test_the_names_of_the_network_of_one_that_rests(self):
        self.ok("run", "--name", "ended", "--hostname", "its-name", "--add-host", "far:10.9.8.7", "busybox", "true")
        for path, text in (("hostname", "its-name\n"), ("hosts", "10.9.8.7\tfar\n"), ("resolv.conf", "nameserver")):
            got = self.docker("cp", f"ended:/etc/{path}", "-")
            with tarfile.open(fileobj=io.BytesIO(got.out_bytes)) as tar:
                self.assertIn(text, tar.extractfile(path).read().decode())

    def test_tar_streams(self):
        data = tar_of([("s/", "d", ""), ("s/x", "f", "streamed")])
        for name in self.states():
            with self.subTest(state=name):
                self.ok("cp", "-", f"{name}:/root", input=data)
                r = self.docker("cp", f"{name}:/root/s", "-")
                self.assertEqual(r.code, 0, r)
                members = self.members(r.out_bytes)
                self.assertEqual(set(members), {"s", "s/x"})
                r = self.docker("cp", f"{name}:/root/s/.", "-")
                self.assertEqual(set(self.members(r.out_bytes)), {".", "./x"})

    def test_links_of_a_path_are_followed_inside_alone(self):
        self.ok("run", "-d", "--name", "l1", "busybox", "sh", "-c",
                "ln -s /etc /root/abs; ln -s ../../../../../../../../etc /root/up; "
                "ln -s passwd /etc/pw; echo linked; exec sleep 1000")
        self.says("l1", "linked")
        canary = self.path("canary", "outside")
        self.ok("cp", "l1:/root/up/passwd", self.path("pw1"))
        self.assertTrue(self.read("pw1").startswith("root:x:0:0:root:/root:/bin/sh\nweb"))
        self.ok("cp", canary, "l1:/root/abs/")
        self.assertEqual(self.ok("exec", "l1", "cat", "/etc/canary"), "outside")
        self.ok("cp", "l1:/etc/pw", self.path("pw2"))
        self.assertEqual(os.readlink(self.path("pw2")), "passwd")
        self.ok("cp", "-L", "l1:/etc/pw", self.path("pw3"))
        self.assertTrue(self.read("pw3").startswith("root:"))
        status, headers, _ = self.daemon.request("HEAD", "/containers/l1/archive?path=/root/up")
        stat = json.loads(base64.b64decode(headers["X-Docker-Container-Path-Stat"]))
        self.assertEqual((status, stat["name"], stat["linkTarget"]), (200, "up", "/etc"))
        self.assertEqual(stat["mode"], 0o777 | 1 << 27)

    def test_stat_header(self):
        self.ok("create", "--name", "h1", "busybox", "true")
        for path, name, mode in (("/tmp", "tmp", 1 << 31 | 1 << 20 | 0o777), ("/etc/.", ".", 1 << 31 | 0o755),
                                 ("/", "/", 1 << 31 | 0o755), ("etc/passwd", "passwd", 0o644)):
            for method in ("HEAD", "GET"):
                status, headers, _ = self.daemon.request(method, f"/containers/h1/archive?path={path}")
                self.assertEqual(status, 200)
                stat = json.loads(base64.b64decode(headers["X-Docker-Container-Path-Stat"]))
                self.assertEqual((stat["name"], stat["mode"], stat["linkTarget"]), (name, mode, ""))
                self.assertRegex(stat["mtime"], r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d")

    def test_volumes_binds_and_tmpfs(self):
        os.mkdir(self.path("bind"))
        flags = ("-v", "vol:/data", "-v", f"{self.path('bind')}:/bind", "--tmpfs", "/fast")
        self.ok("run", "-d", "--name", "v1", *flags, "busybox", "sleep", "1000")
        self.ok("create", "--name", "w1", *flags, "busybox", "true")
        source = self.path("f", "payload")
        for name in ("v1", "w1"):
            for where in ("data", "bind"):
                self.ok("cp", source, f"{name}:/{where}/{name}")
        self.assertEqual(self.ok("exec", "v1", "cat", "/data/v1", "/data/w1", "/bind/v1", "/bind/w1"),
                         "payload" * 4)
        self.assertEqual(self.read("bind/w1"), "payload")
        self.ok("cp", "w1:/data/v1", self.path("from-volume"))
        self.assertEqual(self.read("from-volume"), "payload")
        self.ok("cp", source, "v1:/fast/t")
        self.assertEqual(self.ok("exec", "v1", "cat", "/fast/t"), "payload")
        self.ok("cp", "v1:/fast/t", self.path("from-tmpfs"))
        self.assertEqual(self.read("from-tmpfs"), "payload")

    def test_option_volumes_and_images_of_one_that_rests(self):
        os.mkdir(self.path("shown"))
        for name, o in (("bound", "bind"), ("bound-ro", "bind,ro")):
            self.ok("volume", "create", "-o", "type=none", "-o", f"o={o}", "-o",
                    f"device={self.path('shown')}", name)
        self.ok("create", "--name", "o1", "-v", "bound:/b", "-v", "bound-ro:/r",
                "--mount", "type=image,src=busybox,dst=/img",
                "--mount", "type=image,src=busybox,dst=/etc-of-it,image-subpath=etc",
                "--mount", "type=image,src=busybox,dst=/pw,image-subpath=etc/passwd", "busybox", "true")
        source = self.path("f", "payload")
        self.ok("cp", source, "o1:/b/in")
        self.assertEqual(self.read("shown/in"), "payload")
        self.ok("cp", "o1:/r/in", self.path("out"))
        self.assertEqual(self.read("out"), "payload")
        for where in ("/img/etc/group", "/etc-of-it/group", "/pw"):
            self.ok("cp", f"o1:{where}", self.path("out"))
            self.assertIn("root:x:0:", self.read("out"), where)
        for where in ("/r/", "/img/etc/", "/etc-of-it/"):
            self.assertIn("mounted volume is marked read-only", self.fails(1, "cp", source, f"o1:{where}"))
        self.ok("rm", "o1")
        self.ok("volume", "rm", "bound", "bound-ro")

    def test_read_only_is_refused_in_dockers_words(self):
        self.ok("create", "--name", "r1", "--read-only", "-v", "vol:/data:ro", "-v", "rw:/rw",
                "busybox", "true")
        source = self.path("f", "x")
        self.assertIn("container rootfs is marked read-only", self.fails(1, "cp", source, "r1:/root/"))
        self.assertIn("mounted volume is marked read-only", self.fails(1, "cp", source, "r1:/data/"))
        self.ok("cp", source, "r1:/rw/")
        data = tar_of([("a", "f", "x")])
        self.assertEqual(self.put("r1", "/root", data)[0], 400)
        self.assertEqual(self.put("r1", "/data", data)[0], 400)

    def test_errors_have_dockers_status_and_text(self):
        self.ok("create", "--name", "e1", "busybox", "true")
        data = tar_of([("bin", "f", "no directory any more")])
        for method, path, body, status, text in (
                ("GET", "e1/archive?path=/nope", None, 404, "Could not find the file /nope in container e1"),
                ("PUT", "e1/archive?path=/nope", data, 404, "Could not find the file /nope in container e1"),
                ("PUT", "e1/archive?path=/etc/passwd", data, 400, "extraction point is not a directory"),
                ("GET", "nope/archive?path=/etc", None, 404, "No such container: nope"),
                ("PUT", "e1/archive?path=/&noOverwriteDirNonDir=1", data, 500,
                 'cannot overwrite directory "bin" with non-directory "/"')):
            with self.subTest(method=method, path=path):
                got, _, answer = self.daemon.request(method, "/containers/" + path, body)
                self.assertEqual(got, status, answer)
                self.assertIn(text, answer["message"])
        self.assertEqual(self.daemon.request("HEAD", "/containers/e1/archive?path=/nope")[0], 404)
        self.assertEqual(self.daemon.request("GET", "/containers/e1/archive?path=")[0], 400)
        self.assertEqual(self.put("e1", "/root", b"no tar at all" * 100)[0], 400)
        self.fails(1, "cp", self.path("gone"), "e1:/root")

    def test_every_compression(self):
        self.ok("run", "-d", "--name", "z1", "busybox", "sleep", "1000")
        plain = tar_of([("name", "f", "compressed")])
        forms = {"none": plain, "gzip": gzip.compress(plain), "bzip2": bz2.compress(plain),
                 "xz": lzma.compress(plain),
                 "zstd": subprocess.run(["zstd", "-c"], input=plain, capture_output=True).stdout}
        for name, data in forms.items():
            with self.subTest(form=name):
                self.assertTrue(data, "zstd(1) is needed")
                self.ok("exec", "z1", "rm", "-f", "/root/name")
                self.assertEqual(self.put("z1", "/root", data)[0], 200)
                self.assertEqual(self.ok("exec", "z1", "cat", "/root/name"), "compressed")

    def test_owners_modes_times_and_links(self):
        self.ok("run", "-d", "--name", "o1", "busybox", "sleep", "1000")
        data = tar_of([("d", "d", "", {"uid": 7, "gid": 8, "mode": 0o1777, "mtime": 1000}),
                       ("d/f", "f", "x", {"uid": 33, "gid": 44, "mode": 0o4755, "mtime": 2000}),
                       ("d/hard", "h", "d/f"), ("d/soft", "l", "f", {"uid": 5, "gid": 6}),
                       ("d/pipe", "p", "", {"mode": 0o622}),
                       ("far", "f", "x", {"uid": 2000000000, "gid": 2000000000})])
        self.assertEqual(self.put("o1", "/root", data)[0], 200)
        out = self.ok("exec", "o1", "stat", "-c", "%n %u:%g %a %Y %h", "/root/d", "/root/d/f",
                      "/root/d/hard", "/root/far")
        lines = out.splitlines()
        self.assertEqual(lines[0].split()[1:4], ["7:8", "1777", "1000"])
        self.assertEqual(lines[1].split()[1:], ["33:44", "4755", "2000", "2"])
        self.assertEqual(lines[2].split()[1:], ["33:44", "4755", "2000", "2"])
        self.assertEqual(lines[3].split()[1], "0:0", "an id beyond the map is root's")
        r = self.docker("cp", "o1:/root/d", "-")
        members = self.members(r.out_bytes)
        self.assertEqual((members["d/f"].uid, members["d/f"].mode, members["d/f"].mtime),
                         (33, 0o4755, 2000))
        self.assertTrue(members["d/hard"].islnk())
        self.assertTrue(members["d/pipe"].isfifo())
        self.assertEqual((members["d/soft"].uid, members["d/soft"].linkname), (5, "f"))

    def test_archive_mode_gives_files_to_the_containers_user(self):
        self.ok("run", "-d", "--name", "u1", "-u", "web", "busybox", "sleep", "1000")
        self.ok("cp", "-a", self.path("f", "x"), "u1:/tmp/f")
        self.assertEqual(self.ok("exec", "u1", "stat", "-c", "%u:%g", "/tmp/f"), "33:33")

    def test_a_sparse_file_stays_sparse(self):
        self.ok("run", "-d", "--name", "s1", "busybox", "sh", "-c",
                "truncate -s 64M /root/hole; printf end >> /root/hole; sleep 1000")
        wait_until(lambda: self.docker("exec", "s1", "grep", "-q", "end", "/root/hole").code == 0, what="it is written")
        r = self.docker("cp", "s1:/root/hole", "-")
        self.assertEqual(r.code, 0, r)
        if DRIVER == "fuse-overlayfs":
            self.skipTest("fuse-overlayfs does not tell where a file's holes are (lseek, SEEK_HOLE)")
        self.assertLess(len(r.out_bytes), 1 << 20)
        self.ok("cp", "s1:/root/hole", self.path("hole"))
        with open(self.path("hole"), "rb") as f:
            self.assertEqual(f.seek(-3, 2), 64 << 20)
            self.assertEqual(f.read(), b"end")

    def test_files_replace_files_and_directories_stay(self):
        self.ok("run", "-d", "--name", "x1", "busybox", "sh", "-c",
                "mkdir -p /w/dir; touch /w/dir/kept; echo old > /w/file; ln -s file /w/link; sleep 1000")
        wait_until(lambda: self.docker("exec", "x1", "test", "-L", "/w/link").code == 0, 10, "made")
        data = tar_of([("dir", "d", ""), ("dir/new", "f", "n"), ("file", "f", "new"),
                       ("link", "f", "no link")])
        self.assertEqual(self.put("x1", "/w", data)[0], 200)
        self.assertEqual(self.ok("exec", "x1", "sh", "-c", "ls /w/dir; cat /w/file; [ -L /w/link ] || cat /w/link"),
                         "kept\nnew\nnewno link")

    def test_whiteout_names_are_plain_names_here(self):
        self.ok("create", "--name", "wh", "busybox", "true")
        if self.ok("info", "-f", "{{.Driver}}") == "fuse-overlayfs":
            self.skipTest("fuse-overlayfs itself has no such names")
        self.assertEqual(self.put("wh", "/root", tar_of([(".wh.x", "f", "plain")]))[0], 200)
        self.ok("cp", "wh:/root/.wh.x", self.path("wh"))
        self.assertEqual(self.read("wh"), "plain")

    def test_nothing_leaves_the_root(self):
        """A canary beside the container's folders, and archives that aim at it."""
        os.makedirs(self.path("prey"))
        canary = self.path("prey/canary", "untouched")
        self.ok("run", "-d", "--name", "live", "-v", f"{self.path('in')}:/in", "busybox", "sh", "-c",
                f"mkdir -p /w; ln -s {self.folder.name}/prey /w/abs; "
                "ln -s ../../../../../../../../../../.. /w/up; sleep 1000")
        wait_until(lambda: self.docker("exec", "live", "test", "-L", "/w/up").code == 0, what="its links are there")
        self.ok("create", "--name", "rests", "busybox", "true")
        prey = os.path.join(self.folder.name, "prey")
        up = "../" * 20
        attacks = [
            [(f"{up}{prey[1:]}/new", "f", "x")],
            [(f"{prey}/new", "f", "x")],
            [("l", "l", prey), ("l/new", "f", "x"), ("l/canary", "f", "overwritten")],
            [("l", "l", up + prey[1:]), ("l/canary", "f", "overwritten")],
            [("l", "l", "/proc/1/root"), (f"l{prey}/canary", "f", "overwritten")],
            [("l", "l", "/proc/self/cwd"), ("l/new", "f", "x")],
            [("h", "h", f"{up}{prey[1:]}/canary"), ("h", "f", "overwritten")],
            [("h", "h", f"{prey}/canary"), ("h", "f", "overwritten")],
            [("abs/canary", "f", "overwritten"), ("up/tmp/coracle-escaped", "f", "x")],
            [("abs/new", "l", "/etc/passwd")],
            [("l", "l", prey), ("l", "d", "", {"mode": 0o777}), ("l/new", "f", "x")],
            [("l", "l", canary), ("l", "p", "", {"mode": 0o777})],
            [("a" * 300, "f", "x")],
            [("/".join(["d" * 100] * 60), "f", "x")],
            [("", "f", "x")], [("/", "f", "x")], [("..", "f", "x")], [(".", "f", "x")],
            [("x\n\x01\x7f", "f", "x")],
        ]
        before = os.stat(canary)
        for i, entries in enumerate(attacks):
            data = tar_of(entries)
            for name, path in (("live", "/w"), ("rests", "/root"), ("live", "/in")):
                with self.subTest(attack=i, container=name):
                    status = self.put(name, path, data)[0]
                    self.assertIn(status, (200, 400, 403, 404, 409, 500), entries)
                    self.assertEqual(os.listdir(prey), ["canary"])
                    self.assertEqual(self.read("prey/canary"), "untouched")
                    after = os.stat(canary)
                    self.assertEqual((before.st_mode, before.st_uid, before.st_nlink, before.st_mtime),
                                     (after.st_mode, after.st_uid, after.st_nlink, after.st_mtime))
                    self.assertFalse(os.path.lexists("/tmp/coracle-escaped"))
        self.assertEqual(self.put("live", "/root", tar_of([(f"{up}x", "f", "x")]))[0], 400)

    def test_damaged_archives_harm_nothing(self):
        self.ok("create", "--name", "m1", "busybox", "true")
        good = tar_of([("d", "d", ""), ("d/f", "f", "x" * 3000), ("d/l", "l", "f"), ("d/h", "h", "d/f")])
        seed = 12345
        for i in range(40):
            data = bytearray(good)
            for _ in range(1 + i % 5):
                seed = (seed * 1103515245 + 12345) & 0x7fffffff
                data[seed % len(data)] = (seed >> 8) & 0xff
            if i % 4 == 0:
                data = data[:seed % len(data)]
            status = self.put("m1", "/root", bytes(data))[0]
            self.assertIn(status, (200, 400, 403, 500))
        self.assertEqual(self.daemon.request("GET", "/_ping")[0], 200)
        self.ok("cp", self.path("f", "still works"), "m1:/root/works")

    def test_no_mount_and_no_process_is_left(self):
        self.ok("create", "--name", "n1", "-v", "vol:/data", "busybox", "true")
        for _ in range(3):
            self.ok("cp", self.path("f", "x"), "n1:/data/f")
            self.ok("cp", "n1:/data", self.path(f"out{_}"))
        with open(f"/proc/{self.daemon.process.pid}/mountinfo") as f:
            self.assertNotIn("/containers/", f.read())
        fuse = lambda: [line for _, line in self.daemon.helpers() if "fuse-overlayfs" in line.split()[0]]
        wait_until(lambda: not fuse(), 5, "fuse-overlayfs ends behind its mount")

    def test_events(self):
        self.ok("create", "--name", "ev", "busybox", "true")
        self.ok("cp", self.path("f", "x"), "ev:/root/f")
        self.ok("cp", "ev:/root/f", self.path("g"))
        self.docker("export", "ev")
        told = lambda: self.ok("events", "--since", "1h", "--until", f"{time.time():.6f}", "--filter", "container=ev",
                               "--format", "{{.Action}}").split()
        wait_until(lambda: "export" in told(), what="the export is told")
        self.assertEqual([a for a in told() if a != "create"], ["extract-to-dir", "archive-path", "export"])


class Diff(Case):
    def diff(self, name):
        return self.ok("diff", name).splitlines()

    def test_an_untouched_container_has_no_changes(self):
        self.ok("create", "--name", "made", "busybox", "true")
        self.ok("run", "--name", "ran", "busybox", "true")
        self.assertEqual(self.diff("made"), [])
        self.assertEqual(self.diff("ran"), [])
        self.assertEqual(self.daemon.request("GET", "/containers/ran/changes")[2], None)

    def test_kinds_and_order(self):
        self.ok("run", "--name", "d1", "-v", "/data", "--tmpfs", "/fast", "busybox", "sh", "-c",
                "echo x > /root/new; mkdir -p /var/a/b; touch /var/a/b/c; echo y >> /etc/passwd; "
                "rm /etc/group; rm -r /home; ln -s x /usr/link; touch /data/v /fast/t; "
                "chmod 700 /usr/.; rm /bin/vi; mkdir /bin/vi; touch /bin/vi/x")
        got = self.diff("d1")
        want = ["C /bin", "C /bin/vi", "A /bin/vi/x", "C /etc", "D /etc/group", "C /etc/passwd",
                "D /home", "C /root", "A /root/new", "C /usr", "A /usr/link", "C /var", "A /var/a",
                "A /var/a/b", "A /var/a/b/c"]
        self.assertEqual([c for c in got if c not in ("A /data", "A /fast")], want)
        self.assertIn("A /data", got)

    def test_a_directory_made_anew_hides_the_old_one(self):
        self.ok("run", "--name", "o1", "busybox", "sh", "-c",
                "rm -r /etc; mkdir /etc 2>/dev/null; cp -r /root /x; rm -r /var; mkdir /var; touch /var/only")
        got = self.diff("o1")
        self.assertIn("C /var", got)
        self.assertIn("A /var/only", got)
        self.assertIn("A /x", got)

    def test_a_running_container(self):
        self.ok("run", "-d", "--name", "r1", "busybox", "sh", "-c", "touch /root/a; sleep 1000")
        wait_until(lambda: self.docker("exec", "r1", "test", "-e", "/root/a").code == 0, what="its own file")
        self.ok("exec", "r1", "touch", "/root/b")
        self.assertEqual(self.diff("r1"), ["C /root", "A /root/a", "A /root/b"])


class Export(Case):
    def test_export_and_import(self):
        self.ok("run", "--name", "e1", "-v", "/data", "busybox", "sh", "-c",
                "echo kept > /root/kept; rm /etc/group; touch /data/in-volume; chown 33:33 /var; "
                "ln /root/kept /root/hard")
        r = self.docker("export", "e1")
        self.assertEqual(r.code, 0, r)
        with tarfile.open(fileobj=io.BytesIO(r.out_bytes)) as t:
            members = {m.name: m for m in t.getmembers()}
            self.assertEqual(t.extractfile("bin/busybox").read(4), b"\x7fELF")
        self.assertIn("root/kept", members)
        self.assertNotIn("etc/group", members)
        self.assertNotIn("data/in-volume", members)
        self.assertEqual((members["var"].uid, members["var"].gid), (33, 33))
        self.assertTrue(members["root/kept"].islnk())
        self.ok("import", "-", "exported:1", input=r.out_bytes)
        self.assertEqual(self.ok("run", "--rm", "exported:1", "/bin/cat", "/root/kept"), "kept")
        self.ok("rmi", "exported:1")

    def test_a_file_with_a_whiteouts_name_is_exported(self):
        r = self.docker("run", "--name", "w1", "busybox", "sh", "-c",
                        "mkdir /root/.wh.d && echo real > /root/.wh.d/.wh.f")
        if r.code != 0:
            self.skipTest(f"this driver has no such names: {r.err}")
        r = self.docker("export", "w1")
        self.assertEqual(r.code, 0, r)
        with tarfile.open(fileobj=io.BytesIO(r.out_bytes)) as t:
            self.assertEqual(t.extractfile("root/.wh.d/.wh.f").read(), b"real\n")

    def test_created_and_running(self):
        self.ok("create", "--name", "c1", "busybox", "true")
        self.ok("run", "-d", "--name", "r1", "-v", "/data", "busybox", "sh", "-c",
                "touch /data/x /root/y; sleep 1000")
        self.ok("exec", "r1", "true")
        for name in ("c1", "r1"):
            r = self.docker("export", name)
            self.assertEqual(r.code, 0, r)
            with tarfile.open(fileobj=io.BytesIO(r.out_bytes)) as t:
                names = t.getnames()
            self.assertIn("bin/busybox", names)
            self.assertNotIn("data/x", names)
            self.assertFalse([n for n in names if n.startswith("proc/")], "an empty proc")



class Stalled(Case):
    """A copy that waits for its client, into or out of a container that rests: it is in nobody's way."""
    limit = 60  # seconds for what takes milliseconds: never is what is meant

    def connect(self, request):
        s = socket.socket(socket.AF_UNIX)
        s.settimeout(60)
        s.connect(self.daemon.socket)
        s.sendall(request)
        self.addCleanup(s.close)
        return s

    def stall_in(self, name, member="half"):
        """One whose file has begun to come; and what is still to be sent."""
        data = tar_of([(member, "f", b"x" * 1_000_000)])
        s = self.connect(f"PUT /containers/{name}/archive?path=/root HTTP/1.1\r\nHost: x\r\n"
                         f"Content-Length: {len(data)}\r\n\r\n".encode() + data[:600_000])
        layer = self.inspect(name, "Id")

        def begun():
            found = subprocess.run(["find", f"{self.daemon.data}/storage/containers/{layer}", "-name", member],
                                   capture_output=True, text=True).stdout
            return found
        wait_until(begun, 20, "the copy has begun")
        return s, data[600_000:]

    def stall_out(self, name):
        s = self.connect(f"GET /containers/{name}/archive?path=/bin HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        self.assertEqual(s.recv(15, socket.MSG_PEEK), b"HTTP/1.1 200 OK")
        return s

    def answer(self, s):
        out = b""
        while piece := s.recv(1 << 20):
            out += piece
            if out.endswith(b"0\r\n\r\n") or (b"Content-Length: 0" in out and out.endswith(b"\r\n\r\n")):
                break
            if b"Content-Type: application/json" in out and out.endswith(b"}\n"):
                break
        return out

    def quick(self, *args):
        r = self.docker(*args, timeout=self.limit)
        self.assertEqual(r.code, 0, f"{args}: {r}")
        return r.out

    def stall(self, way, name):
        self.ok("create", "--name", name, "busybox", "sleep", "1000")
        return self.stall_in(name)[0] if way == "in" else self.stall_out(name)

    def test_removal_rename_inspect_another_copy(self):
        for way in ("in", "out"):
            with self.subTest(way=way):
                s = self.stall(way, "c1")
                self.quick("cp", __file__, "c1:/tmp/source.py")
                self.quick("cp", "c1:/tmp/source.py", "-")
                self.quick("inspect", "--size", "c1")
                self.quick("diff", "c1")
                self.quick("rename", "c1", "c2")
                self.quick("rm", "-f", "c2")
                self.assertIn(b"is being removed" if way == "in" else b"", self.answer(s))
                s.close()

    def test_prune(self):
        for way in ("in", "out"):
            with self.subTest(way=way):
                self.stall(way, "p1")
                self.quick("container", "prune", "-f")
                self.assertEqual(self.ok("ps", "-aq"), "")

    def test_start_ends_a_stalled_copy_in_and_leaves_one_out(self):
        s = self.stall("in", "s1")
        self.quick("start", "s1")
        self.assertIn(b"was started", self.answer(s))
        self.quick("exec", "s1", "touch", "/root/works")
        s = self.stall("out", "s2")
        self.quick("start", "s2")
        answer = self.answer(s)
        self.assertTrue(answer.endswith(b"0\r\n\r\n"), "it goes on to its end")
        self.assertIn(b"bin/busybox", answer)
        self.quick("exec", "s2", "touch", "/root/works")

    def test_copies_in_go_side_by_side(self):
        self.ok("create", "--name", "two", "busybox", "sleep", "1000")
        first, second = self.stall_in("two", "first"), self.stall_in("two", "second")
        for s, rest in (second, first):
            s.sendall(rest)
            self.assertTrue(self.answer(s).startswith(b"HTTP/1.1 200"))
        self.quick("start", "two")
        self.assertEqual(self.quick("exec", "two", "sh", "-c", "cd /root; wc -c < first; wc -c < second"),
                         "1000000\n1000000\n")

    def test_a_copy_in_ends_with_its_client(self):
        s = self.stall("in", "l1")
        threads = lambda: len(os.listdir(f"/proc/{self.daemon.process.pid}/task"))
        during = threads()
        s.close()
        wait_until(lambda: threads() < during, 5, "its thread ends")
        self.quick("start", "l1")

    def test_removal_of_a_running_container(self):
        for way in ("in", "out"):
            with self.subTest(way=way):
                self.ok("run", "-d", "--name", "r1", "busybox", "sleep", "1000")
                s = self.stall_in("r1")[0] if way == "in" else self.stall_out("r1")
                self.quick("rm", "-f", "r1")
                s.close()


if __name__ == "__main__":
    main()
