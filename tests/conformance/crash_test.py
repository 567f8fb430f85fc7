"""kill -9 of one process: the state is true at once, and the others are not touched."""
import json
import os
import signal
import time

from harness import Case, alive, main, wait_until

TICK = "while :; do date +%s%N > /tick; sleep 0.05; done"


class Crash(Case):
    def start(self, name, *command, flags=()):
        return self.ok("run", "-d", "--name", name, *flags, "busybox",
                       *(command or ("sh", "-c", TICK)))

    def monitor_of(self, whole):
        with open(f"{self.daemon.exec}/containers/{whole}/monitor.json") as f:
            return json.load(f)["monitor"]["pid"]

    def untouched(self, name):
        tick = lambda: self.docker("exec", name, "cat", "/tick").out
        before = wait_until(tick, what=f"{name} ticks")
        wait_until(lambda: tick() not in ("", before), what=f"{name} goes on")

    def test_the_first_process(self):
        self.start("other")
        self.start("victim", flags=("--label", "x=1"))
        waiter = self.daemon.popen("wait", "victim")
        time.sleep(0.3)  # so that it waits; where it comes too late it gets the same answer
        begin = f"{time.time():.6f}"
        os.kill(self.inspect("victim", "State.Pid"), signal.SIGKILL)
        wait_until(lambda: self.inspect("victim", "State.Status") == "exited", 5, "it has ended")
        state = self.inspect("victim", "State")
        self.assertEqual((state["ExitCode"], state["OOMKilled"], state["Pid"]), (137, False, 0))
        self.assertEqual(waiter.communicate(timeout=60)[0], b"137\n")
        told = lambda: self.ok("events", "--since", begin, "--until", f"{time.time():.6f}", "--filter",
                               "container=victim", "--filter", "type=container", "--format", "{{.Action}}").split()
        self.assertEqual(wait_until(told, what="its end is told"), ["die"])
        self.untouched("other")
        self.ok("start", "victim")
        self.untouched("victim")

    def test_the_first_process_while_the_daemon_is_away(self):
        whole = self.start("away")
        pid = self.inspect("away", "State.Pid")
        self.daemon.kill()
        os.kill(pid, signal.SIGKILL)
        self.daemon.wait_exit_written(whole)
        self.daemon.start()
        state = self.inspect("away", "State")
        self.assertEqual((state["Status"], state["ExitCode"]), ("exited", 137))

    def test_a_monitor_with_a_policy(self):
        self.start("other")
        whole = self.start("kept", flags=("--restart", "always"))
        first = self.inspect("kept", "State.Pid")
        os.kill(self.monitor_of(whole), signal.SIGKILL)
        wait_until(lambda: self.inspect("kept", "State.Pid") not in (0, first), 8, "it runs again")
        self.untouched("kept")
        self.assertEqual(self.inspect("kept", "RestartCount"), 1)
        self.untouched("other")

    def children(self):
        """{pid: (command line, state)} of the daemon's own children."""
        out = {}
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                with open(f"/proc/{pid}/stat") as f:
                    state, parent = f.read().rsplit(")", 1)[1].split()[:2]
                with open(f"/proc/{pid}/cmdline", "rb") as f:
                    line = f.read().replace(b"\0", b" ").decode(errors="replace")
            except OSError:
                continue
            if int(parent) == self.daemon.process.pid:
                out[int(pid)] = (line, state)
        return out

    def spawner(self):
        found = [pid for pid, (line, _) in self.children().items() if "--spawner" in line]
        return found[0] if len(found) == 1 else None

    def test_the_monitors_spawner(self):
        whole = self.start("other")
        first = self.spawner()
        self.assertIsNotNone(first, self.children())
        self.assertIn(self.monitor_of(whole), self.children())
        os.kill(first, signal.SIGKILL)
        self.untouched("other")
        self.assertEqual(self.run_box("echo", "without it"), "without it")
        self.assertEqual(self.run_box("echo", "and anew"), "and anew")
        second = self.spawner()
        self.assertNotIn(second, (None, first), self.children())
        wait_until(lambda: "Z" not in [state for _, state in self.children().values()], 5, "all are reaped")
        self.daemon.kill()
        wait_until(lambda: not alive(second), what="it has ended with the daemon")
        self.daemon.start()
        self.untouched("other")

    def test_the_daemon_again_and_again(self):
        self.start("other")
        pid = self.inspect("other", "State.Pid")
        for _ in range(4):
            self.daemon.kill()
            self.daemon.start()
        self.assertEqual(self.inspect("other", "State.Pid"), pid)
        self.untouched("other")


if __name__ == "__main__":
    main()
