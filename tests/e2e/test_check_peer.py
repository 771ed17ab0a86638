#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""test_check_peer.py WEFT: `weft check --peer` between two network namespaces, a and b, with a cable between them. Each row breaks
one thing, and the verdict of both sides is compared. Needs root, ip and nft.

    a 10.77.0.1 ---- 10.77.0.2 b
"""

import json
import os
import shutil
import subprocess
import sys
import time

WEFT = sys.argv[1]
A, B = (f"weft-check-{os.getpid()}-{side}" for side in "ab")
ENV = {k: v for k, v in os.environ.items() if not k.startswith(("WEFT_", "LD_"))}
PORT = "18522"


def sh(*args, check=True):
    return subprocess.run(args, check=check, capture_output=True)


def weft(where, *args, key=None):
    env = dict(ENV, WEFT_RUN_DIR=f"/dev/shm/{where}")
    if key:
        env["WEFT_KEY"] = key
    return subprocess.Popen(["ip", "netns", "exec", where, WEFT, "check", "--json", "--only", "peer,self", *args], env=env,
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def listens():
    out = sh("ip", "netns", "exec", B, "cat", "/proc/net/tcp6").stdout.decode()
    return any(row.split()[1].endswith(f":{int(PORT):04X}") and row.split()[3] == "0A" for row in out.splitlines()[1:])


def verdict(process):
    out, err = process.communicate(timeout=60)
    return [(f["id"], f["severity"], f["evidence"]) for f in json.loads(out)["findings"]], process.returncode, err


def nft(where, *rules):
    sh("ip", "netns", "exec", where, "nft", "flush", "ruleset")
    if rules:
        sh("ip", "netns", "exec", where, "nft", "add table inet t; add chain inet t in { type filter hook input priority 0; }; "
           + "; ".join(f"add rule inet t in {rule}" for rule in rules))


def run(a_rules=(), b_rules=(), listen=True, host="10.77.0.2", a_key=None, b_key=None):
    nft(A, *a_rules)
    nft(B, *b_rules)
    there = weft(B, "--listen", key=b_key) if listen else None
    while there and not listens() and there.poll() is None:
        time.sleep(0.01)
    began = time.monotonic()
    here = verdict(weft(A, "--peer", host, key=a_key))
    seconds = time.monotonic() - began
    if there and here[0] and any("TCP port" in one[2] for one in here[0]):
        there.terminate()
        there.wait()
        there = None
    return here, verdict(there) if there else None, seconds


# name, arguments of run(), id here, id there (None: not looked at), a word of the evidence here
ROWS = (
    ("all is well", {}, "peer", "peer", "each way"),
    ("no route", {"host": "198.51.100.1", "listen": False}, "peer-no-route", None, "unreachable"),
    ("nobody of that name", {"host": "no-such-host.invalid", "listen": False}, "peer-no-route", None, ""),
    ("nobody listens", {"listen": False}, "peer-no-listener", None, "nobody listens"),
    ("everything swallowed", {"b_rules": ["meta l4proto tcp drop"]}, "peer-filtered", None, "does not answer at all"),
    ("UDP swallowed both ways", {"a_rules": ["meta l4proto udp drop"], "b_rules": ["meta l4proto udp drop"]}, "peer-filtered",
     "peer-filtered", "0 of 8"),
    ("UDP swallowed from there to here", {"a_rules": ["meta l4proto udp drop"]}, "peer-one-way", "peer-one-way", "from there to here"),
    ("UDP swallowed from here to there", {"b_rules": ["meta l4proto udp drop"]}, "peer-one-way", "peer-one-way", "from here to there"),
    ("another key", {"a_key": "first-key-of-two", "b_key": "second-key-of-two"}, "peer-key", "peer-key", "not of the same key"),
    ("large packets swallowed", {"a_rules": ["meta l4proto udp meta length > 1000 drop"],
                                 "b_rules": ["meta l4proto udp meta length > 1000 drop"]}, "peer-mtu", "peer-mtu", "all of 64 bytes"),
)


def set_up():
    for where in (A, B):
        sh("ip", "netns", "add", where)
        sh("ip", "-n", where, "link", "set", "lo", "up")
    sh("ip", "link", "add", "eth0", "netns", A, "type", "veth", "peer", "name", "eth0", "netns", B)
    for where, address in ((A, "10.77.0.1/24"), (B, "10.77.0.2/24")):
        sh("ip", "-n", where, "addr", "add", address, "dev", "eth0")
        sh("ip", "-n", where, "link", "set", "eth0", "up")


def main():
    if os.getuid() or not all(map(shutil.which, ("ip", "nft"))) or sh("ip", "netns", "add", A, check=False).returncode:
        print("needs root, network namespaces and nft")
        return 77
    sh("ip", "netns", "del", A)
    failed = 0
    try:
        set_up()
        for number, (name, how, want_here, want_there, word) in enumerate(ROWS, 1):
            here, there, seconds = run(**how)
            ids = [one[0] for one in here[0]]
            good = ids == [want_here] and word in here[0][0][2] and here[1] == (0 if want_here == "peer" else 2) and seconds < 30
            if want_there:
                good = good and there and [one[0] for one in there[0]] == [want_there]
            print(f"{'ok' if good else 'not ok'} {number} - {name}")
            if not good:
                failed += 1
                print(f"# here {here}\n# there {there}\n# {seconds:.1f} s".replace("\n\n", "\n"))
        print(f"1..{len(ROWS)}")
    finally:
        for where in (A, B):
            sh("ip", "netns", "del", where, check=False)
            shutil.rmtree(f"/dev/shm/{where}", ignore_errors=True)
    return 1 if failed else 0


sys.exit(main())
