#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""test_mpi.py WORLD PRELOAD MPI_MIX: Open MPI with libfabric's efa provider, every message over the device.

2 hosts x 2 ranks, then 16 ranks on one host; more ranks than cores on small machines, hence bounded sizes
there. Within 127.0.0.0/8 one mpirun starts all ranks and each finds its host by its number; between
namespaces mpirun starts a daemon on the other host, as it would by ssh.
"""
import os
import sys

import e2e

ARGUMENTS = [
    "--mca", "pml", "cm", "--mca", "mtl", "ofi", "--mca", "mtl_ofi_provider_include", "efa",
    "--mca", "btl", "^openib,ofi", "--mca", "osc", "pt2pt", "--oversubscribe", "--bind-to", "none",
]

# Reads the environment of the rank and not its arguments, so that it fits any program.
PER_RANK = """#!/bin/sh
[ "$OMPI_COMM_WORLD_RANK" -lt {first} ] && WEFT_ADDR={a} || WEFT_ADDR={b}
export WEFT_ADDR LD_PRELOAD={preload} {settings}
exec "$@"
"""

AGENT = """#!/bin/sh
shift
exec ip netns exec {space} unshare -u sh -c 'hostname weft-e2e-b && exec sh -c "$*"' sh "$@"
"""


def script(world, name, text, **values):
    path = os.path.join(world.dir, name)
    with open(path, "w", encoding="utf-8") as file:
        file.write(text.format(**values))
    os.chmod(path, 0o755)
    return path


def mpi(world, tap, name, ranks, first, program, seconds, least, **settings):
    """`ranks` of a program; those below `first` on host a."""
    words = {"WEFT_WIRE": world.wire, "WEFT_RUN_DIR": world.run_dir,
             "WEFT_STATS": os.path.join(world.dir, f"{ranks}.stats"), **settings}
    rank = script(world, f"rank-{ranks}", PER_RANK, first=first, a=world.hosts[0], b=world.hosts[1],
                  preload=world.preload, settings=" ".join(f"{k}={v}" for k, v in words.items()))
    command = ["mpirun", "-n", str(ranks), *ARGUMENTS]
    if world.spaces and first < ranks:
        agent = script(world, "agent", AGENT, space=world.spaces[1])
        command += ["--mca", "plm_rsh_agent", agent, "--mca", "oob_tcp_if_include", "eth0",
                    "-H", f"{world.hosts[0]}:{first},{world.hosts[1]}:{ranks - first}"]
    # mpirun itself needs no device.
    result = world.run(command + [rank, *program], 0, seconds, LD_PRELOAD=None,
                       OMPI_ALLOW_RUN_AS_ROOT="1", OMPI_ALLOW_RUN_AS_ROOT_CONFIRM="1",
                       TMPDIR=world.dir)
    result.stats = e2e.read_stats(words["WEFT_STATS"])
    why = ""
    if result.rc:
        why = f"exit {result.rc}"
    elif "all good" not in result.out:
        why = "it did not come to its end"
    elif len(result.stats) < ranks:
        why = f"counters of {len(result.stats)} cards, expected {ranks}"
    elif min(card.get("send_wrs", 0) for card in result.stats) < least:
        why = f"a rank sent fewer than {least} messages through the device"
    else:
        why = world.carried(result)
    tap.check(not why, name, why, result)
    return result


def main():
    world = e2e.World(sys.argv[1], sys.argv[2])
    e2e.need("timeout", "mpirun")
    mix = os.path.abspath(sys.argv[3])
    if not os.path.exists(mix):
        e2e.skip("no mpicc when this was built (Debian package libopenmpi-dev)")
    tap = e2e.Tap()
    mpi(world, tap, "2 hosts x 2 ranks, to 16 MB, 300 communicators", 4, 2, [mix, str(16 << 20), "300"], 90,
        1000)
    # Same address: libfabric would use its own shared memory.
    mpi(world, tap, "16 ranks on one host, to 64 KiB", 16, 16, [mix, str(64 << 10), "20"], 90, 200,
        FI_EFA_ENABLE_SHM_TRANSFER="0")
    tap.done()


if __name__ == "__main__":
    main()
