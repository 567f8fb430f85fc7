#!/usr/bin/env python3
"""Times coracle beside its peers through the same docker CLI and the same kept-alive connections.

  bench.py --engine coracle=unix:///run/… --engine podman=unix:///… [--rounds 10] [--tables 1,2,3,4,5]
           [--json FILE] [--markdown FILE]

The first engine is ours. Rounds are interleaved: each act runs once on every engine before it runs
again, and the order changes from round to round, so that a busy moment of the machine meets all alike.
Only ratios within one run count. Every object has a name of this run's own and is removed.
"""
import argparse
import http.client
import json
import os
import random
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time

from file_acts import FILES, file_table

IMAGE = "coracle-bench:1"
# Heeds SIGTERM, as pid 1 does only with a handler: some engines ask before they kill, also on rm -f.
WAITING = ("sh", "-c", "trap 'exit 0' TERM; sleep 1000 & wait")
PREFIX = f"bench{os.getpid()}"


class Engine:
    def __init__(self, name, address):
        self.name, self.address = name, address
        self.path = address.removeprefix("unix://")
        self.env = {**os.environ, "DOCKER_HOST": address, "DOCKER_CLI_HINTS": "false"}
        self.kept = None
        self.count = 0

    def docker(self, *args, check=True):
        p = subprocess.run(["docker", *args], env=self.env, capture_output=True, text=True,
                           stdin=subprocess.DEVNULL, timeout=300)
        if check and p.returncode != 0:
            raise RuntimeError(f"{self.name}: docker {' '.join(args)}: {p.stderr.strip()}")
        return p.stdout.strip()

    def api(self, method, path, body=None, ok=(200, 201, 204, 304)):
        """On one kept-alive connection."""
        if self.kept is None:
            self.kept = http.client.HTTPConnection("localhost", timeout=120)
            self.kept.sock = socket.socket(socket.AF_UNIX)
            self.kept.sock.settimeout(120)
            self.kept.sock.connect(self.path)
        data = json.dumps(body).encode() if body is not None else None
        self.kept.request(method, path, data, {"Content-Type": "application/json"} if data else {})
        r = self.kept.getresponse()
        out = r.read()
        if r.will_close:
            self.kept.close()
            self.kept = None
        if r.status not in ok:
            raise RuntimeError(f"{self.name}: {method} {path}: {r.status} {out[:300]!r}")
        return out

    def new_name(self):
        self.count += 1
        return f"{PREFIX}-{self.count}"

    def clean(self):
        ids = self.docker("ps", "-aq", "--filter", f"name={PREFIX}").split()
        for i in range(0, len(ids), 50):
            self.docker("rm", "-f", *ids[i:i + 50], check=False)

    def create(self, command=("true",), network=None, ports=None):
        body = {"Image": IMAGE, "Cmd": list(command), "HostConfig": {}}
        if network:
            body["HostConfig"]["NetworkMode"] = network
        if ports:
            body["HostConfig"]["PortBindings"] = {f"{p}/tcp": [{"HostPort": ""}] for p in ports}
            body["ExposedPorts"] = {f"{p}/tcp": {} for p in ports}
        name = self.new_name()
        return json.loads(self.api("POST", f"/containers/create?name={name}", body))["Id"]


def make_image(engine):
    """busybox-static with the applets that are used."""
    if engine.docker("images", "-q", IMAGE):
        return
    with tempfile.TemporaryDirectory() as d:
        os.makedirs(f"{d}/bin")
        shutil.copy("/bin/busybox", f"{d}/bin/busybox")
        for applet in ("sh", "true", "sleep", "cat", "echo"):
            os.symlink("busybox", f"{d}/bin/{applet}")
        p = subprocess.run(["tar", "-C", d, "--owner=0", "--group=0", "-c", "."],
                           capture_output=True, check=True)
        r = subprocess.run(["docker", "import", "-c", 'CMD ["sh"]', "-c", "ENV PATH=/bin", "-", IMAGE],
                           input=p.stdout, env=engine.env, capture_output=True)
        if r.returncode != 0:
            raise RuntimeError(f"{engine.name}: import: {r.stderr.decode()}")


