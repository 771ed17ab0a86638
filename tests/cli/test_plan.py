# SPDX-License-Identifier: BSD-2-Clause
"""test_plan.py WEFT DOC: weft plan from outside.

Facts are checked against sums that a reader can do, and against each other (text, JSON, list); what an
argument means is checked by what it changes. Training is held against a model that knows no formula: it
lays out ranks, makes rings, and counts what crosses from node to node. DOC is docs/plan.md, whose examples have to be
what is printed."""
import json
import os
import random
import re
import shlex
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "e2e"))
from e2e import Tap  # noqa: E402

WEFT = sys.argv[1]
DOC = sys.argv[2]
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
    check("formulas of a list", ["plan", "--list", "--explain"], 2, "-", "goes with an instance")
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
    check("no rates for processors", ["plan", "hpc7a.96xlarge"], 0, r"\A(?!(.|\n)*bus bandwidth)", "-")
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


def variables():
    def verdict(instance, name):
        rows = load("plan", instance, "--json")["variables"]
        return next((r["verdict"] for r in rows if r["name"] == name), None)

    tap.check(verdict("g5.48xlarge", "FI_EFA_USE_DEVICE_RDMA") == "harmful"
              and verdict("p5.48xlarge", "FI_EFA_USE_DEVICE_RDMA") == "no-op",
              "a variable's verdict depends on the cards")
    tap.check(verdict("hpc7a.96xlarge", "NCCL_DEBUG") is None, "no NCCL without GPUs")


def examples():
    with open(DOC, encoding="utf-8") as file:
        blocks = re.findall(r"^```\n\$ weft (.*?)\n(.*?)^```$", file.read(), re.M | re.S)
    tap.check(len(blocks) >= 6, "docs/plan.md has examples", blocks)
    for command, text in blocks:
        got = weft(*shlex.split(command))
        tap.check(got.returncode == 0 and got.stdout == text, "docs/plan.md: " + command[:60],
                  got.stdout, got.stderr)


def rings(groups, node_of, per_rank):
    """What each node sends to others when every rank sends `per_rank` bytes to the next one of its group."""
    sent = {}
    for group in groups:
        for rank, following in zip(group, group[1:] + group[:1]):
            if node_of(rank) != node_of(following):
                sent[node_of(rank)] = sent.get(node_of(rank), 0) + per_rank
    return max(sent.values(), default=0)


