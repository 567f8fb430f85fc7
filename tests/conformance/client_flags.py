"""The flags of `docker container run` and `create`, as a table: what each one must do.

client_test.py walks it with every docker CLI: `run` with the flag, whose output is compared, then `create`
with the same flag; both are inspected for what must be stored. {dir} in an argument is a scratch folder of
the host with the files env, labels and bound.
"""
from dataclasses import dataclass, field


@dataclass
class Row:
    flags: str                # names, e.g. "--env --env-file"
    args: list                # as given to the CLI
    command: list = field(default_factory=lambda: ["true"])
    out: str = ""             # regular expression, found in stdout
    err: str = ""             # … in stderr
    code: int = 0
    stored: dict = field(default_factory=dict)  # path in inspect -> value
    limit: tuple = ()         # (path, value): stored, or a warning that this host cannot keep it
    refused: str = ""         # regular expression of the error; nothing is made
    since: tuple = (0, 0)     # the first CLI that has it
    until: tuple = (99, 0)    # the first CLI that has it no more
    lost_by: tuple = (0, 0)   # a CLI that takes it and does not send it: seen in its request


HEALTH = "Config.Healthcheck"
MS = 1_000_000

RUN = [
    # -- names and words
    Row("--annotation", ["--annotation", "a=b"], stored={"HostConfig.Annotations": {"a": "b"}},
        since=(24, 0)),
    Row("--domainname --hostname", ["--hostname", "boat", "--domainname", "harbour.test"],
        ["hostname"], "^boat$", stored={"Config.Hostname": "boat", "Config.Domainname": "harbour.test"}),
    Row("--label --label-file", ["--label", "a=1", "-l", "b", "--label-file", "{dir}/labels"],
        stored={"Config.Labels": {"a": "1", "b": "", "of": "the file"}}),
    Row("--cidfile", ["--cidfile", "{dir}/cid-{step}"]),
    Row("--name", ["--name", "by-name-{step}"], stored={"Name": "/by-name-{step}"}),
    Row("--platform", ["--platform", "linux/amd64"], ["uname", "-m"], "x86_64"),
    Row("--pull", ["--pull", "never"], ["echo", "here"], "^here$"),
    Row("--pull", ["--pull=never", "--label", "image=missing"], refused="No such image|unable to find",
        command=["image-missing"]),
    Row("--quiet", ["--quiet"], ["echo", "here"], "^here$", since=(23, 0)),
    Row("--disable-content-trust", ["--disable-content-trust=true"], ["echo", "here"], "^here$"),
    # -- the process
    Row("--attach", ["-a", "stdout"], ["sh", "-c", "echo out; echo err >&2"], "^out$", err="^$",
        stored={"Config.AttachStdout": True, "Config.AttachStderr": False}),
    Row("--entrypoint", ["--entrypoint", "echo"], ["said"], "^said$",
        stored={"Config.Entrypoint": ["echo"], "Config.Cmd": ["said"]}),
    Row("--env --env-file", ["-e", "A=1", "--env", "OUTER", "--env-file", "{dir}/env"], ["env"],
        r"(?s)(?=.*^A=1$)(?=.*^OUTER=from outside$)(?=.*^FILED=yes$)"),
    Row("--interactive", ["-i"], ["cat"], "^typed$", stored={"Config.OpenStdin": True}),
    Row("--tty", ["-t"], ["tty"], "^/dev/pts/0", stored={"Config.Tty": True}),
    Row("--init", ["--init"], ["cat", "/proc/1/comm"], "^(?!cat).", stored={"HostConfig.Init": True}),
    Row("--user", ["-u", "web"], ["id", "-u"], "^33$", stored={"Config.User": "web"}),
    Row("--group-add", ["--group-add", "44", "--group-add", "web"], ["id", "-G"], r"\b33\b.*\b44\b|\b44\b.*\b33\b",
        stored={"HostConfig.GroupAdd": ["44", "web"]}),
    Row("--workdir", ["-w", "/made/here"], ["pwd"], "^/made/here$",
        stored={"Config.WorkingDir": "/made/here"}),
    Row("--stop-signal --stop-timeout", ["--stop-signal", "USR1", "--stop-timeout", "3"],
        stored={"Config.StopSignal": "USR1", "Config.StopTimeout": 3}),
    Row("--ulimit", ["--ulimit", "nofile=100:200"], ["sh", "-c", "ulimit -n; ulimit -Hn"], "(?s)100.200",
        stored={"HostConfig.Ulimits": [{"Name": "nofile", "Hard": 200, "Soft": 100}]}),
    Row("--oom-score-adj", ["--oom-score-adj", "500"], ["cat", "/proc/self/oom_score_adj"], "^500$",
        stored={"HostConfig.OomScoreAdj": 500}),
    # -- isolation
    Row("--cap-add --cap-drop", ["--cap-drop", "ALL", "--cap-add", "NET_ADMIN"],
        ["grep", "CapEff", "/proc/self/status"], "0000000000001000"),
    Row("--privileged", ["--privileged"], ["grep", "CapEff", "/proc/self/status"], "[13]ffffffffff",
        stored={"HostConfig.Privileged": True}),
    Row("--security-opt", ["--security-opt", "no-new-privileges"],
        ["grep", "NoNewPrivs", "/proc/self/status"], r"NoNewPrivs:\s1"),
    Row("--security-opt", ["--security-opt", "seccomp=unconfined"],
        ["grep", "Seccomp:", "/proc/self/status"], r"Seccomp:\s0"),
    Row("--cgroupns", ["--cgroupns", "private"], stored={"HostConfig.CgroupnsMode": "private"}),
    Row("--ipc", ["--ipc", "shareable"], ["ls", "/dev/shm"], stored={"HostConfig.IpcMode": "shareable"}),
    Row("--pid", ["--pid", "host"], ["sh", "-c", "[ $$ -gt 2 ] && echo among many"], "among many",
        stored={"HostConfig.PidMode": "host"}),
    Row("--uts", ["--uts", "host"], ["hostname"], "^{hostname}$", stored={"HostConfig.UTSMode": "host"}),
    Row("--userns", ["--userns", "host"], stored={"HostConfig.UsernsMode": "host"}),
    Row("--sysctl", ["--sysctl", "net.ipv4.ip_unprivileged_port_start=80"],
        ["cat", "/proc/sys/net/ipv4/ip_unprivileged_port_start"], "^80$"),
    Row("--read-only --tmpfs", ["--read-only", "--tmpfs", "/t:size=1m"],
        ["sh", "-c", "touch /t/a && echo written; touch /x"], "^written$", err="Read-only file system",
        code=1, stored={"HostConfig.ReadonlyRootfs": True, "HostConfig.Tmpfs": {"/t": "size=1m"}}),
    Row("--shm-size", ["--shm-size", "1m"], ["df", "-k", "/dev/shm"], r"\s1024\s",
        stored={"HostConfig.ShmSize": 1 << 20}),
    Row("--device", ["--device", "/dev/null:/dev/nothing"], ["ls", "-l", "/dev/nothing"], "^c"),
    Row("--device-cgroup-rule", ["--device-cgroup-rule", "c 1:3 r"],
        limit=("HostConfig.DeviceCgroupRules", ["c 1:3 r"])),
    Row("--runtime", ["--runtime", "nothere"], refused="unknown or invalid runtime name: nothere"),
    Row("--gpus", ["--gpus", "all"], refused="could not select device driver"),
    Row("--isolation", ["--isolation", "default"], ["echo", "here"], "^here$"),
    # -- network
    Row("--add-host", ["--add-host", "peer:10.1.2.3"], ["cat", "/etc/hosts"], r"10\.1\.2\.3\s+peer",
        stored={"HostConfig.ExtraHosts": ["peer:10.1.2.3"]}),
    Row("--dns --dns-option --dns-search",
        ["--dns", "10.9.8.7", "--dns-option", "ndots:3", "--dns-search", "harbour.test"],
        ["cat", "/etc/resolv.conf"], r"(?s)(?=.*nameserver 10\.9\.8\.7)(?=.*ndots:3)(?=.*search harbour\.test)"),
    Row("--expose", ["--expose", "81"], stored={"Config.ExposedPorts": {"81/tcp": {}}}),
    Row("--publish", ["-p", "127.0.0.1::81"],
        stored={"HostConfig.PortBindings": {"81/tcp": [{"HostIp": "127.0.0.1", "HostPort": ""}]}}),
    Row("--publish-all", ["-P", "--expose", "82"], stored={"HostConfig.PublishAllPorts": True}),
    Row("--link", ["--link", "base:alias"], ["cat", "/etc/hosts"], r"172\.\d+\.\d+\.\d+\s.*alias"),
    Row("--mac-address", ["--mac-address", "02:42:ac:11:00:99"],
        ["cat", "/sys/class/net/eth0/address"], "^02:42:ac:11:00:99$"),
    Row("--network", ["--network", "none"], ["ls", "/sys/class/net"], "^lo$",
        stored={"HostConfig.NetworkMode": "none"}),
    Row("--network", ["--network", "container:base"], ["hostname"], stored={}),
    Row("--network-alias", ["--network-alias", "also"],
        refused="only supported for user-defined networks|only supported for containers in user defined",
        since=(23, 0)),
    Row("--ip", ["--ip", "172.17.0.77"], refused="supported on user defined networks only", since=(23, 0)),
    Row("--ip6", ["--ip6", "fd00::77"], refused="supported on user defined networks only", since=(23, 0)),
    # 20.10 keeps them to itself where no --network is named: seen in what it sends.
    Row("--ip --ip6 --network-alias", ["--ip", "172.17.0.77", "--ip6", "fd00::77", "--network-alias", "also"],
        ["echo", "here"], "^here$", until=(23, 0)),
    Row("--link-local-ip", ["--link-local-ip", "169.254.7.7"], ["echo", "here"], "^here$"),
    # -- storage
    Row("--volume", ["-v", "{dir}/bound:/b:ro", "-v", "fresh-{step}:/v"],
        ["sh", "-c", "cat /b/file; echo x > /v/y && echo written; touch /b/no"], "(?s)bound.written",
        err="Read-only", code=1),
    Row("--volume-driver", ["--volume-driver", "local", "-v", "/anonymous"], ["ls", "-d", "/anonymous"], "/anonymous",
        stored={"HostConfig.VolumeDriver": "local"}),
    Row("--volumes-from", ["--volumes-from", "base"], ["cat", "/shared/file"], "^of base$",
        stored={"HostConfig.VolumesFrom": ["base"]}),
    Row("--mount", ["--mount", "type=bind,src={dir}/bound,dst=/b,readonly"], ["cat", "/b/file"], "bound"),
    Row("--mount", ["--mount", "type=volume,dst=/v,volume-label=a=b"], ["ls", "-d", "/v"], "/v"),
    Row("--mount", ["--mount", "type=tmpfs,dst=/t,tmpfs-size=1m,tmpfs-mode=1770"],
        ["sh", "-c", "stat -c %a /t; df -k /t"], r"(?s)^1770\b.*\s1024\s"),
    Row("--mount", ["--mount", "type=bind,src={dir}/not-there,dst=/b"],
        refused="bind source path does not exist"),
    Row("--mount", ["--mount", "type=image,src=busybox,dst=/i"], ["ls", "/i/bin/sh"], "/i/bin/sh", since=(28, 0)),
    # What an API did not know is not done by it.
    Row("--mount", ["--mount", "type=image,src=busybox,dst=/i"], refused="needs API v1.48 or newer", until=(28, 0)),
    Row("--storage-opt", ["--storage-opt", "size=1G"], refused="(?i)storage-opt"),
    # -- life
    Row("--restart", ["--restart", "on-failure:2"],
        stored={"HostConfig.RestartPolicy": {"Name": "on-failure", "MaximumRetryCount": 2}}),
    Row("--log-driver", ["--log-driver", "none"], ["echo", "unlogged"], "^unlogged$",
        stored={"HostConfig.LogConfig.Type": "none"}),
    Row("--log-driver", ["--log-driver", "local"], ["echo", "logged"], "^logged$",
        stored={"HostConfig.LogConfig.Type": "local"}),
    Row("--log-opt", ["--log-opt", "max-size=10k", "--log-opt", "max-file=2"],
        stored={"HostConfig.LogConfig.Config": {"max-size": "10k", "max-file": "2"}}),
    Row("--health-cmd --health-interval --health-retries --health-start-period --health-timeout",
        ["--health-cmd", "test -e /ok", "--health-interval", "1m", "--health-retries", "4",
         "--health-start-period", "2s", "--health-timeout", "5s"],
        stored={f"{HEALTH}.Test": ["CMD-SHELL", "test -e /ok"], f"{HEALTH}.Interval": 60_000 * MS,
                f"{HEALTH}.Retries": 4, f"{HEALTH}.StartPeriod": 2000 * MS, f"{HEALTH}.Timeout": 5000 * MS}),
    Row("--health-start-interval", ["--health-cmd", "true", "--health-start-interval", "1s"],
        stored={f"{HEALTH}.StartInterval": 1000 * MS}, since=(25, 0)),
    Row("--no-healthcheck", ["--no-healthcheck"], stored={f"{HEALTH}.Test": ["NONE"]}),
    # -- limits: kept, or said to be impossible here
    Row("--memory --memory-reservation --memory-swap",
        ["-m", "64m", "--memory-reservation", "32m", "--memory-swap", "128m"],
        limit=("HostConfig.Memory", 64 << 20)),
    Row("--memory-swappiness", ["--memory-swappiness", "30"], limit=("HostConfig.MemorySwappiness", 30)),
    Row("--kernel-memory", ["--kernel-memory", "64m"], ["echo", "here"], "^here$"),  # no kernel has it any more
    Row("--oom-kill-disable", ["--oom-kill-disable"], limit=("HostConfig.OomKillDisable", True)),
    Row("--cpus", ["--cpus", "0.5"], limit=("HostConfig.NanoCpus", 500 * MS)),
    Row("--cpu-period --cpu-quota", ["--cpu-period", "50000", "--cpu-quota", "25000"],
        limit=("HostConfig.CpuQuota", 25000)),
    Row("--cpu-shares", ["-c", "512"], limit=("HostConfig.CpuShares", 512)),
    Row("--cpu-rt-period", ["--cpu-rt-period", "1000000"], limit=("HostConfig.CpuRealtimePeriod", 1_000_000)),
    Row("--cpu-rt-runtime", ["--cpu-rt-runtime", "1000"], limit=("HostConfig.CpuRealtimeRuntime", 1000)),
    Row("--cpuset-cpus", ["--cpuset-cpus", "0"], limit=("HostConfig.CpusetCpus", "0")),
    Row("--cpuset-mems", ["--cpuset-mems", "0"], limit=("HostConfig.CpusetMems", "0")),
    Row("--pids-limit", ["--pids-limit", "100"], limit=("HostConfig.PidsLimit", 100)),
    Row("--blkio-weight", ["--blkio-weight", "300"], limit=("HostConfig.BlkioWeight", 300)),
    Row("--blkio-weight-device", ["--blkio-weight-device", "/dev/null:300"],
        limit=("HostConfig.BlkioWeightDevice", [{"Path": "/dev/null", "Weight": 300}])),
    Row("--cgroup-parent", ["--cgroup-parent", "/ours"], limit=("HostConfig.CgroupParent", "/ours")),
]
for name in ("read-bps", "write-bps", "read-iops", "write-iops"):
    key = "HostConfig.BlkioDevice" + "".join(w.capitalize() for w in name.split("-"))
    key = key.replace("Iops", "IOps")
    RUN.append(Row(f"--device-{name}", [f"--device-{name}", "/dev/null:1000"],
                   limit=(key, [{"Path": "/dev/null", "Rate": 1000}]), lost_by=(26, 1)))
