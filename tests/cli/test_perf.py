#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""`weft perf` from outside: the layouts, what it says when something is wrong, and that it never hangs.

Over libfabric's tcp provider, on loopback: figures mean nothing here, only their form and what adds up."""
import csv
import io
import json
import os
import re
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
import xml.etree.ElementTree

WEFT = os.path.abspath(sys.argv[1])
count = failed = 0


def case(name, ok, detail=""):
    global count, failed
    count += 1
    if not ok:
        failed += 1
    print("%sok %d - %s" % ("" if ok else "not ", count, name))
    if not ok:
        print("\n".join("# " + line for line in str(detail).splitlines()[:40]))
    sys.stdout.flush()


def perf(*args, env=None, timeout=60):
    clean = {k: v for k, v in os.environ.items()
             if not re.match("OMPI_|PMI|SLURM_|SKYPILOT_|RANK$|WORLD_SIZE$|MASTER_", k)}
    clean.update(env or {})
    return subprocess.run([WEFT, "perf", *map(str, args)], env=clean, text=True, timeout=timeout,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def rows(text):
    return [line.split() for line in text.splitlines() if line and not line.startswith("#")]


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Server:
    def __init__(self, *args):
        self.port = free_port()
        self.proc = subprocess.Popen([WEFT, "perf", "serve", "--port", str(self.port), *args],
                                     stderr=subprocess.PIPE, text=True)
        self.ready = self.proc.stderr.readline()

    def guests(self):
        path = "/proc/%d/task/%d/children" % (self.proc.pid, self.proc.pid)
        return [int(p) for p in open(path).read().split()]

    def stop(self):
        self.proc.terminate()
        self.proc.wait(10)


def one_line(p, *words):
    return (p.returncode == 2 and p.stderr.count("\n") == 1 and all(w in p.stderr for w in words),
            "%d\n%s%s" % (p.returncode, p.stdout, p.stderr))


def layouts():
    few = ("-p", "tcp", "-n", "10", "-w", "2")
    p = perf("pingpong", "--local", 2, *few, "-b", 64, "-e", "4k", "-f", 4)
    got = rows(p.stdout)
    case("pingpong has fi_pingpong's columns",
         p.returncode == 0 and got[0][:8] == ["bytes", "#sent", "#ack", "total", "time", "MB/sec",
                                              "usec/xfer", "Mxfers/sec"]
         and [r[0] for r in got[1:]] == ["64", "256", "1k", "4k"]
         and got[1][1:4] == ["10", "=10", "1.2k"] and len(got[1]) == 12, p.stdout + p.stderr)
    case("every result carries its configuration",
         all(w in p.stdout for w in ("provider tcp", "libfabric 1.", "Linux ", os.uname().nodename)), p.stdout)
    p = perf("allreduce", "--local", 3, *few, "-b", 8, "-e", "64K", "-f", 8)
    got = rows(p.stdout)
    case("allreduce has nccl-tests' columns and right data",
         p.returncode == 0 and [r[0] for r in got] == ["8", "64", "512", "4096", "32768"]
         and all(len(r) == 13 and r[8] == r[12] == "0" and r[2:5] == ["float", "sum", "-1"] for r in got)
         and "# Out of bounds values : 0 OK" in p.stdout and "# Avg bus bandwidth    : " in p.stdout,
         p.stdout + p.stderr)
    big = got[-1]
    case("busbw is algbw by 2(n-1)/n",
         abs(32768 / float(big[5]) / 1e3 - float(big[6])) < 0.02
         and abs(float(big[6]) * 4 / 3 - float(big[7])) < 0.02, big)
    p = perf("alltoall", "--local", 3, *few, "-b", 1000, "-e", 3000, "-i", 1000, "--json")
    j = json.loads(p.stdout)
    case("alltoall as JSON, sizes that divide by nothing",
         [r["bytes"] for r in j["rows"]] == [1000, 2000, 3000]
         and all(r[k]["wrong"] == 0 and r[k]["iterations"] == 10 for r in j["rows"]
                 for k in ("out_of_place", "in_place")) and j["ranks"] == 3, p.stdout + p.stderr)
    p = perf("bw", "--local", 2, *few, "-S", "1k", "--style", "osu", "-c", 1)
    case("OSU's two columns", re.search("^# Size +Bandwidth .MB/s.$", p.stdout, re.M)
         and len(rows(p.stdout)[0]) == 2 and "# 0 wrong values" in p.stdout, p.stdout + p.stderr)
    p = perf("bibw", "--local", 2, *few, "-b", "1k", "-e", "64k", "-f", 8, "--csv", "-c", 1)
    table = list(csv.DictReader(io.StringIO(p.stdout)))
    case("CSV", [r["bytes"] for r in table] == ["1024", "8192", "65536"] and
         all(r["wrong"] == "0" and r["provider"].startswith("tcp") and float(r["cov"]) >= 0
             and float(r["p50_us"]) <= float(r["p99_us"]) <= float(r["p999_us"]) for r in table), p.stdout + p.stderr)
    p = perf("rate", "--local", 2, *few)
    case("rate", p.returncode == 0 and rows(p.stdout)[-1][0] == "8" and float(rows(p.stdout)[-1][4]) > 0,
         p.stdout + p.stderr)


def judged():
    few = ("-p", "tcp", "-n", "3", "-w", "1")
    p = perf("allreduce", "--local", 2, *few, "-b", "64k", "-e", "1M", "-f", 4, "--compare", "tcp",
             "--expect", "p4d.24xlarge", "--json")
    j = json.loads(p.stdout)
    e = j["expectation"]
    case("a comparison and a verdict as JSON", p.returncode == (0 if e["verdict"] == "good" else 1)
         and len(j["runs"]) == 2 and [s["bytes"] for s in j["speedup"]] == [1 << 16, 1 << 18, 1 << 20]
         and [s["bytes"] for s in e["sizes"]] == [1 << 16, 1 << 18, 1 << 20] and j["ranges"]
         and all(s["good"] == (s["measured_gbytes"] >= 0.9 * s["expected_gbytes"]) for s in e["sizes"]),
         p.stdout + p.stderr)
    p = perf("bw", "--local", 2, *few, "-S", "1M", "--expect", "p5.48xlarge")
    case("below expectation is exit 1", p.returncode == 1 and "# verdict: below" in p.stdout, p.stdout + p.stderr)
    p = perf("pingpong", "--local", 2, *few, "-S", "64", "--expect", "p5.48xlarge")
    case("what nobody knows is exit 2", p.returncode == 2 and "# verdict: none" in p.stdout, p.stdout + p.stderr)
    case("a wrong instance", *one_line(perf("bw", "a", "--expect", "p55.48xlarge"), "p5.48xlarge"))
    p = perf("bw", "--local", 2, *few, "-S", "64k", "--compare", "tcp")
    case("the comparison's table", re.search(r"^\| 64 KB +\| [\d.]+ +\| [\d.]+ +\| [\d.]+ x +\|$", p.stdout, re.M),
         p.stdout + p.stderr)


def files():
    few = ("-p", "tcp", "-n", "3", "-w", "1")
    with tempfile.TemporaryDirectory() as d:
        html, svg = os.path.join(d, "r.html"), os.path.join(d, "p.svg")
        p = perf("bw", "--local", 2, *few, "-b", "1k", "-e", "64k", "-f", 8, "--compare", "tcp",
                 "--expect", "p4d.24xlarge", "--report", html, "--plot", svg)
        page = open(html).read()
        case("a report that needs nothing else", p.returncode == 2 and page.count("<svg") == 2
             and "Not judged" in page and "Side by side" in page and os.uname().nodename in page
             and not re.search("src=|href=|@import|url\\(|<script", page), p.stderr + page[:2000])
        dots = xml.etree.ElementTree.parse(svg).getroot().findall(".//{*}g[@class='p']")
        case("a plot has each size with its value", len(dots) == 6
             and any("64 KB" not in "".join(g.itertext()) and "1 KB" in "".join(g.itertext()) for g in dots))
        p = perf("bw", "--local", 2, *few, "-S", "1k", "--plot", os.path.join(d, "no", "p.svg"))
        case("a plot that cannot be written", p.returncode == 2 and "p.svg: No such file" in p.stderr, p.stderr)
        p = perf("bw", "--local", 2, *few, "-S", "1k", "--report", "/dev/full")
        case("a report onto a full disk", p.returncode == 2 and "cannot write /dev/full" in p.stderr, p.stderr)


def all_pairs():
    s = Server()
    few = ("--all-pairs", "--port", s.port, "-p", "tcp", "-n", "5")
    p = perf("bw", *few, "--hosts", "127.0.0.1,127.0.0.2,127.0.0.3", "--json")
    j = json.loads(p.stdout)
    case("all pairs, each way", len(j["pairs"]) == 6 and j["failed"] == 0 and p.returncode == (j["slow"] != 0)
         and all(q["value"] > 0 for q in j["pairs"]) and j["median"] > 0, p.stdout + p.stderr)
    p = perf("pingpong", *few, "--hosts", "127.0.0.1,127.0.0.2,no.such.invalid")
    case("a host that is not there is in the matrix", p.returncode == 1 and p.stdout.count("FAILED") == 4
         and p.stdout.count("# failed: ") == 2, p.stdout + p.stderr)
    p = perf("pingpong", *few, "--hosts", "no.such.invalid,neither.invalid", "--csv")
    case("none at all", p.returncode == 2 and len(list(csv.DictReader(io.StringIO(p.stdout)))) == 1,
         p.stdout + p.stderr)
    case("one size only", *one_line(perf("bw", *few, "--hosts", "a,b", "-b", 1, "-e", 4), "one size"))
    s.stop()


def servers():
    few = ("-p", "tcp", "-n", "5")
    s = Server()
    case("serve says when it is ready, and where", s.ready.endswith("ready, port %d of all addresses (--bind names one)\n" % s.port),
         s.ready)
    bound = Server("--bind", "127.0.0.7")
    case("serve on one address", bound.ready.endswith("ready, port %d of 127.0.0.7\n" % bound.port) and
         perf("pingpong", "127.0.0.1", "--port", bound.port, "-p", "tcp").returncode == 2, bound.ready)
    bound.stop()
    for test in ("pingpong", "bw"):
        p = perf(test, "127.0.0.1", "--port", s.port, *few, "-S", "1k", "-c", 1)
        case("%s with a server" % test, p.returncode == 0 and "# 0 wrong" in p.stdout, p.stdout + p.stderr)
    p = perf("allreduce", "--hosts", "127.0.0.1,127.0.0.1,127.0.0.1", "--port", s.port, *few, "-S", "64k")
    case("allreduce over a list of hosts", p.returncode == 0 and "0 OK" in p.stdout, p.stdout + p.stderr)

    long = [WEFT, "perf", "bw", "127.0.0.1", "--port", str(s.port), "-p", "tcp", "-S", "64k", "-n", "1000000"]
    busy = subprocess.Popen(long, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    busy.stdout.readline()
    p = perf("pingpong", "127.0.0.1", "--port", s.port, *few)
    case("a server that is busy says so", *one_line(p, "busy"))
    for pid in s.guests():
        os.kill(pid, signal.SIGKILL)
    out, err = busy.communicate(timeout=20)
    case("a killed peer is one line", busy.returncode == 2 and "rank 1 (127.0.0.1) ended without a word" in err
         and err.count("\n") == 1, err)
    busy = subprocess.Popen(long + ["-T", "300ms"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    busy.stdout.readline()
    stopped = s.guests()
    time.sleep(0.2)
    for pid in stopped:
        os.kill(pid, signal.SIGSTOP)
    out, err = busy.communicate(timeout=20)
    for pid in stopped:
        os.kill(pid, signal.SIGKILL)
    case("a peer that hangs is one line", busy.returncode == 2 and err.count("\n") == 1
         and ("nothing has come" in err or "no word" in err), err)

    frozen = subprocess.Popen([WEFT, "perf", "allreduce", "--hosts", "127.0.0.1,127.0.0.1,127.0.0.1", "--port",
                               str(s.port), "-p", "tcp", "-S", "64k", "-n", "1000000", "-T", "2s"],
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    frozen.stdout.readline()
    while len(stopped := s.guests()) < 3:
        time.sleep(0.05)
    for pid in stopped:
        os.kill(pid, signal.SIGSTOP)
    out, err = frozen.communicate(timeout=20)
    for pid in stopped:
        os.kill(pid, signal.SIGKILL)
    case("all hosts frozen at once is one line", *one_line(subprocess.CompletedProcess([], frozen.returncode, out, err),
                                                          "(127.0.0.1): no word for 3 s"))

    with socket.create_connection(("127.0.0.1", s.port)) as c:
        c.sendall(b"GET / HTTP/1.0\r\n\r\n" * 10)
        c.settimeout(10)
        try:
            while c.recv(4096):
                pass
        except ConnectionResetError:
            pass
    p = perf("pingpong", "127.0.0.1", "--port", s.port, *few, "-S", 64)
    case("a stranger does no harm", p.returncode == 0, p.stderr)
    p = subprocess.run([WEFT, "perf", "serve", "--port", str(s.port)], stderr=subprocess.PIPE, text=True,
                       stdout=subprocess.PIPE, timeout=10)
    case("a busy port", *one_line(p, "port %d" % s.port, "in use"))
    s.stop()
    p = perf("pingpong", "127.0.0.1", "--port", s.port, *few)
    case("no server", *one_line(p, "refused", "weft perf serve"))
    s = Server("--once")
    perf("pingpong", "127.0.0.1", "--port", s.port, *few, "-S", 64)
    case("--once", s.proc.wait(10) == 0)


class Pretender:
    """Two hosts that take part in an all-reduce and say what they like; without a time they go silent."""

    def __init__(self, ns):
        self.ns = ns
        self.door = socket.create_server(("127.0.0.1", 0))
        self.port = self.door.getsockname()[1]
        for _ in range(2):
            threading.Thread(target=self.host, daemon=True).start()

    @staticmethod
    def get(sock):
        size = struct.unpack("<II", sock.recv(8, socket.MSG_WAITALL))[1]
        sock.recv(size, socket.MSG_WAITALL)

    @staticmethod
    def put(sock, kind, body):
        sock.sendall(struct.pack("<II", kind, len(body)) + body)

    def host(self):
        sock = self.door.accept()[0]
        try:
            self.get(sock)
            self.put(sock, 2, b"<i>x".ljust(64, b"\0") * 8 + struct.pack("<III", 1, 1, 16) + bytes(256))
            self.get(sock)
            for _ in range(6 if self.ns is not None else 0):
                self.put(sock, 4, struct.pack("<Q", 1000))
                self.get(sock)
            if self.ns is not None:
                stat = struct.pack("<QQ7d", 10, 1000, *[self.ns] * 7)
                self.put(sock, 6, struct.pack("<Q", 8) + stat + stat + bytes(16))
            while sock.recv(4096):
                pass
        except (OSError, struct.error):
            pass
        sock.close()


def pretenders():
    for ns in (1000.0, float("nan"), float("inf"), -1.0, 1e300, 1e-320):
        p = perf("allreduce", "--hosts", "127.0.0.1,127.0.0.1", "--port", Pretender(ns).port, "-p", "tcp", "-S", 8)
        case("hosts whose time is %g" % ns, p.returncode == 0 if ns == 1000 else one_line(p, "makes no sense")[0],
             p.stdout + p.stderr)
    with tempfile.TemporaryDirectory() as folder:
        page = folder + "/page.html"
        perf("allreduce", "--hosts", "127.0.0.1,127.0.0.1", "--port", Pretender(1000.0).port, "-p", "tcp", "-S", 8, "--report", page)
        with open(page, encoding="utf-8") as text:
            text = text.read()
    case("what hosts say is no HTML", "&lt;i&gt;x" in text and "<i>x" not in text, text[-2000:])
    # A host that is gone with its power or its network says nothing; the kernel has to ask, and soon.
    port = Pretender(None).port
    group = subprocess.Popen([WEFT, "perf", "allreduce", "--hosts", "127.0.0.1,127.0.0.1", "--port", str(port), "-p", "tcp"],
                             stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    time.sleep(1)
    with open("/proc/net/tcp", encoding="ascii") as table:
        lines = [line.split() for line in table]
    timers = [line[5] for line in lines if line[2] == "0100007F:%04X" % port and line[3] == "01"]
    group.kill()
    group.wait()
    case("a silent host is asked", len(timers) == 2 and
         all(t.startswith("02:") and int(t[3:], 16) <= 30 * os.sysconf("SC_CLK_TCK") for t in timers), timers)


def wrong():
    case("a wrong host", *one_line(perf("pingpong", "no.such.invalid"), "no.such.invalid"))
    case("a wrong provider", *one_line(perf("pingpong", "--local", 2, "-p", "nosuch"), "nosuch"))
    for args, words in (((), ("which test",)), (("pinpong",), ("pingpong",)), (("bw",), ("with whom",)),
                        (("bw", "a", "-b", "x"), ("--minbytes", "x")), (("bw", "a", "-g", 8), ("nccl",)),
                        (("allreduce", "--local", 1), ("--local",)), (("bw", "a", "-f", 1), ("factor",)),
                        (("bw", "a", "-b", 8, "-e", 4), ("-e",)), (("bw", "a", "-n"), ("needs a value",)),
                        (("bw", "a", "b"), ("what is b",)), (("rank",), ("other commands",)),
                        (("bw", "a", "-b", "99999999999999999999G"), ("--minbytes",))):
        case("refused: weft perf " + " ".join(map(str, args)), *one_line(perf(*args), *words))
    p = perf("pingpong", env={"OMPI_COMM_WORLD_RANK": "1", "OMPI_COMM_WORLD_SIZE": "x"})
    case("a launcher's nonsense", *one_line(p, "OMPI_COMM_WORLD_SIZE"))
    with open("/dev/full", "w") as full:
        p = subprocess.run([WEFT, "perf", "rate", "--local", "2", "-p", "tcp", "-n", "5"], stdout=full,
                           stderr=subprocess.PIPE, text=True, timeout=30)
    case("a full disk", p.returncode == 2 and "cannot write" in p.stderr, p.stderr)


def launched():
    port = free_port()
    procs = []
    for rank in range(3):
        env = dict(os.environ, SKYPILOT_NODE_RANK=str(rank), SKYPILOT_NUM_NODES="3",
                   SKYPILOT_NODE_IPS="127.0.0.1\n127.0.0.1\n127.0.0.1")
        procs.append(subprocess.Popen([WEFT, "perf", "allreduce", "-p", "tcp", "-S", "4k", "-n", "5", "--port",
                                       str(port)], env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True))
    out = [p.communicate(timeout=60) for p in procs]
    case("ranks of SkyPilot", [p.returncode for p in procs] == [0, 0, 0] and "0 OK" in out[0][0]
         and out[1][0] == out[2][0] == "", out)


p = perf("pingpong", "--local", 2, "-p", "tcp", "-n", 1, "-S", 8)
if "libfabric is needed" in p.stderr or "no provider" in p.stderr:
    print("1..0 # SKIP " + p.stderr.strip())
    sys.exit(0)
layouts()
judged()
files()
all_pairs()
servers()
pretenders()
wrong()
launched()
print("1..%d" % count)
sys.exit(failed != 0)
