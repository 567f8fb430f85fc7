"""The attacks of a hostile container, image or neighbour, each by its name, against a real container: none of them
reaches the host, another container, or another user. A class a kind; docs/security.md says what is promised."""
import gzip
import hashlib
import io
import json
import os
import shutil
import socket
import subprocess
import sys
import tarfile
import tempfile
import threading
import time
import glob
import json
import os
import re
import shutil
import signal
import tempfile
import time
import unittest  # noqa: F401  (used by the classes below)

import harness
from harness import wait_until


def image_tar(changes):
    """The busybox image with other files: {path: text, or None (left out), or ("link", target)}."""
    out = io.BytesIO()
    with tarfile.open(harness.busybox_tar()) as old, tarfile.open(fileobj=out, mode="w") as new:
        for member in old:
            if member.name.removeprefix("./") not in changes:
                new.addfile(member, old.extractfile(member) if member.isreg() else None)
        for path, what in changes.items():
            if what is None:
                continue
            info = tarfile.TarInfo(path)
            if isinstance(what, tuple):
                info.type, info.linkname = tarfile.SYMTYPE, what[1]
                new.addfile(info)
            else:
                info.size, info.mode = len(what), 0o755
                new.addfile(info, io.BytesIO(what.encode()))
    return out.getvalue()


class Attacks(harness.Case):
    """Calls that the classes below share: by the API, since there are many."""

    def image(self, name, changes, *instructions):
        args = [a for i in ('CMD ["sh"]', "ENV PATH=/bin:/usr/bin:/sbin", *instructions) for a in ("-c", i)]
        self.ok("import", *args, "-", name, input=image_tar(changes))
        return name

    def create(self, **config):
        status, _, body = self.daemon.request("POST", "/containers/create", {"Image": "busybox", **config})
        self.assertEqual(status, 201, body)
        return body["Id"]

    def start_error(self, **config):
        """What start says of such a container, which is removed again."""
        c = self.create(**config)
        status, _, body = self.daemon.request("POST", f"/containers/{c}/start")
        self.daemon.request("DELETE", f"/containers/{c}?force=1")
        return "" if status == 204 else body["message"]

    def exec_error(self, container, **config):
        status, _, body = self.daemon.request("POST", f"/containers/{container}/exec", config)
        self.assertEqual(status, 201, body)
        status, _, answer = self.daemon.request("POST", f"/exec/{body['Id']}/start", {"Detach": True})
        return "" if status == 200 else answer["message"]


# ---- paths: links exchanged while the engine works on a tree


def image_of(daemon, name, add):
    """busybox with more in it: add(tar) puts it there."""
    path = f"{daemon.scratch}/image.tar"
    shutil.copy(harness.busybox_tar(), path)
    with tarfile.open(path, "a") as tar:
        add(tar)
    r = daemon.docker("import", "-c", "ENV PATH=/bin", path, name)
    if r.code != 0:
        raise AssertionError(r)
    os.unlink(path)


def entry(name, kind=tarfile.REGTYPE, link=""):
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.mode = kind, link, 0o755
    return info


class LinksExchanged(harness.Case):
    """A container that has a tree exchanges directories of it for links to the user's, while the engine writes there."""

    def setUp(self):
        super().setUp()
        self.home = f"{self.daemon.scratch}/home/.ssh"
        os.makedirs(self.home, exist_ok=True)
        with open(f"{self.home}/id_ed25519", "w") as f:
            f.write("the user's key\n")

    def test_a_volume_is_filled_while_a_container_has_it(self):
        def hostile(tar):
            tar.addfile(entry("data/a", tarfile.DIRTYPE))
            key = entry("data/a/id_ed25519")
            key.size = 6
            tar.addfile(key, io.BytesIO(b"image\n"))
            for i in range(2000):
                tar.addfile(entry(f"data/m/{i}"))
            tar.addfile(entry("data/z/loot", tarfile.LNKTYPE, "data/a/id_ed25519"))

        image_of(self.daemon, "hostile", hostile)
        for round in range(3):
            with self.subTest(round=round):
                self.ok("run", "-d", "--name", "c1", "-v", "vol:/vol", "busybox", "sh", "-c",
                        "touch /vol/x; rm -rf /vol/*; touch /ready; while [ ! -s /vol/a/id_ed25519 ]; do :; done; "
                        f"mv /vol/a /vol/.x; ln -s {self.home} /vol/a; touch /done; sleep 1000")
                harness.wait_until(lambda: self.docker("exec", "c1", "test", "-e", "/ready").code == 0, 30, "it waits")
                self.docker("create", "--name", "c2", "-v", "vol:/data", "hostile", "true")
                harness.wait_until(lambda: self.docker("exec", "c1", "test", "-e", "/done").code == 0, 30, "it has struck")
                self.assertEqual(os.stat(f"{self.home}/id_ed25519").st_nlink, 1, "the user's file has a second name")
                loot = self.docker("exec", "c1", "cat", "/vol/z/loot")
                self.assertNotIn("the user's key", loot.out)
                self.ok("rm", "-f", "c1", "c2")
                self.ok("volume", "rm", "vol")

    def test_copies_while_a_directory_becomes_a_link(self):
        self.ok("run", "-d", "--name", "c1", "busybox", "sh", "-c",
                f"mkdir -p /t/a /t/.keep; echo mine > /t/a/id_ed25519; while :; do mv /t/a /t/.keep/a; ln -s {self.home} /t/a;"
                "rm /t/a; mv /t/.keep/a /t/a; done")
        archive = io.BytesIO()
        with tarfile.open(fileobj=archive, mode="w") as tar:
            for i in range(20):
                tar.addfile(entry(f"a/evil{i}"))
        for _ in range(10):
            status, _, body = self.daemon.request("GET", "/containers/c1/archive?path=/t")
            self.assertIn(status, (200, 404))
            self.assertNotIn(b"the user's key", bytes(body) if isinstance(body, bytes) else repr(body).encode())
            status, _, body = self.daemon.request("GET", "/containers/c1/archive?path=/t/a/id_ed25519")
            self.assertNotIn(b"the user's key", bytes(body) if isinstance(body, bytes) else repr(body).encode())
            self.daemon.request("PUT", "/containers/c1/archive?path=/t", archive.getvalue(),
                                {"Content-Type": "application/x-tar"})
        self.assertEqual(os.listdir(self.home), ["id_ed25519"])


