# SPDX-License-Identifier: BSD-2-Clause
"""A Slurm cluster of two nodes on this machine, made by the test and only seen by it.

        namespace weft-slurm-PID-1              namespace weft-slurm-PID-2
        soft1: slurmctld, slurmd                soft2: slurmd
        lo, eth0 10.97.0.1 -------------------- eth0 10.97.0.2, lo

Each node has a host name, mounts and shared memory of its own (UTS and mount namespace), so programs see two
machines. /etc, the prefix weft is installed to and Slurm's folder of plugins are overlays: the files of this
machine, and above them weft as `meson install` lays it out and deploy/slurm as an administrator would put it to
/etc/slurm. Nothing is written to them on this machine, and the machine's own Slurm and munge, if it runs any, are not touched: munge is
a daemon of our own with a key and a socket of its own.

Needs root, slurmctld, slurmd, munged, nsenter, unshare, ip, and overlayfs.
"""
import atexit
import glob
import json
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time

NODES = ("soft1", "soft2")
NET = "10.97.0"

# What a cluster needs beside deploy/slurm/slurm.conf. config_overrides: a node has as many CPUs as it says. Of these
# and of memory (which CR_Core does not count) there is always enough, so jobs wait for cards alone.
OWN_CONF = """
ClusterName=weft
SlurmctldHost=soft1({net}.1)
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket={dir}/munge/socket
SlurmctldPidFile={dir}/slurmctld.pid
SlurmdPidFile={dir}/slurmd.%n.pid
SlurmdSpoolDir={dir}/spool.%n
StateSaveLocation={dir}/state
SlurmctldLogFile={dir}/slurmctld.log
SlurmdLogFile={dir}/%n.log
SlurmdParameters=config_overrides
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
ProctrackType=proctrack/pgid
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
SwitchType=switch/none
MpiDefault=none
ReturnToService=2
SlurmdTimeout=10
KillWait=5
MessageTimeout=10
"""


class Broken(Exception):
    """The cluster cannot be made here: why."""


def tool(*words, **more):
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False, **more)
    if done.returncode:
        raise Broken(f"{' '.join(words[:6])}: {(done.stderr or done.stdout).strip()[-300:]}")
    return done.stdout


