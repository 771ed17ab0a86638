#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""test_perftest.py WORLD PRELOAD: the perftest programs, on raw verbs."""
import re
import sys

import e2e

SEND_MAX = 8928
UD_MAX = 4096  # perftest's own limit: the port's active MTU.


def perftest(world, tap, card, program, *options, counter, least, **extra):
    """One run; `counter` of the client has to reach `least`."""
    port = e2e.free_port()
    words = [program, "-d", card, "-x", "0", "-F", "-p", str(port), *options]
    a, b = world.pair(words, words + [world.control], port, 30, **extra)
    why = ""
    if a.rc or b.rc:
        why = f"server exit {a.rc}, client exit {b.rc}"
    elif not re.search(r"^ *\d+ +\d+ +[0-9.]+", b.out, re.M):
        why = "the client printed no results"
    elif b.total(counter) < least:
        why = f"{counter} is {b.total(counter)}, expected {least} at least"
    else:
        why = world.carried(a, b)
    tap.check(not why, " ".join([program, *options]), why, a, b)
    return a, b


def main():
    world = e2e.World(sys.argv[1], sys.argv[2])
    e2e.need("timeout", "ib_send_bw", "ibv_devices")
    tap = e2e.Tap()
    card = e2e.card_of(world)
    if not tap.check(card, "there is a card"):
        tap.done()

    def sends(program, *options, times):
        # UD is allowed to lose what finds no buffer, and the server would wait for it: give it one for each.
        if "UD" in options and program == "ib_send_bw":
            options += ("-r", str(times))
        perftest(world, tap, card, program, *options, "-n", str(times), counter="send_wrs", least=times)

    def reads(program, *options, times):
        return perftest(world, tap, card, program, "-c", "SRD", *options, "-n", str(times),
                        counter="rdma_read_wrs", least=times)

    # EFA refuses requests without a completion. perftest knows that of SRD, for UD it has to be told: -Q 1.
    for kind, most in (["SRD"], SEND_MAX), (["UD", "-Q", "1"], UD_MAX):
        for size in (2, 1024, most):
            sends("ib_send_lat", "-c", kind[0], "-s", str(size), times=1000)
            sends("ib_send_bw", "-c", *kind, "-s", str(size), times=5000)
        sends("ib_send_bw", "-c", *kind, "-b", "-s", "4096", times=5000)
        sends("ib_send_bw", "-c", *kind, "-q", "8", "-s", "2048", times=1000)
        sends("ib_send_bw", "-c", *kind, "-l", "16", "-s", "1024", times=4800)
    sends("ib_send_lat", "-c", "UD", "-e", "-s", "64", times=1000)
    sends("ib_send_bw", "-c", "UD", "-Q", "1", "-e", "-s", "1024", times=1000)

    for size, times in ((2, 1000), (65536, 1000), (8 << 20, 20)):
        a, b = reads("ib_read_lat", "-s", str(size), times=times)
        tap.check(a.total("rdma_read_resp_bytes") >= size * times, "... the server was read from", a, b)
        reads("ib_read_bw", "-s", str(size), times=times)
    reads("ib_read_bw", "-b", "-s", "65536", times=1000)
    reads("ib_read_bw", "-q", "8", "-s", "16384", times=1000)
    tap.done()


if __name__ == "__main__":
    main()
