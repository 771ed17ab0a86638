# SPDX-License-Identifier: BSD-2-Clause
"""What the benches share: rounds in turn, ratios, bars, the configuration, text and JSON.

A bench is a list of cases. A case has programs that do the same work, the first of them usually weft, and measures all
of them once in each round, one after the other, so that what else goes on in the machine meets all alike. What it
shows is the median over the rounds of the ratio of the first to each other one, with the least and the greatest. A
bar is what the ratio, or the value itself, has to reach.

The worlds that the programs run in are those of the tests: e2e.py, lab.py.
"""
import argparse
import contextlib
import datetime
import fcntl
import io
import json
import os
import platform
import re
import resource
import shutil
import statistics
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir, "tests", "e2e"))

import e2e  # noqa: E402
import lab as laboratory  # noqa: E402

SOURCE = os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir)
# Of those that fi_pingpong has.
PINGPONG_SIZES = ("64", "128", "256", "512", "1k", "2k", "4k", "6k", "8k", "12k", "16k", "24k", "32k", "48k", "64k",
                  "96k", "128k", "192k", "256k", "384k", "512k", "768k", "1m", "1.5m", "2m", "3m", "4m")
DISTURBED_MIN = 0.2  # Of a core: more than this done by others marks a round.


class Skip(Exception):
    """A case, or one program of it, cannot be measured here; says why."""


class Failed(Exception):
    """Something that should have run did not."""


class Bar:
    """A row of what weft has to show (None: of no table): `than` names the other program, or None when the value itself
    counts. "+-" is as much as the other one, but for a share of `limit`."""

    def __init__(self, row, relation, limit, than=None):
        self.row, self.relation, self.limit, self.than = row, relation, limit, than

    def is_met(self, value):
        if self.relation == "+-":
            return 1 / (1 + self.limit) <= value <= 1 + self.limit
        return value >= self.limit if self.relation == ">=" else value <= self.limit


class Metric:
    """One number that each program of a case gives."""

    def __init__(self, key, unit, *bars):
        self.key, self.unit, self.bars = key, unit, bars


class Spec:
    """A world to be made when a case needs it; equal ones are shared by cases that follow each other."""

    def __init__(self, kind, **options):
        self.kind, self.options = kind, options

    def __eq__(self, other):
        return isinstance(other, Spec) and (self.kind, self.options) == (other.kind, other.options)

    def open(self, preload):
        said = io.StringIO()
        try:
            with contextlib.redirect_stdout(said):
                if self.kind == "lab":
                    return laboratory.Lab(preload, **self.options)
                return e2e.World(self.kind, preload)
        except SystemExit:
            raise Skip((said.getvalue().strip().splitlines() or ["no world"])[-1]) from None


class Case:
    """Programs to compare: name -> function of the world, giving a dictionary with the keys of the metrics."""

    def __init__(self, name, title, spec, programs, *metrics, table=False, strays=False):
        self.name, self.title, self.spec, self.programs = name, title, spec, programs
        self.metrics = metrics
        self.table = table  # One line for each metric.
        self.strays = strays  # Some of our processes are not our children, and would look like others.


class Others:
    """How much of the machine was used by what we did not start, from /proc/stat and our own children's time."""

    def __init__(self):
        self.begin = self.read()

    @staticmethod
    def read():
        with open("/proc/stat", encoding="ascii") as file:
            field = [int(v) for v in file.readline().split()[1:]]
        ticks = os.sysconf("SC_CLK_TCK")
        own = 0.0
        for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN):
            usage = resource.getrusage(who)
            own += usage.ru_utime + usage.ru_stime
        # user nice system idle iowait irq softirq steal
        return time.monotonic(), (sum(field[:3]) + sum(field[5:8])) / ticks, own

    def cores(self):
        now = self.read()
        wall = max(1e-3, now[0] - self.begin[0])
        return max(0.0, (now[1] - self.begin[1]) - (now[2] - self.begin[2])) / wall


def quiet_cores(seconds=0.1):
    """What others use while we do nothing."""
    others = Others()
    time.sleep(seconds)
    return others.cores()


def version(*command):
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return "none"
    found = re.search(r"\d+(\.\d+)+\S*", done.stdout)
    return found.group() if done.returncode == 0 and found else "unknown"


def cpu_model():
    with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as file:
        found = re.search(r"^model name\s*: (.*)$", file.read(), re.M)
    return found.group(1) if found else platform.machine()