def is_uneven(nodes, gpus, tp, pp):
    """Has a data parallel group more ranks on one of its nodes than on another?"""
    dp = nodes * gpus // (tp * pp)
    for first in (t + tp * dp * p for p in range(pp) for t in range(tp)):
        homes = [(first + tp * d) // gpus for d in range(dp)]
        if len({homes.count(home) for home in homes}) > 1:
            return True
    return False


def model(nodes, gpus, tp, pp, params, sharding, layers, micro_batches, activation):
    """Bytes that the busiest node sends, by collective."""
    dp = nodes * gpus // (tp * pp)

    def node_of(rank):
        return rank // gpus

    def rank_of(t, d, p):
        return t + tp * (d + dp * p)

    data = [[rank_of(t, d, p) for d in range(dp)] for p in range(pp) for t in range(tp)]
    tensor = [[rank_of(t, d, p) for t in range(tp)] for p in range(pp) for d in range(dp)]
    size = params * 2 / tp / pp
    half = rings(data, node_of, (dp - 1) / dp * size)
    out = {"none": {"gradients, all-reduce": 2 * half},
           "optimizer": {"gradients, reduce-scatter": half, "parameters, all-gather": half},
           "full": {"gradients, reduce-scatter": half, "parameters, all-gather": 2 * half},
           }[sharding] if dp > 1 else {}
    if tp > 1:
        calls = 4 * layers / pp * micro_batches
        out["activations, all-reduce"] = calls * rings(tensor, node_of, 2 * (tp - 1) / tp * activation)
    sent = {}
    for p in range(pp - 1):
        for d in range(dp):
            for t in range(tp):
                ends = rank_of(t, d, p), rank_of(t, d, p + 1)
                if node_of(ends[0]) == node_of(ends[1]):
                    continue
                for end in ends:
                    sent[node_of(end)] = sent.get(node_of(end), 0) + micro_batches * activation / tp
    if sent:
        out["activations, to next stage"] = max(sent.values())
    return out


def training():
    seed = int(os.environ.get("SEED", random.randrange(1 << 32)))
    chance = random.Random(seed)
    print(f"# SEED={seed}")
    instances = {"p5.48xlarge": (8, 400), "p4d.24xlarge": (8, 50), "trn1.32xlarge": (16, 100),
                 "g6e.24xlarge": (4, 25), "p5.4xlarge": (1, 12.5)}
    compared = 0
    for _ in range(60):
        name = chance.choice(list(instances))
        gpus, rate = instances[name]
        nodes, tp, pp = (2 ** chance.randrange(n) for n in (6, 6, 4))
        if chance.random() < .2:
            nodes, pp = nodes * 3, pp * chance.choice([1, 3])
        sharding = chance.choice(["none", "optimizer", "full"])
        layers, micro_batches = 24, chance.randrange(1, 9)
        args = ["plan", "train", "--json", "--model-params", "7e9", "--dtype", "bf16", "--instance",
                name, "--nodes", str(nodes), "--tp", str(tp), "--pp", str(pp), "--sharding",
                sharding, "--layers", str(layers), "--hidden", "512", "--seq", "256",
                "--micro-batch", "2", "--micro-batches", str(micro_batches)]
        if nodes * gpus % (tp * pp):
            got = weft(*args)
            tap.check(got.returncode == 2 and "come out even" in got.stderr, "uneven", got.stderr)
            continue
        got = weft(*args)
        if got.returncode == 2:
            tap.check(re.search("dp has to divide|do not fill whole", got.stderr)
                      and is_uneven(nodes, gpus, tp, pp), f"{name} x {nodes}, tp {tp}, pp {pp}: uneven",
                      got.stderr)
            continue
        got = json.loads(got.stdout)
        want = model(nodes, gpus, tp, pp, 7e9, sharding, layers, micro_batches, 2 * 256 * 512 * 2)
        have = {c["collective"]: c["node_bytes"] for c in got["collectives"]}
        same = have.keys() == want.keys() and all(
            abs(have[k] - want[k]) <= 1e-9 * want[k] for k in want)
        good = abs(got["seconds"] - sum(want.values()) / 1e9 / rate) <= 1e-8 * got["seconds"] + 1e-12
        tap.check(same and good, f"{name} x {nodes}, tp {tp}, pp {pp}, {sharding}", have, want, got)
        compared += 1
    tap.check(compared >= 10, "enough was compared", compared)


def training_usage():
    whole = ["plan", "train", "--model-params", "70b", "--dtype", "bf16", "--instance",
             "p5.48xlarge", "--nodes", "16"]
    check("train: nothing said", ["plan", "train"], 2, "-",
          "please say --model-params N, --dtype TYPE, --instance TYPE, --nodes N$")
    check("train: 70b is 70e9", whole, 0, "277.8 GB +0.6945", "-")
    check("train: stages ask for activations", whole + ["--pp", "4"], 2, "-",
          "please say --hidden --seq --micro-batch --micro-batches$")
    check("train: tp over nodes asks for layers", whole + ["--tp", "16", "--hidden", "1"], 2, "-",
          "please say --layers --seq --micro-batch --micro-batches$")
    check("train: dp that does not fit", whole + ["--dp", "64"], 2, "-", "come out even")
    check("train: tp that does not divide", whole + ["--tp", "3"], 2, "-", "come out even")
    check("train: no such dtype", whole[:5] + ["bf17"], 2, "-", "--dtype wants")
    check("train: no such sharding", whole + ["--sharding", "zero"], 2, "-", "none, optimizer or full")
    for bad in ["-1", "nan", "inf", "0x10", "1e99", "7e", "70g", "", "1 ", "1bb", "1e400"]:
        got = weft("plan", "train", "--model-params", bad)
        tap.check(got.returncode == 2 and "--model-params wants" in got.stderr,
                  f"train: {bad!r} parameters", got.stderr)
    check("train: no such argument", whole + ["--batch"], 2, "-", "no such argument: --batch")
    check("train: no GPUs", whole[:7] + ["hpc7a.96xlarge", "--nodes", "2"], 2, "-",
          "no accelerators")
    check("train: unknown cards", whole[:7] + ["p6e-gb200.36xlarge", "--nodes", "2"], 2, "-",
          "no source states what its cards carry")
    tap.check(load(*whole, "--json")["measured"] is None, "train: nothing measured on 16 nodes")
    got = load(*whole[:8], "--nodes", "2", "--json")
    tap.check(got["measured"]["gbytes_per_s"] == 487
              and abs(got["measured"]["seconds"] - 2 * 15 / 16 * 140 / 487) < 1e-6,
              "train: measured on 2", got)


def budgets():
    """The rows of a well known table: aggregate, KV transfer, all-to-all, and whether that is tight."""
    for instance, total, kv, a2a, tight in [("p4d.24xlarge", 50, 15, 35, True),
                                            ("p5.48xlarge", 400, 50, 350, False),
                                            ("p5e.48xlarge", 400, 50, 350, False)]:
        got = load("plan", "pd-moe", "--instance", instance, "--kv-rate", str(kv), "--json")
        tap.check((got["total_gbytes_per_s"], got["kv_gbytes_per_s"], got["a2a_budget_gbytes_per_s"])
                  == (total, kv, a2a) and got["verdict"] == "budget", f"pd-moe: {instance}", got)
        got = load("plan", "pd-moe", "--instance", instance, "--kv-rate", str(kv), "--a2a-rate",
                   str(a2a), "--json")
        tap.check(got["verdict"] == ("share" if tight else "split") and got["utilisation"] == 1,
                  f"pd-moe: {instance}, tight or not", got)
    got = load("plan", "pd-moe", "--instance", "p5.48xlarge", "--json", "--kv-bytes-per-token",
               "70272", "--prompt-tokens", "4k", "--requests", "100", "--moe-layers", "58",
               "--hidden", "7168", "--top-k", "8", "--ep-nodes", "4", "--tokens", "20k",
               "--dispatch-dtype", "fp8", "--combine-dtype", "bf16")
    tap.check(abs(got["kv_gbytes_per_s"] - 28.1088) < 1e-9
              and abs(got["a2a_gbytes_per_s"] - 20e3 * 58 * 8 * 7168 * 3 * .75 / 1e9) < 1e-9
              and (got["kv_cards"], got["a2a_cards"]) == (3, 12), "pd-moe: from a model", got)
    check("pd-moe: more than there is", ["plan", "pd-moe", "--instance", "p4d.24xlarge",
                                         "--kv-rate", "15", "--a2a-rate", "35.1"], 1,
          "does not fit", "-")
    check("pd-moe: KV alone is more", ["plan", "pd-moe", "--instance", "p4d.24xlarge", "--kv-rate",
                                       "1e9"], 1, "left for all-to-all +0 GB/s", "-")
    check("pd-moe: formulas", ["plan", "pd-moe", "--instance", "p4d.24xlarge", "--kv-rate", "15",
                               "--a2a-rate", "35", "--explain"], 0,
          "= 15 / 12.5 GB/s of a card, 35 / 12.5 GB/s of a card, rounded up$", "-")
    check("pd-moe: no type", ["plan", "pd-moe", "--kv-rate", "1"], 2, "-", "say --instance TYPE$")
    check("pd-moe: no KV", ["plan", "pd-moe", "--instance", "p5.48xlarge", "--kv-heads", "8"], 2,
          "-", "say --layers --head-dim --dtype --prompt-tokens --requests$")
    check("pd-moe: half of the experts", ["plan", "pd-moe", "--instance", "p5.48xlarge",
                                          "--kv-rate", "1", "--top-k", "8"], 2, "-",
          "say --moe-layers --hidden --ep-nodes --dispatch-dtype --combine-dtype --tokens$")
    check("pd-moe: unknown cards", ["plan", "pd-moe", "--instance", "p6e-gb300.36xlarge",
                                    "--kv-rate", "1"], 2, "-", "no source states")


def backends():
    rows = load("plan", "backend", "--json")
    tap.check({r["workload"] for r in rows} == {"training", "mpi", "kv", "moe", "baseline"}
              and all(r["why"] and r["source"] for r in rows), "backend: all have sources", rows)
    tap.check(all(r["workload"] == "kv" for r in load("plan", "backend", "kv", "--json")),
              "backend: one workload")
    check("backend: text", ["plan", "backend", "moe"], 0, "^moe +avoid +DeepEP V1", "-")
    check("backend: no such workload", ["plan", "backend", "video"], 2, "-",
          "there are training, mpi, kv, moe, baseline")
    check("backend: two", ["plan", "backend", "kv", "moe"], 2, "-", "no such argument: moe")


def output():
    with open("/dev/full", "w", encoding="ascii") as full:
        got = subprocess.run([WEFT, "plan", "--list"], stdout=full, stderr=subprocess.PIPE,
                             text=True, timeout=60, check=False)
    tap.check(got.returncode == 2, "a full disk is no success", got.stderr)


usage()
instances()
lists()
variables()
examples()
training_usage()
training()
budgets()
backends()
output()
tap.done()
