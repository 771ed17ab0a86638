# SPDX-License-Identifier: BSD-2-Clause
"""test_logs.py WEFT FOLDER: weft logs from outside: files and pipes, arguments, exit status, JSON, interrupts.

FOLDER holds logs that real programs wrote over weft's cards, shortened. What each message means is tested in
tests/unit/test_logs.c."""
import json
import os
import re
import signal
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "e2e"))
from e2e import Tap  # noqa: E402

WEFT, FOLDER = sys.argv[1:3]
tap = Tap()
dir_ = tempfile.TemporaryDirectory()

EFA = "[1,{0}]<stdout>:w-{0}:10:11 [0] NCCL INFO NET/OFI Selected provider is efa, fabric is efa-direct (found 4 nics)\n"
TCP = "[1,{0}]<stdout>:w-{0}:10:11 [0] NCCL INFO Using network Socket\n"


def put(name, data):
    path = os.path.join(dir_.name, name)
    with open(path, "wb") as f:
        f.write(data if isinstance(data, bytes) else data.encode())
    return path


def weft(*args, data=b""):
    return subprocess.run([WEFT, "logs", *args], input=data, capture_output=True, timeout=60, check=False)


def check(name, args, status, out, err, data=b""):
    """`out` and `err` are patterns; "-": nothing at all."""
    got = weft(*args, data=data)

    def fits(pattern, text):
        text = text.decode(errors="replace")
        return text == "" if pattern == "-" else re.search(pattern, text, re.M) is not None

    tap.check(got.returncode == status and fits(out, got.stdout) and fits(err, got.stderr), name,
              f"exit {got.returncode}", got.stdout.decode(errors="replace"), got.stderr.decode(errors="replace"))
    return got


def arguments():
    good = put("good", EFA.format(0))
    check("one file", [good], 0, "^verdict: on EFA", "-")
    check("two files", [good, put("more", EFA.format(1))], 0, "^2 files: 2 lines", "-")
    check("standard input", [], 0, "^verdict: on EFA", "-", EFA.format(0).encode())
    check("standard input, by name", ["-"], 0, "^standard input: 1 lines", "-", EFA.format(0).encode())
    check("a file of a strange name", ["--", put("--json", EFA.format(0))], 0, "verdict: on EFA", "-")
    check("no such file", [good + "x"], 2, "-", "cannot open .*goodx: No such file")
    check("no such file, but another", [good, good + "x"], 2, "verdict: on EFA", "cannot open")
    check("a folder", [dir_.name], 2, "-", "cannot read .*: Is a directory")
    check("compressed", [put("x.gz", b"\x1f\x8b\x08xx")], 2, "-", "is compressed: zcat")
    check("unknown option", ["--jsom"], 2, "-", "unknown option --jsom")
    check("--require of nothing known", ["--require", "ib", good], 2, "-", 'knows efa, not "ib"')
    check("--require without a value", [good, "--require"], 2, "-", "--require needs a value")
    check("--expect of nothing known", ["--expect", "p5.49xlarge", good], 2, "-", "did you mean p5.48xlarge")
    check("--follow of two", ["--follow", good, good], 2, "-", "of one file")
    check("--follow and --json", ["--follow", "--json", good], 2, "-", "not both")
    check("--help", ["--help"], 0, "^usage: weft logs", "-")
    check("a full disk is no success", [good], 0, "verdict", "-")
    with open("/dev/full", "wb") as full:
        got = subprocess.run([WEFT, "logs", good], stdout=full, stderr=subprocess.PIPE, check=False, timeout=60)
    tap.check(got.returncode == 2, "a full disk", got.returncode)


def verdicts():
    both = put("both", EFA.format(0) + TCP.format(1) + "[1,2]<stdout>:w-2:10:11 [0] NCCL INFO NET/IB : No device found.\n")
    check("a rank on TCP fails", [both], 1, "^verdict: 1 of 3 ranks on EFA, 1 on TCP", "-")
    check("the gate: good", ["--require", "efa", put("g", EFA.format(0))], 0, "^0 failed", "-")
    check("the gate: no proof", ["--require=efa", put("n", "epoch 1\n")], 1, "^fail  no-proof", "-")
    check("no gate: no proof is a note", [put("n", "epoch 1\n")], 0, "^note  no-proof", "-")
    check("an empty log", ["--require", "efa"], 1, "0 lines", "-")
    comm = "[1,0]<stdout>:w-0:10:11 [0] NCCL INFO comm 0x5 rank 0 nranks 2 cudaDev 0 busId 1000 - Init COMPLETE\n"
    check("the gate: a rank is missing", ["--require", "efa", put("h", EFA.format(0) + comm)], 1, "1 of 2 ranks say nothing", "-")
    check("the cards of the type", ["--expect", "p4d.24xlarge", put("g", EFA.format(0))], 0, "4 cards", "-")
    check("too few for the type", ["--expect", "ml.p5.48xlarge", put("g", EFA.format(0))], 1, "a p5.48xlarge has 32", "-")
    check("a terminal is not controlled", [], 1, "^(?!.*\x1b)", "-",
          b"\x1b[2JOSError\nw:1:2 [0] NCCL INFO NET/OFI No eligible providers were found \x1b[2J\n")