# ---- trees: deeper than any path and any stack


class DeepTrees(harness.Case):
    """A container's directories, 20,000 one in the other: each request answers, and the daemon lives."""

    depth = 20000
    unlinked = 600  # seconds: a slow disk takes away a few hundred directories in one

    def deepen(self, top):
        """As `mkdir d; cd d` in the container would, and faster."""
        at = os.open(top, os.O_RDONLY)
        for _ in range(self.depth):
            os.mkdir("d", dir_fd=at)
            at, above = os.open("d", os.O_RDONLY, dir_fd=at), at
            os.close(above)
        os.close(at)

    def upper(self, name):
        return f"{self.daemon.data}/storage/containers/{self.inspect(name, 'Id')}/upper"

    def test_each_walk_answers_and_the_daemon_starts_again(self):
        pid = self.daemon.process.pid
        self.ok("create", "--name", "deep", "-v", "deepvol:/v", "busybox", "true")
        self.deepen(self.upper("deep"))
        self.deepen(f"{self.daemon.data}/volumes/deepvol/_data")
        for what, r in (("diff", self.docker("diff", "deep")), ("commit", self.docker("commit", "deep", "x:1")),
                        ("export", self.docker("export", "-o", f"{self.daemon.scratch}/x.tar", "deep")),
                        ("cp", self.docker("cp", "deep:/d", f"{self.daemon.scratch}/x"))):
            with self.subTest(what=what):
                self.assertNotEqual(r.code, 0, "a path of 40,000 bytes")
        self.assertIn("longer than 4095 bytes", self.docker("diff", "deep").err)
        self.ok("ps", "-as")
        self.ok("system", "df", "-v")
        # A volume that is filled from such a tree of an image has no more than an archive holds; usage has all of it.
        self.assertEqual(self.daemon.process.pid, pid)
        self.assertIsNone(self.daemon.process.poll(), self.daemon.log_tail())
        self.ok("rm", "deep")
        self.daemon.kill()  # in the middle of the unlinking, or behind it
        os.makedirs(f"{self.daemon.data}/storage/trash/left", exist_ok=True)
        self.deepen(f"{self.daemon.data}/storage/trash/left")
        self.daemon.start()
        self.ok("volume", "rm", "deepvol")
        trash = f"{self.daemon.data}/storage/trash"
        harness.wait_until(lambda: os.listdir(trash) == [], self.unlinked, "the trash is empty")
        self.assertIsNone(self.daemon.process.poll(), self.daemon.log_tail())

    def test_what_cannot_be_removed_is_marked_and_left_alone(self):
        trash = f"{self.daemon.data}/storage/trash"
        os.makedirs(f"{trash}/stuck.try5/d")
        self.daemon.stop()
        self.daemon.start()
        self.ok("volume", "create", "gone")
        self.ok("volume", "rm", "gone")
        harness.wait_until(lambda: os.listdir(trash) == ["stuck.try5"], self.unlinked, "all but the marked one are gone")
        self.assertIn("remove it by hand", self.daemon.log_tail(20000))
        self.daemon.stop()
        shutil.rmtree(f"{trash}/stuck.try5")


# ---- descriptors: what is open when the container's program is looked up


class Descriptors(Attacks):
    """CVE-2024-21626 and its kind: a path of the image or the container names what the engine has open."""

    NAMES = ("/proc/self/fd", "/proc/thread-self/fd", "/dev/fd")

    def test_none_is_open_at_start(self):
        for fd in range(3, 24):
            for name in self.NAMES:
                for path in (f"{name}/{fd}", f"{name}/{fd}/self/exe"):
                    self.assertIn("no such file or directory", self.start_error(Entrypoint=[path]), path)

    def test_none_is_open_at_exec(self):
        c = self.ok("run", "-d", "busybox", "sleep", "1000")
        for fd in range(3, 64):
            for name in self.NAMES:
                for user in ({}, {"User": "web"}, {"Privileged": True}):
                    message = self.exec_error(c, Cmd=[f"{name}/{fd}"], **user)
                    self.assertIn("no such file or directory", message, f"{name}/{fd} {user}")

    def test_none_is_open_for_an_interpreter(self):
        files = {f"s{fd}": f"#!/proc/self/fd/{fd}\n" for fd in range(3, 24)}
        image = self.image("scripts", files)
        c = self.ok("run", "-d", image, "sleep", "1000")
        for path in files:
            self.assertIn("no such file or directory", self.exec_error(c, Cmd=[f"/{path}"]), path)
            self.assertIn("no such file or directory", self.start_error(Image=image, Entrypoint=[f"/{path}"]), path)

    def test_none_is_open_for_a_health_check(self):
        checks = {fd: self.create(Cmd=["sleep", "1000"], Healthcheck={
            "Test": ["CMD", f"/proc/self/fd/{fd}"], "Interval": 200_000_000}) for fd in range(3, 9)}
        for c in checks.values():
            self.daemon.request("POST", f"/containers/{c}/start")
        for fd, c in checks.items():
            log = harness.wait_until(lambda c=c: self.inspect(c, "State.Health.Log"), 30, "a health check")
            self.assertIn("no such file or directory", log[0]["Output"], fd)

    def test_none_is_a_working_folder(self):
        c = self.ok("run", "-d", "busybox", "sleep", "1000")
        for fd in range(3, 24):
            path = f"/proc/self/fd/{fd}"
            self.assertIn("no such file or directory", self.exec_error(c, Cmd=["true"], WorkingDir=path), path)
            self.assertNotEqual("", self.start_error(Cmd=["true"], WorkingDir=path), path)