def commit():
    try:
        done = subprocess.run(["git", "describe", "--always", "--dirty", "--abbrev=12"], cwd=SOURCE, text=True,
                              capture_output=True, check=False, timeout=10)
        return done.stdout.strip() or "unknown"
    except OSError:
        return "unknown"


class Bench:
    """One run of a bench."""

    def __init__(self, name, description):
        parser = argparse.ArgumentParser(prog=name, description=description,
                                         formatter_class=argparse.RawDescriptionHelpFormatter)
        parser.add_argument("--rounds", type=int, metavar="N", help="how often each program is measured (5)")
        parser.add_argument("--json", action="store_true", help="one JSON object instead of text")
        parser.add_argument("--quick", action="store_true", help="three short rounds: a look, not a result")
        parser.add_argument("--only", action="append", metavar="CASE", help="this case only, or those that begin so")
        parser.add_argument("--list", action="store_true", help="names of the cases")
        parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="a setting of weft or libfabric")
        parser.add_argument("--libfabric", metavar="DIR[:DIR]",
                            help="another libfabric (and rdma-core) than the system's for our own client and for MPI, "
                                 "not for fi_pingpong: folders, or those with a lib/")
        parser.add_argument("--preload", metavar="FILE", help="another build of weft's library")
        parser.add_argument("--lock", metavar="FILE",
                            help="hold this lock during each round, where others measure on the same machine")
        parser.add_argument("--build", required=True, help=argparse.SUPPRESS)
        self.name = name
        self.args = parser.parse_args()
        if self.args.rounds is None:
            self.args.rounds = 3 if self.args.quick else 5
        if self.args.rounds < 1 or any(not re.match(r"(WEFT|FI)_\w+=", s) for s in self.args.set):
            parser.error("--rounds is 1 at least, --set takes WEFT_NAME=VALUE or FI_NAME=VALUE")
        self.preload = os.path.abspath(self.args.preload or os.path.join(self.args.build, "libweft-preload.so"))
        self.settings = {**self.hints(), **dict(s.split("=", 1) for s in self.args.set)}
        self.seconds = 0.3 if self.args.quick else 1.0
        self.current = None
        self.world = None
        self.results = []

    # What cases are made of

    def worker(self, name):
        """One of our own programs."""
        path = os.path.join(os.path.abspath(self.args.build), "bench", "workers", name)
        if not os.path.exists(path):
            raise Skip(f"no worker `{name}` in this build: `tools/dev/setup bench` brings what it needs")
        return path

    @staticmethod
    def program(name, package):
        if not shutil.which(name):
            raise Skip(f"no {name} here (Debian package {package})")
        return name

    def hints(self):
        """What `weft run` tells libfabric."""
        printed = subprocess.run([os.path.join(self.args.build, "weft"), "run", "--print"], stdout=subprocess.PIPE,
                                 text=True, check=False).stdout
        return dict(re.findall(r"^export (FI_\w+)='(.*)'$", printed, re.MULTILINE))

    def libraries(self):
        """Environment that puts another libfabric before the system's."""
        if not self.args.libfabric:
            return {}
        folders = [os.path.abspath(folder) for folder in self.args.libfabric.split(":")]
        inside = [os.path.join(folder, "lib") for folder in folders]
        return {"LD_LIBRARY_PATH": ":".join(i if os.path.isdir(i) else f for f, i in zip(folders, inside))}

    def over_weft(self, world, server, client, port, seconds=30, script=None, **extra):
        """Both programs with the preload library, and `script` meanwhile. The client's result; it is a failure when the
        device was not used."""
        extra = {**self.settings, **extra}
        a = world.start(0, server, seconds, **extra)
        world.listens(a, port)
        b = world.start(1, client, seconds, **extra)
        if script:
            script()
        b = world.finish(b)
        if b.rc and a.poll() is None:
            a.terminate()
        a = world.finish(a)
        good(a, b)
        why = world.carried(a, b)
        if why:
            raise Failed(f"{b.what}: {why}")
        return b

    @staticmethod
    def plain(world, server, client, port, seconds=30, **extra):
        """Both programs as they are."""
        a, b = world.pair(server, client, port, seconds, LD_PRELOAD=None, **extra)
        good(a, b)
        return b

    def verbs(self, world, mode, *options, **extra):
        """Our client of libibverbs over weft: what it said."""
        port = e2e.free_port()
        words = [self.worker("verbs"), "--port", str(port)]
        return said(self.over_weft(world, words, [*words, mode, world.control, *map(str, options)], port, **extra))

    def udp(self, world, mode, *options):
        port = e2e.free_port()
        words = [self.worker("udp"), "--port", str(port)]
        return said(self.plain(world, words, [*words, mode, world.control, *map(str, options)], port))

    def floor(self, world, mode, *options):
        del world
        words = [self.worker("floors"), mode, *map(str, options)]
        done = subprocess.run(["timeout", "30", *words], capture_output=True, text=True, check=False)
        result = e2e.Result(" ".join(words), done.returncode, done.stdout, done.stderr, [])
        good(result)
        return said(result)

    def fabric(self, world, provider, mode, *options):
        """Our client of libfabric with one of its providers; efa is over weft."""
        port = e2e.free_port()
        words = [self.worker("fabric"), "--port", str(port)]
        client = ["-p", provider, mode, world.control, *map(str, options)]
        if provider == "efa":
            return said(self.over_weft(world, words, words + client, port, **self.libraries()))
        source = [["--source", host] if provider != "shm" else [] for host in world.hosts]
        return said(self.plain(world, words + source[0], words + client + source[1], port, **self.libraries()))

    @staticmethod
    def pin(side, words):
        """On a processor of its own, where there are two."""
        cores = sorted(os.sched_getaffinity(0))
        return ["taskset", "-c", str(cores[side]), *words] if len(cores) > 1 else words

    def pingpong(self, world, provider, iterations, sizes=PINGPONG_SIZES, pinned=False):
        """The unmodified fi_pingpong, all its sizes in one run: microseconds of one way, by size. The first sizes, with
        the program's own start in them, are those below 64 bytes and left out. Always with the system's libfabric."""
        port = str(e2e.free_port())
        words = [self.program("fi_pingpong", "libfabric-bin"), "-p", provider, "-e", "rdm", "-m", "tagged", "-S", "all",
                 "-I", str(iterations)]
        ends = [*words, "-B", port], [*words, "-P", port, world.control]
        if pinned:
            ends = [self.pin(side, words) for side, words in enumerate(ends)]
        run = self.over_weft if provider == "efa" else self.plain
        result = run(world, *ends, int(port), 90)
        found = re.findall(r"^(\S+) +\S+ +=\S+ +\S+ +\S+ +\S+ +([0-9.]+) +\S+$", result.out, re.M)
        figures = {size: float(usec) for size, usec in found}
        if any(size not in figures for size in sizes):
            raise Failed(f"{result.what}: not all sizes: {result.out[-200:]}")
        return {size: figures[size] for size in sizes}

    def perf(self, world, provider, iterations, sizes):
        """`weft perf pingpong`, as pingpong(). Each size is four times the one before."""
        port = str(e2e.free_port())
        weft = [os.path.join(os.path.abspath(self.args.build), "weft"), "perf"]
        server = [*weft, "serve", "--once", "--port", port]
        client = [*weft, "pingpong", world.control, "--port", port, "-p", provider, "-b", sizes[0], "-e", sizes[-1],
                  "-f", "4", "-n", str(iterations), "--json"]
        run = self.over_weft if provider == "efa" else self.plain
        result = said(run(world, self.pin(0, server), self.pin(1, client), int(port), 90))
        return {size: row["out_of_place"]["mean_us"] for size, row in zip(sizes, result["rows"])}

    def iperf(self, world, *options):
        """One TCP connection: GB/s received."""
        port = e2e.free_port()
        words = [self.program("iperf3", "iperf3"), "-p", str(port)]
        client = [*words, "-c", world.control, "-J", "-t", str(max(1, round(self.seconds))), *options]
        report = said(self.plain(world, [*words, "-s", "-1"], client, port))
        return {"gbytes": report["end"]["sum_received"]["bits_per_second"] / 8e9}

    # Running

    def open(self, spec):
        if spec is None:
            return None
        if self.current != spec:
            self.shut()
            self.world = spec.open(self.preload)
            self.current = spec
        return self.world

    def shut(self):
        if self.world:
            self.world.close()
        self.current = self.world = None

    @contextlib.contextmanager
    def lock(self):
        if not self.args.lock:
            yield
            return
        with open(self.args.lock, "w", encoding="ascii") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def round(self, case, world, skipped):
        """All programs of a case once."""
        values = {}
        with self.lock():
            before = quiet_cores()
            load = os.getloadavg()[0]
            others = Others()
            for name, run in case.programs.items():
                if name in skipped:
                    continue
                try:
                    values[name] = run(world)
                except Skip as reason:
                    skipped[name] = str(reason)
                except Failed as reason:
                    # Peers may fail as they like, but are not what is to be shown.
                    if not values:
                        raise
                    skipped[name] = f"failed: {reason}"
            during = 0.0 if case.strays else others.cores()
        return {"values": values, "load": round(load, 2), "others_before": round(before, 2),
                "others_during": round(during, 2), "disturbed": max(before, during) > DISTURBED_MIN}

    def measure(self, case):
        result = {"case": case.name, "title": case.title, "rounds": [], "skipped": {}, "table": case.table,
                  "metrics": []}
        self.results.append(result)
        try:
            world = self.open(case.spec)
            first = next(iter(case.programs))
            for _ in range(self.args.rounds):
                result["rounds"].append(self.round(case, world, result["skipped"]))
                if first in result["skipped"]:
                    raise Skip(result["skipped"][first])
                if not self.args.json and sys.stderr.isatty():
                    print(".", end="", file=sys.stderr, flush=True)
        except Skip as reason:
            result["skipped"] = {"all": str(reason)}
            return result
        except Failed as reason:
            result["failed"] = str(reason)
            return result
        for metric in case.metrics:
            result["metrics"].append(evaluate(metric, result["rounds"]))
        return result

    def config(self):
        libfabric = self.libraries().get("LD_LIBRARY_PATH", "")
        fi_info = ["env", f"LD_LIBRARY_PATH={libfabric}", "fi_info", "--version"] if libfabric \
            else ["fi_info", "--version"]
        return {
            "when": datetime.datetime.now().astimezone().isoformat(timespec="seconds"),
            "cpu": cpu_model(), "cores": os.cpu_count(), "kernel": platform.release(), "commit": commit(),
            "libfabric": version(*fi_info), "openmpi": version("mpirun", "--version"),
            "iperf3": version("iperf3", "--version"), "load": [round(v, 2) for v in os.getloadavg()],
            "rounds": self.args.rounds, "seconds": self.seconds, "settings": self.settings,
        }

    def run(self, cases):
        if self.args.list:
            for case in cases:
                print(f"{case.name:<24} {case.title}")
            return 0
        if self.args.only:
            cases = [c for c in cases if any(c.name.startswith(only) for only in self.args.only)]
        if not cases or not os.path.exists(self.preload):
            print(f"{self.name}: " + ("no such case (--list)" if not cases else f"no {self.preload}"), file=sys.stderr)
            return 2
        config = self.config()
        if not self.args.json:
            print_config(self.name, config)
        try:
            for case in cases:
                result = self.measure(case)
                if not self.args.json:
                    print_case(result)
        finally:
            self.shut()
        status = exit_status(self.results)
        if self.args.json:
            json.dump({"bench": self.name, "config": config, "cases": self.results, "exit": status}, sys.stdout)
            print()
        return status


