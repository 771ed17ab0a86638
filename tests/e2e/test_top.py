#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""test_top.py PRELOAD WEFT: `weft top` and `weft export` beside real programs: counters agree with the bytes that they
sent, a program on TCP is an alarm, and the terminal does what the keys say.

perftest prints its result after the last byte and before it leaves, so a terminal that takes no more output once it has
begun holds it there: what the cards have counted then is what it sent, exactly.
"""
import fcntl
import json
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time

import e2e


def bare(world, side, **extra):
    """The environment of a program that is none of weft's."""
    env = world.environment(side, **extra)
    env.pop("LD_PRELOAD")
    return env


def over_weft(world, words):
    """`timeout` itself is not over weft."""
    return ["timeout", "60", "env", "LD_PRELOAD=" + world.preload, *words]


class Held:
    """A program on a terminal that stops taking output after a line with `mark`."""

    def __init__(self, world, side, words, mark):
        self.mark = mark
        self.text = ""
        self.master, self.slave = pty.openpty()
        self.process = subprocess.Popen(over_weft(world, words), env=bare(world, side), stdin=subprocess.DEVNULL,
                                        stdout=self.slave, stderr=self.slave, start_new_session=True)
        world.running.append(self.process)

    def read(self):
        self.text += os.read(self.master, 4096).decode(errors="replace")
        if self.mark in self.text and self.slave is not None:
            termios.tcflow(self.slave, termios.TCOOFF)
            return True
        return False

    def end(self):
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        os.close(self.slave)
        os.close(self.master)


def hold(*programs, seconds=20):
    """Until both have said their mark."""
    waiting = {p.master: p for p in programs}
    deadline = time.monotonic() + seconds
    while waiting and time.monotonic() < deadline:
        for fd in select.select(list(waiting), [], [], 0.2)[0]:
            if waiting[fd].read():
                del waiting[fd]
    return not waiting


def weft(world, program, *args, side=0):
    return subprocess.run([program, *args], env=bare(world, side), capture_output=True, text=True, timeout=60, check=False)


def sample(world, program):
    done = weft(world, program, "top", "--json", "-n", "1")
    return json.loads(done.stdout)


def exact(world, tap, program, card):
    """SENDs of perftest: so many, of that size, from one card to the other."""
    times, size = 60000, 4096
    port = e2e.free_port()
    words = ["ib_send_bw", "-d", card, "-c", "SRD", "-x", "0", "-F", "-p", str(port), "-n", str(times), "-s", str(size)]
    a = Held(world, 0, words, "#bytes")
    world.listens(a.process, port)
    b = Held(world, 1, words + [world.control], "#bytes")
    tap.check(hold(a, b), "perftest begins", a.text, b.text)
    cards = {}
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        got = sample(world, program)
        cards = {c["address"]: c["counters"] for c in got["cards"]}
        if (cards.get(world.hosts[0], {}).get("recv_bytes", 0) >= times * size and
                cards.get(world.hosts[1], {}).get("send_bytes", 0) >= times * size):
            break  # The sender may learn of it later: it has to be given a core.
        time.sleep(0.1)
    to, by = cards.get(world.hosts[0], {}), cards.get(world.hosts[1], {})
    tap.check(by.get("send_bytes") == times * size and by.get("send_wrs") == times,
              f"the sender's card counts {times} x {size} bytes exactly", by)
    tap.check(to.get("recv_bytes") == times * size and to.get("recv_wrs") == times, "and the receiver's", to)
    tap.check(by.get("data_tx_bytes", 0) >= times * size and by.get("tx_bytes", 0) > by.get("data_tx_bytes", 0),
              "the wire carried them, and headers", by)
    info = weft(world, program, "info", "--counters", "--json")
    same = {(c["gid"], c["pid"]): c["counters"]["send_bytes"] for c in json.loads(info.stdout)}
    tap.check(sorted(same.values()) == [0, times * size], "`weft info --counters` says the same", same)
    text = weft(world, program, "export", "--textfile", "-").stdout
    tap.check(f'node_amazonefa_send_bytes{{device="{card}",port="1",address="{world.hosts[1]}"}} {times * size}\n' in text,
              "and so does `weft export`", "\n".join(line for line in text.splitlines() if "send_bytes" in line))
    # Other programs of this machine may use libfabric as well.
    mine = [p for p in got["processes"] if p["comm"] == "ib_send_bw" and p["cards"]]
    tap.check(len(mine) == 2 and {c["address"] for p in mine for c in [got["cards"][p["cards"][0]]]} == set(world.hosts),
              "both programs are there, with their cards", mine)
    a.end()
    b.end()


def past(world, tap, program):
    """What a process did stays counted when it is gone; one that was killed leaves nobody behind."""
    path = world.dir + "/past.json"
    with open(path, "w", encoding="utf-8") as out:
        watcher = subprocess.Popen([program, "top", "--json", "-i", "50ms"], env=bare(world, 0), stdout=out)
    world.running.append(watcher)
    port = e2e.free_port()
    words = ["fi_pingpong", "-p", "efa", "-e", "rdm", "-I", "20000", "-S", "4096"]
    a, b = world.pair([*words, "-B", str(port)], [*words, "-P", str(port), world.control], port, 60)
    time.sleep(0.5)
    watcher.send_signal(signal.SIGTERM)
    watcher.wait(10)
    with open(path, encoding="utf-8") as file:
        samples = [json.loads(line) for line in file if line.endswith("\n")]
    sums = [sum(c["counters"]["tx_bytes"] for c in s["cards"]) for s in samples]
    tap.check(a.rc == 0 and b.rc == 0 and sums == sorted(sums) and sums[-1] > 0, "counters do not fall when programs end", sums[-5:], a, b)
    total = a.total("tx_bytes") + b.total("tx_bytes")
    # Those that were killed before have left theirs, too.
    tap.check(sums[-1] - sums[0] <= total, "nor do they grow beyond what was sent", sums[0], sums[-1], total)
    left = [p for p in samples[-1]["processes"] if p["cards"]]
    tap.check(not left, "and who is gone is not shown", left)