class Traced(Attacks):
    """SYS_PTRACE in the container: what joins it has nothing of the host from its first moment on."""

    env = {"CORACLE_TEST_SECRET": "of-the-user"}
    LOOK = ("while :; do for p in /proc/[0-9]*; do [ $p = /proc/1 ] && continue; readlink $p/root; readlink $p/cwd; "
            "for f in $p/fd/*; do [ -L $f ] && echo fd ${f##*/} $(readlink $f); done; "
            "grep -ao of-the-user $p/environ; done >> /seen 2>/dev/null; done")

    def look(self, act):
        c = self.ok("run", "-d", "--cap-add", "SYS_PTRACE", "busybox", "sh", "-c", self.LOOK)
        seen = []

        def enough():
            for _ in range(10):
                act(c)
            seen[:] = self.ok("exec", c, "cat", "/seen").split("\n")
            return any(line.startswith("fd 1 ") for line in seen)
        harness.wait_until(enough, 60, "the container sees one of the processes")
        for line in seen:
            if line.startswith("fd "):
                _, number, *target = line.split(" ")
                # Above 2: what the program itself has opened, what is gone already, pipes and sockets to us, and the
                # context that becomes a procfs of the container's own pid namespace (runtime/foreign_procfs).
                host = int(number) > 2 and target and not target[0].startswith(
                    ("pipe:", "socket:", "/seen", "anon_inode:[fscontext]"))
                self.assertFalse(host, line)
            elif line:
                self.assertEqual(line, "/")

    def test_what_an_exec_holds(self):
        self.look(lambda c: self.exec_error(c, Cmd=["true"]))

    def test_what_a_start_in_its_pid_namespace_holds(self):
        self.look(lambda c: self.assertEqual("", self.start_error(
            Cmd=["true"], HostConfig={"PidMode": f"container:{c}"})))


# ---- programs: our own files, processes and signals

def identities(daemon):
    """The monitors and the first processes of all containers, as their records name them."""
    found = []
    for path in glob.glob(f"{daemon.exec}/containers/*/monitor.json"):
        with open(path) as f:
            record = json.load(f)
        found.append((record["monitor"]["pid"], record["init"]["pid"]))
    return found


def runs(pid):
    try:
        with open(f"/proc/{pid}/stat") as f:
            return f.read().rsplit(")", 1)[1].split()[0] not in "ZX"
    except OSError:
        return False


