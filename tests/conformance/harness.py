"""A coracled of its own for each test class, and the unmodified docker CLI that talks to it.

Everything runs as the calling user, who must not be root. The environment:
  CORACLE_BIN       directory of coracled and its helpers (the build tree's bin)
  CORACLE_DRIVER    storage driver (default: the daemon's own choice)
  CORACLE_DOCKER    the docker CLI (default: docker)
  CORACLE_KEEP      keep the scratch folders of failed runs
  CORACLE_ROUTES    a file that gets a line "test<TAB>METHOD path" for each request; route_table.py reads it
"""
import functools
import http.client
import http.server
import json
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import unittest

BIN = os.environ.get("CORACLE_BIN", "")
DRIVER = os.environ.get("CORACLE_DRIVER", "")
DOCKER = os.environ.get("CORACLE_DOCKER", "docker")
ROUTES = os.environ.get("CORACLE_ROUTES")
BUSYBOX = "/bin/busybox"
PATIENCE = 60  # seconds until something is taken for never; nothing is as slow as that, on any machine


def free_port():
    """Below the range from which the kernel gives ports to clients: a connection of the test beside takes none of these."""
    while True:
        port = random.randrange(15000, 32000)
        with socket.socket() as s:
            try:
                s.bind(("", port))
            except OSError:
                continue
            return port


def wait_until(condition, seconds=PATIENCE, what="condition", step=0.02, bound=None):
    """Until the condition holds. The test goes on as soon as it does: fewer seconds than PATIENCE are no gain, they would
    only ask for a quick machine. bound: where the time itself is what is promised, ten times the promise."""
    seconds = bound or max(seconds, PATIENCE)
    end = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"{what}: not within {seconds} s")
        time.sleep(step)


def alive(pid):
    """A zombie is not: whose child it is may take its time to ask for its end, or never do."""
    try:
        with open(f"/proc/{pid}/stat") as f:
            return f.read().rsplit(")", 1)[1].split()[0] not in "ZX"
    except OSError:
        return False


def host_address():
    """An address of this host that is not loopback, or None."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        try:
            s.connect(("192.0.2.1", 9))  # sends nothing
            return s.getsockname()[0]
        except OSError:
            pass
    out = subprocess.run(["ip", "-4", "-o", "addr"], capture_output=True, text=True).stdout
    for line in out.splitlines():
        address = line.split()[3].split("/")[0]
        if not address.startswith("127."):
            return address
    return None


@functools.cache
def client_version():
    """(major, minor) of the docker CLI; it is asked without a daemon."""
    text = subprocess.run([DOCKER, "--version"], capture_output=True, text=True, check=True).stdout
    return tuple(map(int, re.search(r"(\d+)\.(\d+)", text).groups()))


def busybox_rootfs(folder):
    """A root file system made from Debian's busybox-static."""
    os.makedirs(f"{folder}/bin")
    shutil.copy(BUSYBOX, f"{folder}/bin/busybox")
    applets = subprocess.run([BUSYBOX, "--list"], capture_output=True, text=True, check=True)
    for applet in applets.stdout.split():
        if applet != "busybox":
            os.symlink("busybox", f"{folder}/bin/{applet}")
    for name in ("etc", "root", "home", "var", "tmp", "usr", "sbin"):
        os.makedirs(f"{folder}/{name}")
    os.chmod(f"{folder}/tmp", 0o1777)
    with open(f"{folder}/etc/passwd", "w") as f:
        f.write("root:x:0:0:root:/root:/bin/sh\nweb:x:33:33:web:/var:/bin/sh\n")
    with open(f"{folder}/etc/group", "w") as f:
        f.write("root:x:0:\nweb:x:33:\nextra:x:44:web\n")
    return folder


def busybox_tar():
    """The image as a tar, made once per run."""
    path = os.path.join(tempfile.gettempdir(), f"coracle-busybox-{os.getuid()}.tar")
    if not os.path.exists(path):
        with tempfile.TemporaryDirectory() as d:
            root = busybox_rootfs(d + "/root")
            temporary = f"{path}.{os.getpid()}"
            subprocess.run(
                ["tar", "-C", root, "--owner=0", "--group=0", "--numeric-owner", "-cf", temporary,
                 "."], check=True)
            os.rename(temporary, path)
    return path


class Done:
    """What a command answered."""

    def __init__(self, p):
        self.code = p.returncode
        self.out_bytes, self.err_bytes = p.stdout, p.stderr
        self.out = p.stdout.decode(errors="replace")
        self.err = p.stderr.decode(errors="replace")

    def __repr__(self):
        return f"exit {self.code}\n--- out\n{self.out[-2000:]}\n--- err\n{self.err[-2000:]}"