def as_json():
    text = EFA.format(0) + TCP.format(1) + (
        "[1,1]<stderr>:libfabric:10:1764529576::efa:cq:f():1<warn> err: 5, message: Receiver connection aborted (8)\n"
        "mpirun noticed that process rank 1 with PID 10 on node w-1 exited on signal 9 (Killed).\n\xff\n")
    got = weft("--json", put("j", text.encode("latin-1")))
    try:
        j = json.loads(got.stdout)
    except ValueError as why:
        tap.check(False, "JSON", why, got.stdout)
        return
    tap.check(got.returncode == 1 and j["lines"] == 5 and j["rank_count"] == 2 and not j["all_on_efa"], "JSON: sums", j)
    tap.check([r["on"] for r in j["ranks"]] == ["tcp", "efa"] and j["ranks"][1]["cards"] == 4 and
              j["ranks"][1]["fabric"] == "efa-direct" and j["ranks"][0]["host"] == "w-1", "JSON: ranks", j["ranks"])
    tap.check(j["first_failure"]["rank"] == 1 and j["first_failure"]["id"] == "rank-died" and
              not j["first_failure"]["only_notices"], "JSON: first failure", j["first_failure"])
    tap.check(any(m["code"] == 8 and m["id"] == "peer-died" and m["time"] == "2025-11-30T19:06:16.000Z"
                  for m in j["messages"]), "JSON: code", j["messages"])
    tap.check({f["id"] for f in j["findings"]} >= {"rank-died", "tcp-fallback"}, "JSON: findings", j["findings"])


def real_logs():
    """What unmodified programs printed over weft's cards, and without any."""
    rows = [("ompi-efa.log", 0, "ranks 0-1: on EFA: provider efa, by Open MPI's mtl ofi"),
            ("ompi-tcp.log", 1, "ranks 0-1: on TCP: Open MPI sends over its btl tcp"),
            ("ompi-no-card.log", 1, "^fail  provider-none"),
            ("ompi-killed.log", 1, "^first failure: rank 1\\b"),
            ("ompi-segv.log", 1, "^first failure: rank 1 .vm:6796."),
            ("fi-info-none.log", 1, "^fail  provider-none"),
            ("fi-info.log", 0, "^0 failed"),
            ("fi-pingpong.log", 0, "on EFA: provider efa, by libfabric's endpoint"),
            ("fi-pingpong-killed.log", 1, "code 8, Connection was reset by remote peer"),
            ("ib-send-bw-killed.log", 1, "code 8, Connection was reset")]
    for name, status, out in rows:
        check("real: " + name, [os.path.join(FOLDER, name)], status, out, "-")


def interrupted():
    with subprocess.Popen([WEFT, "logs", "--require", "efa", "-"], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as p:
        p.stdin.write(EFA.format(0).encode() * 3)
        p.stdin.flush()
        # It has read what is in the pipe when it waits for more in a second read.
        while open(f"/proc/{p.pid}/wchan", encoding="ascii").read() in ("0", "") or unread(p.stdin.fileno()):
            if p.poll() is not None:
                break
            os.sched_yield()
        p.send_signal(signal.SIGINT)
        out = p.stdout.read().decode()
        p.stdin.close()
    tap.check(p.returncode == 0 and "3 lines" in out and "verdict: on EFA" in out, "an interrupt gives the verdict",
              p.returncode, out)


def unread(fd):
    import fcntl
    import struct
    import termios
    return struct.unpack("i", fcntl.ioctl(fd, termios.FIONREAD, b"\0\0\0\0"))[0]


def followed():
    path = put("growing", EFA.format(0))
    with subprocess.Popen([WEFT, "logs", "--follow", path], stdout=subprocess.PIPE, text=True) as p:
        with open(path, "a", encoding="ascii") as f:
            f.write("fi_getinfo: -61 (No data available)\n")
        line = p.stdout.readline()
        p.send_signal(signal.SIGINT)
        rest = p.stdout.read()
    tap.check("provider-none" in line and line.startswith("fail") and "verdict" in rest and p.returncode == 1,
              "--follow: what is new, as it comes", p.returncode, line, rest)


arguments()
verdicts()
as_json()
real_logs()
interrupted()
followed()
tap.done()
