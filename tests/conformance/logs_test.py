"""docker logs on every driver: rotation, compression, followers, attributes, large logs."""
import calendar
import json
import os
import re
import signal
import subprocess
import sys
import time
import unittest

from harness import Case, Daemon, main, wait_until
from streams import Stream

ROTATED = ("--log-opt", "max-size=60k", "--log-opt", "max-file=3")


def numbers(text):
    return [int(n) for n in text.split()]


class Logs(Case):
    def follow(self, name, query="", **kw):
        return Stream(self.daemon, "GET", f"/containers/{name}/logs?stdout=1&stderr=1&follow=1{query}",
                      upgrade=False, **kw)

    def files_of(self, name):
        folder = f"{self.daemon.data}/containers/{self.inspect(name, 'Id')}"
        return sorted(f for f in os.listdir(folder) if ".log" in f)

    # --- rotation

    def follow_over_rotations(self, *opts):
        self.ok("create", "--name", "rot", *ROTATED, *opts, "busybox", "seq", "1", "20000")
        stream = self.follow("rot")
        self.ok("start", "rot")
        text = stream.payload().decode()
        stream.close()
        self.assertEqual(numbers(text), list(range(1, 20001)))

    def test_a_follower_loses_and_repeats_nothing_over_rotations(self):
        self.follow_over_rotations()
        # What stays is the end of it, in whole lines.
        rest = numbers(self.ok("logs", "rot"))
        self.assertEqual(rest, list(range(rest[0], 20001)))
        self.assertEqual(numbers(self.ok("logs", "--tail", "5", "rot")), list(range(19996, 20001)))

    def test_a_follower_loses_and_repeats_nothing_over_compressed_rotations(self):
        self.follow_over_rotations("--log-opt", "compress=true")

    def test_a_client_that_is_stopped_loses_nothing(self):
        """The second burst rotates what the first wrote out of max-file, long after the grace for young files."""
        self.ok("run", "-d", "--name", "slow", "--log-opt", "max-size=1m", "--log-opt", "max-file=3", "busybox", "sh",
                "-c", "echo 0; while [ ! -e /go1 ]; do sleep 0.05; done; seq 1 100000; touch /done1; "
                "while [ ! -e /go2 ]; do sleep 0.05; done; seq 100001 200000; touch /done2; sleep 1000")
        p = self.daemon.popen("logs", "-f", "slow")
        first = p.stdout.readline()  # it follows now
        self.ok("exec", "slow", "touch", "/go1")
        p.send_signal(signal.SIGSTOP)
        done = lambda n: self.docker("exec", "slow", "test", "-e", f"/done{n}").code == 0
        wait_until(lambda: done(1), 30, "the first half is written")
        time.sleep(2.5)  # that grace; were it longer, the files would stay for another reason
        self.ok("exec", "slow", "touch", "/go2")
        wait_until(lambda: done(2), 30, "the second half is written")
        self.assertGreater(len(self.files_of("slow")), 3)
        p.send_signal(signal.SIGCONT)
        lines = [int(first)]
        for line in p.stdout:
            lines.append(int(line))
            if lines[-1] == 200000:
                break
        p.kill()
        p.communicate()
        self.assertEqual(lines, list(range(0, 200001)))
        self.ok("exec", "slow", "sh", "-c", "echo 200001 > /proc/1/fd/1")
        wait_until(lambda: len(self.files_of("slow")) <= 3, 10, "what was kept for it goes")

    def test_a_follower_goes_on_after_a_restart_of_the_daemon(self):
        self.ok("run", "-d", "--name", "re", "--log-opt", "max-size=200k", "--log-opt", "max-file=4",
                "busybox", "sh", "-c",
                "while [ ! -e /go1 ]; do sleep 0.05; done; seq 1 10000; "
                "while [ ! -e /go2 ]; do sleep 0.05; done; seq 10001 20000")
        stream = self.follow("re", "&timestamps=1")
        self.ok("exec", "re", "touch", "/go1")
        lines = []
        for _, payload in stream.frames():
            lines += payload.decode().splitlines()
            if lines[-1].endswith(" 10000"):
                break
        stream.close()
        self.daemon.stop()
        self.daemon.start()
        at, last = lines[-1].split()
        seconds = time.strptime(at[:19], "%Y-%m-%dT%H:%M:%S")
        since = f"{calendar.timegm(seconds)}.{at[20:29]}"
        stream = self.follow("re", f"&timestamps=1&since={since}")
        self.ok("exec", "re", "touch", "/go2")
        more = stream.payload().decode().splitlines()
        stream.close()
        self.assertEqual(more[0], lines[-1])
        lines += more[1:]
        self.assertEqual([int(line.split()[1]) for line in lines], list(range(1, 20001)))

    def test_rotated_files_are_counted_and_compressed(self):
        self.ok("run", "-d", "--name", "c1", *ROTATED, "--log-opt", "compress=true", "busybox", "sh", "-c",
                "for i in 1 2 3 4 5 6; do seq 1 900; sleep 0.2; done; touch /done; sleep 1000")
        wait_until(lambda: self.docker("exec", "c1", "test", "-e", "/done").code == 0, 15, "all is written")
        name = self.inspect("c1", "Id") + "-json.log"
        wait_until(lambda: self.files_of("c1") == [name, name + ".1.gz", name + ".2.gz"], 15,
                   "the rotated files are compressed")
        rest = numbers(self.ok("logs", "c1"))
        self.assertEqual(rest[-900:], list(range(1, 901)))
        self.assertGreater(len(rest), 1200)
        tail = numbers(self.ok("logs", "--tail", "1100", "c1"))
        self.assertEqual(tail, rest[-1100:])

    # --- drivers

    def test_local(self):
        self.ok("run", "--name", "l1", "--log-driver", "local", "--log-opt", "max-size=60k", "busybox",
                "sh", "-c", "seq 1 5000; echo err >&2")
        r = self.docker("logs", "l1")
        self.assertEqual(r.err, "err\n")
        rest = numbers(r.out)
        self.assertEqual(rest, list(range(rest[0], 5001)))
        self.assertEqual(self.inspect("l1", "LogPath"), "")
        self.assertEqual(self.ok("logs", "--tail", "2", "l1").split(), ["5000"])
        self.assertEqual(self.inspect("l1", "HostConfig.LogConfig"),
                         {"Type": "local", "Config": {"max-size": "60k"}})

    def test_none_cannot_be_read(self):
        self.assertEqual(self.ok("run", "--name", "n1", "--log-driver", "none", "busybox", "echo", "hi"), "hi")
        status, _, body = self.daemon.request("GET", "/containers/n1/logs?stdout=1")
        self.assertEqual(status, 501)
        self.assertIn("configured logging driver does not support reading", body["message"])
        self.assertIn("does not support reading", self.fails(1, "logs", "n1"))
        self.assertEqual([f for f in self.files_of("n1")], [])

    def test_journald(self):
        r = self.docker("run", "-d", "--name", "j1", "--log-driver", "journald", "--log-opt", "tag={{.Name}}",
                        "busybox", "sh", "-c", "echo one; echo two >&2")
        if not os.path.exists("/run/systemd/journal/socket"):
            self.assertEqual(r.code, 125)
            self.assertIn("this host has no systemd journal", r.err)
            self.assertNotIn("journald", self.ok("info", "-f", "{{.Plugins.Log}}"))
            return self.with_a_journald_of_our_own()
        self.ok("wait", "j1")
        if os.environ.get("CORACLE_UNREADABLE"):
            return self.assertIn("nothing that this user may read", self.fails(1, "logs", "j1"))
        for line in ("one", "two"):
            self.says("j1", line)
        self.assertEqual(self.docker("logs", "j1").out, "one\n")
        self.assertEqual(self.docker("logs", "j1").err, "two\n")
        self.assertEqual(self.docker("logs", "--tail", "1", "j1").err, "two\n")
        self.ok("create", "--name", "j2", "--label", "team=a b", "--log-driver", "journald", "--log-opt",
                "labels=team", "busybox", "sh", "-c", f"echo {'x' * 20000}; seq 1 3000; sleep 1; echo last")
        stream = self.follow("j2")
        self.ok("start", "j2")
        lines = stream.payload().decode().splitlines()
        stream.close()
        self.assertEqual(lines[0], "x" * 20000)
        self.assertEqual(lines[1:], [str(n) for n in range(1, 3001)] + ["last"])
        self.assertEqual(self.ok("logs", "--details", "--tail", "1", "j2"), "TEAM=a+b last")
        self.assertEqual(numbers(self.ok("logs", "--tail", "1001", "j2").replace("last", "0"))[:2], [2001, 2002])

    def with_a_journald_of_our_own(self):
        for path in ("/lib/systemd/systemd-journald", "/etc/machine-id"):
            if not os.path.exists(path):
                self.skipTest(f"no {path}: only the refusal was tested")
        if subprocess.run(["unshare", "--user", "--map-auto", "--map-root-user", "true"]).returncode != 0:
            self.skipTest("no range of user ids: only the refusal was tested")
        here = os.path.dirname(os.path.abspath(__file__))
        for unreadable in ("", "1"):
            p = subprocess.run([f"{here}/with-journald", sys.executable, __file__, "Logs.test_journald"],
                               stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=120,
                               env={**os.environ, "CORACLE_UNREADABLE": unreadable})
            self.assertEqual(p.returncode, 0, p.stdout)
            self.assertRegex(p.stdout, r"(?m)^OK$", p.stdout)

    def test_what_docker_refuses(self):
        for opts, text in (
                (("--log-driver", "syslog"), "logger: no log driver named 'syslog' is registered"),
                (("--log-opt", "colour=red"), "unknown log opt 'colour' for json-file log driver"),
                (("--log-driver", "local", "--log-opt", "tag=x"), "unknown log opt 'tag' for log driver local"),
                (("--log-opt", "max-file=0"), "max-file cannot be less than 1"),
                (("--log-opt", "max-size=ten"), "invalid size: 'ten'"),
                (("--log-opt", "max-size=0"), "max-size must be a positive number"),
                (("--log-opt", "compress=true"), "compress cannot be true when max-file is less than 2"),
                (("--log-opt", "mode=fast"), "logger: logging mode not supported: fast"),
                (("--log-opt", "max-buffer-size=1m"), "only supported with 'mode=non-blocking'"),
                (("--log-opt", "tag={{.Colour}}"), ".Colour")):
            self.assertIn(text, self.fails(1, "create", *opts, "busybox"))

    def test_details(self):
        self.ok("run", "--name", "d1", "--label", "team=a b", "--label", "tier=1", "-e", "STAGE=x,y", "-e", "OTHER=1",
                "--log-opt", "labels=team", "--log-opt", "labels-regex=^ti", "--log-opt", "env=STAGE",
                "--log-opt", "env-regex=^NONE", "--log-opt", "tag={{.Name}}/{{.ImageName}}", "busybox",
                "echo", "hi")
        self.assertEqual(self.ok("logs", "--details", "d1"),
                         "STAGE=x%2Cy,tag=d1%2Fbusybox,team=a+b,tier=1 hi")
        line = self.ok("logs", "--details", "-t", "d1")
        self.assertRegex(line, r"^20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z STAGE=")
        self.ok("run", "--name", "plain", "busybox", "echo", "hi")
        self.assertEqual(self.ok("logs", "--details", "plain"), " hi")

    # --- choosing

    def test_since_until_tail_timestamps(self):
        self.ok("run", "--name", "s1", "busybox", "sh", "-c", "for i in 1 2 3 4; do echo $i; sleep 0.1; done")
        stamped = [line.split() for line in self.ok("logs", "-t", "s1").splitlines()]
        self.assertEqual([n for _, n in stamped], ["1", "2", "3", "4"])
        third = stamped[2][0]
        self.assertEqual(self.ok("logs", "--since", third, "s1").split(), ["3", "4"])
        self.assertEqual(self.ok("logs", "--until", third, "s1").split(), ["1", "2", "3"])
        self.assertEqual(self.ok("logs", "--since", third, "--tail", "1", "s1"), "4")
        self.assertEqual(self.ok("logs", "--tail", "0", "s1"), "")
        self.assertEqual(self.ok("logs", "--since", "10m", "s1").split(), ["1", "2", "3", "4"])
        self.assertEqual(self.ok("logs", "--until", "10m", "s1"), "")

    def test_a_large_log(self):
        """200 MB: the end at once, a long part in flat memory, and the daemon answers meanwhile."""
        self.ok("run", "--name", "big", "busybox", "echo", "first")
        block = b"".join(b'{"log":"%s %06d\\n","stream":"stdout","time":"2026-01-02T03:04:05.%09dZ"}\n'
                         % (b"x" * 100, i, i) for i in range(10000))
        with open(self.inspect("big", "LogPath"), "ab") as f:
            for _ in range(200_000_000 // len(block)):
                f.write(block)
        times = []

        def tail():
            begin = time.monotonic()
            status, _, body = self.daemon.request("GET", "/containers/big/logs?stdout=1&tail=3")
            times.append(time.monotonic() - begin)
            self.assertEqual(status, 200)
            self.assertEqual(body.count(b"\n"), 3)
            return min(times) < 0.05
        # The whole file takes longer on any machine; on a loaded one some of the times are those of others.
        wait_until(tail, what="the end at once")
        print(f"tail 3 of 200 MB: {min(times) * 1000:.1f} ms", flush=True)

        def memory():
            with open(f"/proc/{self.daemon.process.pid}/status") as f:
                return int(re.search(r"VmRSS:\s+(\d+)", f.read()).group(1))
        before, size, worst, pings = memory(), 0, 0, []
        stream = Stream(self.daemon, "GET", "/containers/big/logs?stdout=1", upgrade=False)
        for n, piece in enumerate(stream.pieces()):
            size += len(piece)
            if n % 100 == 0:
                worst = max(worst, memory())
                begin = time.monotonic()
                self.daemon.request("GET", "/_ping")
                pings.append(time.monotonic() - begin)
            if size > 60_000_000:
                break
        stream.close()
        self.assertGreater(size, 60_000_000)
        print(f"60 MB of it: memory +{worst - before} kB, ping median "
              f"{sorted(pings)[len(pings) // 2] * 1000:.1f} ms", flush=True)
        self.assertLess(worst - before, 40_000)


class Defaults(unittest.TestCase):
    def test_the_daemons_log_driver(self):
        d = Daemon()
        self.addCleanup(d.close)
        with open(f"{d.scratch}/daemon.json", "w") as f:
            json.dump({"log-driver": "local", "log-opts": {"max-size": "1m", "max-file": "2"}}, f)
        d.start()
        d.import_busybox()
        self.assertEqual(d.docker("info", "-f", "{{.LoggingDriver}}").out.strip(), "local")
        shown = "{{.HostConfig.LogConfig.Type}} {{json .HostConfig.LogConfig.Config}}"
        for opts, expected in (((), 'local {"max-file":"2","max-size":"1m"}'),
                               (("--log-opt", "max-size=2m"), 'local {"max-file":"2","max-size":"2m"}'),
                               (("--log-driver", "json-file"), "json-file {}")):
            cid = d.docker("create", *opts, "busybox", "true").out.strip()
            self.assertEqual(d.docker("inspect", "-f", shown, cid).out.strip(), expected)
        self.assertEqual(d.docker("run", "--name", "x1", "busybox", "echo", "hi").out, "hi\n")
        self.assertEqual(d.docker("logs", "x1").out, "hi\n")

    def test_a_log_driver_that_is_none(self):
        d = Daemon(flags=("--log-driver", "paper"))
        self.addCleanup(d.close)
        d.start(wait=False)
        wait_until(lambda: d.process.poll() is not None, 15, "coracled ends")
        self.assertIn("no log driver named 'paper' is registered", d.log_tail())
        d.process = None


if __name__ == "__main__":
    main()
