"""Every command and flag of `docker container|image|volume|system|network ls`, with one docker CLI.

tests/conformance.cmake runs it with each CLI that tests/fetch-clients has (CORACLE_DOCKER). The flags of `run` and
`create` stand in client_flags.py; the other commands have a test each, whose @covers says what it covers. The last
test asks the CLI's own --help which commands and flags there are: one that nothing covers is a failure.

  client_test.py --table     the table "command, flag -> test", in Markdown; no daemon is needed
"""
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tarfile
import tempfile
import time

from client_flags import RUN
from harness import DOCKER, Case, client_version, free_port, main, wait_until
from tty_test import Terminal

COVERED = {}  # (command, flag) -> [test]


def covers(command, *flags):
    """Notes which flags of a command a test covers; the command itself is the flag ""."""
    def mark(test):
        for flag in ("", *flags):
            COVERED.setdefault((command, flag), []).append(test.__qualname__)
        return test
    return mark


# What no test can cover, and why.
EXCUSED = {
    ("container start", "--checkpoint"): "checkpoints are an experiment of Docker's daemon; refused by test_start",
    ("container start", "--checkpoint-dir"): "as --checkpoint",
    ("image push", "--disable-content-trust"): "the client's own",
    ("image pull", "--disable-content-trust"): "the client's own",
    ("volume update", ""): "cluster volumes, of swarm mode",
    ("volume update", "--availability"): "cluster volumes, of swarm mode",
}
CLUSTER = ("availability", "group", "limit-bytes", "required-bytes", "scope", "secret", "sharing",
           "topology-preferred", "topology-required", "type")
EXCUSED.update({("volume create", f"--{f}"): "cluster volumes, of swarm mode; --type is refused by test_volume"
                for f in CLUSTER})
EXCUSED[("volume ls", "--cluster")] = "cluster volumes, of swarm mode"


def at(value, path):
    for key in path.split("."):
        if not isinstance(value, dict) or key not in value:
            return None
        value = value[key]
    return value


