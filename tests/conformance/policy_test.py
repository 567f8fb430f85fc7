"""Restart policies: while the daemon runs, over its restart, after a reboot."""
import json
import os
import shutil
import signal
import tempfile
import time

from harness import Case, alive, main, wait_until
from streams import Stream

# Ends with the code that /code holds once /go is there; at each start it notes so.
STEERED = ("sh", "-c", "echo run >> /runs; while ! test -e /go; do sleep 0.02; done; rm /go; "
           "exit $(cat /code 2>/dev/null || echo 1)")


def kill_all(daemon):
    """As a power cut: the daemon, its helpers, the monitors and the containers end at once."""
    pids = []
    for folder, _, files in os.walk(daemon.exec):
        for name in files:
            if name in ("monitor.json", "keeper.json", "netstack.json"):
                with open(f"{folder}/{name}") as f:
                    text = json.load(f)
                for key in ("identity", "monitor", "init"):
                    if isinstance(text.get(key), dict):
                        pids.append(text[key]["pid"])
                if "pid" in text:
                    pids.append(text["pid"])
    daemon.kill()
    for pid in filter(None, pids):
        try:
            os.kill(pid, signal.SIGKILL)
        except OSError:
            pass
    wait_until(lambda: not daemon.helpers(), what="the helpers end")
    wait_until(lambda: not any(map(alive, filter(None, pids))), what="all have ended")
    shutil.rmtree(daemon.exec)