def good(*results):
    for result in results:
        if result.rc:
            words = (result.err.strip() or result.out.strip() or "nothing said").splitlines()
            raise Failed(f"{result.what}: exit {result.rc}: {words[-1]}")


def said(result):
    """The JSON that a program printed."""
    try:
        return json.loads(result.out)
    except ValueError:
        raise Failed(f"{result.what}: no JSON: {result.out[-200:]}") from None


def spread(values):
    return {"median": statistics.median(values), "min": min(values), "max": max(values)}


def evaluate(metric, rounds):
    """Values of all programs, ratios of the first one to the others, bars."""
    names = list(rounds[0]["values"])
    first = names[0]
    entry = {"key": metric.key, "unit": metric.unit, "values": {}, "ratios": {}, "bars": []}
    for name in names:
        values = [r["values"][name][metric.key] for r in rounds if metric.key in r["values"].get(name, {})]
        if not values:
            continue
        entry["values"][name] = spread(values)
        ratios = [r["values"][first][metric.key] / r["values"][name][metric.key] for r in rounds
                  if name in r["values"] and r["values"][name].get(metric.key)] if name != first else []
        if ratios:
            entry["ratios"][name] = spread(ratios)
    for bar in metric.bars:
        where = entry["ratios"].get(bar.than) if bar.than else entry["values"].get(first)
        shown = {"row": bar.row, "than": bar.than, "relation": bar.relation, "limit": bar.limit,
                 "measured": where["median"] if where else None,
                 "met": bar.is_met(where["median"]) if where else None}
        entry["bars"].append(shown)
    return entry