class Act:
    """One row: `run(engine, state)` is timed; `before(engine)`, which gives the state, and `after` are not."""

    def __init__(self, name, unit, run, before=None, after=None, rounds=1.0):
        self.name, self.unit, self.run, self.rounds = name, unit, run, rounds
        self.before = before or (lambda e: None)
        self.after = after or (lambda e, state: None)


def remove(e, cid):
    e.api("DELETE", f"/containers/{cid}?force=1", ok=(200, 204, 404))


def api_cycle(e, network=None):
    cid = e.create(network=network)
    e.api("POST", f"/containers/{cid}/start")
    e.api("POST", f"/containers/{cid}/wait")
    e.api("DELETE", f"/containers/{cid}")


def running(e, ports=None):
    cid = e.create(WAITING, ports=ports)
    e.api("POST", f"/containers/{cid}/start")
    return cid


def api_exec(e, cid):
    eid = json.loads(e.api("POST", f"/containers/{cid}/exec",
                           {"Cmd": ["true"], "AttachStdout": True, "AttachStderr": True}))["Id"]
    s = socket.socket(socket.AF_UNIX)
    s.connect(e.path)
    body = b'{"Detach":false,"Tty":false}'
    s.sendall(b"POST /exec/%s/start HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
              b"Connection: Upgrade\r\nUpgrade: tcp\r\nContent-Length: %d\r\n\r\n%s"
              % (eid.encode(), len(body), body))
    while s.recv(65536):
        pass
    s.close()
    e.api("GET", f"/exec/{eid}/json")


def cli_running(e):
    return e.docker("run", "-d", "--name", e.new_name(), IMAGE, *WAITING)


def table1():
    def run(*flags):
        return lambda e, s: e.docker("run", "--rm", *flags, IMAGE, "true")
    return [
        Act("docker version", "ms", lambda e, s: e.docker("version")),
        Act("docker run --rm true", "ms", run()),
        Act("docker run --rm --network none true", "ms", run("--network", "none")),
        Act("docker run --rm --network host true", "ms", run("--network", "host")),
        Act("docker create", "ms", lambda e, s: e.docker("create", "--name", e.new_name(), IMAGE, "true"),
            after=lambda e, s: e.clean()),
        Act("docker start", "ms", lambda e, cid: e.docker("start", cid),
            before=lambda e: e.create(WAITING), after=remove),
        Act("docker run -d", "ms", lambda e, s: cli_running(e), after=lambda e, s: e.clean()),
        Act("docker exec true", "ms", lambda e, cid: e.docker("exec", cid, "true"),
            before=running, after=remove),
        Act("docker inspect", "ms", lambda e, cid: e.docker("inspect", cid),
            before=lambda e: e.create(), after=remove),
        Act("docker logs (empty)", "ms", lambda e, cid: e.docker("logs", cid),
            before=running, after=remove),
        Act("docker rm -f (running)", "ms", lambda e, cid: e.docker("rm", "-f", cid), before=running),
        Act("docker run -d -p", "ms", lambda e, s: e.docker("run", "-d", "-p", "80", "--name",
                                                            e.new_name(), IMAGE, *WAITING),
            after=lambda e, s: e.clean()),
        Act("docker rm -f (running, -p)", "ms", lambda e, cid: e.docker("rm", "-f", cid),
            before=lambda e: running(e, ports=[80])),
    ]


def table2():
    return [
        Act("GET /_ping", "ms", lambda e, s: e.api("GET", "/_ping"), rounds=5),
        Act("GET /version", "ms", lambda e, s: e.api("GET", "/version"), rounds=2),
        Act("GET /info", "ms", lambda e, s: e.api("GET", "/info"), rounds=2),
        Act("GET /images/json", "ms", lambda e, s: e.api("GET", "/images/json"), rounds=5),
        Act("API create", "ms", lambda e, s: e.create(), after=lambda e, s: e.clean()),
        Act("API start", "ms", lambda e, cid: e.api("POST", f"/containers/{cid}/start"),
            before=lambda e: e.create(WAITING), after=remove),
        Act("API total", "ms", lambda e, s: api_cycle(e)),
        Act("API total, network none", "ms", lambda e, s: api_cycle(e, "none")),
        Act("API exec", "ms", api_exec, before=running, after=remove),
    ]