class Policy(Case):
    def start(self, name, policy, *command):
        return self.ok("run", "-d", "--name", name, "--restart", policy, "busybox",
                       *(command or STEERED))

    def state(self, name):
        return self.inspect(name, "State")

    def is_status(self, name, status, seconds=8):
        wait_until(lambda: self.state(name)["Status"] == status, seconds, f"{name} is {status}")

    def come_to(self, name, since, expected):
        """Its actions, once there are as many: some are told behind the state that inspect shows."""
        wait_until(lambda: len(self.actions(name, since)) >= len(expected), what=f"{expected} of {name}")
        self.assertEqual(self.actions(name, since), expected)

    def restarting(self, name, act):
        """What act answers while the container waits for its next start, from before until after it."""
        def once():
            before, answer, after = self.inspect(name), act(), self.inspect(name)
            if (before["State"]["Status"] == after["State"]["Status"] == "restarting"
                    and before["RestartCount"] == after["RestartCount"]):
                return [answer]
            self.docker("unpause", name)  # should it have run just then
            return None
        return wait_until(once, 120, f"{name} is restarting")[0]

    def actions(self, name, since):
        out = self.ok("events", "--since", since, "--until", f"{time.time():.6f}", "--filter",
                      "type=container", "--filter", f"container={name}", "--format",
                      "{{.Action}}")
        return [a for a in out.split("\n") if a and not a.startswith(("exec_", "resize"))]

    def end(self, name, code):
        self.docker("exec", name, "sh", "-c", f"echo {code} > /code; touch /go")  # its code: it may be ended with all

    def test_always_starts_again_whatever_the_code(self):
        self.start("a1", "always")
        begin = f"{time.time():.6f}"
        for count, code in ((1, 0), (2, 7)):
            first = self.state("a1")["StartedAt"]
            self.end("a1", code)
            wait_until(lambda: self.state("a1")["StartedAt"] != first
                       and self.state("a1")["Status"] == "running", 8, "it runs again")
            self.assertEqual(self.inspect("a1", "RestartCount"), count)
        self.come_to("a1", begin, ["die", "start", "die", "start"])
        self.ok("stop", "-t", "0", "a1")
        self.assertEqual(self.state("a1")["Status"], "exited")
        self.ok("start", "a1")
        self.assertEqual(self.inspect("a1", "RestartCount"), 0)

    def test_on_failure_counts_and_zero_is_no_failure(self):
        begin = f"{time.time():.6f}"
        self.start("f1", "on-failure:2", "sh", "-c", "exit 3")
        self.come_to("f1", begin, ["create", "start"] + ["die", "start"] * 2 + ["die"])
        self.is_status("f1", "exited")
        self.assertEqual((self.inspect("f1", "RestartCount"), self.state("f1")["ExitCode"]),
                         (2, 3))
        self.start("f2", "on-failure", "true")
        self.is_status("f2", "exited")
        self.assertEqual(self.inspect("f2", "RestartCount"), 0)

    def test_the_delay_grows_and_stop_ends_it(self):
        self.start("b1", "always", "false")
        wait_until(lambda: self.inspect("b1", "RestartCount") >= 5, what="five restarts")
        state = self.restarting("b1", lambda: self.state("b1"))
        self.assertEqual((state["Restarting"], state["Running"], state["ExitCode"]),
                         (True, True, 1))
        status = self.restarting("b1", lambda: self.ok("ps", "--filter", "name=b1", "--format", "{{.Status}}"))
        self.assertRegex(status, r"^Restarting \(1\) .* ago$")
        for what, text in (("pause", "is restarting, wait until the container is running"),
                           ("rm", "container is restarting: stop the container before removing")):
            r = self.restarting("b1", lambda what=what: self.docker(what, "b1"))
            self.assertEqual(r.code, 1, r)
            self.assertIn(text, r.err)
        self.assertEqual(self.restarting("b1", lambda: self.daemon.request("POST", "/containers/b1/start")[0]), 304)
        waiter = self.daemon.popen("wait", "b1")
        # Directly behind a restart there is the most time until the next one.
        count = self.inspect("b1", "RestartCount")
        wait_until(lambda: self.inspect("b1", "RestartCount") > count, 120, "one more")
        self.is_status("b1", "restarting")
        begin = f"{time.time():.6f}"
        self.ok("stop", "b1")
        self.assertEqual(self.state("b1")["Status"], "exited")
        self.assertEqual(waiter.communicate(timeout=60)[0], b"1\n")
        self.assertEqual(self.actions("b1", begin), ["stop"])
        time.sleep(0.3)  # for a start all the same; nothing is awaited
        self.assertEqual(self.state("b1")["Status"], "exited")

    def test_wait_answers_at_each_end(self):
        self.start("w1", "always")
        waiter = Stream(self.daemon, "POST", "/containers/w1/wait", upgrade=False)  # its head says that it waits
        self.end("w1", 6)
        answer = b""
        for piece in waiter.pieces():
            answer += piece
            if b"}" in answer:
                break
        waiter.close()
        self.assertEqual(json.loads(answer)["StatusCode"], 6)

    def test_kill_and_rm_end_it(self):
        self.start("k1", "always")
        self.ok("kill", "k1")
        self.is_status("k1", "exited")
        time.sleep(0.3)  # for a start all the same; nothing is awaited
        self.assertEqual(self.state("k1")["Status"], "exited")
        self.start("k2", "always", "false")
        self.is_status("k2", "restarting")
        self.ok("rm", "-f", "k2")
        self.assertIn("No such", self.fails(1, "inspect", "k2"))

    def test_restart_is_no_policys_restart(self):
        self.start("r1", "always")
        begin = f"{time.time():.6f}"
        self.ok("restart", "-t", "0", "r1")
        self.assertEqual(self.inspect("r1", "RestartCount"), 0)
        self.come_to("r1", begin, ["kill", "kill", "die", "stop", "start", "restart"])

    def test_a_deadline_survives_the_daemon(self):
        for how in (signal.SIGKILL, signal.SIGTERM):
            self.start("d1", "always", "false")
            wait_until(lambda: self.inspect("d1", "RestartCount") >= 4, 15, "four restarts")
            self.daemon.stop(how)
            self.daemon.start()
            count = self.inspect("d1", "RestartCount")
            wait_until(lambda: self.inspect("d1", "RestartCount") > count, 15, "it goes on")
            self.ok("rm", "-f", "d1")

    def test_what_ended_meanwhile_is_judged_by_its_code(self):
        wait = "while [ ! -e /ctl/go ]; do sleep 0.02; done; "
        for how in (signal.SIGKILL, signal.SIGTERM):
            with self.subTest(how=how.name):
                folder = tempfile.mkdtemp(dir=self.daemon.scratch)
                steered = lambda name, script: self.ok("run", "-d", "--name", name, "--restart", "on-failure", "-v",
                                                       f"{folder}:/ctl", "busybox", "sh", "-c", script)
                ended = [steered("zero", wait + "exit 0"),
                         steered("three", "echo x >> /n; test $(wc -l < /n) -gt 1 && exec sleep 1000; "
                                 + wait + "exit 3")]
                self.start("unless", "unless-stopped", "sleep", "1000")
                self.start("always", "always", "sleep", "1000")
                self.ok("stop", "-t", "0", "unless", "always")
                self.daemon.stop(how)
                open(f"{folder}/go", "w").close()
                for whole in ended:
                    self.daemon.wait_exit_written(whole)
                self.daemon.start()
                self.is_status("three", "running")
                self.assertEqual(self.inspect("three", "RestartCount"), 1)
                self.is_status("always", "running")  # it means at each start of the daemon too
                self.assertEqual(self.state("zero")["Status"], "exited")
                self.assertEqual(self.state("zero")["ExitCode"], 0)
                self.assertEqual(self.state("unless")["Status"], "exited")
                self.tearDown()

    def test_after_a_reboot(self):
        for name, policy in (("always", "always"), ("unless", "unless-stopped"),
                             ("failing", "on-failure"), ("stopped", "unless-stopped"),
                             ("never", "no"), ("frozen", "always")):
            self.start(name, policy, "sleep", "1000")
        self.ok("stop", "-t", "0", "stopped")
        self.ok("pause", "frozen")
        self.start("backoff", "always", "false")
        wait_until(lambda: self.inspect("backoff", "RestartCount") >= 4, 15, "four restarts")
        kill_all(self.daemon)
        self.daemon.start()
        for name in ("always", "unless", "failing", "frozen"):
            self.is_status(name, "running")
            self.assertEqual(self.ok("exec", name, "echo", "here"), "here")
        self.assertEqual(self.state("stopped")["Status"], "exited")
        never = self.state("never")
        self.assertEqual((never["Status"], never["ExitCode"]), ("exited", 255))
        self.assertIn("restarted", never["Error"])
        wait_until(lambda: self.inspect("backoff", "RestartCount") >= 5, 15, "its turn comes")

    def test_invalid_policies(self):
        for policy, text in (("sometimes", "invalid restart policy"),
                             ({"Name": "always", "MaximumRetryCount": 3},
                              "maximum retry count can only be used with 'on-failure'")):
            body = policy if isinstance(policy, dict) else {"Name": policy}
            status, _, answer = self.daemon.request("POST", "/containers/create", {
                "Image": "busybox", "HostConfig": {"RestartPolicy": body}})
            self.assertEqual(status, 400)
            self.assertIn(text, answer["message"])
        status, _, answer = self.daemon.request("POST", "/containers/create", {
            "Image": "busybox", "HostConfig": {"AutoRemove": True,
                                               "RestartPolicy": {"Name": "always"}}})
        self.assertEqual((status, answer["message"]),
                         (400, "can't create 'AutoRemove' container with restart policy"))


if __name__ == "__main__":
    main()
