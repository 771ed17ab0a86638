# SPDX-License-Identifier: BSD-2-Clause
"""What the tests of real programs share: TAP, worlds, pairs of programs, the device's own counters.

A world is two hosts on this machine and the link between them:

    udp, local   127.0.0.2 and 127.0.0.3, with the wire of that name
    netns        two network namespaces of our own, joined by a veth pair; needs root

            namespace a                      namespace b
        lo  eth0 10.99.0.1, fd99::1 ------ eth0 10.99.0.2, fd99::2  lo

Programs run unmodified, with the preload library and a WEFT_ADDR, and each under a time limit. Every run gives
back the counters of its cards (WEFT_STATS), since libfabric has ways around the device on one host,
and a test that only looks at the program would be content with them.
"""
import atexit
import glob
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

SKIP = 77
UNPRIVILEGED = 65534  # nobody


def skip(reason):
    """The whole script cannot run here."""
    print("1..0 # SKIP " + reason)
    print(reason)
    sys.exit(SKIP)


def need(*programs):
    packages = {
        "fi_info": "libfabric-bin", "fi_pingpong": "libfabric-bin", "ibv_devices": "ibverbs-utils",
        "ibv_devinfo": "ibverbs-utils", "ib_send_bw": "perftest", "mpirun": "openmpi-bin",
        "valgrind": "valgrind", "ip": "iproute2", "timeout": "coreutils",
    }
    for program in programs:
        if not shutil.which(program):
            skip(f"no {program} here (Debian package {packages.get(program, program)})")


class Tap:
    """Counts and prints the checks of one script."""

    def __init__(self):
        self.count = 0
        self.failed = 0

    def check(self, good, name, *details):
        self.count += 1
        if good:
            print(f"ok {self.count} - {name}", flush=True)
            return True
        self.failed += 1
        print(f"not ok {self.count} - {name}")
        for detail in details:
            for line in str(detail).rstrip().splitlines():
                print("#   " + line)
        sys.stdout.flush()
        return False

    def skip(self, name, reason):
        self.count += 1
        print(f"ok {self.count} - {name} # SKIP {reason}", flush=True)

    def done(self):
        print(f"1..{self.count}")
        sys.exit(1 if self.failed else 0)


def free_port():
    """A TCP port nobody listens on, below the ephemeral ones: those may be taken before we use it."""
    for _ in range(200):
        port = 9000 + int.from_bytes(os.urandom(2), "big") % 9000
        with socket.socket() as probe:
            try:
                probe.bind(("0.0.0.0", port))
                return port
            except OSError:
                continue
    raise RuntimeError("no free port")


class Result:
    """How a program ended: rc (negative: by a signal; 124: out of time), what it said, its cards' counters."""

    def __init__(self, what, rc, out, err, stats):
        self.what, self.rc, self.out, self.err, self.stats = what, rc, out, err, stats

    def total(self, counter):
        return sum(card.get(counter, 0) for card in self.stats)

    def __str__(self):
        busy = [{k: v for k, v in card.items() if v} for card in self.stats]
        out, err = ("\n".join(text.splitlines()[-15:]) for text in (self.out, self.err))
        return f"{self.what}: exit {self.rc}\nstdout:\n{out}\nstderr:\n{err}\ncounters: {busy[:4]}\n"


def read_stats(path):
    """What WEFT_STATS made: a line for each card of each process."""
    try:
        with open(path, encoding="utf-8") as file:
            return [json.loads(line) for line in file]
    except FileNotFoundError:
        return []