def at_once(n):
    def run(e, s):
        started = [subprocess.Popen(["docker", "run", "-d", "--name", e.new_name(), IMAGE, *WAITING],
                                    env=e.env, stdout=subprocess.DEVNULL,
                                    stderr=subprocess.PIPE) for _ in range(n)]
        for p in started:
            _, err = p.communicate()
            if p.returncode != 0:
                raise RuntimeError(f"{e.name}: {err.decode()}")
    return run


def many(n, command=WAITING, start=True):
    def before(e):
        ids = []
        for _ in range(n):
            cid = e.create(command)
            if start:
                e.api("POST", f"/containers/{cid}/start")
            ids.append(cid)
        return ids
    return before


def rm_all(e, ids):
    e.docker("rm", "-f", *ids, check=False)


def table3(few):
    large, rounds = (50, 0.3) if not few else (20, 0.2)
    hundred = 100
    twenty = [] if few else [
        Act("20 containers at once, create+start", "s", at_once(20), rounds=0.3,
            after=lambda e, s: e.clean()),
        Act("20 running, docker rm -f", "s", lambda e, ids: e.docker("rm", "-f", *ids),
            before=many(20), rounds=0.3),
    ]
    return twenty + [
        Act(f"{large} containers at once, create+start", "s", at_once(large), rounds=rounds,
            after=lambda e, s: e.clean()),
        Act(f"{large} running, docker rm -f", "s", lambda e, ids: e.docker("rm", "-f", *ids),
            before=many(large), rounds=rounds),
        Act("docker ps -a, 100 containers", "ms", lambda e, s: e.docker("ps", "-a"),
            before=many(hundred, start=False), after=rm_all, rounds=0.2),
        Act("GET containers/json, 100 containers", "ms",
            lambda e, s: e.api("GET", "/containers/json?all=1"),
            before=many(hundred, start=False), after=rm_all, rounds=0.2),
    ]


def table3_beside():
    return [
        Act("docker ps, 50 running", "ms", lambda e, s: e.docker("ps")),
        Act("API start, 50 running", "ms", lambda e, cid: e.api("POST", f"/containers/{cid}/start"),
            before=lambda e: e.create(WAITING), after=remove),
        Act("API total, 50 running", "ms", lambda e, s: api_cycle(e)),
        Act("docker run --rm true, 50 running", "ms",
            lambda e, s: e.docker("run", "--rm", IMAGE, "true")),
    ]


def measure(acts, engines, rounds, results):
    for act in acts:
        times = {e.name: [] for e in engines}
        broken = {}
        for r in range(max(3, round(rounds * act.rounds)) + 1):
            order = list(engines)
            random.shuffle(order)
            for e in order:
                if e.name in broken:
                    continue
                try:
                    state = act.before(e)
                    begin = time.perf_counter()
                    act.run(e, state)
                    took = time.perf_counter() - begin
                    act.after(e, state)
                except (RuntimeError, OSError, subprocess.TimeoutExpired) as x:
                    broken[e.name] = str(x)
                    print(f"  {act.name}: {x}", file=sys.stderr)
                    e.kept = None
                    e.clean()
                    continue
                if r > 0:  # the first one warms
                    times[e.name].append(took)
        scale = 1000 if act.unit == "ms" else 1
        row = {"act": act.name, "unit": act.unit}
        for e in engines:
            t = sorted(times[e.name])
            row[e.name] = None if not t or e.name in broken else {
                "min": t[0] * scale, "median": statistics.median(t) * scale, "n": len(t)}
        results.append(row)
        print(line_of(row, engines), flush=True)


# ---- memory: table 4

def tree_memory(pids):
    """PSS, and anonymous memory, of processes, in KiB."""
    pss = anonymous = 0
    for pid in pids:
        try:
            with open(f"/proc/{pid}/smaps_rollup") as f:
                for line in f:
                    if line.startswith("Pss:"):
                        pss += int(line.split()[1])
                    elif line.startswith("Anonymous:"):
                        anonymous += int(line.split()[1])
        except OSError:
            pass
    return pss, anonymous


