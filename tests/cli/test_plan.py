# SPDX-License-Identifier: BSD-2-Clause
"""test_plan.py WEFT: weft plan from outside.

Facts are checked against sums that a reader can do, and against each other (text, JSON, list); what an
argument means is checked by what it changes."""
import json
import os
import re
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "e2e"))
from e2e import Tap  # noqa: E402

WEFT = sys.argv[1]
tap = Tap()


def weft(*args):
    return subprocess.run([WEFT, *args], capture_output=True, text=True, timeout=60, check=False)


def check(name, args, status, out, err):
    """`out` and `err` are patterns; "-": nothing at all."""
    got = weft(*args)

    def fits(pattern, text):
        return text == "" if pattern == "-" else re.search(pattern, text, re.M) is not None

    tap.check(got.returncode == status and fits(out, got.stdout) and fits(err, got.stderr), name,
              f"exit {got.returncode}", got.stdout, got.stderr)
    if status == 2:
        tap.check(got.stderr.count("\n") == 1, name + ": one line", got.stderr)
    return got


def load(*args):
    got = weft(*args)
    try:
        return json.loads(got.stdout)
    except ValueError as why:
        tap.check(False, " ".join(args) + ": JSON", why, got.stdout, got.stderr)
        return None


def usage():
    check("nothing asked for", ["plan"], 2, "-", "name an instance type, or --list")
    check("a family for its type", ["plan", "p5"], 2, "-", "did you mean p5.48xlarge\\?")
    check("no such type", ["plan", "zz9.plural"], 2, "-", "not known to have EFA: zz9.plural")
    check("two types", ["plan", "p5.48xlarge", "p4d.24xlarge"], 2, "-", "no such argument: p4d")
    check("type and list", ["plan", "p5.48xlarge", "--list"], 2, "-", "not both")
    check("a filter without the list", ["plan", "p5.48xlarge", "--rdma-read"], 2, "-",
          "--rdma-read goes with --list")
    check("a filter without its value", ["plan", "--list", "--min-gbps"], 2, "-", "needs a value")
    check("a filter with nonsense", ["plan", "--list", "--min-gbps", "-3"], 2, "-",
          "wants a number")
    check("a number that is too large", ["plan", "--list", "--min-cards=99999999999"], 2, "-",
          "wants a number")
    check("no such accelerator", ["plan", "--list", "--accelerator", "h10"], 2, "-",
          "did you mean h100\\?")
    check("no such option", ["plan", "--lits"], 2, "-", "no such argument: --lits")
    check("help", ["plan", "--help"], 0, "^usage: weft plan", "-")


