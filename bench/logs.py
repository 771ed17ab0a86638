#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""How fast `weft logs` reads, in MB for each second of processor time: a log as training writes it, in which few lines
matter, and one in which every line does. Beside it what everybody has: counting the lines,
and grep for the same kind of strings.
"""
import os
import random
import resource
import subprocess
import sys
import tempfile

from bench import Bar, Bench, Case, Failed, Metric

RANKS = 32


def nccl(rank, text):
    return f"[1,{rank}]<stdout>:ip-10-0-0-{rank // 8}:{12000 + rank}:{12100 + rank} [{rank % 8}] NCCL INFO {text}\n"


def channel(rank, way):
    return nccl(rank, f"Channel {rank:02}/0 : {rank}[{rank % 8}] -> {(rank + 8) % RANKS}[{rank % 8}] {way}")


def start(rank):
    yield nccl(rank, "NET/OFI Initializing aws-ofi-nccl 1.16.0")
    yield nccl(rank, "NET/OFI Using Libfabric version 2.1")
    yield nccl(rank, "NET/OFI Selected provider is efa, fabric is efa-direct (found 32 nics)")
    yield nccl(rank, "Using network Libfabric")
    for i in range(RANKS):
        yield channel(rank, "via P2P/CUMEM/read")
        yield nccl(rank, f"Trees [{i}] 1/-1/-1->{rank}->-1 [{i + 1}] 1/-1/-1->0->-1")
    yield channel(rank, "[send] via NET/Libfabric/0/GDRDMA")


def step(draw):
    rank, number = draw.randrange(RANKS), draw.randrange(100000)
    return draw.choice((
        f"[1,{rank}]<stdout>:2025-11-30 12:01:02,123 INFO train.py:210 step: {number} loss: {draw.random():.4f} lr: 1e-4\n",
        f"[1,{rank}]<stderr>:libfabric:{12000 + rank}:1764529576::efa:core:efa_rdm_ep_progress():{number % 2000}<info> "
        "variable inter_max_medium_message_size=<not set>\n",
        nccl(rank, f"AllReduce: opCount {number:x} sendbuff 0x7f{number:010x} count {number} datatype 9 op 0 root 0"),
        channel(rank, "via P2P/CUMEM/read"),
        '  File "/usr/local/lib/python3.10/dist-packages/torch/nn/modules/module.py", line 1501, in _call_impl\n',
        f" iteration {number:8}/ 500000 | elapsed time per iteration (ms): {draw.random():.1f} | lm loss: {draw.random():.6E} |\n"))


def all_matter(draw):
    rank = draw.randrange(RANKS)
    return draw.choice((
        channel(rank, "[send] via NET/Libfabric/0/GDRDMA"),
        f"[1,{rank}]<stderr>:libfabric:{12000 + rank}:1764529576::efa:cq:efa_rdm_ope():12<warn> err: 6, message: "
        "Destination resource not ready (no work queue entries posted on receive queue) (10)\n"))


def write(path, size, head, line):
    draw = random.Random(1)
    block = ("".join(head) + "".join(line(draw) for _ in range(50000))).encode()
    with open(path, "wb") as f:
        while f.tell() < size:
            f.write(block)


def run(words, path):
    """MB for each second of processor time."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    # Into a pipe: grep that writes to nowhere stops at its first hit.
    result = subprocess.run([*words, path], stdout=subprocess.PIPE, check=False)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if result.returncode not in (0, 1):
        raise Failed(f"{words[0]}: exit {result.returncode}")
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {"rate": os.path.getsize(path) / 1e6 / used}


def case(bench, folder, name, title, head, line):
    path = os.path.join(folder, name)

    def program(*words):
        def measure(_world):
            if not os.path.exists(path):
                write(path, 2e8 if bench.args.quick else 2e9, head, line)
            return run(words, path)
        return measure

    return Case(name, f"a log, {title}", None,
                {"weft logs": program(os.path.join(bench.args.build, "weft"), "logs"),
                 "grep, 5 strings": program("grep", "-c", "-F", "-f", os.path.join(folder, "strings")),
                 "wc": program("wc", "-l")}, Metric("rate", "MB/s", Bar("logs", ">=", 500)))


def main():
    bench = Bench("logs", __doc__)
    with tempfile.TemporaryDirectory() as folder:
        with open(os.path.join(folder, "strings"), "w", encoding="ascii") as f:
            f.write("[send] via NET/\nUsing network \nSelected provider is \nDestination resource not\nfi_getinfo: -61\n")
        sys.exit(bench.run([
            case(bench, folder, "mixed", "as training writes it", [x for r in range(RANKS) for x in start(r)], step),
            case(bench, folder, "every-line", "of which every line matters", [], all_matter)]))


if __name__ == "__main__":
    main()
