"""kill -9 of coracle-keeper, alone and together with others: another one takes over the namespaces that live on, and
containers, old and new, have their network, as long as one container or the daemon lives."""
import json
import os
import re
import signal
import socket
import subprocess
import time

from harness import Case, free_port, main, wait_until


def fetch(port, host="127.0.0.1", seconds=60):
    return subprocess.run(["curl", "-s", "-m", str(seconds), f"http://{host}:{port}/"], capture_output=True,
                          text=True).stdout


def try_fetch(port):
    """For those who ask again: a connection that was lost with netstack is not waited for."""
    return fetch(port, seconds=5)


class Keeper(Case):
    def identity(self, name):
        with open(f"{self.daemon.exec}/{name}.json") as f:
            record = json.load(f)
        return record.get("identity", record)

    def pid(self, name):
        return self.identity(name)["pid"]

    def kill(self, *names):
        """By the identities, all at once; answers them."""
        who = [self.identity(name) for name in names]
        for one in who:
            os.kill(one["pid"], signal.SIGKILL)
        return who

    def replaced(self, old):
        def another():
            try:
                new = self.identity("keeper")
            except (OSError, ValueError):
                return False
            return new != old and os.path.exists(f"/proc/{new['pid']}") and os.path.exists(
                f"{self.daemon.exec}/keeper.sock")
        wait_until(another, 5, "another keeper is there")
        # Published before netstack and the endpoints are looked at: a container waits for those.
        self.run_box("true")

    def web(self, name, *flags):
        """A container that serves its name, and its facts."""
        self.ok("run", "-d", "--name", name, *flags, "busybox", "sh", "-c",
                f"echo {name} > index.html; httpd -p 80; echo serving; while :; do sleep 1000; done")
        self.says(name, "serving")
        state = self.inspect(name)
        return {"pid": state["State"]["Pid"], "started": state["State"]["StartedAt"],
                "address": state["NetworkSettings"]["Networks"]["bridge"]["IPAddress"],
                "mac": state["NetworkSettings"]["Networks"]["bridge"]["MacAddress"]}

    def port_of(self, name, inside=80):
        return int(self.ok("port", name, str(inside)).splitlines()[0].rsplit(":", 1)[1])

    def user_namespace(self, name):
        return os.readlink(f"/proc/{self.inspect(name, 'State.Pid')}/ns/user")

    def all_is_well(self, name, facts, ports):
        """The container is the same one; it is reached, reaches out and is seen by a new one, which it sees."""
        state = self.inspect(name)
        self.assertEqual((state["State"]["Pid"], state["State"]["StartedAt"], state["State"]["Error"]),
                         (facts["pid"], facts["started"], ""))
        for port in ports:
            wait_until(lambda: try_fetch(port) == f"{name}\n", 5, f"port {port} answers")
        self.assertEqual(self.ok("exec", name, "cat", "index.html"), name)
        with Outside() as outside:
            self.assertEqual(self.ok("exec", name, "timeout", "60", "wget", "-qO-",
                                     outside.url(self.gateway())),
                             "outside")
        new = self.web("new", "-P", "--expose", "80")
        self.assertNotEqual(new["address"], facts["address"])
        for one, other, answer in ((name, new["address"], "new"), ("new", facts["address"], name)):
            self.assertEqual(self.ok("exec", one, "timeout", "60", "wget", "-qO-", f"http://{other}/"), answer)
        self.assertEqual(fetch(self.port_of("new")), "new\n")
        self.assertEqual(self.user_namespace("new"), self.user_namespace(name))
        self.ok("rm", "-f", "new")
        self.assertEqual([w for w in self.daemon.request("GET", "/info")[2]["Warnings"]
                          if "keeper" in w or "network is lost" in w], [])

    def gateway(self):
        return json.loads(self.ok("network", "inspect", "bridge"))[0]["IPAM"]["Config"][0]["Gateway"]

    def test_alone_nobody_notices(self):
        port = free_port()
        facts = self.web("web", "-p", f"127.0.0.1:{port}:80", "-p", "80")
        ports = [port, self.port_of("web")]
        wait_until(lambda: try_fetch(port) == "web\n", 5, "it answers")
        stream = self.daemon.popen("exec", "web", "sh", "-c", "nc -l -p 9 & sleep 1000")
        netstack = self.identity("netstack")
        for _ in range(3):
            old, = self.kill("keeper")
            self.assertEqual(fetch(port), "web\n")  # netstack lives: not even a moment is missed
            self.replaced(old)
            self.all_is_well("web", facts, ports)
        self.assertEqual(self.identity("netstack"), netstack)
        self.assertIsNone(stream.poll())
        stream.kill()
        stream.communicate()
        # The new vault has everything: a crash of netstack costs no port.
        self.kill("netstack")
        wait_until(lambda: try_fetch(port) == "web\n", 5, "it answers")
        self.assertNotEqual(self.identity("netstack"), netstack)
        self.all_is_well("web", facts, ports)

    def test_with_netstack(self):
        """What both knew is lost, and comes from the daemon: the address, the MAC, the very ports."""
        port, udp = free_port(), free_port()
        facts = self.web("web", "-p", f"127.0.0.1:{port}:80", "-p", "80", "-p", f"127.0.0.1:{udp}:9/udp")
        self.ok("run", "-d", "--name", "alone", "--network", "none", "busybox", "sleep", "1000")
        ports = [port, self.port_of("web")]
        for order in (("keeper", "netstack"), ("netstack", "keeper")):
            old = dict(zip(order, self.kill(*order)))
            self.replaced(old["keeper"])
            self.all_is_well("web", facts, ports)
            self.assertIn(facts["mac"], self.ok("exec", "web", "cat", "/sys/class/net/eth0/address"))
            self.assertEqual(self.port_of("web"), ports[1])
        self.assertEqual(self.inspect("alone", "State.Error"), "")
        self.assertIn("already allocated", self.fails(125, "run", "--rm", "-p", f"127.0.0.1:{port}:80", "busybox", "true"))
        self.ok("rm", "-f", "web")
        self.web("next", "-p", f"127.0.0.1:{port}:80")
        wait_until(lambda: try_fetch(port) == "next\n", 5, "the port is free for the next one")

    def test_with_the_daemon(self):
        for others in ((), ("netstack",)):
            with self.subTest(others=others):
                port = free_port()
                facts = self.web("web", "-p", f"127.0.0.1:{port}:80", "-p", "80")
                ports = [port, self.port_of("web")]
                where = self.user_namespace("web")
                self.daemon.kill()
                self.kill("keeper", *others)
                if not others:
                    self.assertEqual(fetch(port), "web\n")  # netstack goes on for those who live
                self.daemon.start()
                self.all_is_well("web", facts, ports)
                self.assertEqual(self.user_namespace("web"), where)
                self.assertEqual(os.readlink(f"/proc/{self.daemon.process.pid}/ns/user"), where)
                self.ok("rm", "-f", "web")

    def test_the_daemon_after_the_keeper_was_replaced(self):
        facts = self.web("web", "-p", "80")
        old, = self.kill("keeper")
        self.replaced(old)
        new = self.identity("keeper")
        for how in (signal.SIGKILL, signal.SIGTERM):
            self.daemon.stop(how)
            self.daemon.start()
            self.all_is_well("web", facts, [self.port_of("web")])
        self.assertEqual(self.identity("keeper"), new)

    def test_again_and_again(self):
        """Also while the last one's end is being dealt with."""
        facts = self.web("web", "-p", "80")
        port = self.port_of("web")
        for number, pause in enumerate((0, 0.01, 0.03, 0.06, 0.1, 0.2, 0.4) * 2):
            for name in ("keeper", "netstack") if number % 3 == 0 else ("keeper",):
                try:
                    self.kill(name)
                except (OSError, ValueError):
                    pass  # it is dead already
            time.sleep(pause)  # chance: whatever the last one's successor is doing by then
        wait_until(lambda: try_fetch(port) == "web\n", 20, "the port answers")
        wait_until(lambda: not [w for w in self.daemon.request("GET", "/info")[2]["Warnings"] if "keeper" in w], 20,
                   "there is a keeper")
        self.all_is_well("web", facts, [port])

    def test_starts_that_are_under_way(self):
        """Netstack does not answer them any more: what the next one gives them is nobody else's."""
        facts = self.web("web", "-p", "80")
        port = self.port_of("web")
        os.kill(self.pid("netstack"), signal.SIGSTOP)
        names = [f"s{i}" for i in range(4)]
        under_way = [self.daemon.popen("run", "-d", "--name", name, "-p", "80", "busybox", "sh", "-c",
                                       f"echo {name} > index.html; httpd -f -p 80") for name in names]
        time.sleep(0.5)  # for them to come as far as netstack; all of this holds wherever they are
        old, _ = self.kill("keeper", "netstack")
        self.replaced(old)
        for p in under_way:
            out, err = p.communicate(timeout=60)
            self.assertEqual(p.returncode, 0, err)
        self.all_is_well("web", facts, [port])
        addresses = [self.inspect(name, "NetworkSettings.Networks.bridge.IPAddress") for name in names]
        self.assertEqual(len({*addresses, facts["address"]}), 5)
        for name in names:
            wait_until(lambda: try_fetch(self.port_of(name)) == f"{name}\n", 5, f"{name} answers")

    def test_the_socket_inside(self):
        self.ok("run", "-d", "--name", "guest", "-v", "/var/run/docker.sock:/var/run/docker.sock", "busybox", "sleep",
                "1000")
        path = f"/proc/{self.inspect('guest', 'State.Pid')}/root/var/run/docker.sock"

        def ask():
            with socket.socket(socket.AF_UNIX) as s:
                s.settimeout(60)
                s.connect(path)
                s.sendall(b"GET /_ping HTTP/1.0\r\n\r\n")
                return s.makefile("rb").read()
        self.assertIn(b"OK", ask())
        old, = self.kill("keeper")
        self.replaced(old)
        self.assertIn(b"OK", ask())

    def test_one_that_cannot_start_is_told_and_tried_again(self):
        """A folder has the name of its socket: a keeper cannot publish itself."""
        facts = self.web("web", "-p", "80")
        port = self.port_of("web")
        path = f"{self.daemon.exec}/keeper.sock"
        old = self.identity("keeper")
        os.kill(old["pid"], signal.SIGSTOP)
        os.rename(path, f"{path}.away")
        os.mkdir(path)
        self.addCleanup(lambda: os.path.isdir(path) and os.rmdir(path))
        os.kill(old["pid"], signal.SIGKILL)
        told = lambda: [w for w in self.daemon.request("GET", "/info")[2]["Warnings"] if "coracle-keeper has ended" in w]
        wait_until(told, 5, "/info says so")
        wait_until(lambda: "keeper not replaced, tried again" in self.daemon.log_tail(), 5, "the log too")
        self.assertEqual(fetch(port), "web\n")
        os.rmdir(path)
        wait_until(lambda: not told(), 10, "it is there again")
        self.all_is_well("web", facts, [port])

    def test_nothing_is_left(self):
        self.web("web", "-p", "80")
        old, = self.kill("keeper")
        self.replaced(old)
        self.ok("rm", "-f", "web")
        self.daemon.stop()
        wait_until(lambda: not self.daemon.helpers(), 10, "all have ended")
        left = set(os.listdir(self.daemon.exec)) - {"containers", "coracled.lock", "keeper.lock", "keeper.log",
                                                    "netstack.log"}
        self.assertEqual(left, set())  # who makes a file removes it before the end
        # Also when nobody lived who could have done it in order.
        self.daemon.start()
        self.web("web", "-p", "80")
        with open(f"/proc/{self.inspect('web', 'State.Pid')}/status") as f:
            monitor = re.search(r"PPid:\s+(\d+)", f.read())[1]
        self.daemon.kill()
        self.kill("keeper")
        os.kill(int(monitor), signal.SIGKILL)
        wait_until(lambda: not self.daemon.helpers(), 10, "netstack ends with the last monitor")
        self.daemon.start()
        self.assertEqual(self.run_box("echo", "works"), "works")


class Outside:
    """A server on the host, which containers reach by the gateway's address."""

    def __enter__(self):
        import http.server
        import threading

        class Answer(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                self.send_response(200)
                self.end_headers()
                self.wfile.write(b"outside")

            def log_message(self, *_):
                pass
        self.server = http.server.ThreadingHTTPServer(("0.0.0.0", 0), Answer)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()

    def url(self, host):
        return f"http://{host}:{self.server.server_address[1]}/"


if __name__ == "__main__":
    main()
