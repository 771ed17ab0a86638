#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""test_manifests.py WEFT ALL: what `weft manifest` writes, of every kind and for every instance type, is what
`weft lint` has nothing to object to; and lint knows what each of them is. ALL prints all of them."""
import json
import os
import subprocess
import sys
import tempfile

SUFFIX = {"dockerfile": ".dockerfile", "terraform": ".tf", "slurm": ".sbatch", "torchrun": ".sh", "security-group": ".sh",
          "placement-group": ".sh", "run-instances": ".sh", "launch-template": ".sh"}


def records(data):
    at = 0
    while at < len(data):
        begin = data.index(b"\n", at) + 1
        kind, instance, how, made, length = data[at:begin].decode().split("\t")
        at = begin + int(length)
        yield kind, instance, how, made, data[begin:at]


def is_right(one):
    """That MPI's own messages are not on EFA is said as a note, and so written for programs that use NCCL."""
    return one["severity"] == "note" and one["id"] == "env-tcp" and ("through NCCL" in one["evidence"] or "baseline" in one["evidence"])


def main():
    weft, everything = map(os.path.abspath, sys.argv[1:3])
    counts = {}
    with tempfile.TemporaryDirectory() as folder:
        for kind, instance, how, made, text in records(subprocess.run([everything], check=True, capture_output=True).stdout):
            if made != "made":
                continue
            name = f"{kind}-{instance}-{how}{SUFFIX.get(kind, '.yaml')}"
            with open(os.path.join(folder, name), "wb") as f:
                f.write(text)
            counts[kind] = counts.get(kind, 0) + 1
        names = sorted(os.listdir(folder))
        found = []
        for i in range(0, len(names), 500):
            run = subprocess.run([weft, "lint", "--json"] + names[i:i + 500], cwd=folder, capture_output=True, check=False)
            report = json.loads(run.stdout)
            assert report["files"] == len(names[i:i + 500])
            found += [one for one in report["findings"] if not is_right(one)]
        for one in found[:20]:
            print(f"# {one['file']}:{one['line']}: {one['severity']} {one['id']}: {one['evidence']}")
        print(f"1..{len(counts) + 1}")
        for number, kind in enumerate(sorted(counts), 1):
            bad = {one["file"] for one in found if one["file"].startswith(kind + "-")}
            print(f"{'not ' if bad else ''}ok {number} - {kind}: {counts[kind]} files, {len(bad)} with a finding")
        # A test that could not fail would be none: the same files with one card too many.
        spoilt = 0
        pods = [n for n in names if n.startswith(("pod-", "mpijob-", "rayjob-"))]
        for name in pods:
            path = os.path.join(folder, name)
            with open(path, encoding="utf-8") as f:
                text = f.read()
            with open(path, "w", encoding="utf-8") as f:
                f.write(text.replace('vpc.amazonaws.com/efa: ', 'vpc.amazonaws.com/efa: 9'))
        for i in range(0, len(pods), 500):
            run = subprocess.run([weft, "lint", "--json"] + pods[i:i + 500], cwd=folder, capture_output=True, check=False)
            spoilt += len({one["file"] for one in json.loads(run.stdout)["findings"] if one["id"] == "pod-count"})
        good = pods and spoilt == len(pods)
        print(f"{'' if good else 'not '}ok {len(counts) + 1} - {spoilt} of {len(pods)} spoilt ones are found")
    return 0


if __name__ == "__main__":
    sys.exit(main())