def engine_processes(e, patterns):
    """Processes of an engine: those whose command line has one of its patterns."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as f:
                line = f.read().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if any(p in line.split(" ")[0].rsplit("/", 1)[-1] or p in line for p in patterns):
            if "bench.py" not in line and not line.startswith("sleep"):
                found.append(int(pid))
    return found


PATTERNS = {
    "coracle": ["coracled", "coracle-"],
    "podman": ["podman", "conmon", "rootlessport", "pasta", "slirp4netns", "aardvark", "catatonit"],
    "docker": ["dockerd", "containerd", "rootlesskit", "slirp4netns", "docker-proxy"],
}


def table4(engines, patterns, results, containers=20):
    for e in engines:
        e.clean()
    time.sleep(1)
    idle = {e.name: tree_memory(engine_processes(e, patterns[e.name])) for e in engines}
    rows = {
        "engine idle, PSS": {n: v[0] / 1024 for n, v in idle.items()},
        "engine idle, anonymous memory": {n: v[1] / 1024 for n, v in idle.items()},
    }
    per, per_anonymous, per_count, per_port, switches = {}, {}, {}, {}, {}
    for e in engines:
        # One at a time: peers may share process names.
        first = running(e)
        base, count = tree_memory(engine_processes(e, patterns[e.name])), len(
            engine_processes(e, patterns[e.name]))
        ids = many(containers)(e)
        time.sleep(2)
        after = tree_memory(engine_processes(e, patterns[e.name]))
        per[e.name] = (after[0] - base[0]) / containers / 1024
        per_anonymous[e.name] = (after[1] - base[1]) / containers / 1024
        per_count[e.name] = (len(engine_processes(e, patterns[e.name])) - count) / containers
        switches[e.name] = idle_switches(engine_processes(e, patterns[e.name]))
        rm_all(e, ids)
        base = tree_memory(engine_processes(e, patterns[e.name]))
        ids = [running(e, ports=[80]) for _ in range(containers)]
        time.sleep(1)
        after = tree_memory(engine_processes(e, patterns[e.name]))
        per_port[e.name] = (after[0] - base[0]) / containers / 1024
        rm_all(e, [*ids, first])
        e.kept = None
    rows["per further idle container (of 20), PSS"] = per
    rows["per further idle container (of 20), anonymous"] = per_anonymous
    rows["per further idle container (of 20), processes of the engine"] = per_count
    rows["per idle container with -p, PSS"] = per_port
    rows["context switches with 20 idle containers"] = switches
    for act, values in rows.items():
        unit = "MiB" if "PSS" in act or "memory" in act or "anonymous" in act else (
            "1/s" if "switches" in act else "")
        row = {"act": act, "unit": unit,
               **{n: {"min": v, "median": v, "n": 1} for n, v in values.items()}}
        results.append(row)
        print(line_of(row, engines), flush=True)


def idle_switches(pids, seconds=5):
    def total():
        n = 0
        for pid in pids:
            for tid in _tasks(pid):
                try:
                    with open(f"/proc/{pid}/task/{tid}/status") as f:
                        n += sum(int(x.split()[1]) for x in f if "ctxt_switches" in x)
                except OSError:
                    pass
        return n
    before = total()
    time.sleep(seconds)
    return (total() - before) / seconds


def _tasks(pid):
    try:
        return os.listdir(f"/proc/{pid}/task")
    except OSError:
        return []


# ---- output

def best_peer(row, engines):
    values = [row[e.name]["median"] for e in engines[1:] if row.get(e.name)]
    return min(values) if values else None


def ratio_of(row, engines):
    ours, best = row.get(engines[0].name), best_peer(row, engines)
    return None if not ours or not best or best <= 0 else ours["median"] / best


def digits(v):
    return f"{v:.0f}" if v >= 100 else f"{v:.1f}" if v >= 10 else f"{v:.2f}"


def line_of(row, engines):
    cells = []
    for e in engines:
        v = row.get(e.name)
        cells.append(f"{e.name} {'–' if not v else digits(v['min']) + '/' + digits(v['median'])}")
    r = ratio_of(row, engines)
    return f"{row['act']:<52} {row['unit']:<4} {'  '.join(cells)}  ratio {'–' if r is None else f'{r:.2f}'}"


TARGETS = {
    "docker version": 0.7, "docker run --rm true": 0.17, "docker run --rm --network none true": 0.25,
    "docker run --rm --network host true": 0.25, "docker create": 0.7, "docker start": 0.35,
    "docker run -d": 0.35, "docker exec true": 0.4, "docker inspect": 1, "docker logs (empty)": 0.9,
    "docker rm -f (running)": 0.3, "docker run -d -p": 0.3, "docker rm -f (running, -p)": 0.15,
    "GET /_ping": 0.5, "GET /version": 0.05, "GET /info": 0.15, "GET /images/json": 1,
    "API create": 0.3, "API start": 0.15, "API total": 0.1, "API total, network none": 0.2,
    "API exec": 0.12, "20 containers at once, create+start": 0.15,
    "50 containers at once, create+start": 0.15, "20 running, docker rm -f": 0.15,
    "50 running, docker rm -f": 0.15, "docker ps -a, 100 containers": 0.5,
    "GET containers/json, 100 containers": 0.2, "docker ps, 50 running": 0.65,
    "API start, 50 running": 0.15, "API total, 50 running": 0.1,
    "docker run --rm true, 50 running": 0.17, "engine idle, PSS": 0.32,
    "engine idle, anonymous memory": 0.2, "per further idle container (of 20), PSS": 1,
    "per further idle container (of 20), anonymous": 1,
    "per further idle container (of 20), processes of the engine": 1,
    f"docker diff, {FILES} new files": 0.25, f"docker commit, {FILES} files (62 MB) new": 0.2,
    "per idle container with -p, PSS": 0.15, "context switches with 20 idle containers": 0.1,
}


def markdown(tables, engines):
    out = []
    for title, rows in tables:
        out.append(f"## {title}\n")
        out.append("| act | unit | " + " | ".join(e.name for e in engines) + " | ratio | target |")
        out.append("|---|---|" + "---|" * len(engines) + "---|---|")
        for row in rows:
            cells = ["–" if not row.get(e.name) else
                     (digits(row[e.name]["min"]) + " / " + digits(row[e.name]["median"])
                      if row[e.name]["n"] > 1 else digits(row[e.name]["median"])) for e in engines]
            r = ratio_of(row, engines)
            target = TARGETS.get(row["act"])
            out.append(f"| {row['act']} | {row['unit']} | " + " | ".join(cells) + " | "
                       + ("–" if r is None else f"{r:.2f}") + " | "
                       + ("–" if target is None else f"{target}") + " |")
        out.append("")
    return "\n".join(out)


def main():
    p = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    p.add_argument("--engine", action="append", required=True, metavar="NAME=unix://PATH")
    p.add_argument("--rounds", type=int, default=10)
    p.add_argument("--tables", default="1,2,3,4,5")
    p.add_argument("--few", action="store_true", help="20 where the table says 50")
    p.add_argument("--json")
    p.add_argument("--markdown", help="writes the tables there")
    a = p.parse_args()
    engines = [Engine(*e.split("=", 1)) for e in a.engine]
    wanted = a.tables.split(",")
    for e in engines:
        make_image(e)
        e.clean()
    tables = []
    if "1" in wanted:
        tables.append(("1. Start and stop through the client", []))
        measure(table1(), engines, a.rounds, tables[-1][1])
    if "2" in wanted:
        tables.append(("2. The API on one kept-alive connection", []))
        measure(table2(), engines, a.rounds, tables[-1][1])
    if "3" in wanted:
        tables.append(("3. Many at once, and beside many", []))
        measure(table3(a.few), engines, a.rounds, tables[-1][1])
        beside = {e.name: many(20 if a.few else 50)(e) for e in engines}
        measure(table3_beside(), engines, a.rounds, tables[-1][1])
        for e in engines:
            rm_all(e, beside[e.name])
    if "4" in wanted:
        tables.append(("4. Memory", []))
        patterns = {e.name: PATTERNS.get(e.name.split("-")[0], [e.name]) for e in engines}
        table4(engines, patterns, tables[-1][1])
    if "5" in wanted:
        tables.append(("5. Files of a container", []))
        measure(file_table(Act, Engine.create, running, remove), engines, a.rounds, tables[-1][1])
    for e in engines:
        e.clean()
    if a.json:
        with open(a.json, "w") as f:
            json.dump(dict(tables), f, indent=1)
    if a.markdown:
        with open(a.markdown, "w") as f:
            f.write(markdown(tables, engines))


if __name__ == "__main__":
    main()
