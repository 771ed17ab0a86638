#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""What 10,000 idle peers of one queue pair cost in memory: how much the resident set grows beyond that of the same
process, with its card and queue pair open, without them.

Two kinds of peers: address handles of 10,000 addresses, never spoken to; and real ones, processes on this machine with
32 cards each, that got one message and then rested. Of the real ones there are some hundreds; the growth from the
first half of them to all is the cost of each, and what 10,000 would cost is the growth so far and that much for each of
the others.
"""
import os
import sys
import time

from bench import Bar, Bench, Case, Failed, Metric, Spec, good, said

PEERS = 10000
CARDS = 32  # Of one process.
MB = 1e6


def handles(bench):
    def weft(world):
        result = world.run([bench.worker("verbs"), "idle", str(PEERS)], 0, 30, **bench.settings)
        good(result)
        found = said(result)
        return {"mb": (found["after"] - found["before"]) / MB, "empty": found["before"] / MB}

    return Case("handles", f"{PEERS} address handles, nobody spoken to", Spec("udp"), {"weft": weft},
                Metric("mb", "MB more", Bar(10, "<=", 2)), Metric("empty", "MB without them"))


def spoken(bench, name, wire):
    processes = 8 if bench.args.quick else 16

    def weft(world):
        files, servers = [], []
        for i in range(processes):
            files.append(os.path.join(world.dir, f"peers-{world.runs}"))
            addresses = ",".join(f"127.1.{i + 1}.{card + 1}" for card in range(CARDS))
            servers.append(world.start(0, [bench.worker("verbs"), "answer", files[-1], str(CARDS)], 60,
                                       **{**bench.settings, "WEFT_ADDR": addresses}))
        end = time.monotonic() + 30
        while not all(os.path.exists(file) for file in files):
            if time.monotonic() > end or any(server.poll() is not None for server in servers):
                raise Failed("the peers did not start: " + str(world.finish(servers[0]).err)[-200:])
            time.sleep(0.02)
        result = world.run([bench.worker("verbs"), "fan", *files], 1, 60, **bench.settings)
        for server in servers:
            server.terminate()
            world.finish(server)
        good(result)
        found = said(result)
        each = max(0, found["after"] - found["half"]) / (found["peers"] - found["peers"] // 2)
        now, rested = (found[key] - found["before"] for key in ("after", "rested"))
        rest = (PEERS - found["peers"]) * each
        return {"each": each, "mb": (now + rest) / MB, "measured": rested / MB, "peers": found["peers"]}

    return Case(name, f"{processes * CARDS} peers that were spoken to once, {wire}; extrapolated to {PEERS}",
                Spec(name), {"weft": weft}, Metric("mb", f"MB more at {PEERS}", Bar(10, "<=", 2)),
                Metric("each", "bytes for each peer"), Metric("measured", "MB, after a rest"),
                Metric("peers", "of them real"))


def main():
    bench = Bench("memory", __doc__)
    sys.exit(bench.run([handles(bench), spoken(bench, "udp", "UDP"), spoken(bench, "local", "same host")]))


if __name__ == "__main__":
    main()