class Client(Case):
    @classmethod
    def setUpClass(cls):
        if not shutil.which(DOCKER):
            raise AssertionError(f"there is no docker CLI {DOCKER}; tests/fetch-clients DIR has it")
        super().setUpClass()
        cls.version = client_version()
        text = cls.daemon.docker("version", "--format", "{{.Client.Version}}, API {{.Client.APIVersion}}").out
        print(f"docker CLI {text.strip()}", file=sys.stderr)

    def setUp(self):
        super().setUp()
        self.dir = tempfile.mkdtemp(prefix="coracle-client-")
        self.addCleanup(subprocess.run, ["rm", "-rf", self.dir])

    def tearDown(self):
        super().tearDown()
        volumes = self.docker("volume", "ls", "-q").out.split()
        if volumes:
            self.docker("volume", "rm", *volumes)

    def write(self, name, text):
        path = f"{self.dir}/{name}"
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w") as f:
            f.write(text)
        return path

    def start(self, name, *command, flags=()):
        return self.ok("run", "-d", "--name", name, *flags, "busybox", *(command or ("sleep", "1000")))

    def json(self, name):
        status, _, value = self.daemon.request("GET", f"/containers/{name}/json")
        self.assertEqual(status, 200, value)
        return value

    def state(self, name):
        return self.json(name)["State"]["Status"]

    # -- run and create, by the table

    def check_row(self, row, step, command, result, how):
        """What the CLI answered, and what is stored then."""
        said = f"docker {how}: {result}\n{self.daemon.log_tail(600)}"
        if row.refused:
            self.assertNotEqual(result.code, 0, said)
            self.assertRegex(result.out + result.err, row.refused, said)
            return
        if how == "run":
            self.assertEqual(result.code, row.code, said)
            pattern = row.out.replace("{hostname}", re.escape(socket.gethostname()))
            if pattern:
                self.assertRegex(result.out.rstrip("\n\r"), re.compile(pattern, re.M), said)
            if row.err:
                self.assertRegex(result.err, row.err, said)
        else:
            self.assertEqual(result.code, 0, said)
        box = self.json(step if "--name" not in row.flags else f"by-name-{step}")
        for path, value in row.stored.items():
            if isinstance(value, str):
                value = value.replace("{step}", step)
            self.assertEqual(at(box, path), value, f"{path} after {how}")
        if row.limit and self.version != row.lost_by:
            path, value = row.limit
            if at(box, path) != value:
                self.assertRegex(result.err, "(?i)warning.*(discarded|not support|deprecated|ignored)",
                                 f"{path} is {at(box, path)}, without a warning: {said}")

    def test_run_and_create_flags(self):
        self.start("base", "sh", "-c", "echo of base > /shared/file; sleep 1000", flags=("-v", "/shared"))
        wait_until(lambda: self.docker("exec", "base", "test", "-s", "/shared/file").code == 0, 5, "base is up")
        self.write("env", "FILED=yes\n")
        self.write("labels", "of=the file\n")
        self.write("bound/file", "bound\n")
        os.environ["OUTER"] = "from outside"
        self.addCleanup(os.environ.pop, "OUTER")
        for number, row in enumerate(RUN):
            if not row.since <= self.version < row.until:
                continue
            for how in ("run", "create"):
                step = f"{how}{number}"
                with self.subTest(how=how, args=" ".join(row.args)):
                    args = [a.format(dir=self.dir, step=step) for a in row.args]
                    name = [] if "--name" in row.flags else ["--name", step]
                    image, command = ("busybox", row.command) if "missing" not in row.command[0] else ("missing:1", [])
                    if how == "run":
                        result = self.docker("run", *name, *args, image, *command, input="typed\n"
                                             if "--interactive" in row.flags else None)
                    else:
                        result = self.docker("create", *name, *args, image, *command)
                    self.check_row(row, step, command, result, how)
                    if "--cidfile" in row.flags:
                        with open(f"{self.dir}/cid-{step}") as f:
                            self.assertEqual(f.read(), self.json(step)["Id"])
                self.daemon.request("DELETE", f"/containers/{step}?force=1&v=1")
                self.daemon.request("DELETE", f"/containers/by-name-{step}?force=1&v=1")

    @covers("container run", "--detach", "--rm", "--sig-proxy", "--detach-keys", "--help")
    @covers("container create", "--rm", "--help")
    def test_run_and_create_words_of_their_own(self):
        self.assertIn("Usage:", self.ok("container", "run", "--help"))
        self.assertIn("Usage:", self.ok("container", "create", "--help"))
        self.ok("container", "create", "--rm", "--name", "c1", "busybox", "true")
        self.ok("start", "c1")
        wait_until(lambda: self.docker("inspect", "c1").code != 0, 5, "--rm removes it")
        whole = self.ok("run", "--detach", "busybox", "sleep", "1000")
        self.assertRegex(whole, "^[0-9a-f]{64}$")
        for proxied, code in (("true", 7), ("false", None)):
            p = self.daemon.popen("run", f"--sig-proxy={proxied}", "--name", f"p-{proxied}", "busybox", "sh", "-c",
                                  "trap 'exit 7' TERM; echo ready; while :; do sleep 0.05; done")
            self.assertEqual(p.stdout.readline(), b"ready\n")
            p.send_signal(signal.SIGTERM)
            if code:
                p.communicate(timeout=60)
                self.assertEqual(p.returncode, code)
            else:
                time.sleep(0.3)  # for a signal that is passed on all the same; nothing else waits for it
                self.assertEqual(self.state(f"p-{proxied}"), "running")
                p.kill()
                p.communicate()
        t = Terminal(self, "run", "-it", "--detach-keys", "ctrl-x,x", "--name", "keys", "busybox", "sh")
        t.expect("# ")
        t.send("\x18x")
        self.assertEqual(t.wait(), 0)
        self.assertEqual(self.state("keys"), "running")

    @covers("container run", "--use-api-socket")
    @covers("container create", "--use-api-socket")
    def test_the_api_socket_inside(self):
        if self.version < (28, 0):
            self.assertIn("unknown flag", self.docker("run", "--use-api-socket", "busybox", "true").err)
            return
        self.assertIn("/var/run/docker.sock", self.ok("run", "--rm", "--use-api-socket", "busybox", "ls",
                                                       "/var/run/docker.sock"))
        self.ok("create", "--use-api-socket", "busybox", "true")

    # -- streams

    @covers("container attach", "--no-stdin", "--sig-proxy", "--detach-keys")
    def test_attach(self):
        self.start("a1", "sh", "-c", "read x; echo got $x; sleep 0.2; exit 4", flags=("-i",))
        r = self.docker("container", "attach", "a1", input="one\n")
        self.assertEqual((r.code, r.out), (4, "got one\n"))
        self.start("a2", "sh", "-c", "while :; do echo tick; sleep 0.1; done", flags=("-i",))
        p = self.daemon.popen("container", "attach", "--no-stdin", "--sig-proxy=false", "a2")
        self.assertEqual(p.stdout.readline(), b"tick\n")
        p.kill()
        p.communicate()
        self.ok("run", "-dit", "--name", "a3", "busybox", "sh")
        t = Terminal(self, "container", "attach", "--detach-keys", "ctrl-x,x", "a3")
        t.send("echo $((6*7))x\r")
        t.expect("42x")
        t.send("\x18x")
        self.assertIn(t.wait(), (0, 1))
        self.assertEqual(self.state("a3"), "running")

    @covers("container exec", "--detach", "--detach-keys", "--env", "--env-file", "--interactive", "--privileged",
            "--tty", "--user", "--workdir")
    def test_exec(self):
        self.start("e1")
        self.write("env", "FILED=yes\n")
        self.assertEqual(self.ok("container", "exec", "-u", "web", "-w", "/tmp", "-e", "A=1", "--env-file",
                                 f"{self.dir}/env", "e1", "sh", "-c", "id -u; pwd; echo $A $FILED"),
                         "33\n/tmp\n1 yes")
        self.assertEqual(self.ok("exec", "-i", "e1", "cat", input="data\n"), "data")
        self.assertRegex(self.ok("exec", "--privileged", "e1", "grep", "CapEff", "/proc/self/status"),
                         "[13]ffffffffff")
        self.assertEqual(self.ok("exec", "-t", "e1", "tty").rstrip(), "/dev/pts/0")
        self.ok("exec", "-d", "e1", "touch", "/made")
        wait_until(lambda: self.docker("exec", "e1", "test", "-e", "/made").code == 0, 5, "a detached exec ran")
        self.assertEqual(self.docker("exec", "e1", "sh", "-c", "exit 9").code, 9)
        t = Terminal(self, "exec", "-it", "--detach-keys", "ctrl-x,x", "e1", "sh")
        t.expect("# ")
        t.send("\x18x")
        self.assertIn(t.wait(), (0, 1))

    @covers("container logs", "--details", "--follow", "--since", "--tail", "--timestamps", "--until")
    def test_logs(self):
        self.docker("run", "--name", "l1", "--log-opt", "labels=of", "--label", "of=us", "busybox", "sh", "-c",
                    "echo one; echo two; echo err >&2")
        r = self.docker("container", "logs", "l1")
        self.assertEqual((r.out, r.err), ("one\ntwo\n", "err\n"))
        self.assertEqual(self.docker("logs", "--tail", "2", "l1").out, "two\n")
        self.assertRegex(self.ok("logs", "-t", "l1"), r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z one")
        self.assertEqual(self.docker("logs", "--since", "2099-01-01T00:00:00Z", "l1").out, "")
        self.assertEqual(self.docker("logs", "--until", "1h", "l1").out, "")
        self.assertRegex(self.docker("logs", "--details", "l1").out, "^of=us one\n")
        self.start("l2", "sh", "-c", "for i in 1 2 3; do echo $i; sleep 0.1; done")
        self.assertEqual(self.ok("logs", "-f", "l2"), "1\n2\n3")

    # -- life

    @covers("container start", "--attach", "--interactive", "--detach-keys")
    def test_start(self):
        self.ok("create", "-i", "--name", "s1", "busybox", "sh", "-c", "read x; echo got $x; exit 3")
        r = self.docker("container", "start", "-a", "-i", "--detach-keys", "ctrl-q", "s1", input="in\n")
        self.assertEqual((r.code, r.out), (3, "got in\n"))
        self.assertIn("checkpoint", self.docker("start", "--checkpoint", "x", "s1").err)

    @covers("container stop", "--time", "--timeout", "--signal")
    @covers("container restart", "--time", "--timeout", "--signal")
    @covers("container kill", "--signal")
    @covers("container wait")
    def test_stop_restart_kill_wait(self):
        trap = "trap 'echo int; exit 5' INT; trap 'exit 6' TERM; echo ready; while :; do sleep 0.05; done"
        self.start("k1", "sh", "-c", trap)
        self.says("k1", "ready")
        first = self.json("k1")["State"]["StartedAt"]
        if self.version >= (23, 0):
            self.ok("container", "restart", "-t", "60", "-s", "INT", "k1")
            self.says("k1", "ready", times=2)
            self.assertEqual(self.ok("logs", "k1"), "ready\nint\nready")
            self.ok("container", "stop", "-t", "60", "--signal", "INT", "k1")
            self.assertEqual(self.json("k1")["State"]["ExitCode"], 5)
        else:  # 20.10 has no --signal here
            self.assertIn("unknown", self.docker("stop", "-s", "INT", "k1").err)
            self.ok("container", "restart", "-t", "60", "k1")
            self.says("k1", "ready", times=2)
            self.ok("container", "stop", "-t", "60", "k1")
            self.assertEqual(self.json("k1")["State"]["ExitCode"], 6)
        self.ok("start", "k1")
        self.assertNotEqual(self.json("k1")["State"]["StartedAt"], first)
        waiter = self.daemon.popen("container", "wait", "k1")
        time.sleep(0.3)  # so that it waits; where it comes too late it gets the same answer
        self.ok("container", "kill", "-s", "KILL", "k1")
        self.assertEqual(waiter.communicate(timeout=60)[0], b"137\n")
        self.assertIn("is not running", self.docker("kill", "k1").err)

    @covers("container pause")
    @covers("container unpause")
    def test_pause(self):
        self.start("p1", "sh", "-c", "while :; do date +%s%N > /tick; sleep 0.02; done")
        wait_until(lambda: self.docker("exec", "p1", "test", "-s", "/tick").code == 0, what="it ticks")
        self.ok("container", "pause", "p1")
        self.assertEqual(self.state("p1"), "paused")
        self.assertRegex(self.ok("ps", "--format", "{{.Status}}"), r"\(Paused\)")
        self.assertIn("already paused", self.docker("pause", "p1").err)
        self.assertIn("is paused", self.docker("exec", "p1", "true").err)
        self.ok("container", "unpause", "p1")
        self.assertEqual(self.state("p1"), "running")
        first = self.ok("exec", "p1", "cat", "/tick")
        wait_until(lambda: self.ok("exec", "p1", "cat", "/tick") != first, 5, "it goes on")
        self.assertIn("is not paused", self.docker("unpause", "p1").err)

    @covers("container rm", "--force", "--link", "--volumes")
    @covers("container rename")
    def test_rm_and_rename(self):
        self.start("r1", flags=("-v", "/anonymous"))
        self.ok("container", "rename", "r1", "r2")
        self.assertIn("stop the container before removing", self.docker("container", "rm", "r2").err)
        self.assertEqual(len(self.ok("volume", "ls", "-q").split()), 1)
        self.ok("container", "rm", "-f", "-v", "r2")
        self.assertEqual(self.ok("volume", "ls", "-q"), "")
        self.start("target")
        self.ok("create", "--name", "linked", "--link", "target:alias", "busybox", "true")
        self.ok("container", "rm", "--link", "/linked/alias")
        self.assertIn(self.json("linked")["HostConfig"]["Links"], (None, []))

    @covers("container update", "--blkio-weight", "--cpu-period", "--cpu-quota", "--cpu-rt-period", "--cpu-rt-runtime",
            "--cpu-shares", "--cpus", "--cpuset-cpus", "--cpuset-mems", "--kernel-memory", "--memory",
            "--memory-reservation", "--memory-swap", "--pids-limit", "--restart")
    def test_update(self):
        self.start("u1")
        limits = {"--blkio-weight": ("300", "BlkioWeight", 300), "--cpu-period": ("50000", "CpuPeriod", 50000),
                  "--cpu-quota": ("25000", "CpuQuota", 25000),
                  "--cpu-rt-period": ("1000000", "CpuRealtimePeriod", 1_000_000),
                  "--cpu-rt-runtime": ("1000", "CpuRealtimeRuntime", 1000), "--cpu-shares": ("512", "CpuShares", 512),
                  "--cpuset-cpus": ("0", "CpusetCpus", "0"), "--cpuset-mems": ("0", "CpusetMems", "0"),
                  "--memory-reservation": ("32m", "MemoryReservation", 32 << 20),
                  "--pids-limit": ("100", "PidsLimit", 100)}
        for flag, (given, key, value) in limits.items():
            with self.subTest(flag=flag):
                r = self.docker("container", "update", flag, given, "u1")
                self.kept_or_said(r, "u1", key, value)
        r = self.docker("update", "-m", "64m", "--memory-swap", "128m", "u1")
        self.kept_or_said(r, "u1", "Memory", 64 << 20)
        self.start("u2")
        self.kept_or_said(self.docker("update", "--cpus", "0.5", "u2"), "u2", "NanoCpus", 500_000_000)
        self.ok("update", "--restart", "on-failure:3", "u1", "u2")
        for name in ("u1", "u2"):
            self.assertEqual(self.json(name)["HostConfig"]["RestartPolicy"],
                             {"Name": "on-failure", "MaximumRetryCount": 3})

    def kept_or_said(self, result, name, key, value):
        """A limit: kept, warned of, or refused with its reason; never lost silently."""
        if result.code != 0:
            self.assertRegex(result.err, "(?i)cgroup|kernel|support", result)
        elif self.json(name)["HostConfig"].get(key) != value:
            self.assertRegex(result.out + result.err, "(?i)discarded|not support", result)

    @covers("container prune", "--filter", "--force")
    def test_prune(self):
        self.ok("create", "--name", "old", "--label", "keep=yes", "busybox", "true")
        gone = self.ok("create", "--name", "gone", "busybox", "true")
        self.start("runs")
        self.assertEqual(self.docker("container", "prune", input="n\n").out.count(gone), 0)
        out = self.ok("container", "prune", "--force", "--filter", "label!=keep")
        self.assertIn(gone, out)
        self.assertIn("Total reclaimed space", out)
        self.assertEqual(sorted(self.ok("ps", "-a", "--format", "{{.Names}}").split()), ["old", "runs"])

    # -- looking

    @covers("container ls", "--all", "--filter", "--format", "--last", "--latest", "--no-trunc", "--quiet", "--size")
    def test_ls(self):
        first = self.ok("create", "--name", "l1", "--label", "x=1", "busybox", "true")
        second = self.start("l2")
        self.assertEqual(self.ok("container", "ls", "-q"), second[:12])
        self.assertEqual(self.ok("container", "ls", "-aq", "--no-trunc").split(), [second, first])
        self.assertEqual(self.ok("ps", "-lq"), second[:12])
        self.assertEqual(self.ps("-n", "1"), ["l2"])
        self.assertEqual(self.ps("-a", "--filter", "label=x=1"), ["l1"])
        self.ok("exec", "l2", "sh", "-c", "head -c 200000 /dev/zero > /big")
        self.assertRegex(self.ok("ps", "--size", "--format", "{{.Size}}"), r"^200kB \(virtual [\d.]+MB\)")

    def ps(self, *args):
        return self.ok("ps", "--format", "{{.Names}}", *args).split()

    @covers("container inspect", "--format", "--size")
    @covers("container port")
    def test_inspect_and_port(self):
        port = free_port()
        self.start("i1", flags=("-p", f"127.0.0.1:{port}:80"))
        self.assertEqual(self.ok("container", "inspect", "-f", "{{.Name}} {{.State.Status}}", "i1"), "/i1 running")
        sized = json.loads(self.ok("container", "inspect", "--size", "i1"))[0]
        self.assertIsInstance(sized.get("SizeRw"), int)
        self.assertGreater(sized.get("SizeRootFs"), 500_000)
        self.assertIn(f"80/tcp -> 127.0.0.1:{port}", self.ok("container", "port", "i1"))
        self.assertEqual(self.ok("port", "i1", "80/tcp"), f"127.0.0.1:{port}")

    @covers("container top")
    def test_top(self):
        self.start("t1", "sh", "-c", "sleep 1000; true")
        out = self.ok("container", "top", "t1")
        self.assertRegex(out.split("\n")[0], r"PID")
        self.assertIn("sleep 1000", out)
        wait_until(lambda: re.search(r"(?s)^PID\s+COMMAND.*sleep", self.ok("top", "t1", "-o", "pid,comm")),
                   what="its child")
        self.ok("kill", "t1")
        self.assertIn("is not running", self.docker("top", "t1").err)

    @covers("container stats", "--all", "--format", "--no-stream", "--no-trunc")
    def test_stats(self):
        whole = self.start("s1", "sh", "-c", "while :; do :; done")
        self.ok("create", "--name", "s2", "busybox", "true")
        def busy():
            row = json.loads(self.ok("container", "stats", "--no-stream", "--no-trunc", "--format", "{{json .}}",
                                     "s1"))
            return row if float(row["CPUPerc"].rstrip("%")) > 5 else None
        row = wait_until(busy, what="it gets a processor")  # with others beside it, not in each second
        self.assertEqual((row["ID"], row["Name"]), (whole, "s1"))
        self.assertNotEqual(row["MemUsage"].split(" ")[0], "0B")
        self.assertEqual(sorted(self.ok("stats", "-a", "--no-stream", "--format", "{{.Name}}").split()), ["s1", "s2"])

    # -- files

    @covers("container cp", "--archive", "--follow-link", "--quiet")
    def test_cp(self):
        self.start("c1")
        self.write("tree/sub/file", "there and back\n")
        os.symlink("file", f"{self.dir}/tree/sub/link")
        os.symlink("tree/sub/file", f"{self.dir}/link")
        quiet = ["-q"] if self.version >= (23, 0) else []
        self.ok("container", "cp", *quiet, f"{self.dir}/tree", "c1:/root")
        self.assertEqual(self.ok("exec", "c1", "cat", "/root/tree/sub/link"), "there and back")
        self.ok("cp", "-L", f"{self.dir}/link", "c1:/followed")
        self.assertEqual(self.ok("exec", "c1", "cat", "/followed"), "there and back")
        self.ok("exec", "c1", "sh", "-c", "chown 33:33 /followed; chmod 640 /followed")
        self.ok("cp", "-a", "c1:/root/tree/.", f"{self.dir}/back")
        self.assertEqual(os.readlink(f"{self.dir}/back/sub/link"), "file")
        p = subprocess.run(["tar", "-C", self.dir, "-cf", "-", "tree"], capture_output=True, check=True)
        self.ok("cp", "-a", "-", "c1:/tmp", input=p.stdout)
        self.assertEqual(self.ok("exec", "c1", "cat", "/tmp/tree/sub/file"), "there and back")
        out = self.docker("cp", "c1:/followed", "-").out_bytes
        with open(f"{self.dir}/out.tar", "wb") as f:
            f.write(out)
        with tarfile.open(f"{self.dir}/out.tar") as t:
            member = t.getmember("followed")
            self.assertEqual((member.uid, member.mode & 0o777), (33, 0o640))
        # 20.10 has words of its own for a 404.
        self.assertRegex(self.docker("cp", "c1:/nothing", "-").err,
                         "Could not find the file /nothing in container c1|No such container:path: c1:/nothing")
        self.ok("create", "--name", "c2", "busybox", "cat", "/put")
        self.ok("cp", f"{self.dir}/tree/sub/file", "c2:/put")
        self.assertEqual(self.ok("start", "-a", "c2"), "there and back")

    @covers("container diff")
    @covers("container export", "--output")
    @covers("container commit", "--author", "--change", "--message", "--pause", "--no-pause")
    @covers("image import", "--change", "--message", "--platform")
    def test_diff_commit_export(self):
        self.start("d1", "sh", "-c", "echo new > /added; rm /etc/group; echo x >> /etc/passwd; sleep 1000")
        wait_until(lambda: self.docker("exec", "d1", "grep", "-qx", "x", "/etc/passwd").code == 0, 5, "changes")
        self.assertEqual(set(self.ok("container", "diff", "d1").split("\n")),
                         {"A /added", "C /etc", "D /etc/group", "C /etc/passwd"})
        image = self.ok("container", "commit", "--author", "us", "-m", "said", "-c", "ENV MADE=yes", "-c",
                        'CMD ["cat","/added"]', "--pause=false", "d1", "made:1")
        self.addCleanup(self.docker, "rmi", "-f", "made:1")
        self.assertRegex(image, "^sha256:[0-9a-f]{64}$")
        self.assertEqual(self.ok("run", "--rm", "made:1"), "new")
        facts = json.loads(self.ok("image", "inspect", "made:1"))[0]
        self.assertEqual((facts["Author"], facts["Comment"]), ("us", "said"))
        self.assertIn("MADE=yes", facts["Config"]["Env"])
        self.ok("commit", "d1", "made:2")  # pauses it meanwhile
        self.ok("rmi", "made:2")
        self.assertEqual(self.state("d1"), "running")
        self.ok("container", "export", "-o", f"{self.dir}/x.tar", "d1")
        with tarfile.open(f"{self.dir}/x.tar") as t:
            names = {n.lstrip("./") for n in t.getnames()}
        self.assertIn("added", names)
        self.assertNotIn("etc/group", names)
        self.ok("image", "import", "-c", "CMD cat /added", "-m", "imported", "--platform", "linux/amd64",
                f"{self.dir}/x.tar", "imported:1")
        self.addCleanup(self.docker, "rmi", "-f", "imported:1")
        self.assertEqual(self.ok("run", "--rm", "imported:1"), "new")

    # -- images

    @covers("image history", "--format", "--human", "--no-trunc", "--platform", "--quiet")
    @covers("image inspect", "--format", "--platform")
    @covers("image ls", "--all", "--digests", "--filter", "--format", "--no-trunc", "--quiet", "--tree")
    @covers("image tag")
    @covers("image rm", "--force", "--no-prune", "--platform")
    def test_images(self):
        whole = self.ok("image", "inspect", "-f", "{{.Id}}", "busybox")
        self.ok("image", "tag", "busybox", "again:1")
        self.assertEqual(self.ok("image", "ls", "-q", "--no-trunc", "again"), whole)
        self.assertEqual(self.ok("image", "ls", "-a", "--digests", "--filter", "reference=again",
                                 "--format", "{{.Repository}}:{{.Tag}} {{.Digest}}"), "again:1 <none>")
        self.assertEqual(len(self.ok("image", "history", "-q", "--no-trunc", "busybox").split()), 1)
        self.assertRegex(self.ok("image", "history", "--human=false", "--format", "{{.Size}}", "busybox"), r"^\d+$")
        if self.version >= (28, 0):
            self.assertEqual(self.ok("image", "inspect", "--platform", "linux/amd64", "-f", "{{.Id}}", "busybox"), whole)
            self.assertRegex(self.ok("image", "history", "-q", "--no-trunc", "--platform", "linux/amd64", "busybox"), whole)
            self.assertIn("again:1", self.ok("image", "ls", "--tree"))
            self.assertIn("does not match the specified platform", self.docker("image", "rm", "--platform", "linux/arm64", "again:1").err)
        self.assertEqual(self.ok("image", "rm", "--no-prune", "again:1"), "Untagged: again:1")
        self.ok("create", "--name", "uses", "busybox")
        self.assertIn("is using its referenced image", self.docker("image", "rm", "busybox").err)
        self.assertIn("No such image", self.docker("image", "rm", "-f", "missing:1").out
                      + self.docker("image", "rm", "missing:1").err)

    @covers("image save", "--output", "--platform")
    @covers("image load", "--input", "--platform", "--quiet")
    def test_save_and_load(self):
        self.ok("image", "tag", "busybox", "saved:1")
        platform = ["--platform", "linux/amd64"] if self.version >= (28, 0) else []
        self.ok("image", "save", *platform, "-o", f"{self.dir}/s.tar", "saved:1")
        self.ok("rmi", "saved:1")
        self.assertIn("Loaded image: saved:1", self.ok("image", "load", *platform, "-q", "-i", f"{self.dir}/s.tar"))
        self.ok("rmi", "saved:1")
        with open(f"{self.dir}/s.tar", "rb") as f:
            self.assertIn("Loaded image: saved:1", self.ok("load", input=f.read()))
        self.ok("rmi", "saved:1")

    @covers("image prune", "--all", "--filter", "--force")
    def test_image_prune(self):
        self.start("uses")
        self.write("f", "f")
        subprocess.run(["tar", "-C", self.dir, "-cf", f"{self.dir}/f.tar", "f"], check=True)
        self.ok("import", f"{self.dir}/f.tar", "unused:1")
        self.ok("import", "-m", "other", f"{self.dir}/f.tar", "unused:1")  # the first one dangles now
        out = self.ok("image", "prune", "--force")
        self.assertRegex(out, "(?i)deleted: sha256:")
        self.assertIn("unused", self.ok("images", "--format", "{{.Repository}}"))
        self.ok("image", "prune", "-a", "-f", "--filter", "until=1h")
        self.assertIn("unused", self.ok("images", "--format", "{{.Repository}}"))
        self.ok("image", "prune", "-a", "-f")
        self.assertEqual(self.ok("images", "--format", "{{.Repository}}"), "busybox")

    @covers("image pull", "--all-tags", "--platform", "--quiet")
    @covers("image push", "--all-tags", "--platform", "--quiet")
    @covers("image build", "--add-host", "--build-arg", "--cache-from", "--cgroup-parent", "--compress", "--cpu-period",
            "--cpu-quota", "--cpu-shares", "--cpuset-cpus", "--cpuset-mems", "--disable-content-trust", "--file",
            "--force-rm", "--iidfile", "--isolation", "--label", "--memory", "--memory-swap", "--network", "--no-cache",
            "--platform", "--pull", "--quiet", "--rm", "--security-opt", "--shm-size", "--squash", "--tag", "--target",
            "--ulimit", "--progress", "--secret", "--ssh", "--output")
    def test_pull_push_and_build_say_what_is_wrong(self):
        """Nobody listens at this registry. Pulls and pushes that work are image_test's; builds have tests of their own."""
        nobody = f"127.0.0.1:{free_port()}/some/image"
        for args in ([f"{nobody}:1"], ["-q", f"{nobody}:1"], ["--platform", "linux/amd64", f"{nobody}:1"],
                     ["-a", nobody]):
            self.assertRegex(self.docker("image", "pull", *args).err, "connection refused|supported", args)
        self.ok("tag", "busybox", f"{nobody}:1")
        self.addCleanup(self.docker, "rmi", f"{nobody}:1")
        for args in ([f"{nobody}:1"], ["-q", f"{nobody}:1"], ["-a", nobody]):
            r = self.docker("image", "push", *args)
            self.assertNotEqual(r.code, 0, r)
            self.assertRegex(r.err, "connection refused|supported", r)

    # -- volumes

    @covers("volume create", "--driver", "--label", "--opt", "--name")
    @covers("volume inspect", "--format")
    @covers("volume ls", "--filter", "--format", "--quiet")
    @covers("volume rm", "--force")
    def test_volume(self):
        self.assertRegex(self.ok("volume", "create"), "^[0-9a-f]{64}$")
        self.assertEqual(self.ok("volume", "create", "-d", "local", "--label", "a=b", "-o", "type=tmpfs", "-o",
                                 "device=tmpfs", "-o", "o=size=1m", "v1"), "v1")
        self.assertEqual(self.ok("volume", "inspect", "-f", "{{.Driver}} {{.Labels.a}} {{.Options.type}} {{.Scope}}",
                                 "v1"), "local b tmpfs local")
        self.assertEqual(self.ok("volume", "ls", "-q", "--filter", "label=a=b"), "v1")
        self.assertEqual(self.ok("volume", "ls", "--filter", "name=v1", "--format", "{{.Name}} {{.Driver}}"), "v1 local")
        self.start("uses", flags=("-v", "v1:/v"))
        self.assertIn("volume is in use", self.docker("volume", "rm", "v1").err)
        self.ok("rm", "-f", "uses")
        self.assertEqual(self.ok("volume", "rm", "v1"), "v1")
        self.assertIn("no such volume", self.docker("volume", "inspect", "v1").err.lower())
        self.assertNotEqual(self.docker("volume", "rm", "v1").code, 0)
        self.ok("volume", "rm", "-f", "v1")
        if self.version >= (23, 0):
            self.assertRegex(self.docker("volume", "create", "--type", "block", "cluster").err, "swarm")

    @covers("volume prune", "--all", "--filter", "--force")
    def test_volume_prune(self):
        anonymous = self.ok("volume", "create")
        self.ok("volume", "create", "named")
        self.ok("volume", "create", "--label", "keep=yes", "kept")
        out = self.ok("volume", "prune", "-f", "--filter", "label!=keep")
        self.assertIn(anonymous, out)
        if self.version >= (23, 0):  # since 1.42 the named ones stay without --all
            self.assertNotIn("named", out)
            self.assertIn("named", self.ok("volume", "prune", "-f", "--all", "--filter", "label!=keep"))
        else:
            self.assertIn("named", out)
        self.assertEqual(self.ok("volume", "ls", "-q"), "kept")

    # -- the system

    @covers("system df", "--format", "--verbose")
    def test_system_df(self):
        self.start("uses", "sh", "-c", "head -c 100000 /dev/zero > /x; sleep 1000", flags=("-v", "v1:/v"))
        out = self.ok("system", "df")
        for word in ("Images", "Containers", "Local Volumes", "Build Cache"):
            self.assertIn(word, out)
        rows = {r["Type"]: r for r in map(json.loads, self.ok("system", "df", "--format", "{{json .}}").split("\n"))}
        self.assertEqual((rows["Images"]["TotalCount"], rows["Containers"]["Active"]), ("1", "1"))
        verbose = self.ok("system", "df", "-v")
        for word in ("busybox", "uses", "v1"):
            self.assertIn(word, verbose)

    @covers("system events", "--filter", "--format", "--since", "--until")
    def test_events(self):
        begin = f"{time.time() - 0.001:.6f}"
        self.ok("run", "--rm", "--name", "ev", "busybox", "true")

        def told():
            out = self.ok("system", "events", "--since", begin, "--until", f"{time.time() + 0.1:.6f}", "--filter",
                          "container=ev", "--format", "{{.Action}}").split()
            return out if "destroy" in out else None
        out = wait_until(told, what="it is told to be gone")
        self.assertEqual([a for a in out if a in ("create", "start", "die", "destroy")],
                         ["create", "start", "die", "destroy"])
        plain = self.ok("events", "--since", begin, "--until", f"{time.time() + 0.1:.6f}", "--filter", "event=die")
        self.assertRegex(plain, r"container die [0-9a-f]{64} \(.*exitCode=0.*name=ev")

    @covers("system info", "--format")
    def test_info(self):
        info = json.loads(self.ok("system", "info", "--format", "{{json .}}"))
        self.assertEqual(info["OSType"], "linux")
        self.assertEqual(info["Images"], 1)
        self.assertIn("rootless", " ".join(info["SecurityOptions"]))
        self.assertIn("Server Version", self.ok("info"))

    @covers("system prune", "--all", "--filter", "--force", "--volumes")
    def test_system_prune(self):
        self.ok("create", "--name", "gone", "busybox", "true")
        self.start("stays")
        anonymous = self.ok("volume", "create")
        self.ok("system", "prune", "-f", "--filter", "until=1h")
        self.assertIn("gone", self.ps("-a"))
        self.ok("system", "prune", "-f", "--volumes", "--all")
        self.assertEqual(self.ps("-a"), ["stays"])
        self.assertNotIn(anonymous, self.ok("volume", "ls", "-q"))

    @covers("system dial-stdio")
    def test_dial_stdio(self):
        """What `docker -H ssh://` runs on the other side."""
        r = self.docker("system", "dial-stdio", input="GET /_ping HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        self.assertRegex(r.out, r"(?s)^HTTP/1\.1 200 OK\r\n.*\r\n\r\nOK$")

    @covers("network ls", "--filter", "--format", "--no-trunc", "--quiet")
    def test_network_ls(self):
        self.assertEqual(sorted(self.ok("network", "ls", "--format", "{{.Name}}").split()), ["bridge", "host", "none"])
        whole = self.ok("network", "ls", "-q", "--no-trunc", "--filter", "name=bridge")
        self.assertRegex(whole, "^[0-9a-f]{64}$")
        self.assertEqual(self.ok("network", "ls", "-q", "--filter", "driver=bridge"), whole[:12])

    # -- and nothing is forgotten

    def test_every_command_and_flag_is_covered(self):
        known = covered()
        missing = []
        for command in self.commands():
            flags = re.findall(r"^ +(?:-\w, )?--([a-z0-9-]+)", self.ok(*command.split(), "--help"), re.M)
            for flag in ["", *(f"--{f}" for f in flags)]:
                if (command, flag) not in known and (command, flag) not in EXCUSED:
                    missing.append(f"{command} {flag}".strip())
        self.assertEqual(missing, [])

    def commands(self):
        out = ["network ls"]
        for group in ("container", "image", "volume", "system"):
            listed = re.search(r"(?s)\nCommands:\n(.*?)\n\n", self.ok(group, "--help") + "\n\n").group(1)
            out += [f"{group} {name}" for name in re.findall(r"(?m)^  ([a-z-]+)\*? ", listed)]
        self.assertGreater(len(out), 40)
        return out


def covered():
    """(command, flag) -> [test]: those of the decorators, and the table of run and create."""
    known = {key: list(tests) for key, tests in COVERED.items()}
    for command in ("container run", "container create"):
        for row in RUN:
            for flag in ["", *row.flags.split()]:
                known.setdefault((command, flag), [])
                if "Client.test_run_and_create_flags" not in known[(command, flag)]:
                    known[(command, flag)].append("Client.test_run_and_create_flags")
    return known


def table():
    print("| command | flag | test in tests/conformance/client_test.py |\n|---|---|---|")
    for (command, flag), tests in sorted(covered().items()):
        print(f"| `{command}` | {f'`{flag}`' if flag else ''} | {', '.join(t.split('.')[-1] for t in tests)} |")
    for (command, flag), reason in sorted(EXCUSED.items()):
        print(f"| `{command}` | {f'`{flag}`' if flag else ''} | none: {reason} |")


if __name__ == "__main__":
    if sys.argv[1:] == ["--table"]:
        table()
    else:
        main()