def serve_http(answer):
    """An HTTP server on loopback whose every request is answered by answer(handler), each connection on a thread of its
    own: (server, "127.0.0.1:PORT")."""
    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *args):
            pass

        def do(self):
            answer(self)
        do_GET = do_HEAD = do_POST = do_PATCH = do_PUT = do

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server, f"127.0.0.1:{server.server_port}"


class Daemon:
    """One coracled with folders of its own."""

    def __init__(self, driver=DRIVER, flags=(), env=None, under=()):
        """under: what coracled is started by, e.g. ("prlimit", "--nofile=256:256")."""
        self.scratch = tempfile.mkdtemp(prefix="coracle-", dir=os.environ.get("CORACLE_SCRATCH"))
        self.data, self.exec = f"{self.scratch}/data", f"{self.scratch}/run"
        self.socket = f"{self.scratch}/docker.sock"
        self.log = f"{self.scratch}/coracled.log"
        self.flags, self.driver, self.under = list(flags), driver, list(under)
        self.env = dict(env or {})
        self.process = None
        os.mkdir(f"{self.scratch}/docker-config")

    def start(self, env=None, wait=True):
        command = [*self.under, os.path.join(BIN, "coracled"), "-H", f"unix://{self.socket}", "--data-root",
                   self.data, "--exec-root", self.exec, "--pidfile", f"{self.scratch}/pid",
                   "--config-file", f"{self.scratch}/daemon.json"] + self.flags
        if not os.path.exists(f"{self.scratch}/daemon.json"):
            with open(f"{self.scratch}/daemon.json", "w") as f:
                f.write("{}")
        if self.driver:
            command += ["--storage-driver", self.driver]
        if ROUTES:
            command += ["--debug"]
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                env={**os.environ, **self.env, **(env or {})}, start_new_session=True)
        if wait:
            self.wait_ready()
        return self

    def wait_ready(self, seconds=PATIENCE):
        def ready():
            if self.process.poll() is not None:
                raise AssertionError(f"coracled ended with {self.process.returncode}:\n"
                                     + self.log_tail())
            try:
                return self.request("GET", "/_ping")[0] == 200
            except OSError:
                return False
        wait_until(ready, seconds, "coracled answers")

    def log_tail(self, size=4000):
        try:
            with open(self.log, errors="replace") as f:
                return f.read()[-size:]
        except OSError as e:
            return str(e)

    def stop(self, how=signal.SIGTERM):
        if self.process is None:
            return None
        if self.process.poll() is None:
            self.process.send_signal(how)
        code = self.process.wait(timeout=PATIENCE)
        self.process = None
        return code

    def kill(self):
        return self.stop(signal.SIGKILL)

    def wait_exit_written(self, container):
        """Until the monitor has written how the container ended: what a daemon that was away finds."""
        wait_until(lambda: os.path.exists(f"{self.data}/containers/{container}/exit.json"), what="its exit.json")

    def close(self):
        """Ends everything and removes the folders; asserts that nothing is left behind."""
        if self.process is not None and self.process.poll() is None:
            ids = self.docker("ps", "-aq").out.split()
            if ids:
                self.docker("rm", "-f", *ids)
            self.stop()
        self.process = None
        wait_until(lambda: not self.helpers(), 10, f"helpers of {self.exec} end")
        # Files of other ids inside the map can only be removed from within the user namespace.
        subprocess.run(["unshare", "--map-auto", "--map-root-user", "rm", "-rf", self.scratch],
                       stderr=subprocess.DEVNULL)
        shutil.rmtree(self.scratch, ignore_errors=True)

    def helpers(self):
        """Our processes that name this daemon's folders."""
        found = []
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                with open(f"/proc/{pid}/cmdline", "rb") as f:
                    line = f.read().replace(b"\0", b" ").decode(errors="replace")
            except OSError:
                continue
            if self.scratch in line and "coracle" in line and int(pid) != os.getpid():
                found.append((int(pid), line))
        return found

    def request(self, method, path, body=None, headers=None, timeout=PATIENCE):
        """One API call: (status, headers, body as JSON or bytes)."""
        c = http.client.HTTPConnection("localhost", timeout=timeout)
        c.sock = socket.socket(socket.AF_UNIX)
        c.sock.settimeout(timeout)
        try:
            c.sock.connect(self.socket)
            h = dict(headers or {})
            if isinstance(body, (dict, list)):
                body = json.dumps(body).encode()
                h.setdefault("Content-Type", "application/json")
            c.request(method, path, body, h)
            r = c.getresponse()
            data = r.read()
        finally:
            c.close()
        if r.getheader("Content-Type") == "application/json" and data:
            lines = data.splitlines()
            data = json.loads(data) if len(lines) == 1 else data
        return r.status, dict(r.getheaders()), data

    def docker_env(self):
        return {**os.environ, "DOCKER_HOST": f"unix://{self.socket}",
                "DOCKER_CONFIG": f"{self.scratch}/docker-config", "DOCKER_CLI_HINTS": "false"}

    def docker(self, *args, input=None, timeout=3 * PATIENCE):
        if isinstance(input, str):
            input = input.encode()
        stdin = {"input": input} if input is not None else {"stdin": subprocess.DEVNULL}
        p = subprocess.run([DOCKER, *map(str, args)], capture_output=True, timeout=timeout,
                           env=self.docker_env(), **stdin)
        return Done(p)

    def popen(self, *args, **kw):
        kw.setdefault("stdin", subprocess.DEVNULL)
        return subprocess.Popen([DOCKER, *map(str, args)], env=self.docker_env(),
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE, **kw)

    def import_busybox(self):
        r = self.docker("import", "-c", 'CMD ["sh"]', "-c", "ENV PATH=/bin:/usr/bin:/sbin",
                        busybox_tar(), "busybox:latest")
        if r.code != 0:
            raise AssertionError(f"import of busybox: {r}\n{self.log_tail()}")
        return r.out.strip()


