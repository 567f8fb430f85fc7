"""create, start, stop, kill, restart, wait, rm, rename, ps, logs, attach, exec, events."""
import json
import os
import subprocess
import threading
import time

from harness import Case, client_version, main, wait_until


class Life(Case):
    def start(self, name, *command, flags=()):
        return self.ok("run", "-d", "--name", name, *flags, "busybox",
                       *(command or ("sleep", "1000")))

    def test_stop_by_signal_then_by_kill(self):
        self.start("soft", "sh", "-c", "trap 'exit 5' TERM; echo ready; while :; do sleep 0.05; done")
        self.says("soft", "ready")
        self.ok("stop", "-t", "60", "soft")
        self.assertEqual(self.inspect("soft", "State.ExitCode"), 5)
        # Were it not for -t, this would take longer than a command may.
        self.start("hard", "sh", "-c", "trap '' TERM; echo ready; while :; do sleep 0.05; done",
                   flags=("--stop-timeout", "1000"))
        self.says("hard", "ready")
        self.ok("stop", "-t", "1", "hard")
        self.assertEqual(self.inspect("hard", "State.ExitCode"), 137)
        status, _, _ = self.daemon.request("POST", "/containers/hard/stop")
        self.assertEqual(status, 304)

    def test_a_grace_without_end(self):
        for n, t in enumerate(("9223372036854775807", "9223372036854776", "-9223372036854775808", "-1")):
            self.start(f"slow{n}", "sh", "-c", "trap 'sleep 0.5; exit 5' TERM; echo ready; while :; do sleep 0.05; done")
            self.says(f"slow{n}", "ready")
            self.assertEqual(self.daemon.request("POST", f"/containers/slow{n}/stop?t={t}")[0], 204)
            self.assertEqual(self.inspect(f"slow{n}", "State.ExitCode"), 5, t)
        self.assertEqual(self.daemon.request("POST", "/containers/slow0/stop?t=9223372036854775808")[0], 400)

    def test_kill_and_wait(self):
        self.start("k1", "sleep", "1000")
        waiter = self.daemon.popen("wait", "k1")
        time.sleep(0.2)  # so that it waits; where it comes too late it gets the same answer
        self.ok("kill", "k1")
        out, _ = waiter.communicate(timeout=60)
        self.assertEqual(out, b"137\n")
        self.assertIn("is not running", self.fails(1, "kill", "k1"))
        self.start("u1", "sh", "-c", "trap 'echo usr1; exit 6' USR1; echo ready; while :; do sleep 0.05; done")
        self.says("u1", "ready")
        self.ok("kill", "-s", "USR1", "u1")
        self.assertEqual(self.ok("wait", "u1"), "6")
        self.assertEqual(self.ok("logs", "u1"), "ready\nusr1")

    def test_restart_and_start_again(self):
        self.start("r1", "sh", "-c", "echo once; sleep 1000")
        self.says("r1", "once")
        first = self.inspect("r1", "State.StartedAt")
        self.ok("restart", "-t", "0", "r1")
        self.assertNotEqual(self.inspect("r1", "State.StartedAt"), first)
        wait_until(lambda: self.ok("logs", "r1") == "once\nonce", 5, "two lines")
        self.ok("stop", "-t", "0", "r1")
        self.ok("start", "r1")
        self.assertTrue(self.inspect("r1", "State.Running"))
        status, _, _ = self.daemon.request("POST", "/containers/r1/start")
        self.assertEqual(status, 304)

    def test_a_restart_keeps_a_container_that_goes_at_its_end(self):
        self.ok("run", "-d", "--rm", "--name", "short", "-v", "/anonymous", "busybox", "sleep", "1000")
        for _ in range(5):
            before = self.inspect("short", "State.Pid")
            self.ok("restart", "-t", "0", "short")
            self.assertNotEqual(self.inspect("short", "State.Pid"), before)
        self.ok("stop", "-t", "0", "short")
        wait_until(lambda: not self.ok("ps", "-aq"), what="it has gone")

    def test_files_of_a_container_stay_over_its_restart(self):
        self.ok("run", "--name", "keep", "busybox", "sh", "-c", "date > /kept")
        self.ok("start", "-a", "keep")
        self.assertEqual(self.docker("rm", "keep").code, 0)

    def test_rm(self):
        self.start("busy")
        self.assertIn("container is running: stop the container before removing or force remove",
                      self.fails(1, "rm", "busy"))
        self.ok("rm", "-f", "busy")
        self.assertIn("No such container: busy", self.fails(1, "rm", "busy"))

    def test_rename(self):
        self.ok("create", "--name", "before", "busybox")
        self.ok("rename", "before", "after")
        self.assertEqual(self.inspect("after", "Name"), "/after")
        self.fails(1, "inspect", "before")
        self.ok("create", "--name", "before", "busybox")
        self.assertIn("Conflict", self.fails(1, "rename", "after", "before"))

    def test_names_ids_and_prefixes(self):
        whole = self.ok("create", "--name", "abc", "busybox")
        for name in ("abc", whole, whole[:12], whole[:6]):
            self.assertEqual(self.inspect(name, "Id"), whole)
        self.assertIn("No such", self.fails(1, "inspect", "nothing-here"))

    def test_ps_filters(self):
        a = self.ok("create", "--name", "fa", "--label", "x=1", "busybox", "true")
        b = self.start("fb", flags=("--label", "x=2", "--label", "y"))
        self.docker("run", "--name", "fc", "busybox", "sh", "-c", "exit 3")

        def names(*filters):
            args = []
            for f in filters:
                args += ["--filter", f]
            return sorted(self.ok("ps", "-a", "--format", "{{.Names}}", *args).split())

        self.assertEqual(names("label=x"), ["fa", "fb"])
        self.assertEqual(names("label=x=2", "label=y"), ["fb"])
        self.assertEqual(names("status=created"), ["fa"])
        self.assertEqual(names("status=running", "status=created"), ["fa", "fb"])
        self.assertEqual(names("exited=3"), ["fc"])
        self.assertEqual(names("name=^fb$"), ["fb"])
        self.assertEqual(names(f"id={a[:10]}"), ["fa"])
        self.assertEqual(names("ancestor=busybox"), ["fa", "fb", "fc"])
        self.assertEqual(names("before=fb"), ["fa"])
        self.assertEqual(names("since=fb"), ["fc"])
        self.assertIn("invalid filter", self.fails(1, "ps", "--filter", "nonsense=1"))
        self.assertEqual(self.ok("ps", "-aql").strip(),
                         self.inspect("fc", "Id")[:12])
        self.assertRegex(self.ok("ps", "-a", "--filter", "name=fb", "--format", "{{.Status}}"),
                         "^Up ")
        self.assertRegex(self.ok("ps", "-a", "--filter", "name=fc", "--format", "{{.Status}}"),
                         r"^Exited \(3\) ")

    def test_inspect_goes_back_into_create(self):
        """As watchtower replaces a container: Config, HostConfig and networks from inspect."""
        source = self.daemon.scratch + "/bind"
        os.makedirs(source, exist_ok=True)
        rich = ("--hostname", "h1", "--user", "web", "--workdir", "/tmp", "-e", "A=b c", "-it",
                "--label", "k=v", "-p", "127.0.0.1::80", "-p", "0:53/udp", "--expose", "81",
                "-v", f"{source}:/bind:ro", "-v", "named:/named", "-v", "/anonymous", "--mount",
                "type=tmpfs,target=/t2,tmpfs-size=1m", "--tmpfs", "/t1:size=1m", "--mount",
                "type=volume,source=other,target=/other,volume-nocopy", "--cap-add", "NET_ADMIN",
                "--cap-drop", "CHOWN", "--security-opt", "no-new-privileges", "--read-only",
                "--restart", "on-failure:3", "--stop-signal", "INT", "--stop-timeout", "3",
                "--init", "--ulimit", "nofile=100:200", "--shm-size", "16m", "--dns", "192.0.2.1",
                "--add-host", "db:192.0.2.2", "--oom-score-adj", "100", "--health-cmd", "true",
                "--health-interval", "5s", "--log-opt", "max-size=1m", "--sysctl",
                "net.ipv4.ip_default_ttl=65", "--group-add", "44", "--device", "/dev/null:/dev/n2",
                "--entrypoint", "sh", "--memory", "64m", "--pids-limit",
                "50", "--cpus", "0.5", "--ipc", "shareable", "--mac-address",
                "02:42:ac:11:00:09")
        if client_version() >= (25, 0):  # older ones have no such flag
            rich += ("--annotation", "a=1")
        for number, (flags, command) in enumerate((
                (rich, ("-c", "sleep 1000")), (("--privileged",), ("sleep", "1000")),
                (("--network", "host", "--uts", "host"), ("sleep", "1000")),
                (("--network", "none", "--security-opt", "systempaths=unconfined"),
                 ("sleep", "1000")))):
            with self.subTest(flags=flags[:2]):
                name = f"once{number}"
                self.ok("run", "-d", "--name", name, *flags, "busybox", *command)
                for _ in range(2):
                    before = self.inspect(name)
                    body = dict(before["Config"], HostConfig=before["HostConfig"],
                                NetworkingConfig={"EndpointsConfig":
                                                  before["NetworkSettings"]["Networks"]})
                    self.ok("rm", "-f", name)
                    status, _, answer = self.daemon.request(
                        "POST", f"/containers/create?name={name}", body)
                    self.assertEqual(status, 201, answer)
                    self.ok("start", name)
                    after = self.inspect(name)
                    self.assertEqual(after["Config"], before["Config"])
                    self.assertEqual(after["HostConfig"], before["HostConfig"])
                self.ok("rm", "-fv", name)

    def test_logs(self):
        self.docker("run", "--name", "l1", "busybox", "sh", "-c",
                    "for i in 1 2 3 4 5; do echo line $i; done; echo err >&2")
        r = self.docker("logs", "l1")
        self.assertEqual((r.out, r.err), ("".join(f"line {i}\n" for i in range(1, 6)), "err\n"))
        self.assertEqual(self.ok("logs", "--tail", "2", "l1").split("\n")[0], "line 5")
        self.assertRegex(self.ok("logs", "-t", "--tail", "2", "l1"),
                         r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z line 5")
        self.assertEqual(self.docker("logs", "--since", "2099-01-01T00:00:00Z", "l1").out, "")

    def test_logs_follow_until_the_end(self):
        self.start("f1", "sh", "-c", "for i in 1 2 3; do echo $i; sleep 0.2; done")
        self.assertEqual(self.ok("logs", "-f", "f1"), "1\n2\n3")

    def test_a_long_line_is_whole(self):
        self.docker("run", "--name", "long", "busybox", "sh", "-c",
                    "head -c 100000 /dev/zero | tr '\\0' x; echo; echo end")
        out = self.ok("logs", "long")
        self.assertEqual(out, "x" * 100000 + "\nend")

    def test_log_rotation(self):
        self.docker("run", "--name", "rot", "--log-opt", "max-size=20k", "--log-opt", "max-file=3",
                    "busybox", "sh", "-c", "i=0; while [ $i -lt 2000 ]; do echo line $i; i=$((i+1)); done")
        lines = self.ok("logs", "rot").split("\n")
        numbers = [int(line.split()[1]) for line in lines]
        self.assertEqual(numbers, list(range(numbers[0], 2000)))
        self.assertGreater(len(numbers), 100)

    def test_attach(self):
        self.start("a1", "sh", "-c", "read x; echo got $x; read x; echo got $x", flags=("-i",))
        r = self.docker("attach", "a1", input="one\ntwo\n")
        self.assertEqual((r.code, r.out), (0, "got one\ngot two\n"))

    def test_exec(self):
        self.start("e1")
        self.assertEqual(self.ok("exec", "e1", "echo", "hi"), "hi")
        self.assertEqual(self.fails(9, "exec", "e1", "sh", "-c", "exit 9"), "")
        self.assertEqual(self.ok("exec", "-i", "e1", "cat", input="data\n"), "data")
        self.assertEqual(self.ok("exec", "-u", "web", "-w", "/tmp", "-e", "A=1", "e1", "sh", "-c",
                                 "id -u; pwd; echo $A"), "33\n/tmp\n1")
        self.assertIn("executable file not found", self.docker("exec", "e1", "nothing").out
                      + self.docker("exec", "e1", "nothing").err)
        self.assertIn(self.docker("exec", "e1", "nothing").code, (126, 127))
        self.ok("exec", "-d", "e1", "touch", "/tmp/made")
        wait_until(lambda: self.docker("exec", "e1", "test", "-e", "/tmp/made").code == 0, 5,
                   "a detached exec has run")
        self.ok("stop", "-t", "0", "e1")
        self.assertIn("is not running", self.fails(1, "exec", "e1", "true"))

    def test_exec_is_told_as_ended_before_its_stream_closes(self):
        self.start("x1")
        for i in range(20):
            r = self.docker("exec", "x1", "sh", "-c", f"exit {i}")
            self.assertEqual(r.code, i)

    def test_exec_passes_64_mib_unchanged(self):
        self.start("big")
        data = os.urandom(1 << 20) * 64
        r = self.docker("exec", "-i", "big", "cat", input=data, timeout=120)
        self.assertEqual(r.code, 0, r.err)
        self.assertTrue(r.out_bytes == data, "64 MiB through exec cat have changed")

    def test_events(self):
        begin = f"{time.time() - 0.001:.6f}"
        self.docker("run", "--rm", "--name", "ev", "busybox", "sh", "-c", "exit 2")

        def told():
            out = self.ok("events", "--since", begin, "--until", f"{time.time() + 0.2:.6f}",
                          "--filter", "container=ev", "--format", "{{json .}}")
            return out if '"destroy"' in out else None
        out = wait_until(told, what="it is told to be gone")
        events = [json.loads(line) for line in out.split("\n")]
        actions = [e["Action"] for e in events]
        self.assertEqual([a for a in actions if a in ("create", "start", "die", "destroy")],
                         ["create", "start", "die", "destroy"])
        die = events[actions.index("die")]
        self.assertEqual(die["Actor"]["Attributes"]["exitCode"], "2")
        self.assertEqual(die["Actor"]["Attributes"]["name"], "ev")

    def test_a_slow_reader_blocks_nobody(self):
        self.start("noisy", "sh", "-c", "while :; do echo xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx; done")
        slow = self.daemon.popen("attach", "--no-stdin", "--sig-proxy=false", "noisy")
        time.sleep(0.5)  # nobody reads slow.stdout, which is full by then; with less in it the rest holds as well
        self.assertEqual(self.run_box("echo", "meanwhile", timeout=60), "meanwhile")
        self.ok("rm", "-f", "noisy", timeout=60)
        slow.kill()
        slow.communicate()


if __name__ == "__main__":
    main()