def within(namespaces):
    """The processes in one of these mount namespaces."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            if os.readlink(f"/proc/{pid}/ns/mnt") in namespaces:
                found.append(int(pid))
        except OSError:
            pass
    return found


def kill_monitors(daemon):
    for monitor, _ in identities(daemon):
        os.kill(monitor, signal.SIGKILL)


class OwnPrograms(harness.Case):
    """CVE-2019-5736's kind: the program that becomes the container's shows itself in /proc."""

    def setUp(self):
        super().setUp()
        self.ok("run", "--name", "prepared", "busybox", "sh", "-c", "mkdir /b /r; mkfifo /b/config.json")
        self.ok("commit", "prepared", "evil")
        self.ok("rm", "prepared")

    def tearDown(self):
        super().tearDown()
        self.docker("rmi", "evil")

    def monitor_inside(self, *flags):
        """A container whose first process is our own monitor, which waits for a fifo inside."""
        self.ok("run", "-d", "--name", "evil", *flags, "--entrypoint", "/proc/self/exe", "evil", "--root", "/r", "run",
                "--bundle", "/b", "id")
        wait_until(lambda: "--bundle" in self.ok("exec", "evil", "cat", "/proc/1/cmdline"), 10, "it runs")

    def test_cannot_be_written_from_inside(self):
        with open(f"{harness.BIN}/coracle-monitor", "rb") as f:
            before = f.read()
        mode = os.stat(f"{harness.BIN}/coracle-monitor").st_mode
        self.monitor_inside()
        # It is our file that is attacked, or a copy that is nobody's.
        exe = f"/proc/{self.inspect('evil', 'State.Pid')}/exe"
        self.assertTrue(os.stat(exe).st_ino == os.stat(f"{harness.BIN}/coracle-monitor").st_ino
                        or os.readlink(exe).startswith("/memfd:"))
        # Not even what no kernel forbids because it runs just now: ETXTBSY is no protection.
        for act in ("chmod 700 /proc/1/exe", "touch -c /proc/1/exe", ": > /proc/1/exe"):
            r = self.docker("exec", "evil", "sh", "-c", f"exec 9</proc/1/exe; {act}")
            self.assertNotEqual(r.code, 0, act)
            self.assertRegex(r.err, "Read-only file system|Operation not permitted|Permission denied", act)
        self.assertEqual(os.stat(f"{harness.BIN}/coracle-monitor").st_mode, mode)
        with open(f"{harness.BIN}/coracle-monitor", "rb") as f:
            self.assertEqual(f.read(), before)

    def test_a_container_ends_with_its_monitor_though_no_daemon_runs(self):
        self.ok("run", "-d", "--name", "one", "busybox", "sleep", "1000")
        self.ok("run", "-d", "--name", "two", "--pid", "container:one", "busybox", "sh", "-c",
                "(setsid sleep 7771 &); exec sleep 1000")
        first = [pid for _, pid in identities(self.daemon)]
        marks = [os.readlink(f"/proc/{pid}/ns/mnt") for pid in first]
        # The shell that starts the one in a session of its own may still be there.
        wait_until(lambda: len(within(marks)) == 3, 10, "three processes")
        self.daemon.kill()
        kill_monitors(self.daemon)
        wait_until(lambda: not within(marks), 5, "they have ended")
        self.daemon.start()
        for name in ("one", "two"):
            self.assertEqual(self.inspect(name, "State.Status"), "exited")

    def test_also_when_the_keeper_was_replaced(self):
        self.ok("run", "-d", "--name", "one", "busybox", "sleep", "1000")
        first = [pid for _, pid in identities(self.daemon)]

        def keeper():
            with open(f"{self.daemon.exec}/keeper.json") as f:
                return json.load(f)["identity"]["pid"]

        def watches():
            """The monitor has come to the new one: it holds a pidfd of the container's first process."""
            for path in glob.glob(f"/proc/{keeper()}/fdinfo/*"):
                try:
                    with open(path) as f:
                        if f"Pid:\t{first[0]}\n" in f.read():
                            return True
                except OSError:
                    pass
            return False
        old = keeper()
        os.kill(old, signal.SIGKILL)
        wait_until(lambda: keeper() != old, 10, "another keeper is there")
        wait_until(watches, 10, "it watches over the container")
        self.daemon.kill()
        kill_monitors(self.daemon)
        wait_until(lambda: not any(map(runs, first)), 5, "it has ended")

    def test_a_new_version_at_the_same_place_is_what_runs(self):
        place = tempfile.mkdtemp(prefix="coracle-", dir=os.environ.get("CORACLE_SCRATCH"))
        self.addCleanup(shutil.rmtree, place)
        for name in os.listdir(harness.BIN):
            if name.startswith("coracle"):
                shutil.copy2(f"{harness.BIN}/{name}", f"{place}/{name}", follow_symlinks=False)
        old = harness.BIN
        self.addCleanup(setattr, harness, "BIN", old)
        self.addCleanup(self.daemon.stop)
        self.daemon.stop()
        harness.BIN = place

        def monitor_of(name):
            self.ok("run", "-d", "--name", name, "busybox", "sleep", "1000")
            pid = self.inspect(name, "State.Pid")
            monitor = next(m for m, init in identities(self.daemon) if init == pid)
            return os.stat(f"/proc/{monitor}/exe").st_ino
        self.daemon.start()
        self.assertEqual(monitor_of("old"), os.stat(f"{place}/coracle-monitor").st_ino)
        shutil.copy2(f"{place}/coracle-monitor", f"{place}/new")
        os.rename(f"{place}/new", f"{place}/coracle-monitor")
        self.daemon.stop()
        self.daemon.start()
        self.assertEqual(monitor_of("new"), os.stat(f"{place}/coracle-monitor").st_ino)
        self.assertEqual(self.inspect("old", "State.Status"), "running")
        self.ok("rm", "-f", "old", "new")


class SharedPids(harness.Case):
    """What has left its container's tree by two forks, in a pid namespace that another one owns, is its still."""

    LEAVES = "(setsid sleep 7771 &); (setsid sh -c 'sleep 7772 & sleep 7773' &); exec sleep 1000"

    def setUp(self):
        super().setUp()
        self.ok("run", "-d", "--name", "donor", "busybox", "sh", "-c", "sleep 8881 & exec sleep 8882")
        self.ok("run", "-d", "--name", "beside", "--pid", "container:donor", "busybox", "sh", "-c",
                "(setsid sleep 8883 &); exec sleep 8884")

    def sleeps(self):
        return set(re.findall(r"sleep (\d{4,})", self.ok("exec", "donor", "ps", "-o", "args")))

    OTHERS = {"8881", "8882", "8883", "8884"}

    def start(self, *flags, script=LEAVES):
        self.ok("run", "-d", "--name", "joiner", "--pid", "container:donor", *flags, "busybox", "sh", "-c", script)
        wait_until(lambda: self.sleeps() >= {"7771", "7772", "7773", "1000"} | self.OTHERS, 10, "all of it runs")

    def test_ends_with_the_container_however_that_ends(self):
        for flags in ((), ("--init",), ("-t",), ("-u", "33"), ("--init", "-t", "-u", "33"), ("--uts", "host"),
                      ("--cgroupns", "host")):
            for end in (("rm", "-f"), ("stop", "-t", "0"), ("kill",)):
                with self.subTest(flags=flags, end=end):
                    self.start(*flags)
                    self.ok(*end, "joiner")
                    self.assertEqual(self.sleeps(), self.OTHERS)
                    self.docker("rm", "-f", "joiner")

    def test_ends_with_the_containers_own_end(self):
        self.start(script=self.LEAVES.replace("exec sleep 1000", "sleep 1000 & while [ ! -e /go ]; do sleep 0.1; done"))
        self.ok("exec", "joiner", "touch", "/go")
        self.ok("wait", "joiner")
        self.assertEqual(self.sleeps(), self.OTHERS)

    def test_ends_though_it_forks_all_the_time(self):
        self.start(script="f() { sleep 0.02; f & }; for i in 1 2 3 4 5; do f & done; " + self.LEAVES)
        self.ok("rm", "-f", "joiner")
        self.assertEqual(self.sleeps(), self.OTHERS)
        time.sleep(0.2)  # one that was missed would have its successor by now
        self.assertNotIn("sleep 0.02", self.ok("exec", "donor", "ps", "-o", "args"))

    def test_ends_when_the_monitor_is_killed(self):
        self.start()
        pid = self.inspect("joiner", "State.Pid")
        os.kill(next(m for m, init in identities(self.daemon) if init == pid), signal.SIGKILL)
        wait_until(lambda: self.sleeps() == self.OTHERS, 10, "all of it has ended")

    def test_stands_still_while_it_is_paused(self):
        self.start()

        def state(number):
            out = self.ok("exec", "donor", "ps", "-o", "stat,args")
            return re.search(rf"(?m)^ *(\S).* sleep {number}$", out)[1]
        self.ok("pause", "joiner")
        for number in ("7771", "7772", "7773"):
            self.assertEqual(state(number), "T")
        for number in self.OTHERS:
            self.assertEqual(state(number), "S")
        self.ok("unpause", "joiner")
        for number in ("7771", "7772", "7773"):
            self.assertEqual(state(number), "S")