class World:
    """Two hosts and a link. Made once by a script; cleans up behind itself."""

    def __init__(self, name, preload):
        self.name = name
        self.preload = os.path.abspath(preload)
        self.dir = tempfile.mkdtemp(prefix="weft-e2e-")
        os.chmod(self.dir, 0o755)
        self.run_dir = tempfile.mkdtemp(prefix="weft-e2e-", dir="/dev/shm")
        self.runs = 0
        self.spaces = []
        self.running = []
        atexit.register(self.close)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, lambda *_: sys.exit(1))
        if not os.path.exists(self.preload):
            skip(f"no {os.path.basename(self.preload)} in this build")
        if name == "netns":
            self.hosts = ["10.99.0.1", "10.99.0.2"]
            self.make_namespaces()
            self.wire = "udp"
        elif name in ("udp", "local"):
            self.hosts = ["127.0.0.2", "127.0.0.3"]
            self.wire = name
        else:
            sys.exit(f"no such world: {name}")
        self.control = self.hosts[0]  # Where programs look for each other.

    def make_namespaces(self):
        if os.geteuid() != 0:
            skip("network namespaces need root")
        need("ip")
        names = [f"weft-e2e-{os.getpid()}-{side}" for side in "ab"]
        a, b = names
        steps = [
            f"netns add {a}", f"netns add {b}",
            f"link add eth0 netns {a} type veth peer name eth0 netns {b}",
        ]
        for name, host in zip(names, ("1", "2")):
            steps += [
                f"-n {name} link set lo up", f"-n {name} link set eth0 up",
                f"-n {name} addr add 10.99.0.{host}/24 dev eth0",
                f"-n {name} addr add fd99::{host}/64 dev eth0 nodad",
            ]
        self.spaces = names
        for step in steps:
            done = subprocess.run(["ip", *step.split()], capture_output=True, text=True, check=False)
            if done.returncode:
                skip(f"cannot make network namespaces: ip {step}: {done.stderr.strip()}")

    def close(self):
        for process in self.running:
            if process.poll() is None:
                process.terminate()
                try:
                    process.wait(5)
                except subprocess.TimeoutExpired:
                    process.kill()
        self.running = []
        for name in self.spaces:
            subprocess.run(["ip", "netns", "del", name], capture_output=True, check=False)
        self.spaces = []
        shutil.rmtree(self.dir, ignore_errors=True)
        shutil.rmtree(self.run_dir, ignore_errors=True)

    def within(self, side):
        """Words in front of a command that bring it onto a host."""
        return ["ip", "netns", "exec", self.spaces[side]] if self.spaces else []

    def environment(self, side, stats=None, **extra):
        """Of a program on a host: nothing of weft's or libfabric's from outside. Meson's MALLOC_PERTURB_ goes, too:
        libfabric 1.17 reads a domain that it has just freed."""
        env = {k: v for k, v in os.environ.items()
               if not k.startswith(("WEFT_", "FI_", "OMPI_", "LD_", "SYSFS_PATH", "MALLOC_"))}
        env.update(HOME=self.dir, LC_ALL="C", LD_PRELOAD=self.preload, WEFT_ADDR=self.hosts[side],
                   WEFT_WIRE=self.wire, WEFT_RUN_DIR=self.run_dir)
        if stats:
            env["WEFT_STATS"] = stats
        env.update(extra)
        return {k: v for k, v in env.items() if v is not None}

    def start(self, side, command, seconds, uid=None, **extra):
        """A program in the background. Its limit is `timeout`'s, which has no preload."""
        self.runs += 1
        base = os.path.join(self.dir, str(self.runs))
        stats = base + ".stats"
        env = self.environment(side, stats, **extra)
        bounded = self.within(side) + ["timeout", "-k", "5", str(seconds)]
        if uid is not None:
            bounded += ["setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups"]
            with open(stats, "w", encoding="utf-8"):
                os.chown(stats, uid, uid)
        if "LD_PRELOAD" in env:
            bounded += ["env", "LD_PRELOAD=" + env.pop("LD_PRELOAD")]
        with open(base + ".out", "w", encoding="utf-8") as out, \
                open(base + ".err", "w", encoding="utf-8") as err:
            process = subprocess.Popen(bounded + command, env=env, stdin=subprocess.DEVNULL,
                                       stdout=out, stderr=err, cwd=self.dir)
        process.base = base
        process.what = f"[{self.name}, host {'ab'[side]}] " + " ".join(command)
        self.running.append(process)
        return process

    def finish(self, process):
        process.wait()
        self.running.remove(process)

        def read(suffix):
            try:
                with open(process.base + suffix, encoding="utf-8", errors="replace") as file:
                    return file.read()
            except FileNotFoundError:
                return ""

        return Result(process.what, process.returncode, read(".out"), read(".err"),
                      read_stats(process.base + ".stats"))

    def run(self, command, side=0, seconds=20, uid=None, **extra):
        return self.finish(self.start(side, command, seconds, uid, **extra))

    def listens(self, process, port, seconds=10):
        """Waits until the program, or a child of it, listens on a TCP port."""
        entry = re.compile(rf"^\s*\d+: [0-9A-F]+:{port:04X} [0-9A-F]+:0000 0A ", re.M)
        end = time.monotonic() + seconds
        while time.monotonic() < end and process.poll() is None:
            for table in glob.glob(f"/proc/{process.pid}/net/tcp*"):
                try:
                    with open(table, encoding="ascii") as file:
                        if entry.search(file.read()):
                            return True
                except OSError:
                    pass
            time.sleep(0.02)
        return False

    def pair(self, server, client, port, seconds=30, uids=(None, None), listen=10, **extra):
        """A server on host a, a client on host b. Both results."""
        a = self.start(0, server, seconds, uids[0], **extra)
        self.listens(a, port, listen)
        b = self.start(1, client, seconds, uids[1], **extra)
        result = self.finish(b)
        if result.rc != 0 and a.poll() is None:
            a.terminate()  # Nobody will come any more.
        return self.finish(a), result

    def carried(self, *results):
        """'' when the device of each of the programs sent and received over this world's link only."""
        for result in results:
            if not result.stats:
                return "no counters: the device was not there"
            if not result.total("rx_pkts") or not result.total("tx_pkts"):
                return "nothing went through the device"
            udp = result.total("udp_rx_frames") + result.total("udp_tx_frames")
            local = result.total("local_rx_frames") + result.total("local_tx_frames")
            if self.wire == "udp" and (local or not udp):
                return f"expected UDP only: {udp} frames by UDP, {local} through shared memory"
            # A process that sleeps is woken by a datagram of one byte.
            bells = result.total("udp_rx_bytes") + result.total("udp_tx_bytes")
            if self.wire == "local" and (bells > udp or not local):
                return f"expected shared memory only: {bells} bytes by UDP, {local} frames through it"
        return ""


def card_of(world, side=0):
    """The name of a host's first card, as ibv_devices says it."""
    result = world.run(["ibv_devices"], side)
    names = re.findall(r"^\s+(\S+)\s+[0-9a-f]{16}\s*$", result.out, re.M)
    return names[0] if names else None