class Case(unittest.TestCase):
    """A test class with a daemon and the busybox image."""

    flags = ()
    env = {}
    under = ()

    @classmethod
    def setUpClass(cls):
        if os.getuid() == 0:
            raise AssertionError("these tests run as an unprivileged user")
        cls.daemon = Daemon(flags=cls.flags, env=cls.env, under=cls.under)
        try:
            cls.daemon.start()
            cls.daemon.import_busybox()
        except BaseException:
            print(cls.daemon.log_tail(), file=sys.stderr)
            cls.daemon.close()
            raise

    @classmethod
    def tearDownClass(cls):
        cls.daemon.close()

    def run(self, result=None):
        """Of a failure the daemon's log is told: what has happened once is hard to make happen again."""
        def failed():
            return len(result.failures) + len(result.errors)
        before = failed() if result else 0
        super().run(result)
        if result and failed() > before:
            print(f"{self.id()}: the daemon said:\n{self.daemon.log_tail(8000)}", file=sys.stderr)
        return result

    def setUp(self):
        if self.daemon.process is None or self.daemon.process.poll() is not None:
            self.daemon.start()

    def tearDown(self):
        if ROUTES:
            self.note_routes()
        ids = self.daemon.docker("ps", "-aq").out.split()
        if ids:
            self.daemon.docker("rm", "-fv", *ids)

    def note_routes(self):
        """What was asked since the last test, as the daemon's debug log has it; refused requests are left out."""
        with open(self.daemon.log, errors="replace") as log, open(ROUTES, "a") as out:
            log.seek(getattr(self.daemon, "noted", 0))
            for line in log:
                if found := re.search(r" debug ([A-Z]+) (/\S*) status=[123]\d\d$", line):
                    out.write(f"{self.id().replace('__main__', sys.argv[0].split('/')[-1][:-3])}\t"
                              f"{found[1]} {found[2]}\n")
            self.daemon.noted = log.tell()

    def docker(self, *args, **kw):
        return self.daemon.docker(*args, **kw)

    def ok(self, *args, **kw):
        """Runs the CLI, asserts success, answers its output without the last newline."""
        r = self.docker(*args, **kw)
        self.assertEqual(r.code, 0, f"docker {' '.join(map(str, args))}: {r}\n"
                         + self.daemon.log_tail(1500))
        return r.out.rstrip("\n")

    def fails(self, code, *args, **kw):
        r = self.docker(*args, **kw)
        self.assertEqual(r.code, code, f"docker {' '.join(map(str, args))}: {r}")
        return r.err

    def says(self, name, text, times=1):
        """Until the container has said so: what it does before that line of its output is done."""
        def said():
            r = self.docker("logs", name)
            return (r.out + r.err).split("\n").count(text) >= times
        wait_until(said, what=f"{name} says {text!r}")

    def listens(self, name, port):
        """Until a program of the container listens, without a connection that would take another's turn."""
        look = f"grep -qi ':{port:04x} [^ ]* 0A ' /proc/net/tcp /proc/net/tcp6"
        wait_until(lambda: self.docker("exec", name, "sh", "-c", look).code == 0, what=f"{name} listens at {port}")

    def run_box(self, *args, **kw):
        """docker run --rm busybox …: flags before "--", the command behind it."""
        cut = args.index("--") if "--" in args else 0
        flags, command = args[:cut], args[cut + 1 if "--" in args else 0:]
        return self.ok("run", "--rm", *flags, "busybox", *command, **kw)

    def inspect(self, name, path=None):
        value = json.loads(self.ok("inspect", name))[0]
        for key in (path or "").split("."):
            if key:
                value = value[key]
        return value


def main():
    unittest.main(verbosity=2)