# ---- archives

def padded(data):
    return data + b"\0" * (-len(data) % 512)


def header(name, size=0, kind=b"0", link=b""):
    """One tar header, with a right checksum, of whatever it says."""
    h = bytearray(512)
    h[:len(name)] = name
    h[100:108], h[108:116], h[116:124] = b"0000644\0", b"0000000\0", b"0000000\0"
    h[124:136], h[136:148], h[148:156] = b"%011o\0" % size, b"00000000000\0", b" " * 8
    h[156:157], h[157:157 + len(link)], h[257:265] = kind, link, b"ustar\0" + b"00"
    h[148:156] = b"%06o\0 " % sum(h)
    return bytes(h)


def member(name, data=b"", kind=b"0", link=b"", pax=()):
    """An entry, with an extended header of these records, each "key=value"."""
    records = b""
    for record in pax:
        size = len(record) + 2
        while len(line := b"%d %s\n" % (size, record)) != size:
            size = len(line)
        records += line
    before = header(b"PaxHeader", len(records), b"x") + padded(records) if pax else b""
    return before + header(name, len(data), kind, link) + padded(data)


END = b"\0" * 1024
HOLE = b"4611686018427387904"


def long_link(name, target):
    return header(b"././@LongLink", len(target) + 1, b"K") + padded(target + b"\0") + header(name, 0, b"2", b"x")


def chained_links():
    """A thousand entries behind links that go up and down before they come to the next one."""
    detour = b"d/../" * 800
    out = member(b"d/", kind=b"5") + long_link(b"l0", detour + b"d")
    for i in range(1, 30):
        out += long_link(b"l%d" % i, detour + b"l%d/.." % (i - 1))
    return out + b"".join(member(b"l29/%d/f" % i) for i in range(1000)) + END


HOSTILE = {
    "a negative size with its holes": member(b"manifest.json", b'[{"x":1}]', pax=[b"GNU.sparse.realsize=-5"]) + END,
    "a negative size": member(b"manifest.json", b'[{"x":1}]', pax=[b"GNU.sparse.size=-5"]) + END,
    "a hole of 4 EiB": member(b"layer.tar", pax=[
        b"GNU.sparse.size=" + HOLE, b"GNU.sparse.map=0,0," + HOLE + b",0", b"GNU.sparse.numblocks=2"]) + END,
    "a wrong checksum": member(b"a", b"1") + member(b"b", b"2").replace(b"0000644", b"0000777", 1) + END,
    "garbage between entries": member(b"a", b"1") + b"\xa5" * 512 + member(b"b", b"2") + END,
    "a block of zeros between entries": member(b"a", b"1") + b"\0" * 512 + member(b"b", b"2") + END,
    "a NUL in a name": member(b"a", b"1", pax=[b"path=a\0b"]) + END,
    "an end within an entry": member(b"a", b"1" * 3000)[:2000],
    "an extended header of 3 MiB": gzip.compress(member(b"a", pax=[b"comment=" + b"c" * (3 << 20)]) + END),
    "links that lead in circles": chained_links(),
    "a gzip that is cut": gzip.compress(member(b"a", b"1") + END)[:-4],
}


