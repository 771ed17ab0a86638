#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""test_pingpong.py WORLD PRELOAD: libfabric's fi_pingpong over its efa provider."""
import os
import shutil
import sys
import tempfile

import e2e

UNITS = {"k": 1 << 10, "m": 1 << 20, "g": 1 << 30}


def bytes_said(result):
    """Payload of both directions together, by the program's own table, less what it rounds away."""
    total = 0
    for line in result.out.splitlines():
        field = line.split()
        if len(field) == 8 and field[0][0].isdigit():
            number = field[3]
            unit = UNITS.get(number[-1], 1)
            total += 0.95 * unit * float(number.rstrip("kmg"))
    return int(total)


def pingpong(world, tap, name, *options, uids=(None, None), seconds=40, **extra):
    port = e2e.free_port()
    server = ["fi_pingpong", "-p", "efa", *options, "-B", str(port)]
    client = ["fi_pingpong", "-p", "efa", *options, "-P", str(port), world.control]
    a, b = world.pair(server, client, port, seconds, uids, **extra)
    why = ""
    if a.rc or b.rc:
        why = f"server exit {a.rc}, client exit {b.rc}"
    elif not bytes_said(b):
        why = "the client printed no results"
    else:
        why = world.carried(a, b)
    moved = min(r.total("recv_bytes") + r.total("rdma_read_bytes") for r in (a, b))
    if not why and moved < bytes_said(b) / 2:
        why = f"{bytes_said(b) // 2} bytes each way, says the program; {moved}, says the device"
    tap.check(not why, name, why, a, b)
    return a, b


def main():
    world = e2e.World(sys.argv[1], sys.argv[2])
    e2e.need("timeout", "fi_pingpong")
    tap = e2e.Tap()
    pingpong(world, tap, "rdm, all sizes, data checked", "-e", "rdm", "-c", "-S", "all")
    pingpong(world, tap, "rdm tagged, all sizes, data checked", "-e", "rdm", "-m", "tagged", "-c",
             "-S", "all")
    pingpong(world, tap, "dgram, all sizes, data checked", "-e", "dgram", "-c", "-S", "all")
    pingpong(world, tap, "rdm, many small", "-e", "rdm", "-S", "64", "-I", "5000")
    a, b = pingpong(world, tap, "rdm with READ", "-e", "rdm", "-c", "-S", "1048576", "-I", "20",
                    FI_EFA_USE_DEVICE_RDMA="1")
    tap.check(a.total("rdma_read_wrs") and b.total("rdma_read_wrs"), "rdm with READ: it did READ", a, b)
    pingpong(world, tap, "rdm, four cards", "-e", "rdm", "-c", "-S", "all", WEFT_INSTANCE="p4d.24xlarge")
    pingpong(world, tap, "rdm, with a key", "-e", "rdm", "-c", "-S", "all", WEFT_KEY="a secret")

    if world.wire == "udp":
        pingpong(world, tap, "rdm, 1 % of the frames lost", "-e", "rdm", "-c", "-S", "all", WEFT_LOSS="1%")
        pingpong(world, tap, "rdm, no GSO, no GRO", "-e", "rdm", "-c", "-S", "all", WEFT_GSO="no",
                 WEFT_GRO="no")
        pingpong(world, tap, "rdm, 64 paths", "-e", "rdm", "-c", "-S", "all", WEFT_PATHS="64")
    if world.spaces:
        four, world.hosts = world.hosts, ["fd99::1", "fd99::2"]
        pingpong(world, tap, "rdm over IPv6", "-e", "rdm", "-c", "-S", "all")
        world.hosts = four
    if os.geteuid() == 0:
        other_users(world, tap)
    tap.done()


def other_users(world, tap):
    """As root the above ran as root; the main use is without."""
    folder = tempfile.mkdtemp(prefix="weft-e2e-lib-")
    try:
        os.chmod(folder, 0o755)
        shutil.copy(world.preload, folder)
        own, world.preload = world.preload, os.path.join(folder, os.path.basename(world.preload))
        run_dir, world.run_dir = world.run_dir, ""
        nobody = e2e.UNPRIVILEGED
        pingpong(world, tap, "rdm, unprivileged", "-e", "rdm", "-c", "-S", "all", uids=(nobody, nobody))
        # Two users of a machine share a key only if they agree on one, and then no memory: UDP it is.
        if world.wire == "udp":
            pingpong(world, tap, "rdm, two users", "-e", "rdm", "-c", "-S", "all", uids=(None, nobody),
                     WEFT_WIRE="auto", WEFT_KEY="of both")
        world.preload, world.run_dir = own, run_dir
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