def exit_status(results):
    if any("failed" in r for r in results) or all("all" in r["skipped"] for r in results):
        return 2
    bars = [bar for r in results for m in r["metrics"] for bar in m["bars"]]
    return 1 if any(bar["met"] is False for bar in bars) else 0


# Text


def figure(value):
    if value and abs(value) < 0.01:
        return f"{value:.4f}"
    if abs(value) < 10:
        return f"{value:.2f}"
    return f"{value:.1f}" if abs(value) < 1000 else f"{value:.0f}"


def print_config(name, config):
    print(f"{name}: {config['cpu']}, {config['cores']} cores, Linux {config['kernel']}, weft {config['commit']}, "
          f"libfabric {config['libfabric']}, Open MPI {config['openmpi']}, iperf3 {config['iperf3']}\n"
          f"{config['when']}, load {config['load'][0]}, {config['rounds']} rounds in turn"
          + "".join(f", {k}={v}" for k, v in config["settings"].items()))


def print_case(result):
    disturbed = [str(i + 1) for i, r in enumerate(result["rounds"]) if r["disturbed"]]
    print(f"\n{result['case']}: {result['title']}"
          + (f" (disturbed by others: round {', '.join(disturbed)})" if disturbed else ""))
    for name, reason in result["skipped"].items():
        print(f"  {'skipped' if name == 'all' else name + ': skipped'}: {reason}")
    if "failed" in result:
        print(f"  FAILED: {result['failed']}")
    if result["table"]:
        print_table(result["metrics"])
    else:
        for metric in result["metrics"]:
            print_metric(metric)
    sys.stdout.flush()


