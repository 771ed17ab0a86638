#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""What this machine can do at best, without weft: copies, a cache line that changes owner, raw UDP sockets, one TCP
connection. The limits that the other benches compare with; here are no bars. UDP and TCP between two network
namespaces, which needs root.
"""
import sys

from bench import Bench, Case, Metric, Spec

SIZES = ("4k", "8k", "64k", "512k", "1m")


def main():
    bench = Bench("floors", __doc__)
    short = bench.seconds / 3

    def copy(mode, span):
        return lambda world: {size: bench.floor(world, mode, "-s", size, "--span", span, "--seconds", short)["gbytes"]
                              for size in SIZES}

    def pipe(world):
        return {"16k": bench.floor(world, "pipe", "--seconds", short)["gbytes"]}

    def line(world):
        return bench.floor(world, "line")

    def udp(mtu):
        return lambda world: bench.udp(world, "stream", "-s", mtu - 28, "--seconds", bench.seconds)

    def tcp(*options):
        return lambda world: bench.iperf(world, *options)

    cases = [
        Case("copy", "copies by size", None,
             {"memcpy, 64 MiB": copy("memcpy", "64m"), "memcpy, 2 MiB": copy("memcpy", "2m"),
              "process_vm_readv, 64 MiB": copy("readv", "64m"), "process_vm_readv, 2 MiB": copy("readv", "2m")},
             *[Metric(size, "GB/s") for size in SIZES]),
        Case("pipe", "two cores copy through a ring", None, {"two cores": pipe}, Metric("16k", "GB/s")),
        Case("line", "a cache line changes owner, one way", None, {"cache line": line}, Metric("p50_ns", "ns"),
             Metric("p999_ns", "ns")),
    ]
    for mtu in (9000, 1500):
        spec = Spec("lab", paths=1, mtu=mtu, offload=True)
        cases.append(Case(f"stream-{mtu}", f"one path, MTU {mtu}", spec,
                          {"raw udp": udp(mtu), "tcp": tcp(), "tcp, 1 MiB": tcp("-l", "1M")},
                          Metric("gbytes", "GB/s")))
    cases.append(Case("pingpong", "UDP ping-pong, one way, two namespaces", spec,
                      {f"{size} B": lambda world, size=size: bench.udp(world, "pingpong", "-s", size)
                       for size in (64, 144, 1024)}, Metric("p50_ns", "ns"), Metric("p99_ns", "ns")))
    sys.exit(bench.run(cases))


if __name__ == "__main__":
    main()
