#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""kube.py BUILD KUBE [STEP...]: weft under a real Kubernetes of one control plane and two nodes, all on this machine.

BUILD is the build folder, KUBE where tools/kube/build has put its programs; names of steps run these and what they
need. As root. One line for each check; exit 0: all good, 1: not all, 2: it could not be tried.

Everything runs in namespaces of its own: processes (so that the end of the first ends all of them, however this script
ends), mounts, network, host name. What kubelet would change for the whole machine it finds as it wants it, in files that
lie over those of /proc/sys. Two things are outside: control groups below weft-kube-*, and KUBE/run. This, the outer
half, removes both; where it was killed before it could, the next run does.
"""
import ctypes
import glob
import os
import shutil
import signal
import subprocess
import sys
import time

CGROUPS = "/sys/fs/cgroup"
NAMESPACES = ["--pid", "--mount-proc", "--mount", "--uts", "--ipc", "--net"]
PROGRAMS = {"ip": "iproute2", "nft": "nftables", "openssl": "openssl", "fi_pingpong": "libfabric-bin", "unshare": "util-linux"}
# What kubelet wants; it writes only what is otherwise.
SYSCTLS = {"vm/overcommit_memory": 1, "vm/panic_on_oom": 0, "kernel/panic": 10, "kernel/panic_on_oops": 1,
           "kernel/keys/root_maxkeys": 1000000, "kernel/keys/root_maxbytes": 25000000}


def give_up(reason):
    print(f"kube: {reason}", file=sys.stderr)
    sys.exit(2)


def hierarchies():
    """Where control groups are made: one place with version 2, one for each controller with version 1."""
    if os.path.exists(f"{CGROUPS}/cgroup.controllers"):
        return [CGROUPS]
    return [path for path in glob.glob(f"{CGROUPS}/*")
            if os.path.exists(f"{path}/cgroup.procs") and not os.path.exists(f"{path}/cgroup.controllers")]


def groups():
    """Also where runc makes some beside the hierarchies of version 1."""
    return glob.glob(f"{CGROUPS}/weft-kube-*") + glob.glob(f"{CGROUPS}/*/weft-kube-*")


def own_groups():
    return [path for path in groups() if path.endswith(f"-{os.getpid()}")]


def remove_groups(found):
    """Of runs that are over. A group that is in use cannot be removed, and stays."""
    for top in found:
        for folder, _, _ in os.walk(top, topdown=False):
            for _ in range(50):
                try:
                    os.rmdir(folder)
                    break
                except FileNotFoundError:
                    break
                except OSError:
                    time.sleep(0.02)


def remove_state(run):
    for folder in glob.glob(f"{run}/*"):
        owner = int(os.path.basename(folder))
        if owner == os.getpid() or not os.path.exists(f"/proc/{owner}"):
            shutil.rmtree(folder, ignore_errors=True)


def clean(run):
    dead = [path for path in groups()
            if (owner := path.rsplit("-", 1)[1]) == str(os.getpid()) or not os.path.exists(f"/proc/{owner}")]
    remove_groups(dead)
    remove_state(run)


def in_namespaces(arguments):
    """First process of the new namespaces: starts the steps, buries what is left of others, ends all."""
    subprocess.run(["umount", "-l", "-R", "/run/netns"], stderr=subprocess.DEVNULL, check=False)
    # A terminal's Ctrl-C comes here, too; the outer half answers it, and ends us. (Ignored signals would be inherited.)
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda *_: None)
    worker = os.fork()
    if not worker:
        import steps
        sys.exit(steps.main(*arguments))
    while True:
        try:
            ended, status = os.wait()
        except InterruptedError:
            continue
        if ended == worker:
            sys.exit(os.waitstatus_to_exitcode(status) if os.WIFEXITED(status) else 1)


def die_with_parent():
    ctypes.CDLL(None).prctl(1, signal.SIGKILL, 0, 0, 0)


def main():
    if sys.argv[1:2] == ["--in"]:
        in_namespaces(sys.argv[2:])
    if len(sys.argv) < 3:
        give_up("usage: kube.py BUILD KUBE [STEP...]")
    if os.geteuid() != 0:
        give_up("only root can make namespaces and control groups")
    build, kube = map(os.path.abspath, sys.argv[1:3])
    for program, package in PROGRAMS.items():
        shutil.which(program) or give_up(f"no {program} here (Debian package {package})")
    for program in ("kubelet", "kube-apiserver", "kube-scheduler", "kube-controller-manager", "kubectl"):
        os.access(f"{kube}/bin/{program}", os.X_OK) or give_up(f"no {program} in {kube}/bin: tools/kube/build makes it")
    os.environ["PATH"] = f"{kube}/bin:{kube}/debian/usr/sbin:{kube}/debian/usr/bin:{os.environ['PATH']}"
    for program in ("containerd", "ctr", "runc", "etcd"):
        shutil.which(program) or give_up(f"no {program} in {kube}/debian: tools/kube/build gets it")

    run = f"{kube}/run"
    clean(run)
    state = f"{run}/{os.getpid()}"
    os.makedirs(state)
    before = {name: read(name) for name in SYSCTLS}
    words = ["unshare", "--fork", "--kill-child", *NAMESPACES, sys.executable, os.path.abspath(__file__), "--in", build,
             kube, state, str(os.getpid()), *sys.argv[3:]]
    inner = subprocess.Popen(words, preexec_fn=die_with_parent)
    stop = lambda *_: inner.kill()  # And with it, by --kill-child, all that runs there.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, stop)
    status = inner.wait()
    wait_for_end(own_groups())
    clean(run)
    left = own_groups() + [path for path in [state] if os.path.exists(path)] + \
        [name for name, value in before.items() if read(name) != value]
    if left:
        print(f"FAILED  cleaning up: left or changed: {', '.join(left)}")
    elif status < 0:
        print("kube: ended by a signal; nothing is left", file=sys.stderr)
    sys.exit(1 if left and not status else max(status, 0) or (130 if status else 0))


def wait_for_end(own, seconds=10):
    """Processes that were killed with their namespace take a moment."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if not any(read_procs(folder) for top in own for folder, _, _ in os.walk(top)):
            return
        time.sleep(0.05)


def read_procs(folder):
    try:
        with open(f"{folder}/cgroup.procs", encoding="ascii") as file:
            return file.read()
    except OSError:
        return ""


def read(name):
    try:
        with open(f"/proc/sys/{name}", encoding="ascii") as file:
            return file.read()
    except FileNotFoundError:
        return None


if __name__ == "__main__":
    main()
