#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Several ways between two hosts, and what happens to packets on them: four of 1 Gb/s each beside one TCP connection;
one of the four that turns black in the middle of a stream, beside three healthy ones; one packet of a hundred lost,
beside none, for weft and for TCP. Two network namespaces; needs root, ethtool and nftables.

Where packets are lost, the sender's kernel cuts bursts before the link, for TCP as for weft: single packets are lost,
and not bursts.
"""
import sys
import time

from bench import Bar, Bench, Case, Failed, Metric, Spec

SHAPED = Spec("lab", paths=4, offload=True, rate="1gbit")
BLACK = "p1"
WHEN = 0.7  # Seconds into the stream.
TAIL = 0.1
SETTLED = 0.05
RAMP = 0.2


def four(bench):
    seconds = max(1, 2 * bench.seconds)

    def weft(world):
        return {"gbits": 8 * bench.verbs(world, "bw", "--op", "write", "-s", "1m", "--seconds", seconds)["gbytes"]}

    def tcp(world):
        return {"gbits": 8 * bench.iperf(world)["gbytes"]}

    return Case("four", "4 paths of 1 Gb/s, WRITE 1 MiB, one pair of QPs", SHAPED, {"weft": weft, "tcp": tcp},
                Metric("gbits", "Gb/s", Bar(4, ">=", 3.7)))


def watched(bench, world, act):
    """A stream of WRITEs of 64 KiB; `act` is called WHEN its first second is well under way."""
    marks = {}

    def script():
        time.sleep(WHEN + 0.3)
        marks["at"] = time.monotonic()
        act()

    found = bench.verbs(world, "stream", "--op", "write", "-s", "64k", "--window", 64, "--seconds", 2,
                        "--ramp", RAMP, script=script)
    at = marks["at"] - found["begin"]
    if not 0.3 < at < 1.7:
        raise Failed(f"the stream had run for {at:.2f} s when it was to be disturbed")
    begin, end = round(100 * (at + SETTLED)) + 1, len(found["bins"]) - round(100 * TAIL)
    bins = found["bins"][begin:end]
    return {"errors": found["errors"], "gap_ms": found["gap_ms"],
            "gbits": sum(bins) / len(bins) * 100 * 65536 * 8 / 1e9,
            "bins": found["bins"], "at": at, "gap_at": found["gap_at"]}


def black(bench):
    def weft(world):
        try:
            return watched(bench, world, lambda: world.black(BLACK))
        finally:
            world.whole()

    def three(world):
        all_paths = world.paths
        world.paths = [path for path in all_paths if path != BLACK]
        world.routes()
        try:
            return watched(bench, world, lambda: None)
        finally:
            world.paths = all_paths
            world.routes()

    return Case("black", f"one of 4 paths turns black, WRITE 64 KiB; rate from {1000 * SETTLED:.0f} ms after it",
                SHAPED, {"weft": weft, "weft, three paths": three},
                Metric("errors", "requests", Bar(5, "<=", 0)),
                Metric("gap_ms", "longest gap", Bar(5, "<=", 10)),
                Metric("gbits", "Gb/s", Bar(5, ">=", 0.95, "weft, three paths")))


def loss(bench, paths):
    def lossy(measure):
        def run(world):
            world.lossy(100, "{ udp, tcp }")
            try:
                return measure(world)
            finally:
                world.whole()
        return run

    def weft(world):
        return bench.verbs(world, "bw", "--op", "write", "-s", "1m", "--seconds", bench.seconds)

    def tcp(world):
        return bench.iperf(world)

    spec = Spec("lab", paths=paths, software=True)
    ways = "one path" if paths == 1 else f"{paths} paths"
    return [Case(f"loss-{paths}", f"1 % of the packets lost, {ways}, unshaped, WRITE 1 MiB", spec,
                 {"weft, 1 % lost": lossy(weft), "weft": weft},
                 Metric("gbytes", "GB/s", Bar(6, ">=", 0.85, "weft"))),
            Case(f"loss-tcp-{paths}", f"1 % of the packets lost, {ways}, unshaped, TCP", spec,
                 {"tcp, 1 % lost": lossy(tcp), "tcp": tcp}, Metric("gbytes", "GB/s"))]


def main():
    bench = Bench("paths", __doc__)
    sys.exit(bench.run([four(bench), black(bench), *loss(bench, 4), *loss(bench, 1)]))


if __name__ == "__main__":
    main()