class HostileArchives(harness.Case):
    """What load, import and cp answer to archives that no program writes."""

    def setUp(self):
        super().setUp()
        self.before = self.images()

    def images(self):
        return sorted(self.ok("images", "-aq", "--no-trunc").split())

    def staged(self):
        return os.listdir(f"{self.daemon.data}/storage/tmp")

    def written(self):
        """The largest file of what is being made."""
        sizes = [0]
        for folder, _, names in os.walk(f"{self.daemon.data}/storage/tmp"):
            for name in names:
                try:
                    sizes.append(os.lstat(f"{folder}/{name}").st_size)
                except OSError:
                    pass  # gone meanwhile
        return max(sizes)

    def nothing_is_left(self):
        harness.wait_until(lambda: not self.staged(), 10, "tmp/ is empty")
        self.assertEqual(self.images(), self.before)

    def takers(self):
        """(name, a call that sends an archive, does it say no)"""
        self.ok("create", "--name", "target", "busybox", "true")
        tar = {"Content-Type": "application/x-tar"}

        def stream(path):
            return lambda data: self.daemon.request("POST", path, data, tar, timeout=120)
        return [("load", stream("/images/load")), ("import", stream("/images/create?fromSrc=-&repo=evil")),
                ("cp", lambda data: self.daemon.request("PUT", "/containers/target/archive?path=/tmp", data, tar,
                                                        timeout=120))]

    @staticmethod
    def says_no(answer):
        status, _, body = answer
        text = body if isinstance(body, (bytes, str)) else json.dumps(body)
        text = text if isinstance(text, str) else text.decode(errors="replace")
        return status >= 400 or "errorDetail" in text

    def test_each_is_refused_by_load_import_and_cp(self):
        pid = self.daemon.process.pid
        for taker, send in self.takers():
            for name, data in HOSTILE.items():
                with self.subTest(by=taker, archive=name):
                    self.assertTrue(self.says_no(send(data)))
                    self.assertEqual(self.daemon.process.pid, pid)
                    self.assertIsNone(self.daemon.process.poll(), "the daemon has ended")
                    self.assertEqual(self.images(), self.before)
        self.nothing_is_left()

    def test_a_small_archive_takes_a_short_time_and_delays_nobody(self):
        small = gzip.compress(chained_links(), 9)
        done = []

        def send():
            done.append(self.daemon.request("POST", "/images/create?fromSrc=-&repo=slow", small,
                                            {"Content-Type": "application/x-tar"}, timeout=300))
        threads = [threading.Thread(target=send) for _ in range(7)]
        for t in threads:
            t.start()
        try:
            # Before these have come to their end, whatever that takes on this machine.
            self.ok("create", "--name", "beside", "busybox", "true")
        finally:
            for t in threads:
                t.join()
        self.assertEqual(len(done), 7)
        self.nothing_is_left()

    def test_a_sparse_file_keeps_its_hole(self):
        data = member(b"big", b"abc", pax=[b"GNU.sparse.size=1073741824", b"GNU.sparse.map=1048576,3"]) + END
        status, _, body = self.daemon.request("POST", "/images/create?fromSrc=-&repo=holes", data,
                                              {"Content-Type": "application/x-tar"})
        self.assertFalse(self.says_no((status, {}, body)), body)
        try:
            out = subprocess.run(["find", self.daemon.data, "-name", "big", "-printf", "%s %b"],
                                 capture_output=True, text=True).stdout
            size, blocks = map(int, out.split())
            self.assertEqual(size, 1 << 30)
            self.assertLess(blocks, 1000)
        finally:
            self.ok("rmi", "holes")

    def test_an_upload_that_is_cut_makes_nothing(self):
        """Whatever was sent before: the whole of an archive, too."""
        whole = member(b"f", b"1") + END
        self.ok("create", "--name", "cut", "busybox", "true")
        for path, method in (("/images/load", "POST"), ("/images/create?fromSrc=-&repo=cut", "POST"),
                             ("/containers/cut/archive?path=/tmp", "PUT")):
            for framing, body in ((f"Content-Length: {len(whole) + 1}", whole),
                                  ("Transfer-Encoding: chunked", b"%x\r\n%s\r\n" % (len(whole), whole))):
                with self.subTest(path=path, framing=framing):
                    with socket.socket(socket.AF_UNIX) as s:
                        s.connect(self.daemon.socket)
                        s.sendall(f"{method} {path} HTTP/1.1\r\nHost: x\r\n{framing}\r\n\r\n".encode() + body)
                        s.shutdown(socket.SHUT_WR)  # still there to hear the answer
                        s.settimeout(60)
                        answer = b""
                        while part := s.recv(65536):
                            answer += part
                    self.assertIn(b"too early", answer)
        self.nothing_is_left()

    def test_a_client_that_leaves_takes_its_work_with_it(self):
        """4 GiB of zeros in some megabytes, as a layer and as a file system; all of it has been sent."""
        zeros = gzip.compress(b"\0" * (1 << 24), 9) * 256
        body = gzip.compress(header(b"a/layer.tar", 256 << 24)) + zeros
        for path in ("/images/load", "/images/create?fromSrc=-&repo=gone"):
            with self.subTest(path=path):
                with socket.socket(socket.AF_UNIX) as s:
                    s.connect(self.daemon.socket)
                    s.sendall(f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n".encode())
                    s.sendall(body[:-1])
                    harness.wait_until(self.staged, 60, "the work has begun")
                    s.sendall(body[-1:])
                begun, most = time.monotonic(), 0
                while self.staged():
                    most = max(most, self.written())
                    self.assertLess(time.monotonic() - begun, 60, "tmp/ is not empty")
                print(f"{path}: gone after {time.monotonic() - begun:.2f} s, {most >> 20} MiB", file=sys.stderr)
                # It has ended in the middle, not when all was done.
                self.assertLess(most, 256 << 24)
                self.nothing_is_left()


# ---- mounts: what covers, and what is covered


class Covered(Attacks):
    def test_links_at_the_kernels_places(self):
        for name in ("proc", "sys"):
            image = self.image(f"linked-{name}", {name: ("link", "tmp")})
            self.assertIn("must be mounted on ordinary directory", self.start_error(Image=image, Cmd=["true"]))
        # Elsewhere a link of the image is followed inside the root, and what is masked stays masked.
        image = self.image("linked", {"dev": ("link", "/tmp/there"), "etc/hosts": ("link", "../../../../tmp/hosts")})
        out = self.ok("run", "--rm", image, "sh", "-c", "readlink /dev; head -1 /tmp/hosts; cat /proc/kcore; "
                      "ls -A /sys/firmware; echo end")
        self.assertEqual(out.split("\n"), ["/tmp/there", "127.0.0.1\tlocalhost", "end"])

    def test_nothing_is_mounted_inside_proc(self):
        image = self.image("inside", {"link": ("link", "proc")})
        for flags in (("--tmpfs", "/proc/acpi"), ("--tmpfs", "/proc"), ("-v", "/tmp:/proc/sys"), ("-v", "data:/proc/x"),
                      ("-v", "/proc/acpi"), ("-v", "/tmp:/link/acpi"), ("-v", "/tmp:/link")):
            err = self.fails(125, "run", "--rm", *flags, image, "true")
            self.assertRegex(err, "inside /proc|not of type proc", flags)

    def test_an_image_declares_no_volume_there(self):
        for path in ("/proc", "/proc/acpi", "/sys", "/sys/firmware"):
            image = self.image("declared", {}, f"VOLUME {path}")
            err = self.fails(125, "run", "--rm", image, "true")
            self.assertIn("cannot be mounted because it is inside", err, path)

    def test_what_docker_users_mount_there(self):
        figures = f"{self.daemon.scratch}/meminfo"
        with open(figures, "w") as f:
            f.write("MemTotal: 5 kB\n")
        self.assertEqual(self.run_box("-v", f"{figures}:/proc/meminfo:ro", "--", "cat", "/proc/meminfo"), "MemTotal: 5 kB")
        for flags in (("--tmpfs", "/dev/shm"), ("--tmpfs", "/sys/fs/cgroup"), ("-v", "/dev:/dev"), ("-v", "/sys:/sys"),
                      ("-v", "/sys:/sys:ro"), ("-v", "/proc:/host/proc:ro"), ("-v", "/dev/null:/dev/mine"),
                      ("-v", "/sys/fs/cgroup:/sys/fs/cgroup:ro"), ("-v", "/sys/class:/sys/class:ro")):
            self.run_box(*flags, "--", "true")
        image = self.image("systemd", {}, "VOLUME /sys/fs/cgroup")
        self.ok("run", "--rm", image, "true")

    def mounts_below_sys(self, *flags):
        lines = [line.split() for line in self.run_box(*flags, "--", "cat", "/proc/self/mountinfo").split("\n")]
        return {f[4]: f[5].split(",") for f in lines if f[4] == "/sys" or f[4].startswith("/sys/")}

    def test_the_hosts_sysfs_is_read_only_all_the_way_down(self):
        lines = self.run_box("--network", "host", "--", "cat", "/proc/self/mountinfo").split("\n")
        for f in map(str.split, lines):
            if f[4] == "/sys" or f[4].startswith("/sys/"):
                self.assertIn("ro", f[5].split(","), " ".join(f))

    def test_the_engines_own_cgroup_is_written_by_nobody(self):
        err = self.fails(125, "run", "--rm", "--security-opt", "writable-cgroups=true", "busybox", "true")
        self.assertIn("writable-cgroups", err)
        self.assertIn("ro", self.mounts_below_sys("--privileged")["/sys/fs/cgroup"])
        out = self.run_box("--privileged", "--", "sh", "-c", "mkdir /sys/fs/cgroup/x 2>&1 || echo refused")
        self.assertIn("refused", out)


# ---- health checks and what an image says of itself

class HostileImage(harness.Case):
    """Images whose configuration no client could have asked for: Docker takes them, so they run, and harm nobody."""

    def load(self, name, config):
        """config: the text of the image's `config`, as bytes."""
        diff_id = hashlib.sha256(self.box()).hexdigest()
        image = (b'{"architecture":"amd64","os":"linux","config":' + config + b',"rootfs":{"type":"layers","diff_ids":'
                 b'["sha256:' + diff_id.encode() + b'"]},"history":[{"created_by":"x"}]}')
        manifest = [{"Config": "config.json", "RepoTags": [name], "Layers": ["layer.tar"]}]
        with tempfile.NamedTemporaryFile(suffix=".tar") as f:
            with tarfile.open(f.name, "w") as t:
                for path, data in (("config.json", image), ("layer.tar", self.box()),
                                   ("manifest.json", json.dumps(manifest).encode())):
                    info = tarfile.TarInfo(path)
                    info.size = len(data)
                    t.addfile(info, io.BytesIO(data))
            self.ok("load", "-i", f.name)

    def box(self):
        with open(harness.busybox_tar(), "rb") as f:
            return f.read()

    def checked(self, name, **times):
        check = {"Test": ["CMD", "true"], **times}
        self.load(name, json.dumps({"Cmd": ["sleep", "1000"], "Env": ["PATH=/bin"], "Healthcheck": check}).encode())

    def probes(self, name, since):
        out = self.ok("events", "--since", since, "--until", f"{time.time():.6f}", "--filter", f"container={name}",
                      "--filter", "event=exec_create", "--format", "{{.Action}}")
        return len(out.splitlines())

    def test_no_interval_makes_probes_without_a_breath(self):
        """An interval of -1 was hundreds of probes a second, and pushed everything else out of the events."""
        for i, ns in enumerate((-1, -2**63, 1, 999_999, 1_000_000)):
            with self.subTest(interval=ns):
                self.checked(f"bad:{i}", Interval=ns, StartInterval=ns, StartPeriod=2**62)
                begin = time.time()
                self.ok("run", "-d", "--name", f"bad{i}", f"bad:{i}")
                time.sleep(1.5)  # time for too many; how much there was of it is measured
                probes = self.probes(f"bad{i}", f"{begin:.6f}")
                self.assertLessEqual(probes, (time.time() - begin) / 0.1 + 1)
                self.assertEqual(self.inspect(f"bad{i}", "State.Status"), "running")
                self.ok("rm", "-f", f"bad{i}")

    def test_no_time_is_too_long_or_too_short(self):
        for i, ns in enumerate((2**63 - 1, -2**63, -1)):
            with self.subTest(ns=ns):
                self.checked(f"long:{i}", Interval=ns, Timeout=ns, StartPeriod=ns, StartInterval=ns, Retries=-1)
                begin = time.time()
                self.ok("run", "-d", "--name", f"long{i}", f"long:{i}")
                self.ok("exec", f"long{i}", "true")
                time.sleep(0.5)  # for a probe all the same; nothing is awaited
                self.assertEqual(self.probes(f"long{i}", f"{begin:.6f}"), 1)  # the exec above
                self.assertEqual(self.inspect(f"long{i}", "State.Health.Status"), "starting")
                self.ok("rm", "-f", f"long{i}")

    def test_bytes_that_are_no_text(self):
        """In labels, commands, variables, a health check: replaced, as Go does, and read again after a kill."""
        self.load("bytes:1", b'{"Cmd":["sleep","1000","\xff"],"Env":["PATH=/bin","A=caf\xe9"],"Labels":{"k\xe9":"v\x80"},'
                  b'"Healthcheck":{"Test":["CMD-SHELL","printf caf\xe9; true"],"Interval":100000000}}')
        self.ok("create", "--name", "bytes", "bytes:1")
        self.ok("run", "-d", "--name", "bytes2", "bytes:1", "sleep", "1000")
        harness.wait_until(lambda: self.inspect("bytes2", "State.Health.Status") == "healthy", 10, "it is healthy")
        for path in ("/containers/json?all=1", "/containers/bytes2/json", "/images/json", "/images/bytes:1/json",
                     "/events?since=1&until=%d" % (time.time() + 1)):
            self.assertEqual(self.daemon.request("GET", path)[0], 200, path)  # and is JSON in UTF-8
        self.daemon.kill()
        self.daemon.start()
        self.assertEqual(self.inspect("bytes2", "State.Status"), "running")
        self.assertEqual(self.inspect("bytes", "State.Status"), "created")
        self.assertEqual(self.inspect("bytes2", "Config.Labels")["k\ufffd"], "v\ufffd")

    def test_names_of_files_that_are_no_text(self):
        self.ok("run", "--name", "names", "busybox", "sh", "-c", "touch \"$(printf '/caf\\351')\"")
        status, _, changes = self.daemon.request("GET", "/containers/names/changes")
        self.assertEqual((status, changes), (200, [{"Path": "/caf\ufffd", "Kind": 1}]))

    def test_errors_that_quote_what_is_no_text(self):
        self.ok("create", "--name", "quoted", "busybox")
        for path in ("/containers/%ff/json", "/images/%ff/json", "/volumes/%ff", "/networks/%ff", "/exec/%ff/json",
                     "/containers/quoted/archive?path=/%ff", "/containers/json?filters=%ff", "/images/json?filters=%ff",
                     "/containers/json?limit=%ff", "/%ff"):
            status, _, body = self.daemon.request("GET", path)
            self.assertIn(status, (400, 404), path)
            self.assertIsInstance(body["message"], str, path)


class HostilePasswd(Attacks):
    PASSWD = ("root:x:0:0:root:/root:/bin/sh\nbig:x:4294967294:5::/:/bin/sh\nword:x:zero:5::/:/bin/sh\n"
              "group:x:5:4294967295::/:/bin/sh\nmember:x:6:6::/:/bin/sh\nplain:x:7:7::/:/bin/sh\n")
    GROUP = "root:x:0:\nfar:x:4294967295:member\n"
    RANGE = "uids and gids must be in range 0-2147483647"
    USERS = ("big", "word", "group", "member", "plain:far", "4294967294", "4294967296", "-1", "7:4294967295")

    def hostile(self, *instructions):
        return self.image("hostile", {"etc/passwd": self.PASSWD, "etc/group": self.GROUP}, *instructions)

    def test_nobody_is_root_by_a_number_out_of_range(self):
        image = self.hostile()
        c = self.ok("run", "-d", image, "sleep", "1000")
        for user in self.USERS:
            self.assertIn(self.RANGE, self.start_error(Image=image, Cmd=["id"], User=user), user)
            self.assertIn(self.RANGE, self.exec_error(c, Cmd=["id"], User=user), user)
        self.assertIn("uid=7", self.ok("exec", "-u", "plain", c, "id"))

    def test_the_image_names_such_a_user(self):
        self.assertIn(self.RANGE, self.start_error(Image=self.hostile("USER big"), Cmd=["id"]))

    def test_groups_out_of_range(self):
        image = self.hostile()
        for group in ("far", "4294967295", "2147483648", "-1"):
            error = self.start_error(Image=image, Cmd=["id"], HostConfig={"GroupAdd": [group]})
            self.assertIn(self.RANGE, error, group)


if __name__ == "__main__":
    harness.main()
