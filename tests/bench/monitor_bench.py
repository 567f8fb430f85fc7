#!/usr/bin/env python3
"""Measures coracle-monitor alone: memory of waiting ones, and create+start+exit.

usage: monitor_bench.py PATH/TO/coracle-monitor [WAITING [CYCLES]]     (as an unprivileged user)
"""
import json, os, shutil, socket, subprocess, sys, tempfile, time, statistics

monitor = sys.argv[1]
waiting = int(sys.argv[2]) if len(sys.argv) > 2 else 20
cycles = int(sys.argv[3]) if len(sys.argv) > 3 else 30
base = tempfile.mkdtemp(prefix="monitor_bench_")
os.makedirs(base + "/rootfs/bin")
shutil.copy("/bin/busybox", base + "/rootfs/bin/busybox")
for name in ("true", "sleep"):
    os.symlink("busybox", base + "/rootfs/bin/" + name)


class Monitor:
    def __init__(self, n, args):
        self.dir = f"{base}/{n}"
        os.makedirs(self.dir)
        spec = {"ociVersion": "1.2.0", "root": {"path": base + "/rootfs", "readonly": True},
                "process": {"args": args, "env": ["PATH=/bin"], "cwd": "/"},
                "mounts": [{"destination": "/proc", "type": "proc", "source": "proc"},
                           {"destination": "/dev", "type": "tmpfs", "source": "tmpfs"}],
                "linux": {"namespaces": [{"type": t} for t in ("pid", "ipc", "uts", "mount")]}}
        with open(self.dir + "/config.json", "w") as f:
            json.dump(spec, f)
        self.ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.seq = 0
        self.process = subprocess.Popen(
            ["unshare", "--user", "--map-root-user", "--mount", monitor, "--control-fd", str(theirs.fileno())],
            pass_fds=[theirs.fileno()])
        theirs.close()

    def send(self, **request):
        self.ours.send(b"T" + json.dumps(request).encode())

    def receive(self):
        return json.loads(self.ours.recv(65537)[1:])

    def ask(self, **request):
        self.seq += 1
        self.send(seq=self.seq, **request)
        answer = self.receive()
        if answer.get("error"):
            sys.exit(answer["error"]["message"])
        return answer

    def create(self):
        self.ask(op="create", create={"id": "x", "bundle": self.dir, "run_dir": self.dir, "state_dir": self.dir,
                                      "log": {"path": self.dir + "/log"}, "sync_exit": False})


def rollup(pid):
    with open(f"/proc/{pid}/smaps_rollup") as f:
        fields = dict(l.split(":", 1) for l in f.read().splitlines()[1:])
    return {k: int(fields[k].split()[0]) for k in ("Pss", "Anonymous", "Rss")}


try:
    times = []
    for i in range(cycles):
        m = Monitor(f"t{i}", ["true"])
        m.ask(op="hello")
        begin = time.perf_counter()
        m.create()
        m.ask(op="start")
        event = m.receive()
        times.append((time.perf_counter() - begin) * 1000)
        m.send(op="ack", n=event["n"])
        m.process.wait()
    print(f"create+start+exit of true, ms: min {min(times):.1f} median {statistics.median(times):.1f} of {cycles}")
    all_waiting = [Monitor(f"w{i}", ["sleep", "1000"]) for i in range(waiting)]
    for m in all_waiting:
        m.create()
        m.ask(op="start")
    time.sleep(2)
    memory = [rollup(m.process.pid) for m in all_waiting]
    for key in ("Pss", "Anonymous", "Rss"):
        print(f"{key} of {waiting} waiting, KiB each: {sum(x[key] for x in memory) / waiting:.0f}")
    for m in all_waiting:
        m.send(op="signal", signal=9)
    for m in all_waiting:
        m.ours.close()
        m.process.wait()
finally:
    shutil.rmtree(base, ignore_errors=True)