def bar_text(bar):
    verdict = {True: "met", False: "NOT MET", None: "not measured"}[bar["met"]]
    row = f"row {bar['row']}: " if bar["row"] else ""
    return f"{row}{bar['relation']} {bar['limit']:g} {verdict}"


def print_metric(metric):
    head = f"{metric['key']}, {metric['unit']}"
    first = next(iter(metric["values"]), "")
    print(f"  {head:<30} {'median':>8}  {'min .. max':<18} {'ratio':>6}  {'min .. max':<14}")
    for name, value in metric["values"].items():
        line = f"    {name:<28} {figure(value['median']):>8}  "
        line += f"{figure(value['min']) + ' .. ' + figure(value['max']):<18} "
        ratio = metric["ratios"].get(name)
        if ratio:
            line += f"{figure(ratio['median']):>6}  {figure(ratio['min']) + ' .. ' + figure(ratio['max']):<14}"
        bars = [bar_text(b) for b in metric["bars"] if (b["than"] or first) == name]
        print((f"{line:<86} " + "; ".join(bars)).rstrip() if bars else line.rstrip())
    for bar in metric["bars"]:
        if bar["than"] and bar["than"] not in metric["values"]:
            print(f"    {bar['than']:<28} {bar_text(bar)}")


def print_table(metrics):
    """Medians of all programs, and the ratio of the first to the second."""
    if not metrics:
        return
    names = list(metrics[0]["values"])
    one_unit = len({metric["unit"] for metric in metrics}) == 1
    print("  " + f"{metrics[0]['unit'] if one_unit else '':<24}" + "".join(f"{name:>16}" for name in names)
          + (f"{names[0] + ' / ' + names[1]:>24}  min .. max" if len(names) > 1 else ""))
    for metric in metrics:
        head = metric["key"] if one_unit else f"{metric['key']}, {metric['unit']}"
        line = f"  {head:<24}" + "".join(f"{figure(metric['values'][name]['median']):>16}" for name in names
                                                if name in metric["values"])
        ratio = metric["ratios"].get(names[1]) if len(names) > 1 else None
        if ratio:
            line += f"{figure(ratio['median']):>24}  {figure(ratio['min']) + ' .. ' + figure(ratio['max']):<14}"
        print(f"{line} {'; '.join(bar_text(b) for b in metric['bars'])}".rstrip())
