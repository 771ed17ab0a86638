#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Open MPI over weft (pml cm, mtl ofi, provider efa) beside its own transports, one MPI program for all: latency,
bandwidth in one and in both directions, message rate, allreduce, alltoall. Two hosts, which are two network namespaces
and need root, with its tcp transport; one host with its shared memory (vader), for information.

Ranks that share a core wait for each other in turns: four ranks on two cores say more about the scheduler than about a
network, with every transport.
"""
import os
import sys

from bench import Bar, Bench, Case, Failed, Metric, Spec, good, said

import e2e
import test_mpi

COMMON = ["--oversubscribe", "--bind-to", "none"]
TCP = ["--mca", "pml", "ob1", "--mca", "btl", "self,tcp", "--mca", "btl_tcp_if_include", "eth0", *COMMON]
VADER = ["--mca", "pml", "ob1", "--mca", "btl", "self,vader", *COMMON]
METRICS = (("latency_us", "us"), ("bw_gbytes", "GB/s"), ("bibw_gbytes", "GB/s"), ("rate", "million/s"),
           ("allreduce_ms", "ms"), ("alltoall_us", "us"))


def mpirun(bench, world, ranks, first, arguments, weft):
    """`ranks` of our MPI program, those below `first` on host a."""
    settings = {**bench.settings, **bench.libraries()}
    stats = os.path.join(world.dir, f"mpi-{world.runs}.stats")
    if weft:
        settings.update(WEFT_WIRE=world.wire, WEFT_RUN_DIR=world.run_dir, WEFT_STATS=stats,
                        FI_EFA_ENABLE_SHM_TRANSFER="0")
    rank = test_mpi.script(world, f"rank-{world.runs}", test_mpi.PER_RANK, first=first, a=world.hosts[0],
                           b=world.hosts[1], preload=world.preload if weft else "",
                           settings=" ".join(f"{k}={v}" for k, v in settings.items()))
    command = [bench.program("mpirun", "openmpi-bin"), "-n", str(ranks), *arguments]
    if world.spaces and first < ranks:
        agent = test_mpi.script(world, "agent", test_mpi.AGENT, space=world.spaces[1])
        command += ["--mca", "plm_rsh_agent", agent, "--mca", "oob_tcp_if_include", "eth0",
                    "-H", f"{world.hosts[0]}:{first},{world.hosts[1]}:{ranks - first}"]
    program = [rank, bench.worker("mpi")] + (["--quick"] if bench.args.quick else [])
    result = world.run(command + program, 0, 50, LD_PRELOAD=None, OMPI_ALLOW_RUN_AS_ROOT="1",
                       OMPI_ALLOW_RUN_AS_ROOT_CONFIRM="1", TMPDIR=world.dir)
    result.stats = e2e.read_stats(stats)
    good(result)
    why = weft and world.carried(result)
    if why:
        raise Failed(f"mpirun, {ranks} ranks: {why}")
    found = said(result)
    found["rate"] /= 1e6
    return found


def main():
    bench = Bench("mpi", __doc__)

    def hosts(ranks, arguments, weft):
        return lambda world: mpirun(bench, world, ranks, ranks // 2, arguments, weft)

    def one_host(arguments, weft):
        return lambda world: mpirun(bench, world, 2, 2, arguments, weft)

    def metrics(**bars):
        return [Metric(key, unit, *([bars[key]] if key in bars else [])) for key, unit in METRICS]

    efa = test_mpi.ARGUMENTS
    sys.exit(bench.run([
        Case("hosts-2", "2 hosts, 1 rank each", Spec("netns"),
             {"weft": hosts(2, efa, True), "tcp": hosts(2, TCP, False)},
             *metrics(latency_us=Bar(9, "<=", 0.75, "tcp"), bw_gbytes=Bar(9, ">=", 1.5, "tcp")), table=True, strays=True),
        # 1.3 times as fast is at most 1 / 1.3 of the time.
        Case("hosts-4", "2 hosts, 2 ranks each", Spec("netns"),
             {"weft": hosts(4, efa, True), "tcp": hosts(4, TCP, False)},
             *metrics(allreduce_ms=Bar(9, "<=", 1 / 1.3, "tcp")), table=True, strays=True),
        Case("host-2", "2 ranks on one host", Spec("local"),
             {"weft": one_host(efa, True), "vader": one_host(VADER, False)}, *metrics(), table=True),
    ]))


if __name__ == "__main__":
    main()
