"""The daemon goes and comes: its containers do not notice."""
import datetime
import os
import signal
import subprocess
import tempfile
import threading
import time

from harness import BIN, Case, alive, free_port, main, wait_until
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
            self.says("log", "100")  # it speaks before, while, and after the daemon is away
            self.daemon.stop(how)
            time.sleep(0.5)
            self.daemon.start()
            self.assertEqual(self.ok("wait", "log"), "0")
            self.assertEqual(self.ok("logs", "log").split("\n"), [str(i) for i in range(3000)])

    def test_what_ended_meanwhile_has_its_true_code_and_time(self):
        for how in self.both_ways():
            folder = tempfile.mkdtemp(dir=self.daemon.scratch)
            whole = self.running("ends", "sh", "-c", "while [ ! -e /ctl/go ]; do sleep 0.02; done; exit 7",
                                 flags=("-v", f"{folder}:/ctl"))
            self.daemon.stop(how)
            open(f"{folder}/go", "w").close()
            self.daemon.wait_exit_written(whole)
            before = time.time()
            self.daemon.start()
            state = self.inspect("ends", "State")
            self.assertEqual((state["Status"], state["ExitCode"]), ("exited", 7))
            finished = datetime.datetime.fromisoformat(state["FinishedAt"]).timestamp()
            self.assertLess(finished, before)  # when it was, not when the daemon heard of it
            self.assertEqual(self.ok("wait", "ends"), "7")

    def test_wait_after_the_restart_tells_the_truth(self):
        self.running("w1", "sh", "-c", "sleep 2; exit 5")
        self.daemon.kill()
        self.daemon.start()
        self.assertEqual(self.ok("wait", "w1"), "5")

    def test_an_attached_client_does_not_notice(self):
        """Its connection belongs to the container's monitor."""
        # The container may speak before its start is answered: a client that still waits for that notices, rightly. So
        # the start's answer is waited for, and the client that is attached begins behind it.
        self.ok("create", "-i", "--name", "att", "busybox", "sh", "-c", "while read x; do echo got $x; done")
        self.ok("start", "att")
        p = self.daemon.popen("attach", "att", stdin=subprocess.PIPE)
        p.stdin.write(b"one\n")
        p.stdin.flush()
        self.assertEqual(p.stdout.readline(), b"got one\n")
        self.daemon.kill()
        p.stdin.write(b"two\n")
        p.stdin.flush()
        self.assertEqual(p.stdout.readline(), b"got two\n")
        self.daemon.start()
        p.stdin.close()
        wait_until(lambda: self.inspect("att", "State.Status") == "exited", 5, "it ends at EOF")
        p.stdin = None
        p.communicate(timeout=60)

    def test_ports_answer_meanwhile(self):
        port = free_port()
        self.running("web", "sh", "-c", SERVER, flags=("-p", f"{port}:80"))
        wait_until(lambda: _try(port), 5, "it answers")
        failed, done = [], threading.Event()
        answered = 0

        def ask():
            while not done.is_set():
                nonlocal answered
                try:
                    get("127.0.0.1", port)
                    answered += 1
                except OSError as e:
                    failed.append(e)
                time.sleep(0.01)
        t = threading.Thread(target=ask)
        t.start()
        try:
            for how in (signal.SIGKILL, signal.SIGTERM):
                self.daemon.stop(how)
                enough = answered + 20
                wait_until(lambda: answered >= enough or failed, what="answers while there is no daemon")
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
        time.sleep(0.2)  # so that it waits; where it comes too late it gets the same answer
        with open(f"/proc/{pid}/status") as f:
            parent = int(next(line for line in f if line.startswith("PPid")).split()[1])
        os.kill(parent, signal.SIGKILL)
        wait_until(lambda: self.inspect("m1", "State.Status") == "exited", 2, "exited")
        out, _ = waiter.communicate(timeout=60)
        self.assertEqual(out, b"137\n")
        self.ok("rm", "m1")
        wait_until(lambda: not alive(pid), what="its process has ended")

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
        p = subprocess.run([f"{BIN}/coracled", "-H", f"unix://{self.daemon.socket}", "--data-root",
                            self.daemon.data, "--exec-root", self.daemon.exec], timeout=60,
                           capture_output=True, text=True)
        self.assertNotEqual(p.returncode, 0)
        self.assertIn("coracled", p.stderr)
        self.ok("version")


def _try(port):
    try:
        return get("127.0.0.1", port, timeout=5)
    except OSError:
        return None


if __name__ == "__main__":
    main()