def fallback(world, tap, program):
    """A program with weft's cards that moves its bytes over TCP."""
    port = e2e.free_port()
    words = ["fi_pingpong", "-p", "tcp", "-e", "msg", "-I", "1000000", "-S", "1048576"]
    running = []
    for side, more in ((0, ["-B", str(port)]), (1, ["-P", str(port), world.control])):
        running.append(subprocess.Popen(over_weft(world, words + more), env=bare(world, side), stdout=subprocess.DEVNULL,
                                        stderr=subprocess.DEVNULL, start_new_session=True))
        if not side:
            world.listens(running[0], port)
    world.running += running
    done = None
    for _ in range(10):
        done = weft(world, program, "top", "--once", "-i", "500ms", "--alarm", "8m")
        if done.returncode == 1:
            break
    tap.check(done.returncode == 1 and re.search(r"! fi_pingpong \(\d+\): [0-9.]+[MG]b/s over TCP, .*b/s over EFA; should be", done.stdout),
              "a program that moves its bytes over TCP is an alarm", done.stdout, done.stderr)
    for process in running:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


class Terminal:
    """`weft top` on a terminal of this size; what it looks like is not kept, only what was written."""

    def __init__(self, world, program, *args, term="xterm", rows=24, columns=80):
        self.master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        env = bare(world, 0, TERM=term, LC_ALL="C.UTF-8", WEFT_INSTANCE="p5.48xlarge")
        self.process = subprocess.Popen([program, "top", "-i", "100ms", *args], env=env, stdin=slave, stdout=slave, stderr=slave,
                                        start_new_session=True, preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0))
        os.close(slave)
        world.running.append(self.process)
        self.text = ""

    def read(self, pattern, seconds=10):
        """Until the pattern comes."""
        self.text = ""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline and not re.search(pattern, self.text):
            if not select.select([self.master], [], [], 0.2)[0]:
                continue
            try:
                self.text += os.read(self.master, 65536).decode(errors="replace")
            except OSError:
                break
        return re.search(pattern, self.text)

    def send(self, keys):
        os.write(self.master, keys.encode())

    def end(self):
        try:
            rc = self.process.wait(10)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            rc = None
        os.close(self.master)
        return rc


def terminal(world, tap, program):
    t = Terminal(world, program, "--no-procs")
    tap.check(t.read("weft top: (.|\n)*1-[0-9]+/32(.|\n)*rdmap79s0"), "80 x 24: cards, and how many there are", repr(t.text[-800:]))
    t.send("\x1b[6~")
    tap.check(t.read("-32/32"), "PgDn scrolls", repr(t.text[-800:]))
    t.send("s")
    tap.check(t.read("lin"), "s sorts", repr(t.text[-800:]))
    t.send("h")
    tap.check(t.read("packets that were sent again"), "h helps", repr(t.text[-800:]))
    t.send(" ")
    tap.check(t.read("PAUSED"), "space pauses", repr(t.text[-800:]))
    t.send("p")
    tap.check(t.read("PROGRAM"), "p shows programs", repr(t.text[-800:]))
    t.send("q")
    tap.check(t.end() == 0, "q quits, with 0")
    t = Terminal(world, program, rows=5, columns=20)
    t.read("q quit")
    t.send("hspocb")
    t.read("xxx", 0.5)
    t.process.send_signal(signal.SIGINT)
    tap.check(t.end() == 0, "a tiny terminal; ^C quits, with 0")
    t = Terminal(world, program, "-n", "2", term="dumb")
    tap.check(t.read(r"rdmap201s0(.|\n)*rdmap201s0") and "\x1b" not in t.text and t.end() == 0, "a dumb terminal gets plain lines",
              repr(t.text[-800:]))
    t = Terminal(world, program, "-n", "1", term="no-such-terminal")
    tap.check(t.read("rdmap201s0") and t.end() == 0, "so does one that nobody knows", repr(t.text[-800:]))
    t = Terminal(world, program, "--record", "/dev/full")
    tap.check(t.read("cannot write /dev/full: No space left") and t.end() == 2, "a full disk ends it, and is said last",
              repr(t.text[-800:]))
    t = Terminal(world, program, "-i", "1s")
    t.read("rdmap79s0")
    time.sleep(4)
    with open(f"/proc/{t.process.pid}/stat", encoding="ascii") as file:
        stat = file.read()
    ticks = sum(int(x) for x in stat.rsplit(")", 1)[1].split()[11:13])
    tap.check(ticks <= 40, f"32 cards cost little ({ticks} ticks of a hundredth for start and four seconds)")
    t.send("q")
    t.end()


def main():
    world = e2e.World("udp", sys.argv[1])
    program = os.path.abspath(sys.argv[2])
    e2e.need("timeout", "ib_send_bw", "ibv_devices", "fi_pingpong")
    tap = e2e.Tap()
    card = e2e.card_of(world)
    if not tap.check(card, "there is a card"):
        tap.done()
    exact(world, tap, program, card)
    past(world, tap, program)
    fallback(world, tap, program)
    terminal(world, tap, program)
    tap.done()


if __name__ == "__main__":
    main()
