"""The default bridge, published ports with the client's own address, host, none, DNS, egress."""
import hashlib
import json
import os
import socket
import threading
import urllib.request

from harness import Case, free_port, host_address, main, wait_until


def get(host, port, path="/", timeout=60):
    with urllib.request.urlopen(f"http://{host}:{port}{path}", timeout=timeout) as r:
        return r.read().decode()


SERVER = "mkdir -p /www && echo served > /www/index.html && exec httpd -f -vv -p 80 -h /www"


class Network(Case):
    def serve(self, name, *flags):
        self.ok("run", "-d", "--name", name, *flags, "busybox", "sh", "-c", SERVER)
        self.listens(name, 80)

    def reach(self, host, port):
        def once():
            try:
                return get(host, port, timeout=5)
            except OSError:
                return None
        return wait_until(once, 5, f"{host}:{port} answers")

    def test_published_port(self):
        port = free_port()
        self.serve("web", "-p", f"{port}:80")
        self.assertEqual(self.reach("127.0.0.1", port), "served\n")
        self.assertIn(f"0.0.0.0:{port}", self.ok("port", "web", "80"))
        self.assertIn(f"0.0.0.0:{port}->80/tcp", self.ok("ps", "--format", "{{.Ports}}"))

    def test_the_server_sees_the_clients_address(self):
        address = host_address()
        if address is None:
            self.skipTest("this host has no address but loopback")
        port = free_port()
        self.serve("web", "-p", f"{port}:80")
        self.assertEqual(self.reach(address, port), "served\n")
        wait_until(lambda: address in self.docker("logs", "web").err
                   + self.docker("logs", "web").out, 5, f"{address} stands in the log")
        # A client on loopback is seen as the bridge's gateway.
        get("127.0.0.1", port)
        gateway = self.inspect("web", "NetworkSettings.Networks.bridge.Gateway")
        wait_until(lambda: gateway in self.docker("logs", "web").err, 5, "the gateway in the log")

    def test_random_ports_and_publish_all(self):
        self.serve("any", "-p", "80")
        port = int(self.ok("port", "any", "80").split("\n")[0].rsplit(":", 1)[1])
        self.assertEqual(self.reach("127.0.0.1", port), "served\n")
        self.serve("all", "-P", "--expose", "80")
        port = int(self.ok("port", "all", "80").split("\n")[0].rsplit(":", 1)[1])
        self.assertEqual(self.reach("127.0.0.1", port), "served\n")

    def test_ranges_and_one_host_address(self):
        base = free_port()
        self.serve("range", "-p", f"{base}-{base + 5}:80")
        port = int(self.ok("port", "range", "80").split("\n")[0].rsplit(":", 1)[1])
        self.assertIn(port, range(base, base + 6))
        port = free_port()
        self.serve("one", "-p", f"127.0.0.1:{port}:80")
        self.assertEqual(self.reach("127.0.0.1", port), "served\n")
        address = host_address()
        if address:
            with self.assertRaises(ConnectionRefusedError):
                socket.create_connection((address, port), timeout=60)

    def test_a_taken_port_has_dockers_text(self):
        port = free_port()
        self.serve("first", "-p", f"{port}:80")
        err = self.fails(125, "run", "-d", "--name", "second", "-p", f"{port}:80", "busybox", "true")
        self.assertIn("port is already allocated", err)
        self.assertIn(f"{port}", err)
        with socket.socket() as s:
            s.bind(("0.0.0.0", 0))
            s.listen()
            err = self.fails(125, "run", "-d", "-p", f"{s.getsockname()[1]}:80", "busybox", "true")
            self.assertIn("address already in use", err)

    def test_a_port_is_free_again_after_rm(self):
        port = free_port()
        for i in range(5):
            self.serve("again", "-p", f"{port}:80")
            self.assertEqual(self.reach("127.0.0.1", port), "served\n")
            self.ok("rm", "-f", "again")

    def test_half_close_and_bulk(self):
        port = free_port()
        self.ok("run", "-d", "--name", "sum", "-p", f"{port}:9", "busybox", "sh", "-c",
                "nc -l -p 9 | md5sum; echo end")
        data = os.urandom(1 << 20) * 16

        self.listens("sum", 9)
        with socket.create_connection(("127.0.0.1", port), timeout=60) as s:
            s.sendall(data)
            s.shutdown(socket.SHUT_WR)
            s.recv(1)
        expected = hashlib.md5(data).hexdigest()
        wait_until(lambda: expected in self.ok("logs", "sum"), 10, "16 MiB arrive unchanged")

    def test_containers_reach_each_other(self):
        self.serve("web")
        address = self.inspect("web", "NetworkSettings.Networks.bridge.IPAddress")
        self.assertRegex(address, r"^172\.\d+\.")
        self.assertEqual(self.run_box("--", "wget", "-qO-", f"http://{address}"), "served")
        gateway = self.inspect("web", "NetworkSettings.Networks.bridge.Gateway")
        self.assertIn("1 packets received", self.run_box("--", "ping", "-c", "1", "-W", "60", gateway))

    def test_mtu(self):
        self.assertEqual(self.run_box("--", "cat", "/sys/class/net/eth0/mtu"), "65520")

    def test_egress(self):
        address = host_address()
        if address is None:
            self.skipTest("this host has no address but loopback")
        with socket.socket() as s:
            s.bind((address, 0))
            s.listen(8)
            port = s.getsockname()[1]

            def answer():
                c, _ = s.accept()
                c.sendall(b"from the host\n")
                c.close()
            t = threading.Thread(target=answer, daemon=True)
            t.start()
            self.assertEqual(self.run_box("--", "nc", "-w", "60", address, str(port)),
                             "from the host")
            t.join(5)
        # Refused looks refused.
        r = self.docker("run", "--rm", "busybox", "nc", "-w", "60", address, str(port))
        self.assertNotEqual(r.code, 0)
        self.assertIn("refused", r.err)

    def test_loopback_of_the_host_is_not_reachable(self):
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            s.listen()
            port = s.getsockname()[1]
            out = self.run_box("--", "sh", "-c", "ip route | sed -n 's/default via \\([^ ]*\\).*/\\1/p'")
            for target in (out, "10.0.2.2"):
                r = self.docker("run", "--rm", "busybox", "nc", "-w", "2", target, str(port))
                self.assertNotEqual(r.code, 0, target)
            s.setblocking(False)
            self.assertRaises(BlockingIOError, s.accept)  # nothing has come, however slow it may have been

    def test_host_and_none(self):
        names = sorted(os.listdir("/sys/class/net"))
        self.assertEqual(sorted(self.run_box("--network", "host", "--", "sh", "-c",
                                             "ls /sys/class/net").split()), names)
        self.assertEqual(self.run_box("--network", "none", "--", "sh", "-c", "ls /sys/class/net"), "lo")
        self.assertEqual(self.run_box("--network", "host", "--", "hostname"), socket.gethostname())

    def test_network_of_another_container(self):
        self.serve("web")
        self.assertEqual(self.run_box("--network", "container:web", "--", "wget", "-qO-",
                                      "http://127.0.0.1"), "served")

    def test_predefined_networks(self):
        self.assertEqual(sorted(self.ok("network", "ls", "--format", "{{.Name}}").split()),
                         ["bridge", "host", "none"])
        net = json.loads(self.ok("network", "inspect", "bridge"))[0]
        self.assertEqual(net["IPAM"]["Config"][0]["Gateway"], "172.17.0.1")

    def test_hosts_and_hostname(self):
        out = self.run_box("--hostname", "boat", "--", "cat", "/etc/hosts", "/etc/hostname")
        self.assertRegex(out, r"(?m)^172\.\d+\.\d+\.\d+\tboat$")
        self.assertTrue(out.endswith("\nboat"), out)

    def netstack_descriptors(self):
        with open(f"{self.daemon.exec}/netstack.json") as f:
            record = json.load(f)
        return len(os.listdir(f"/proc/{record.get('identity', record)['pid']}/fd"))

    def test_what_a_container_opened_ends_with_it(self):
        address = host_address()
        if address is None:
            self.skipTest("this host has no address but loopback")
        port = free_port()
        self.serve("web", "-p", f"{port}:80")
        self.reach("127.0.0.1", port)
        rest = self.netstack_descriptors()
        with socket.socket() as s:
            s.bind((address, 0))
            s.listen(512)  # the kernel answers; nobody ever ends a connection
            self.ok("run", "-d", "--name", "many", "busybox", "sh", "-c",
                    "i=0; while [ $i -lt 200 ]; do sleep 1000 | nc %s %d & i=$((i+1)); done; wait"
                    % (address, s.getsockname()[1]))
            wait_until(lambda: self.netstack_descriptors() >= rest + 380, 60, "200 connections stand")
            self.assertEqual(get("127.0.0.1", port), "served\n")
            self.ok("rm", "-f", "many")
            # What netstack makes ahead may differ.
            wait_until(lambda: self.netstack_descriptors() < rest + 200, 20,
                       "the ended container's connections are given back")
        self.assertEqual(get("127.0.0.1", port), "served\n")

    def test_nobody_speaks_in_anothers_name(self):
        self.serve("web")
        victim = self.inspect("web", "NetworkSettings.Networks.bridge.IPAddress")
        # An address of one's own choosing is not heard, not even with the right to set it.
        out = self.docker("run", "--rm", "--cap-add", "NET_ADMIN", "busybox", "sh", "-c",
                          f"a=$(ip -4 -o addr show eth0 | sed 's/.*inet \\([^ ]*\\).*/\\1/'); "
                          f"ping -c 1 -W 60 {victim} >/dev/null && echo own; "
                          "ip addr del $a dev eth0; ip addr add 172.17.200.200/16 dev eth0; "
                          f"ping -c 1 -W 2 {victim} >/dev/null || echo silent")
        self.assertEqual(out.out.split(), ["own", "silent"], out.err)

    def test_five_hundred_connections(self):
        port = free_port()
        self.serve("web", "-p", f"{port}:80")
        self.reach("127.0.0.1", port)
        for _ in range(500):
            self.assertEqual(get("127.0.0.1", port), "served\n")


if __name__ == "__main__":
    main()