class Cluster:
    """Made once; close() (also at exit and on Ctrl-C) leaves nothing behind."""

    def __init__(self, build, source):
        self.build, self.source = os.path.abspath(build), os.path.abspath(source)
        self.spaces = [f"weft-slurm-{os.getpid()}-{i + 1}" for i in range(2)]
        self.dir = tempfile.mkdtemp(prefix="weft-slurm-", dir="/tmp")
        self.daemons = {}
        self.holders = []  # A process for each node, which keeps its namespaces.
        atexit.register(self.close)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, lambda number, _: os._exit(self.close() or 128 + number))
        os.chmod(self.dir, 0o755)
        self.install()
        self.make_network()
        for node in range(2):
            self.make_node(node)
        self.start_munge()
        self.start("slurmctld", 0, ["slurmctld", "-D", "-c"])
        for node in range(2):
            self.start_slurmd(node)

    # Files

    def install(self):
        """The root of what is laid over this machine's files."""
        tool("meson", "install", "-C", self.build, "--no-rebuild", "--destdir", self.dir + "/root")
        options = json.loads(tool("meson", "introspect", "--buildoptions", self.build))
        self.prefix = next(o["value"] for o in options if o["name"] == "prefix")
        self.weft = self.prefix + "/bin/weft"
        etc = self.dir + "/etc"
        os.makedirs(etc + "/slurm/efa")
        own = OWN_CONF.format(dir=self.dir, net=NET)
        deploy = self.source + "/deploy/slurm"
        with open(deploy + "/slurm.conf", encoding="utf-8") as file:
            fragment = file.read()
        plugins = glob.glob("/usr/lib/*/slurm-wlm") + glob.glob("/usr/lib64/slurm")
        if not plugins:
            raise Broken("no folder of Slurm's plugins, as Debian or Fedora name it")
        self.plugins = plugins[0]
        os.mkdir(self.dir + "/plugins")
        os.symlink(self.prefix + "/lib/weft/slurm/gres_efa.so", self.dir + "/plugins/gres_efa.so")
        self.write("etc/slurm/slurm.conf", own + fragment)
        shutil.copy(deploy + "/gres.conf", etc + "/slurm/")
        shutil.copy(f"{self.dir}/root{self.prefix}/lib/weft/slurm/weft-task-prolog", etc + "/slurm/")
        shutil.copy(deploy + "/weft.conf", etc + "/weft.conf")
        for card in range(4):
            self.write(f"etc/slurm/efa/card{card}", "")
        self.write("etc/slurm/mpi.conf", f"PMIxCliTmpDirBase={self.dir}/private\n")
        self.write("etc/hosts", "127.0.0.1 localhost\n" + "".join(f"{NET}.{i + 1} {n}\n" for i, n in enumerate(NODES)))
        for name in ("state", "private", "out"):
            os.mkdir(f"{self.dir}/{name}")
        os.chmod(self.dir + "/out", 0o1777)

    def write(self, name, text):
        with open(f"{self.dir}/{name}", "w", encoding="utf-8") as file:
            file.write(text)

    def read(self, name):
        try:
            with open(f"{self.dir}/{name}", encoding="utf-8", errors="replace") as file:
                return file.read()
        except FileNotFoundError:
            return ""

    # Nodes

    def make_network(self):
        one, two = self.spaces
        for space in self.spaces:
            tool("ip", "netns", "add", space)
        tool("ip", "link", "add", "eth0", "netns", one, "type", "veth", "peer", "name", "eth0", "netns", two)
        for i, space in enumerate(self.spaces):
            tool("ip", "-n", space, "addr", "add", f"{NET}.{i + 1}/24", "dev", "eth0")
            for device in ("lo", "eth0"):
                tool("ip", "-n", space, "link", "set", device, "up")

    def make_node(self, node):
        mine = f"{self.dir}/private.{node + 1}"
        os.mkdir(mine)
        over = [(f"{self.dir}/etc", "/etc"), (f"{self.dir}/root{self.prefix}", self.prefix),
                (self.dir + "/plugins", self.plugins)]
        script = f"hostname {NODES[node]} && mount --bind {mine} {self.dir}/private && mount -t tmpfs none /dev/shm"
        for above, below in over:
            script += f" && mount -t overlay overlay -o lowerdir={above}:{below} {below}"
        # `ip netns exec` would mount another /sys, without cgroups.
        holder = subprocess.Popen(
            ["nsenter", f"--net=/run/netns/{self.spaces[node]}", "unshare", "--uts", "--mount", "sh", "-c",
             script + " && echo made && exec sleep 86400"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, text=True)
        self.holders.append(holder)
        if holder.stdout.readline() != "made\n":
            raise Broken(f"node {NODES[node]}: {holder.stderr.read().strip()}")

    def on(self, node):
        """Words in front of a command that bring it onto a node."""
        return ["nsenter", "-t", str(self.holders[node].pid), "--net", "--uts", "--mount"]

    def environment(self, **extra):
        """A user's who has just logged in on soft1."""
        env = {"PATH": f"{self.prefix}/bin:/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin", "HOME": "/root", "LC_ALL": "C",
               "SLURM_CONF": "/etc/slurm/slurm.conf", **extra}
        return {k: v for k, v in env.items() if v is not None}

    # Daemons

    def start(self, name, node, command, user=None):
        words = self.on(node) if node is not None else []
        if user:
            words += ["setpriv", "--reuid", user, "--regid", user, "--clear-groups"]
        with open(f"{self.dir}/{name}.out", "a", encoding="utf-8") as out:
            self.daemons[name] = subprocess.Popen(words + command, env=self.environment(), stdin=subprocess.DEVNULL,
                                                  stdout=out, stderr=out, cwd="/", start_new_session=True)

    def start_munge(self):
        """Its socket is a file, so one serves both nodes."""
        munge, user = self.dir + "/munge", "munge"
        os.mkdir(munge, 0o755)
        with open(munge + "/key", "wb") as file:
            file.write(os.urandom(1024))
        os.chmod(munge + "/key", 0o400)
        entry = pwd.getpwnam(user)
        for path in (munge, munge + "/key"):
            os.chown(path, entry.pw_uid, entry.pw_gid)
        self.start("munged", None, ["munged", "-F", "--key-file", munge + "/key", "--socket", munge + "/socket", "--pid-file",
                                    munge + "/pid", "--log-file", munge + "/log", "--seed-file", munge + "/seed"], user)
        self.wait("munge does not start", lambda: os.path.exists(munge + "/socket"), 10)

    def start_slurmd(self, node):
        self.start(f"slurmd.{node + 1}", node, ["slurmd", "-D", "-N", NODES[node]])

    def wait(self, why, condition, seconds):
        end = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > end:
                raise Broken(f"{why} within {seconds} s\n" + self.logs())
            time.sleep(0.1)

    def logs(self):
        text = ""
        for name in ("munged.out", "slurmctld.log", "soft1.log", "soft2.log", "slurmctld.out", "slurmd.1.out", "slurmd.2.out"):
            lines = [line for line in self.read(name).splitlines() if line][-6:]
            text += "".join(f"{name}: {line}\n" for line in lines)
        return text

    # Commands of a user on soft1

    def start_command(self, words, **env):
        """In the background; its output into files, since its children may keep a pipe open."""
        out = tempfile.TemporaryFile(mode="w+", dir=self.dir)
        process = subprocess.Popen(self.on(0) + words, env=self.environment(**env), cwd=self.dir + "/out",
                                   stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT)
        process.out = out
        return process

    @staticmethod
    def finish(process, seconds):
        """Its exit status (124: it hangs) and output."""
        try:
            rc = process.wait(seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            rc = 124
        process.out.seek(0)
        text = process.out.read()
        process.out.close()
        return rc, text

    def run(self, words, seconds=60, **env):
        return self.finish(self.start_command(words, **env), seconds)

    def jobs(self):
        """{id: (state, reason)} of what is queued or runs."""
        _, text = self.run(["squeue", "-h", "-o", "%i|%T|%r"], 20)
        return {w[0]: (w[1], w[2]) for w in (line.split("|") for line in text.splitlines()) if len(w) == 3}

    def nodes(self):
        """{name: state}, as `sinfo` has them."""
        _, text = self.run(["sinfo", "-h", "-N", "-o", "%N|%T"], 20)
        return dict(line.split("|") for line in text.splitlines() if line.count("|") == 1)

    def pids(self, node):
        """Every process in a node's network: daemons, steps and tasks."""
        found = subprocess.run(["ip", "netns", "pids", self.spaces[node]], capture_output=True, text=True, check=False)
        return [int(pid) for pid in found.stdout.split()]

    def kill_node(self, node):
        """As if its power went: it is not heard of again, and nothing runs there but what holds its namespaces."""
        tool("ip", "-n", self.spaces[node], "link", "set", "eth0", "down")
        for pid in self.pids(node):
            if pid != self.holders[node].pid:
                kill(pid)

    def revive_node(self, node):
        tool("ip", "-n", self.spaces[node], "link", "set", "eth0", "up")
        self.daemons.pop(f"slurmd.{node + 1}").wait()
        self.start_slurmd(node)

    # The end

    def close(self):
        for space, node in zip(self.spaces, range(2)):
            for _ in range(20):
                pids = self.pids(node)
                if not pids:
                    break
                for pid in pids:
                    kill(pid)
                time.sleep(0.05)
            subprocess.run(["ip", "netns", "del", space], capture_output=True, check=False)
        for process in [*self.daemons.values(), *self.holders]:
            if process.poll() is None:
                process.kill()
            process.wait()
        self.daemons, self.holders, self.spaces = {}, [], []
        shutil.rmtree(self.dir, ignore_errors=True)


def kill(pid):
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
