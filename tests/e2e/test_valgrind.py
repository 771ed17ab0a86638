#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""test_valgrind.py PRELOAD: fi_pingpong under valgrind, both ends. libfabric 1.17 itself reads a domain that it has
just freed, and flags of datagrams' completions that it has never set; that is not looked at."""
import glob
import os
import re
import sys

import e2e

IGNORED = """{
	libfabric reads what it has freed
	Memcheck:Addr8
	obj:*/libfabric.so*
}
{
	libfabric looks at what it has not set
	Memcheck:Cond
	obj:*/libfabric.so*
}
"""


def main():
    e2e.need("timeout", "fi_pingpong", "valgrind")
    tap = e2e.Tap()
    for name in ("udp", "local"):
        world = e2e.World(name, sys.argv[1])
        ignored = os.path.join(world.dir, "ignored")
        with open(ignored, "w", encoding="utf-8") as file:
            file.write(IGNORED)
        valgrind = ["valgrind", "-q", "--error-exitcode=99", "--leak-check=no",
                    "--suppressions=" + ignored, f"--log-file={world.dir}/valgrind.%p"]
        for options in (["-e", "rdm", "-S", "65536"], ["-e", "dgram", "-S", "1024"]):
            port = str(e2e.free_port())
            words = valgrind + ["fi_pingpong", "-p", "efa", *options, "-c", "-I", "5"]
            a, b = world.pair(words + ["-B", port], words + ["-P", port, world.control], int(port), 100,
                              listen=60, FI_EFA_USE_DEVICE_RDMA="1")
            why = world.carried(a, b)
            if a.rc or b.rc:
                why = f"server exit {a.rc}, client exit {b.rc}"
            said = ""
            for log in glob.glob(world.dir + "/valgrind.*"):
                with open(log, encoding="utf-8", errors="replace") as file:
                    said += re.sub(r"^==\d+== ", "", file.read(), flags=re.M)
                os.unlink(log)
            tap.check(not why, f"{name}, {' '.join(options)}", why, said, a, b)
        world.close()
    tap.done()


if __name__ == "__main__":
    main()
