"""The HTTP API below the clients: transport, versions, errors, malformed requests."""
import json
import select
import socket

from harness import Case, main


def head_of(s):
    """What comes until a head is whole; it may be more."""
    out = b""
    while b"\r\n\r\n" not in out:
        piece = s.recv(4096)
        if not piece:
            break
        out += piece
    return out


class Api(Case):
    def raw(self, data, timeout=60):
        s = socket.socket(socket.AF_UNIX)
        s.settimeout(timeout)
        s.connect(self.daemon.socket)
        out = b""
        try:
            s.sendall(data)
        except BrokenPipeError:
            pass  # refused before all of it was sent: the answer is there
        try:
            while chunk := s.recv(65536):
                out += chunk
        except (TimeoutError, ConnectionResetError):
            pass  # reset: the rest of what was sent has not been read
        s.close()
        return out

    def test_ping(self):
        status, headers, body = self.daemon.request("GET", "/_ping")
        self.assertEqual((status, body), (200, b"OK"))
        self.assertEqual(headers["Api-Version"], "1.51")
        self.assertEqual(headers["Ostype"], "linux")
        self.assertEqual(headers["Docker-Experimental"], "false")
        self.assertRegex(headers["Server"], r"^Docker/\d+\.\d+\.\d+ \(linux\)$")
        status, headers, body = self.daemon.request("HEAD", "/_ping")
        self.assertEqual((status, body), (200, b""))

    def test_version_and_info(self):
        _, _, v = self.daemon.request("GET", "/version")
        self.assertEqual(v["ApiVersion"], "1.51")
        self.assertRegex(v["Version"], r"^\d+\.\d+\.\d+")
        _, _, i = self.daemon.request("GET", "/info")
        self.assertEqual(i["OSType"], "linux")
        self.assertIn(i["CgroupDriver"], ("none", "systemd"))
        self.assertIn("name=rootless", i["SecurityOptions"])
        self.assertGreater(i["MemTotal"], 0)

    def test_versions_are_negotiated(self):
        for v in ("1.24", "1.41", "1.51"):
            self.assertEqual(self.daemon.request("GET", f"/v{v}/containers/json")[0], 200)
        status, _, body = self.daemon.request("GET", "/v1.99/containers/json")
        self.assertEqual(status, 400)
        self.assertIn("too new. Maximum supported API version is 1.51", body["message"])
        status, _, body = self.daemon.request("GET", "/v1.12/containers/json")
        self.assertEqual(status, 400)
        self.assertIn("too old", body["message"])

    def test_unknown_routes(self):
        for method, path in (("GET", "/nonsense"), ("PUT", "/containers/json"), ("GET", "/v1.41/x/y")):
            status, headers, body = self.daemon.request(method, path)
            self.assertEqual((status, body), (404, {"message": "page not found"}), path)
            self.assertEqual(headers["Content-Type"], "application/json")

    def test_swarm_and_plugins_have_dockers_answers(self):
        for path in ("/services", "/nodes", "/tasks", "/secrets", "/configs", "/swarm"):
            status, _, body = self.daemon.request("GET", path)
            self.assertEqual(status, 503, path)
            self.assertIn("This node is not a swarm manager", body["message"])
        self.assertEqual(self.daemon.request("GET", "/plugins")[2], [])

    def test_what_is_not_done_says_so(self):
        for method, path in (("POST", "/build"), ("POST", "/networks/create"), ("POST", "/session")):
            status, headers, body = self.daemon.request(method, path)
            self.assertIn(status, (400, 501), path)
            self.assertIn("message", body)

    def test_malformed_requests_get_4xx_with_a_message(self):
        table = [
            ("POST", "/containers/create", b"{", "application/json"),
            ("POST", "/containers/create", b"[]", "application/json"),
            ("POST", "/containers/create", b"{}", "application/json"),
            ("POST", "/containers/create", b'{"Image":1}', "application/json"),
            ("POST", "/containers/create", b'{"Image":"busybox"} x', "application/json"),
            ("POST", "/containers/create", b'{"Image":"busybox"}', "text/plain"),
            ("POST", "/containers/create?name=-bad-", b'{"Image":"busybox"}', "application/json"),
            ("POST", "/containers/create", b'{"Image":"busybox","HostConfig":{"Memory":"x"}}',
             "application/json"),
            ("POST", "/containers/create", b'{"Image":"busybox","HostConfig":{"Memory":4096}}',
             "application/json"),
            ("POST", "/containers/create", b'{"Image":"busybox","HostConfig":{"CapAdd":["NOPE"]}}',
             "application/json"),
            ("POST", "/containers/create",
             b'{"Image":"busybox","HostConfig":{"RestartPolicy":{"Name":"sometimes"}}}',
             "application/json"),
            ("POST", "/containers/create",
             b'{"Image":"busybox","HostConfig":{"Binds":["/a:/b:/c:/d"]}}', "application/json"),
            ("POST", "/containers/create",
             b'{"Image":"busybox","HostConfig":{"PortBindings":{"99999/tcp":[{"HostPort":"1"}]}}}',
             "application/json"),
            ("POST", "/containers/create", b'{"Image":"no-such-image"}', "application/json"),
            ("GET", "/containers/json?filters=nonsense", None, None),
            ("GET", "/containers/json?filters=%7B%22bad%22%3A%5B%22x%22%5D%7D", None, None),
            ("GET", "/containers/none/json", None, None),
            ("POST", "/containers/none/start", None, None),
            ("POST", "/containers/none/wait?condition=nonsense", None, None),
            ("GET", "/containers/none/logs", None, None),
            ("POST", "/exec/none/start", b"{}", "application/json"),
            ("GET", "/images/none/json", None, None),
            ("GET", "/events?since=yesterday", None, None),
            ("POST", "/images/busybox/tag?repo=UPPER", None, None),
            ("DELETE", "/images/none", None, None),
            ("GET", "/networks/nowhere", None, None),
            ("GET", "/volumes/none", None, None),
        ]
        for method, path, body, kind in table:
            status, headers, answer = self.daemon.request(
                method, path, body, {"Content-Type": kind} if kind else {})
            with self.subTest(path=path, body=body):
                self.assertTrue(400 <= status < 500, (status, answer))
                self.assertEqual(headers["Content-Type"], "application/json")
                self.assertTrue(answer["message"])

    def test_malformed_http(self):
        for data in (b"nonsense\r\n\r\n", b"GET\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n",
                     b"POST /containers/create HTTP/1.1\r\nHost: x\r\nContent-Length: -5\r\n\r\n",
                     b"GET /" + b"a" * 200000 + b" HTTP/1.1\r\n\r\n",
                     b"POST /containers/create HTTP/1.1\r\nHost: x\r\nContent-Type: application/json"
                     b"\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"):
            out = self.raw(data)
            self.assertRegex(out[:12], rb"^HTTP/1.1 4\d\d", data[:60])
            self.assertEqual(self.daemon.request("GET", "/_ping")[0], 200)

    def test_chunked_body_and_continue(self):
        body = b'{"Image":"busybox","Cmd":["true"]}'
        out = self.raw(b"POST /containers/create?name=chunked HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
                       b"Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
                       + b"".join(b"%x\r\n%s\r\n" % (len(body[i:i + 7]), body[i:i + 7])
                                  for i in range(0, len(body), 7)) + b"0\r\n\r\n")
        self.assertIn(b"201 Created", out)
        s = socket.socket(socket.AF_UNIX)
        s.settimeout(60)
        s.connect(self.daemon.socket)
        s.sendall(b"POST /containers/create HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
                  b"Content-Type: application/json\r\nExpect: 100-continue\r\n"
                  b"Content-Length: %d\r\n\r\n" % len(body))
        self.assertIn(b"100 Continue", head_of(s))
        s.sendall(body)
        self.assertIn(b"201 Created", head_of(s))
        s.close()

    def test_keep_alive_and_pipelining(self):
        out = self.raw(b"GET /_ping HTTP/1.1\r\nHost: x\r\n\r\n" * 3
                       + b"GET /_ping HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        self.assertEqual(out.count(b"200 OK"), 4)

    def test_many_idle_connections(self):
        idle = []
        for _ in range(400):
            s = socket.socket(socket.AF_UNIX)
            s.connect(self.daemon.socket)
            s.sendall(b"GET /ver")
            idle.append(s)
        self.assertEqual(self.daemon.request("GET", "/version")[0], 200)
        # The answer has not waited for them: none has been given up meanwhile.
        self.assertEqual(select.select(idle, [], [], 0)[0], [])
        for s in idle:
            s.close()

    def test_an_inspected_container_can_be_created_again(self):
        self.ok("create", "--name", "one", "-e", "A=1", "-p", "80", "-v", "/data", "--label", "x=y",
                "busybox", "sleep", "10")
        _, _, one = self.daemon.request("GET", "/containers/one/json")
        body = {**one["Config"], "HostConfig": one["HostConfig"],
                "NetworkingConfig": {"EndpointsConfig": one["NetworkSettings"]["Networks"]}}
        status, _, answer = self.daemon.request("POST", "/containers/create?name=two", body)
        self.assertEqual(status, 201, answer)
        _, _, two = self.daemon.request("GET", "/containers/two/json")
        self.assertEqual(two["Config"]["Cmd"], one["Config"]["Cmd"])

    def test_legacy_fields_by_version(self):
        self.ok("run", "-d", "--name", "leg", "busybox", "sleep", "100")
        _, _, c = self.daemon.request("GET", "/v1.41/containers/leg/json")
        self.assertEqual(c["NetworkSettings"]["IPAddress"],
                         c["NetworkSettings"]["Networks"]["bridge"]["IPAddress"])
        _, _, images = self.daemon.request("GET", "/v1.43/images/json")
        self.assertIn("VirtualSize", images[0])
        _, _, images = self.daemon.request("GET", "/v1.44/images/json")
        self.assertNotIn("VirtualSize", images[0])

    def test_wait_answers_its_head_at_once(self):
        self.ok("create", "--name", "w1", "busybox", "sh", "-c", "exit 3")
        s = socket.socket(socket.AF_UNIX)
        s.settimeout(60)
        s.connect(self.daemon.socket)
        s.sendall(b"POST /containers/w1/wait?condition=next-exit HTTP/1.1\r\nHost: x\r\n\r\n")
        head = head_of(s)
        self.assertIn(b"200 OK", head)
        self.ok("start", "w1")
        body = head.split(b"\r\n\r\n", 1)[1]
        while b"}" not in body:
            body += s.recv(4096)
        self.assertIn(b'"StatusCode":3', body)
        s.close()


if __name__ == "__main__":
    main()
