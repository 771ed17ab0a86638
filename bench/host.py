#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Two processes of one host, through shared memory: SENDs of 8 bytes, RDMA WRITEs of 64 KiB and 1 MiB, and the
unmodified fi_pingpong, beside libfabric's shm provider and the floors: memcpy, and a cache line that changes owner.

WRITEs, libfabric's RMA and memcpy go through 64 MiB at each end, which no cache holds.
"""
import sys

from bench import PINGPONG_SIZES, Bar, Bench, Case, Metric, Spec

LOCAL = Spec("local")
SPAN = "64m"


def latency(bench):
    iterations = 20000 if bench.args.quick else 200000

    def weft(world):
        return bench.verbs(world, "lat", "-s", 8, "--iterations", iterations)

    def shm(world):
        return bench.fabric(world, "shm", "lat", "-s", 8, "--iterations", iterations)

    def line(world):
        return bench.floor(world, "line", "--iterations", iterations)

    return Case("send-8", "SEND 8 B ping-pong, one way, same host", LOCAL,
                {"weft": weft, "libfabric shm": shm, "cache line": line},
                Metric("p50_ns", "ns", Bar(7, "<=", 500)), Metric("p99_ns", "ns"),
                Metric("p999_ns", "ns", Bar(7, "<=", 2000)))


def write(bench, size):
    def weft(world):
        return bench.verbs(world, "bw", "--op", "write", "-s", size, "--span", SPAN, "--seconds", bench.seconds)

    def shm(world):
        return bench.fabric(world, "shm", "write", "-s", size, "--span", SPAN, "--window", 16, "--seconds",
                            bench.seconds)

    def memcpy(world):
        return bench.floor(world, "memcpy", "-s", size, "--span", SPAN, "--seconds", bench.seconds)

    def pipe(world):
        return bench.floor(world, "pipe", "--span", SPAN, "--seconds", bench.seconds)

    def readv(world):
        return bench.floor(world, "readv", "-s", size, "--span", SPAN, "--seconds", bench.seconds)

    return Case(f"write-{size}", f"RDMA WRITE {size}, same host", LOCAL,
                {"weft": weft, "libfabric shm": shm, "memcpy": memcpy, "memcpy, two cores": pipe,
                 "process_vm_readv": readv},
                Metric("gbytes", "GB/s", Bar(7, ">=", 1.0, "libfabric shm"), Bar(7, ">=", 0.7, "memcpy")))


def pingpong(bench):
    def run(provider):
        return lambda world: bench.pingpong(world, provider, 300)

    return Case("pingpong", "fi_pingpong, one way, same host", LOCAL,
                {"weft": run("efa"), "libfabric shm": run("shm")}, *[Metric(size, "us") for size in PINGPONG_SIZES],
                table=True)


def main():
    bench = Bench("host", __doc__)
    sys.exit(bench.run([latency(bench), write(bench, "64k"), write(bench, "1m"), pingpong(bench)]))


if __name__ == "__main__":
    main()
