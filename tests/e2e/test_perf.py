#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""test_perf.py PRELOAD: `weft perf` over weft's cards, through libfabric's efa provider."""
import json
import os
import re
import signal
import socket
import subprocess
import sys

WEFT = os.path.join(os.path.dirname(os.path.abspath(sys.argv[-1])), "weft")
failed = 0


def case(name, ok, detail=""):
    global failed
    failed += not ok
    print(("ok" if ok else "not ok") + " - " + name, flush=True)
    if not ok:
        print(detail)


def weft(*args):
    return subprocess.run([WEFT, *map(str, args)], text=True, timeout=100, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


first = weft("perf", "pingpong", "--soft", "--local", 2, "-n", 20, "-S", 64)
if "libfabric is needed" in first.stderr or "no provider" in first.stderr:
    print("skipped: libfabric with its efa provider (libfabric1): " + first.stderr.strip())
    sys.exit(77)
case("pingpong over weft's cards", first.returncode == 0 and "provider efa" in first.stdout, first)

p = weft("perf", "allreduce", "--soft", "--local", 3, "-b", 8, "-e", "4M", "-f", 8, "-n", 3, "--json")
j = json.loads(p.stdout or "{}")
case("allreduce among three addresses, data checked", p.returncode == 0 and j["ranks"] == 3
     and all(r[k]["wrong"] == 0 for r in j["rows"] for k in ("out_of_place", "in_place"))
     and {m["provider"] for m in j["members"]} == {"efa"}, p)

p = weft("run", "--addr", "127.0.0.9", "--cards", 4, "--", WEFT, "perf", "bw", "--local", 2, "-S", "64k", "-n", 5, "-c", 1)
case("a window goes round over four cards", p.returncode == 0 and "4 cards each" in p.stdout
     and "# 0 wrong values" in p.stdout, p)

with socket.socket() as s:
    s.bind(("127.0.0.1", 0))
    port = str(s.getsockname()[1])
server = subprocess.Popen([WEFT, "run", "--addr", "127.0.0.2", "--", WEFT, "perf", "serve", "--port", port],
                          stderr=subprocess.PIPE, text=True)
server.stderr.readline()
client = subprocess.Popen([WEFT, "run", "--addr", "127.0.0.3", "--", WEFT, "perf", "bw", "127.0.0.1", "--port", port,
                           "-S", "8k", "-n", "1000000", "-T", "20s"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
while not re.match(" #bytes", client.stdout.readline() or " #bytes"):
    pass
for pid in open("/proc/%d/task/%d/children" % (server.pid, server.pid)).read().split():
    os.kill(int(pid), signal.SIGKILL)
out, err = client.communicate(timeout=60)
case("a killed peer is one line", client.returncode == 2 and err.count("\n") == 1
     and "rank 1 (127.0.0.1) ended without a word" in err, err)
server.terminate()
server.wait(10)
sys.exit(failed != 0)
