"""The daemon goes and comes: its containers do not notice."""
import json
import os
import signal
import socket
import threading
import time
import urllib.request

from harness import Case, free_port, main, wait_until
from network_test import SERVER, get


class Restart(Case):
    def running(self, name, *command, flags=()):
        return self.ok("run", "-d", "--name", name, *flags, "busybox", *command)

    def both_ways(self):
        """Orderly and by kill -9."""
        for how in (signal.SIGTERM, signal.SIGKILL):
            with self.subTest(how=how.name):
                yield how
                self.tearDown()

    def test_containers_run_on_and_are_listed(self):
        for how in self.both_ways():
            self.running("on", "sh", "-c", "while :; do date +%s%N > /tick; sleep 0.05; done")
            pid = self.inspect("on", "State.Pid")
            started = self.inspect("on", "State.StartedAt")
            self.daemon.stop(how)
            os.kill(pid, 0) if os.access(f"/proc/{pid}", os.F_OK) else self.fail("it has ended")
            self.daemon.start()
            self.assertEqual(self.inspect("on", "State.Pid"), pid)
            self.assertEqual(self.inspect("on", "State.StartedAt"), started)
            self.assertEqual(self.ok("exec", "on", "echo", "exec works"), "exec works")
            self.ok("stop", "-t", "0", "on")
            self.assertEqual(self.inspect("on", "State.ExitCode"), 137)

    def test_the_log_has_no_gap(self):
        for how in self.both_ways():
            self.running("log", "sh", "-c",
                         "i=0; while [ $i -lt 3000 ]; do echo $i; i=$((i+1)); "
                         "[ $((i % 100)) = 0 ] && sleep 0.1; done; exit 0")
            time.sleep(0.3)
            self.daemon.stop(how)
            time.sleep(0.5)
            self.daemon.start()
            self.assertEqual(self.ok("wait", "log"), "0")
            self.assertEqual(self.ok("logs", "log").split("\n"), [str(i) for i in range(3000)])

    def test_what_ended_meanwhile_has_its_true_code_and_time(self):
        for how in self.both_ways():
            self.running("ends", "sh", "-c", "sleep 1; exit 7")
            self.daemon.stop(how)
            time.sleep(1.5)
            before = time.time()
            time.sleep(0.5)
            self.daemon.start()
            state = self.inspect("ends", "State")
            self.assertEqual((state["Status"], state["ExitCode"]), ("exited", 7))
            from datetime import datetime
            finished = datetime.fromisoformat(state["FinishedAt"][:19] + "+00:00").timestamp()
            self.assertLess(finished, before + 0.1)
            self.assertEqual(self.ok("wait", "ends"), "7")

    def test_wait_after_the_restart_tells_the_truth(self):
        self.running("w1", "sh", "-c", "sleep 2; exit 5")
        self.daemon.kill()
        self.daemon.start()
        self.assertEqual(self.ok("wait", "w1"), "5")

    def test_an_attached_client_does_not_notice(self):
        """Its connection belongs to the container's monitor."""
        p = self.daemon.popen("run", "-i", "--name", "att", "busybox", "sh", "-c",
                              "while read x; do echo got $x; done",
                              stdin=__import__("subprocess").PIPE)
        p.stdin.write(b"one\n")
        p.stdin.flush()
        self.assertEqual(p.stdout.readline(), b"got one\n")
        # The container may speak before its start is answered: a client that still waits for that notices, rightly.
        wait_until(lambda: self.inspect("att", "State.Status") == "running", 5, "it runs")
        time.sleep(0.5)
        self.daemon.kill()
        p.stdin.write(b"two\n")
        p.stdin.flush()
        self.assertEqual(p.stdout.readline(), b"got two\n")
        self.daemon.start()
        p.stdin.close()
        wait_until(lambda: self.inspect("att", "State.Status") == "exited", 5, "it ends at EOF")
        p.stdin = None
        p.communicate(timeout=10)

    def test_ports_answer_meanwhile(self):
        port = free_port()
        self.running("web", "sh", "-c", SERVER, flags=("-p", f"{port}:80"))
        wait_until(lambda: _try(port), 5, "it answers")
        failed, done = [], threading.Event()

        def ask():
            while not done.is_set():
                try:
                    get("127.0.0.1", port)
                except OSError as e:
                    failed.append(e)
                time.sleep(0.01)
        t = threading.Thread(target=ask)
        t.start()
        try:
            for how in (signal.SIGKILL, signal.SIGTERM):
                self.daemon.stop(how)
                time.sleep(1)
                self.daemon.start()
        finally:
            done.set()
            t.join()
        self.assertEqual(failed, [])
        self.ok("rm", "-f", "web")
        self.running("web", "sh", "-c", SERVER, flags=("-p", f"{port}:80"))
        wait_until(lambda: _try(port), 5, "the port can be published again")

    def test_netstack_killed_comes_back_with_its_ports(self):
        port = free_port()
        self.running("web", "sh", "-c", SERVER, flags=("-p", f"{port}:80"))
        wait_until(lambda: _try(port), 5, "it answers")
        netstack = [pid for pid, line in self.daemon.helpers() if "coracle-netstack" in line]
        self.assertEqual(len(netstack), 1)
        os.kill(netstack[0], signal.SIGKILL)
        wait_until(lambda: _try(port), 3, "it answers again")
        self.assertEqual(self.run_box("echo", "a new one"), "a new one")

    def test_a_killed_monitor_is_told_truly(self):
        whole = self.running("m1", "sleep", "1000")
        pid = self.inspect("m1", "State.Pid")
        waiter = self.daemon.popen("wait", "m1")
        time.sleep(0.2)
        with open(f"/proc/{pid}/status") as f:
            parent = int(next(line for line in f if line.startswith("PPid")).split()[1])
        os.kill(parent, signal.SIGKILL)
        wait_until(lambda: self.inspect("m1", "State.Status") == "exited", 2, "exited")
        out, _ = waiter.communicate(timeout=5)
        self.assertEqual(out, b"137\n")
        self.ok("rm", "m1")
        self.assertIn(state_of(pid), (None, "Z"))  # Z: this host's init has not reaped it yet

    def test_rm_during_autoremove_and_create_survive_a_kill(self):
        """Acknowledged is durable."""
        for i in range(5):
            whole = self.ok("create", "--name", f"dur{i}", "busybox", "true")
            self.daemon.kill()
            self.daemon.start()
            self.assertEqual(self.inspect(f"dur{i}", "Id"), whole)

    def test_a_damaged_state_file_costs_one_object(self):
        self.ok("create", "--name", "good", "busybox", "true")
        bad = self.ok("create", "--name", "bad", "busybox", "true")
        self.daemon.stop()
        with open(f"{self.daemon.data}/containers/{bad}/config.json", "w") as f:
            f.write("{ not json")
        self.daemon.start()
        names = self.ok("ps", "-a", "--format", "{{.Names}}")
        self.assertIn("good", names)
        self.assertIn("config.json", self.daemon.log_tail())
        self.ok("rm", bad)

    def test_starting_twice_is_refused(self):
        from harness import BIN
        import subprocess
        p = subprocess.run([f"{BIN}/coracled", "-H", f"unix://{self.daemon.socket}", "--data-root",
                            self.daemon.data, "--exec-root", self.daemon.exec], timeout=10,
                           capture_output=True, text=True)
        self.assertNotEqual(p.returncode, 0)
        self.assertIn("coracled", p.stderr)
        self.ok("version")


def state_of(pid):
    try:
        with open(f"/proc/{pid}/stat") as f:
            return f.read().rsplit(")", 1)[1].split()[0]
    except FileNotFoundError:
        return None


def _try(port):
    try:
        return get("127.0.0.1", port, timeout=1)
    except OSError:
        return None


if __name__ == "__main__":
    main()
