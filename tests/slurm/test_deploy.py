#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""test_deploy.py WEFT DEPLOY: what lies in deploy/slurm and deploy/skypilot, as far as that can be tried without either.

weft-task-prolog is run as Slurm runs it, and its output taken as Slurm takes it; then programs are run in the
environment that comes of it. The fragments have to agree with each other, and `weft lint` with the task.
"""
import glob
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "e2e"))
import e2e  # pylint: disable=wrong-import-position

WEFT = os.path.abspath(sys.argv[1])
DEPLOY = os.path.abspath(sys.argv[2])
PROLOG = os.path.join(DEPLOY, "slurm", "weft-task-prolog")
LIBRARY = os.path.join(os.path.dirname(WEFT), "libweft-preload.so")


def read(*names):
    with open(os.path.join(DEPLOY, *names), encoding="utf-8") as file:
        return file.read()


class Task:
    """A task's environment after the prolog: what slurmstepd makes of its output."""

    def __init__(self, top, **env):
        env = {"PATH": os.path.dirname(WEFT) + ":/usr/bin:/bin", "HOME": top, "WEFT_RUN_DIR": top + "/run",
               "WEFT_ADDR": "127.0.0.1", **env}
        self.env = {k: v for k, v in env.items() if v is not None}
        done = subprocess.run([PROLOG], env=self.env, capture_output=True, text=True, timeout=30, check=False)
        self.rc, self.out, self.printed = done.returncode, done.stdout, []
        for line in done.stdout.splitlines():
            word, _, rest = line.partition(" ")
            if word == "export":
                name, _, value = rest.partition("=")
                self.env[name] = value
            elif word == "unset":
                self.env.pop(rest, None)
            elif word == "print":
                self.printed.append(rest)

    def __str__(self):
        return f"exit {self.rc}\n{self.out}"

    def cards(self):
        done = subprocess.run([WEFT, "info", "--json"], env=self.env, capture_output=True, text=True, timeout=30,
                              check=False)
        return [card["name"] for card in json.loads(done.stdout)["cards"]]


def prolog(tap, top):
    own = {"WEFT_INSTANCE": "p4d.24xlarge"}
    task = Task(top, SLURM_EFA_CARDS="1,3", **own)
    tap.check(task.rc == 0 and task.env.get("LD_PRELOAD") == LIBRARY
              and task.cards() == ["rdmap32s27", "rdmap160s27"], "two of four cards, by number", task)
    same = subprocess.run([WEFT, "run", "--print"], env={**task.env, "LD_PRELOAD": ""}, capture_output=True, text=True,
                          check=False)
    tap.check({line.partition("=")[0] for line in same.stdout.splitlines()}
              <= {line.partition("=")[0] for line in task.out.splitlines()} and same.stdout,
              "all that `weft run` sets is set", task, same.stdout)
    task = Task(top, SLURM_EFA_CARDS="0-3", LD_PRELOAD="/lib/a.so:/lib/b.so", WEFT_VISIBLE="0", **own)
    tap.check(task.env["LD_PRELOAD"] == LIBRARY + ":/lib/a.so:/lib/b.so" and task.env["WEFT_VISIBLE"] == "0-3",
              "beside what is preloaded already; not what the user says", task)
    inner = {k: v for k, v in task.env.items() if k != "SLURM_EFA_CARDS"}
    task = Task(top, SLURM_EFA_CARDS="none", **{**inner, "WEFT_RUN_DIR": top + "/run"})
    tap.check(task.rc == 0 and task.env["LD_PRELOAD"] == "/lib/a.so:/lib/b.so" and "WEFT_VISIBLE" not in task.env,
              "a step without cards has not those of its job", task)
    task = Task(top, SLURM_EFA_CARDS="none", LD_PRELOAD=LIBRARY)
    tap.check(task.rc == 0 and "LD_PRELOAD" not in task.env, "and nothing is preloaded", task)
    task = Task(top, SLURM_EFA_CARDS="none")
    tap.check(task.rc == 0 and not task.out, "nothing to do, nothing said", task)
    task = Task(top, SLURM_EFA_CARDS=None, LD_PRELOAD=LIBRARY)
    tap.check(task.rc == 0 and not task.out, "without the plugin it keeps its hands off", task)
    task = Task(top, SLURM_EFA_CARDS="unknown", **own)
    tap.check(task.rc == 1 and "File=" in "".join(task.printed), "counted cards are an error that says why", task)
    task = Task(top, SLURM_EFA_CARDS="2-5", SLURMD_NODENAME="soft1", **own)
    tap.check(task.rc == 1 and "no cards on node soft1: WEFT_VISIBLE: no card 2-5: there are 4" in "".join(task.printed),
              "more cards in gres.conf than in weft.conf", task)
    task = Task(top, SLURM_EFA_CARDS="0", PATH="", WEFT_INSTANCE="p4d.24xlarge")
    tap.check(task.rc in (0, 1) and (task.rc == 0 or "no program weft" in "".join(task.printed)),
              "an environment without PATH", task)
    task = Task(top, SLURM_EFA_CARDS="0", WEFT_STATS="/tmp/it's $(touch " + top + "/pwned) here", **own)
    tap.check(task.rc == 0 and not os.path.exists(top + "/pwned"), "values are no commands", task)