def instances():
    got = load("plan", "p5.48xlarge", "--json")
    want = {"instance": "p5.48xlarge", "accelerators": 8, "cards": 32, "gbps_per_card": 100,
            "gbps_total": 3200, "rdma_read": True, "rdma_write": True,
            "hugepages_2mi": 110 * 192 + 1}
    tap.check(want.items() <= got.items(), "p5.48xlarge", got)
    tap.check({"nodes": 2, "bytes": 16 << 30, "gbytes_per_s": [487, 487]}.items()
              <= next(b for b in got["busbw"] if b["bytes"] == 16 << 30).items(),
              "p5.48xlarge: what was measured with 16 GiB", got["busbw"])
    tap.check(all(b["source"] for b in got["busbw"]), "every rate has its source")
    got = load("plan", "ML.P4D.24xlarge", "--json")
    tap.check(got["instance"] == "p4d.24xlarge" and got["cards"] == 4 and got["rdma_write"] is False
              and got["hugepages_2mi"] == 10561, "SageMaker's name, in any case", got)
    got = load("plan", "p6-b300.48xlarge", "--json")
    tap.check((got["cards"], got["network_cards"]) == (16, 17), "a network card without EFA", got)
    got = load("plan", "p6e-gb300.36xlarge", "--json")
    tap.check(all(got[k] is None for k in ("cards", "gbps_total", "rdma_read", "hugepages_2mi"))
              and got["pod"]["vpc.amazonaws.com/efa"] is None,
              "unknown is null", got)
    got = load("plan", "p5.4xlarge", "--json")
    tap.check(got["pod"]["hugepages-2Mi"] == "3522Mi", "a node with few huge pages", got)
    got = load("plan", "trn2u.48xlarge", "--json")
    tap.check("cards" in got["derived"] and "cards" not in load("plan", "trn2.48xlarge", "--json")
              ["derived"], "what is derived says so", got)
    check("text", ["plan", "p5.48xlarge"], 0, "line rate +400 GB/s$", "-")
    check("no formula unless asked for", ["plan", "p5.48xlarge"], 0, r"\A(?!(.|\n)*110 x)", "-")
    check("formula", ["plan", "p5.48xlarge", "--explain"], 0, "110 x 192 vCPUs \\+ 1", "-")
    check("unknown is ?", ["plan", "p6e-gb300.36xlarge"], 0, r"EFA cards +\? of \? Gb/s", "-")
    check("no rate was published", ["plan", "p5en.48xlarge"], 0, "nobody has published any", "-")
    check("no rates for processors", ["plan", "hpc7a.96xlarge"], 0, r"\A(?!(.|\n)*NCCL)", "-")
    check("where a variable harms", ["plan", "g5.48xlarge"], 0, "FI_EFA_USE_DEVICE_RDMA=1 makes", "-")


def lists():
    everything = load("plan", "--list", "--json")
    names = [i["instance"] for i in everything]
    tap.check(len(names) == 306 and names == sorted(names), "all types, in order", names)
    for i in everything:
        if i["cards"] and i["gbps_per_card"] and i["gbps_total"] \
                and i["cards"] * i["gbps_per_card"] > i["gbps_total"]:
            tap.check(False, i["instance"] + ": the cards are faster than all of them")
    text = weft("plan", "--list").stdout.splitlines()
    tap.check([line.split()[0] for line in text[1:]] == names, "the same as text")

    def picked(*filters):
        return {i["instance"] for i in load("plan", "--list", "--json", *filters)}

    def those(test):
        return {i["instance"] for i in everything if test(i)}

    tap.check(picked("--accelerator", "H100") == {"p5.48xlarge", "p5.4xlarge"}, "--accelerator")
    tap.check(picked("--accelerator", "none") == those(lambda i: i["accelerator"] is None),
              "--accelerator none")
    tap.check(picked("--min-gbps", "3200") == those(lambda i: (i["gbps_total"] or 0) >= 3200),
              "--min-gbps")
    tap.check(picked("--min-cards", "8") == those(lambda i: (i["cards"] or 0) >= 8), "--min-cards")
    tap.check(picked("--rdma-read") == those(lambda i: i["rdma_read"]), "--rdma-read")
    tap.check(picked("--rdma-write") == those(lambda i: i["rdma_write"]), "--rdma-write")
    tap.check(picked("--gpudirect") == those(lambda i: i["gpudirect"]), "--gpudirect")
    tap.check(picked("--generation=4") == those(lambda i: i["generation"] == 4), "--generation")
    tap.check(picked("--rdma-read", "--min-cards", "16", "--accelerator", "h200")
              == {"p5e.48xlarge", "p5en.48xlarge"}, "filters together")
    unknown = those(lambda i: i["rdma_read"] is None)
    check("what is not known is left out, and said so", ["plan", "--list", "--rdma-read"], 0, "p5",
          f"not enough is known of them: {len(unknown)}$")
    check("none is left", ["plan", "--list", "--min-gbps", "99999"], 1, "^INSTANCE", "left out")


def output():
    with open("/dev/full", "w", encoding="ascii") as full:
        got = subprocess.run([WEFT, "plan", "--list"], stdout=full, stderr=subprocess.PIPE,
                             text=True, timeout=60, check=False)
    tap.check(got.returncode == 2, "a full disk is no success", got.stderr)


usage()
instances()
lists()
output()
tap.done()
