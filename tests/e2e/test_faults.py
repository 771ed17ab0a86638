#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""test_faults.py PRELOAD FAULTS [MPI_MIX] [CASE...]: what goes wrong between and under real programs.

Between the two hosts of lab.py: ways that lose packets, turn black, get narrow or vanish, and peers that die. On this
machine: two users, limits, idle programs, more ranks than cores. Names of cases (the functions below) run these
only.
"""
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time

import e2e
import lab as laboratory

DEAD_MAX = 10  # Seconds until a host that is gone has to be known as gone.
GAP_MAX = 2.0
ABORTED, WRONG_QPN, UNRESPONSIVE, UNREACHABLE = "8", "9", "13", "15"


class Bench:
    """One test script: the programs, the checks, and a way to start both sides."""

    def __init__(self, preload, faults, mix):
        self.preload, self.faults, self.mix = preload, os.path.abspath(faults), mix
        self.tap = e2e.Tap()
        self.files = 0

    def lab(self, **options):
        return laboratory.Lab(self.preload, **options)

    def passive(self, world, side, *options, seconds=60, uid=None, **extra):
        """A passive side that is ready. Its process knows the file with its address."""
        self.files += 1
        file = os.path.join(world.dir, f"peer-{self.files}")
        process = world.start(side, [self.faults, "passive", file, *options], seconds, uid, **extra)
        process.file = file
        end = time.monotonic() + 10
        while not os.path.exists(file) and process.poll() is None and time.monotonic() < end:
            time.sleep(0.01)
        return process

    def active(self, world, side, peers, *options, seconds=40, **extra):
        return world.start(side, [self.faults, "active", *options, *[p.file for p in peers]], seconds, **extra)

    @staticmethod
    def end(world, process):
        """Of a passive side."""
        if process.poll() is None:
            process.terminate()
        return world.finish(process)

    @staticmethod
    def report(result):
        try:
            return json.loads(result.out)
        except ValueError:
            return {"start": 0, "seconds": 0, "peers": []}

    def stream(self, world, *options, script=None, side=1, **extra):
        """The active side on one host, the passive on the other, and `script` meanwhile. Both results, what the active
        side says of its peer, and '' or why this cannot be called a success."""
        peer = self.passive(world, 1 - side, **extra)
        begun = self.active(world, side, [peer], *options, **extra)
        if script:
            script()
        active = world.finish(begun)
        passive = self.end(world, peer)
        found = (self.report(active)["peers"] or [{}])[0]
        why = ""
        if active.rc or passive.rc:
            why = f"active side: exit {active.rc}, passive side: exit {passive.rc}"
        elif list(found.get("status", {})) != ["0"]:
            why = f"completions by status: {found.get('status')}"
        else:
            why = world.carried(active, passive)
        return active, passive, found, why


def say(*words):
    print("#", *words, flush=True)


def rate(peer, begin, end):
    """Completions of a second, between two times."""
    tenths = peer.get("tenths", [])[round(begin * 10):round(end * 10)]
    return 10 * sum(tenths) / len(tenths) if tenths else 0


def until(moment):
    time.sleep(max(0, moment - time.monotonic()))


def pingpong(bench, world, name, *options, seconds=40, **extra):
    port = e2e.free_port()
    server = ["fi_pingpong", "-p", "efa", *options, "-B", str(port)]
    a, b = world.pair(server, server[:-2] + ["-P", str(port), world.control], port, seconds, **extra)
    why = ""
    if a.rc or b.rc:
        why = f"server exit {a.rc}, client exit {b.rc}"
    else:
        why = world.carried(a, b)
    bench.tap.check(not why, name, why, a, b)
    return a, b


# Between two hosts


def four_paths(bench):
    world = bench.lab()
    before = world.packets(0), world.packets(1)
    a, b, peer, why = bench.stream(world, "--seconds", "2")
    sent = [[n - m for n, m in zip(world.packets(side), before[side])] for side in (0, 1)]
    for side, least in ((0, 10), (1, 0.05 * sum(sent[1]))):
        if not why and min(sent[side]) < least:
            why = f"host {'ab'[side]} sent {sent[side]} packets over its ways"
    say(f"four ways carry {sent[1]} packets there and {sent[0]} back")
    bench.tap.check(not why, "one pair of QPs uses all of four ways", why, a, b)
    world.close()


def loss(bench):
    world = bench.lab()
    world.lossy(100)
    a, b, peer, why = bench.stream(world, "--seconds", "2")
    if not why and (not a.total("retrans_pkts") or not world.dropped()):
        why = f"{world.dropped()} packets lost, {a.total('retrans_pkts')} sent again"
    say(f"1 % loss: {world.dropped()} packets lost, {a.total('retrans_pkts')} sent again, "
        f"{a.total('retrans_timeout_events')} timeouts, longest gap {1000 * peer.get('gap', 0):.0f} ms")
    bench.tap.check(not why, "1 % lost: a stream of WRITEs", why, a, b)
    for op in ("send", "read"):
        a, b, peer, why = bench.stream(world, "--seconds", "1", "--op", op, "--size", "8000")
        if not why and not a.total("retrans_pkts") + b.total("retrans_pkts"):
            why = "nothing was sent again"
        bench.tap.check(not why, f"1 % lost: a stream of {op.upper()}s", why, a, b)
    a, b = pingpong(bench, world, "1 % lost: fi_pingpong, all sizes, data checked", "-e", "rdm", "-c", "-S",
                    "all")
    bench.tap.check(a.total("retrans_pkts") + b.total("retrans_pkts"), "... and packets were sent again", a, b)
    world.close()


def black_path(bench):
    world = bench.lab()
    marks = {}

    def script():
        time.sleep(1.2)
        marks["black"] = time.monotonic()
        world.black("p1")
        until(marks["black"] + 1.5)
        marks["lost"] = world.dropped()
        marks["sent"] = [world.packets(side)[1] for side in (0, 1)]
        world.whole()
        marks["whole"] = time.monotonic()

    a, b, peer, why = bench.stream(world, "--seconds", "4", script=script)
    start = bench.report(a)["start"]
    black, whole = marks["black"] - start, marks["whole"] - start
    rates = [rate(peer, 0.3, black), rate(peer, black + 0.2, whole), rate(peer, whole + 0.5, 4)]
    again = [world.packets(side)[1] - marks["sent"][side] for side in (0, 1)]
    say(f"one of four black: completions/s before, meanwhile, after: {rates[0]:.0f} {rates[1]:.0f} "
        f"{rates[2]:.0f}; longest gap {1000 * peer.get('gap', 0):.0f} ms at {peer.get('gap_at')} s (black from "
        f"{black:.2f} to {whole:.2f}); {marks['lost']} packets fell into it; path_out {a.total('path_out')}, "
        f"path_in {a.total('path_in')}; over it afterwards: {again}")
    bench.tap.check(not why, "one way of four turns black: no error", why, a, b)
    bench.tap.check(a.total("path_out") and marks["lost"], "... paths are given up (path_out)", a)
    bench.tap.check(peer.get("gap", 99) < GAP_MAX and rates[1] > 0.2 * rates[0],
                    "... and the stream goes on", rates, peer)
    bench.tap.check(a.total("path_in") and again[1] > 100, "... and are taken back (path_in)", again, a)
    world.close()


def mtus(bench):
    for mtu, least in ((1500, 1200), (9000, 7000)):
        world = bench.lab(mtu=mtu)
        for hosts in (laboratory.FOUR, laboratory.SIX):
            world.hosts = list(hosts)
            a, b, peer, why = bench.stream(world, "--seconds", "1")
            # Of those that left: too long ones are refused by the sender's kernel until the device has learnt.
            datagram = a.total("udp_tx_bytes") / max(1, a.total("udp_tx_frames"))
            length = b.total("rdma_write_recv_bytes") / max(1, b.total("rx_pkts"))
            if not why and not least <= datagram <= mtu - 28:
                why = f"{datagram:.0f} bytes in a datagram on the average"
            if not why and length < 6500:
                why = f"{length:.0f} bytes in a packet on the average"
            if not why and world.fragments():
                why = f"fragments: {world.fragments()}"
            family = "IPv4" if hosts == laboratory.FOUR else "IPv6"
            say(f"MTU {mtu}, {family}: {length:.0f} bytes in a packet, {datagram:.0f} in a datagram, payload_shrinks "
                f"{a.total('payload_shrinks')}, first completions after "
                f"{1000 * first_gap(peer):.0f} ms")
            bench.tap.check(not why, f"MTU {mtu}, {family}: packets of that length, no fragments", why, a, b)
        world.close()


def first_gap(peer):
    return peer.get("first", 0)


def narrower(bench):
    def routes(world):
        world.routes(mtu=1500)

    def both_ends(world):
        world.set_mtu(1500)

    def far_end(world):
        # Nobody says anything: what is longer than the interface takes just vanishes.
        for path in world.paths:
            world.ip(0, f"link set {path} mtu 1500")

    for name, change in (("the routes", routes), ("the interfaces", both_ends), ("the far end only", far_end)):
        world = bench.lab(mtu=9000)
        at = []

        def script(world=world, change=change, at=at):
            time.sleep(0.7)
            at.append(time.monotonic())
            change(world)

        a, b, peer, why = bench.stream(world, "--seconds", "2", script=script)
        begun = at[0] - bench.report(a)["start"]
        after = rate(peer, begun + 0.7, 2)
        if not why and (peer["gap"] >= GAP_MAX or after < 100):
            why = f"longest gap {peer['gap']} s, {after} completions in a second afterwards"
        if not why and not a.total("payload_shrinks"):
            why = "the payload is as it was"
        if not why and world.fragments():
            why = f"fragments: {world.fragments()}"
        say(f"9000 to 1500 ({name}): longest gap {1000 * peer.get('gap', 0):.0f} ms at {peer.get('gap_at')} s (changed "
            f"at {begun:.2f}), completions/s before and after: {rate(peer, 0.2, begun):.0f} {after:.0f}")
        bench.tap.check(not why, f"the MTU shrinks in the middle: {name}", why, a, b)
        world.close()


def host_gone(bench):
    world = bench.lab()
    gone, near = bench.passive(world, 0), bench.passive(world, 1)
    first = bench.active(world, 1, [gone, near], "--seconds", "7")
    time.sleep(1)
    world.links(0, "down")
    at = time.monotonic()
    second = bench.active(world, 1, [gone, near], "--seconds", "7")
    for process, expected, name in ((first, UNRESPONSIVE, "a host is gone that had answered"),
                                    (second, UNREACHABLE, "a host never answered")):
        result = world.finish(process)
        report = bench.report(result)
        lost, other = report["peers"] or ({}, {})
        delay = report["start"] + lost.get("first_error", 99) - max(at, report["start"])
        why = ""
        if result.rc:
            why = f"exit {result.rc}"
        elif set(lost["status"]) - {"0"} != {expected} or lost["left"]:
            why = f"completions by status: {lost['status']}, without one: {lost['left']}"
        elif not 0 < delay < DEAD_MAX:
            why = f"known after {delay:.1f} s"
        elif not result.total("unresponsive_remote_events"):
            why = "not counted in unresponsive_remote_events"
        say(f"{name}: status {sorted(lost.get('status', {}))} after {delay:.2f} s")
        bench.tap.check(not why, f"{name}: {expected} within {DEAD_MAX} s", why, result)
        good = list(other.get("status", {})) == ["0"] and other["gap"] < GAP_MAX
        bench.tap.check(good, "... and others are undisturbed", result)
    world.links(0, "up")
    bench.end(world, gone)
    bench.end(world, near)
    world.close()


def kill_child(process, number=signal.SIGKILL):
    """What `timeout` runs, and not `timeout`."""
    with open(f"/proc/{process.pid}/task/{process.pid}/children", encoding="ascii") as file:
        for child in file.read().split():
            os.kill(int(child), number)


def process_gone(bench):
    for wire in ("udp", "local"):
        world = bench.lab() if wire == "udp" else e2e.World("local", bench.preload)
        gone, near = bench.passive(world, 0), bench.passive(world, 0)
        first = bench.active(world, 1, [gone, near], "--seconds", "3")
        time.sleep(1)
        at = time.monotonic()
        kill_child(gone)
        time.sleep(1)
        second = bench.active(world, 1, [gone, near], "--seconds", "1")
        for process, expected, name in ((first, {ABORTED, WRONG_QPN}, "is killed in the middle"),
                                        (second, {WRONG_QPN}, "has been killed before")):
            result = world.finish(process)
            report = bench.report(result)
            lost, other = report["peers"] or ({}, {})
            delay = report["start"] + lost.get("last_error", 99) - max(at, report["start"])
            why = ""
            if result.rc:
                why = f"exit {result.rc}"
            elif lost["left"] or not set(lost["status"]) - {"0"} or set(lost["status"]) - {"0"} - expected:
                why = f"completions by status: {lost['status']}, without one: {lost['left']}"
            elif not 0 <= delay < 2:
                why = f"known after {delay:.1f} s"
            say(f"{wire}: peer {name}: {lost.get('status')} after {delay:.3f} s")
            bench.tap.check(not why, f"{wire}: a peer {name}: {' or '.join(sorted(expected))}, at once", why,
                            result)
            good = list(other.get("status", {})) == ["0"] and other["gap"] < GAP_MAX
            bench.tap.check(good, "... and others are undisturbed", result)
        world.finish(gone)
        bench.end(world, near)
        world.close()


def programs_killed(bench):
    """Real programs of which one is killed: whoever sends to it, or reads from it, is told and ends."""
    world = bench.lab()
    card = e2e.card_of(world)
    words = ["-d", card or "none", "-x", "0", "-F", "-c", "SRD", "-D", "20"]
    for program, options in (("ib_send_bw", [*words, "-s", "4096"]), ("ib_read_bw", [*words, "-s", "65536"])):
        if not shutil.which(program):
            bench.tap.skip(f"the peer of {program} is killed", f"no {program} here (Debian package perftest)")
            continue
        port = e2e.free_port()
        command = [program, *options, "-p", str(port)]
        killed(bench, world, command, [*command, world.control], port)
    world.close()


def killed(bench, world, server, client, port):
    a = world.start(0, server, 15)
    world.listens(a, port)
    b = world.start(1, client, 15)
    time.sleep(1.5)
    kill_child(a)
    at = time.monotonic()
    result = world.finish(b)
    took = time.monotonic() - at
    world.finish(a)
    why = ""
    if result.rc in (0, 124, 137) or result.rc < 0 or took > DEAD_MAX:
        why = f"exit {result.rc} after {took:.1f} s"
    said = (result.err.strip().splitlines() or result.out.strip().splitlines() or [""])[-1]
    name = os.path.basename(client[0])
    say(f"{name}: the survivor ends after {took:.2f} s with {result.rc}: {said}")
    bench.tap.check(not why, f"{name}, peer killed: it ends with an error", why, result)


def ended(bench):
    """Whoever sends to a peer that is killed gets an error; whoever waits for its message, with nothing under way, is
    not told, and has to end when the user says so. A ping-pong may be hit in either state. libinfinipath, which comes
    along with libfabric, calls exit() on SIGTERM, whatever was interrupted; so does --exit-after."""
    world = bench.lab()
    for size in ("64", "1048576"):
        port = e2e.free_port()
        command = ["fi_pingpong", "-p", "efa", "-e", "rdm", "-S", size, "-I", "10000000"]
        a = world.start(0, [*command, "-B", str(port)], 15)
        world.listens(a, port)
        b = world.start(1, [*command, "-P", str(port), world.control], 15)
        time.sleep(1)
        kill_child(a)
        time.sleep(0.3)
        at, waits = time.monotonic(), b.poll() is None
        if waits:
            kill_child(b, signal.SIGTERM)
        result = world.finish(b)
        took = time.monotonic() - at
        world.finish(a)
        say(f"fi_pingpong -S {size}, peer killed: it {'waits' if waits else 'ends with an error'}; ended "
            f"{took:.2f} s after SIGTERM with {result.rc}")
        bench.tap.check(result.rc and took < 2, f"fi_pingpong -S {size}, peer killed: it fails, or waits until SIGTERM",
                        took, result)
    world.close()
    for wire in ("udp", "local"):
        world = e2e.World(wire, bench.preload)
        peer = bench.passive(world, 0)
        results = [world.finish(bench.active(world, 1, [peer], "--exit-after", str(ms), seconds=5))
                   for ms in (150, 151, 152, 153, 154)]
        bench.tap.check({result.rc for result in results} == {3}, f"{wire}: exit() in a signal handler ends a program",
                        *results)
        result = bench.end(world, peer)
        bench.tap.check(not result.rc, "... and its peer does not care", result)
        world.close()


def ipv6(bench):
    world = bench.lab()
    world.hosts = list(laboratory.SIX)
    before = world.packets(1)
    a, b, peer, why = bench.stream(world, "--seconds", "1")
    sent = [n - m for n, m in zip(world.packets(1), before)]
    if not why and min(sent) < 0.05 * sum(sent):
        why = f"packets over the four ways: {sent}"
    bench.tap.check(not why, "IPv6: one pair of QPs uses all of four ways", why, a, b)
    pingpong(bench, world, "IPv6: fi_pingpong, all sizes, data checked", "-e", "rdm", "-c", "-S", "all")
    world.close()


def no_offload(bench):
    world = bench.lab()
    a, b, peer, why = bench.stream(world, "--seconds", "1", WEFT_GSO="no", WEFT_GRO="no")
    if not why and a.total("udp_tx_calls") * 100 < a.total("udp_tx_frames"):
        why = "that looks like offload"
    bench.tap.check(not why, "without GSO and GRO: a stream", why, a, b)
    world.close()
    world = bench.lab(offload=True)
    a, b, peer, why = bench.stream(world, "--seconds", "1")
    bench.tap.check(not why, "with segmentation offload on the links: a stream", why, a, b)
    world.close()


# On one machine


def two_users(bench):
    """Two users who run the same programs at the same addresses at the same time."""
    if not shutil.which("setpriv"):
        bench.tap.skip("two users", "no setpriv here (Debian package util-linux)")
        return
    world = e2e.World("local", bench.preload)
    folder = tempfile.mkdtemp(prefix="weft-e2e-lib-")
    users = (65533, 65534)
    try:
        os.chmod(folder, 0o755)
        os.chmod(world.dir, 0o777)
        shutil.copy(bench.preload, folder)
        world.preload = os.path.join(folder, os.path.basename(bench.preload))
        shutil.copy(bench.faults, folder)
        bench.faults, own = os.path.join(folder, os.path.basename(bench.faults)), bench.faults
        extra = {"WEFT_RUN_DIR": None, "WEFT_WIRE": "auto"}
        peers = [bench.passive(world, 0, uid=uid, **extra) for uid in users]
        actives = [bench.active(world, 1, [peer], "--seconds", "2", uid=uid, **extra)
                   for uid, peer in zip(users, peers)]
        time.sleep(0.7)
        seen = [f"{uid}: {line}" for uid, other in zip(users, reversed(users))
                for line in intrude(uid, f"/dev/shm/weft-{other}")]
        # A key without the user's hand: the other's packets are noise.
        stranger = world.finish(bench.active(world, 1, [peers[0]], "--seconds", "1", uid=users[1], seconds=20,
                                             **extra))
        for uid, process in zip(users, actives):
            result = world.finish(process)
            found = (bench.report(result)["peers"] or [{}])[0]
            good = not result.rc and list(found.get("status", {})) == ["0"] and not world.carried(result)
            bench.tap.check(good, f"two users: the pair of user {uid} works", result)
        for process in peers:
            bench.end(world, process)
        bench.tap.check(not seen, "two users: neither opens files of the other", *seen)
        found = (bench.report(stranger)["peers"] or [{}])[0]
        say(f"a stranger's requests end with {found.get('status')} after {found.get('first_error')} s")
        bench.tap.check(not stranger.rc and "0" not in found.get("status", {"0": 1}),
                        "two users: neither writes into the memory of the other", stranger)
        bench.faults = own
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        world.close()


def intrude(uid, folder):
    """What this user can see of, read, write or place in a folder: nothing is right."""
    names = []
    for base, _, files in os.walk(folder):
        names += [base] + [os.path.join(base, name) for name in files]
    script = "import os, sys\n" \
             "for name in sys.argv[1:]:\n" \
             "    for what in (os.O_RDONLY, os.O_RDWR, os.O_WRONLY | os.O_APPEND):\n" \
             "        try:\n" \
             "            os.open(name, what)\n" \
             "            print('opened', name)\n" \
             "        except OSError:\n" \
             "            pass\n" \
             "try:\n" \
             "    os.listdir(sys.argv[1])\n" \
             "    print('listed', sys.argv[1])\n" \
             "    os.mkdir(sys.argv[1] + '/x')\n" \
             "    print('wrote into', sys.argv[1])\n" \
             "except OSError:\n" \
             "    pass\n"
    if len(names) < 3:
        return [f"{folder} holds only {names}: nothing to try"]
    done = subprocess.run(["setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups", sys.executable,
                           "-I", "-c", script, *names], capture_output=True, text=True, check=False, timeout=20)
    return done.stdout.splitlines() + done.stderr.splitlines()


def limits(bench):
    """Whatever the limit, a program says what it lacks and ends, or works."""
    world = e2e.World("udp", bench.preload)
    peer = bench.passive(world, 0)
    for name, limit, values in (("file descriptors", "-n", (4, 5, 6, 7, 8, 10, 12, 16, 24)),
                                ("address space", "-v", (8000, 16000, 24000, 48000, 96000, 200000))):
        said, bad, worked = {}, [], 0
        for value in values:
            result = world.run(["sh", "-c", f'ulimit {limit} {value}; exec "$0" "$@"', bench.faults, "active",
                                "--seconds", "0", "--op", "send", peer.file], 1, 10)
            if result.rc == 0:
                worked += 1
            elif result.rc in (1, 2, 127) and result.err.strip():
                said[value] = result.err.strip().splitlines()[-1]
            else:
                bad.append(result)
        for value, line in said.items():
            say(f"{value}: {line}")
        # A lack that passes would be worth another try: these do not.
        bad += [line for line in said.values() if "temporarily" in line]
        bench.tap.check(not bad and said and worked, f"few {name}: it works, or says why and ends", *bad[:3])
    bench.end(world, peer)
    for limit, value in (("-n", 12), ("-n", 32), ("-v", 400000)):
        if not shutil.which("fi_info"):
            break
        result = world.run(["sh", "-c", f"ulimit {limit} {value}; exec fi_info -p efa -t FI_EP_RDM"], 0, 10)
        bench.tap.check(result.rc not in (124, 137) and result.rc >= 0 and result.rc < 128,
                        f"fi_info with ulimit {limit} {value} ends", result)
        say(f"fi_info, ulimit {limit} {value}: exit {result.rc}, {(result.err.strip().splitlines() or [''])[-1]}")
    world.close()


def cpu_seconds(process):
    """Of the child of `timeout`, all threads."""
    with open(f"/proc/{process.pid}/task/{process.pid}/children", encoding="ascii") as file:
        child = file.read().split()[0]
    with open(f"/proc/{child}/stat", encoding="ascii") as file:
        fields = file.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def idle(bench):
    """A core has other work than programs that wait."""
    for wire in ("udp", "local"):
        world = e2e.World(wire, bench.preload)
        peer = bench.passive(world, 0)
        # It has traffic and then sleeps, and does not even wait on its channel.
        other = bench.active(world, 1, [peer], "--seconds", "0", "--op", "send", "--size", "64", "--rest", "4")
        time.sleep(0.8)
        before, since = [cpu_seconds(p) for p in (peer, other)], time.monotonic()
        time.sleep(3)
        took = time.monotonic() - since
        share = [100 * (cpu_seconds(p) - b) / took for p, b in zip((peer, other), before)]
        result = world.finish(other)
        a = bench.end(world, peer)
        say(f"{wire}: idle programs use {share[0]:.2f} % (waits on its channel) and {share[1]:.2f} % (does nothing)")
        bench.tap.check(not result.rc and not a.rc and max(share) < 1, f"{wire}: idle programs use under 1 % of a core",
                        share, a, result)
        world.close()


def many_ranks(bench):
    """Four ranks on (at most) two cores; the same program over Open MPI's tcp beside it."""
    name = "more ranks than cores: not slower than tcp by far"
    if not bench.mix or not os.path.exists(bench.mix) or not shutil.which("mpirun"):
        bench.tap.skip(name, "no mpirun, or no mpicc when this was built (Debian packages openmpi-bin, libopenmpi-dev)")
        return
    world = e2e.World("udp", bench.preload)
    script = os.path.join(world.dir, "rank")
    with open(script, "w", encoding="utf-8") as file:
        file.write('#!/bin/sh\n[ "$OMPI_COMM_WORLD_RANK" -lt 2 ] && WEFT_ADDR=127.0.0.2 || WEFT_ADDR=127.0.0.3\n'
                   f'export WEFT_ADDR LD_PRELOAD={world.preload}\nexec "$@"\n')
    os.chmod(script, 0o755)
    common = ["mpirun", "-n", "4", "--oversubscribe", "--bind-to", "none"]
    efa = ["--mca", "pml", "cm", "--mca", "mtl", "ofi", "--mca", "mtl_ofi_provider_include", "efa", "--mca", "btl",
           "^openib,ofi", "--mca", "osc", "pt2pt", script]
    tcp = ["--mca", "pml", "ob1", "--mca", "btl", "tcp,self", "--mca", "osc", "pt2pt"]
    cores = sorted(os.sched_getaffinity(0))[:2]
    took, whole = {}, {}
    for kind, words in (("efa", efa), ("tcp", tcp)):
        begun = time.monotonic()
        result = world.run(["taskset", "-c", ",".join(map(str, cores)), *common, *words, os.path.abspath(bench.mix),
                            str(1 << 20), "50"], 0, 60, LD_PRELOAD=None, WEFT_WIRE=None, OMPI_ALLOW_RUN_AS_ROOT="1",
                           OMPI_ALLOW_RUN_AS_ROOT_CONFIRM="1", TMPDIR=world.dir)
        whole[kind] = time.monotonic() - begun
        took[kind] = sum(float(seconds) for seconds in re.findall(r" ok +([0-9.]+) s$", result.out, re.M))
        good = result.rc == 0 and "all good" in result.out
        if kind == "efa":
            good = good and len(result.stats) >= 4 and result.total("send_wrs") > 1000
        bench.tap.check(good, f"four ranks on two cores, {kind}", result)
    # Most of a short program's time goes into libfabric's and Open MPI's start.
    ratio = took["efa"] / max(0.01, took["tcp"])
    say(f"four ranks on two cores: efa {took['efa']:.2f} s, tcp {took['tcp']:.2f} s, ratio {ratio:.2f}; "
        f"with start and end {whole['efa']:.2f} s and {whole['tcp']:.2f} s")
    bench.tap.check(ratio < 10, name, took)
    world.close()


LAB_CASES = [four_paths, loss, black_path, mtus, narrower, host_gone, process_gone, programs_killed, ended, ipv6,
             no_offload]
CASES = [two_users, limits, idle, many_ranks]


def main():
    words = sys.argv[1:]
    named = [word for word in words[2:] if "/" not in word]
    paths = [word for word in words if word not in named] + [None]
    bench = Bench(*paths[:3])
    if not os.path.exists(bench.faults):
        e2e.skip("no rdma-core when this was built (Debian package libibverbs-dev)")
    if os.geteuid() != 0:
        e2e.skip("network namespaces and other users need root")
    e2e.need("timeout", "fi_pingpong", "ip")
    missing = [f"{program} (Debian package {package})"
               for program, package in (("nft", "nftables"), ("ethtool", "ethtool")) if not shutil.which(program)]
    for case in LAB_CASES + CASES:
        if named and case.__name__ not in named:
            continue
        begun = time.monotonic()
        if missing and case in LAB_CASES:
            bench.tap.skip(case.__name__, "no " + ", no ".join(missing))
            continue
        case(bench)
        say(f"{case.__name__}: {time.monotonic() - begun:.1f} s")
    bench.tap.done()


if __name__ == "__main__":
    main()