def fragments(tap):
    conf, gres, soft = read("slurm", "slurm.conf"), read("slurm", "gres.conf"), read("slurm", "weft.conf")
    nodes = re.search(r"^NodeName=(\S+) .*Gres=efa:(\d+)", conf, re.M)
    files = re.search(r"^NodeName=(\S+) Name=efa File=\S+\[0-(\d+)\]$", gres, re.M)
    tap.check(nodes and files and nodes[1] == files[1] and int(nodes[2]) == int(files[2]) + 1,
              "slurm.conf and gres.conf name the same nodes and as many cards")
    instance = re.search(r"^instance = (\S+)$", soft, re.M)
    done = subprocess.run([WEFT, "info", "--json"], env={"PATH": os.environ["PATH"], "WEFT_INSTANCE": instance[1]},
                          capture_output=True, text=True, check=False)
    tap.check(len(json.loads(done.stdout)["cards"]) == int(nodes[2]), "weft.conf makes as many", done.stdout)


def block(text, name):
    """A literal block of a YAML file."""
    lines = text[text.index(f"\n{name}: |\n"):].splitlines()[2:]
    end = next((i for i, line in enumerate(lines) if line and not line.startswith("  ")), len(lines))
    return "\n".join(line[2:] for line in lines[:end]) + "\n"


def skypilot(tap, top):
    """The task's script, on two nodes as SkyPilot starts it: at once, in the same environment but for the rank."""
    path = os.path.join(DEPLOY, "skypilot", "weft.yaml")
    done = subprocess.run([WEFT, "lint", path], capture_output=True, text=True, check=False)
    tap.check(done.returncode == 0 and "0 failed, 0 warnings, 0 notes" in done.stdout, "skypilot: clean under weft lint",
              done.stdout, done.stderr)
    text = read("skypilot", "weft.yaml")
    for name in ("setup", "run"):
        done = subprocess.run(["sh", "-n"], input=block(text, name), capture_output=True, text=True, check=False)
        tap.check(done.returncode == 0, f"skypilot: {name} is shell", done.stderr)
    if not shutil.which("fi_info"):
        tap.skip("skypilot: run on two nodes", "no fi_info here (Debian package libfabric-bin)")
        return
    if glob.glob("/sys/class/infiniband/*"):
        tap.skip("skypilot: run on two nodes", "real cards here")
        return
    port = e2e.free_port()
    script = block(text, "run").replace("allreduce -p efa", f"allreduce --port {port} -p efa")
    nodes, ips = [], "127.0.0.2\n127.0.0.3"
    for rank, ip in enumerate(ips.split()):
        env = {"PATH": os.path.dirname(WEFT) + ":/usr/bin:/bin:/usr/sbin:/sbin", "HOME": top, "LC_ALL": "C",
               "WEFT_RUN_DIR": top + "/run", "WEFT_ADDR": ip, "WEFT_INSTANCE": "p4d.24xlarge",
               "SKYPILOT_NODE_RANK": str(rank), "SKYPILOT_NUM_NODES": "2", "SKYPILOT_NODE_IPS": ips}
        nodes.append(subprocess.Popen(["timeout", "-k", "5", "60", "sh", "-c", script], env=env, cwd=top, text=True,
                                      stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT))
    said = [node.communicate()[0] for node in nodes]
    tap.check([node.returncode for node in nodes] == [0, 0]
              and all(re.findall(r"domain: (\S+)-rdm", text) == ["rdmap16s27", "rdmap32s27", "rdmap144s27", "rdmap160s27"]
                      for text in said) and "# Out of bounds values : 0 OK" in said[0],
              "skypilot: run on two nodes, each with the cards of a p4d, data checked", *said)


def main():
    tap = e2e.Tap()
    with tempfile.TemporaryDirectory(prefix="weft-deploy-") as top:
        os.chmod(top, 0o700)
        prolog(tap, top)
        skypilot(tap, top)
    fragments(tap)
    tap.done()


if __name__ == "__main__":
    main()
