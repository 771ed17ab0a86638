#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""test_kubernetes.py WEFT SOURCE VERSION: the manifests and the chart of deploy/kubernetes say the same, and what they say is
clean. Helm renders the chart where it is installed, and a few lines of ours everywhere; the two must agree."""
import copy
import glob
import os
import shutil
import subprocess
import sys

try:
    import yaml
except ImportError:
    print("1..0 # SKIP no yaml for Python here (Debian package python3-yaml)")
    print("no yaml for Python here (Debian package python3-yaml)")
    sys.exit(77)

import gotemplate

NAME, NAMESPACE = "weft-device-plugin", "kube-system"
# Which values make which manifest of the chart.
PLAIN = {
    "plugin.yaml": {},
    "plugin-efa.yaml": {"cards.real": True, "nodeLabel.value": "real"},
}


class Tap:
    def __init__(self):
        self.count = self.failed = 0

    def check(self, good, name, *details):
        self.count += 1
        self.failed += not good
        print(f"{'ok' if good else 'not ok'} {self.count} - {name}")
        for detail in [] if good else details:
            for line in str(detail).splitlines()[:40]:
                print("#   " + line)

    def skip(self, name, why):
        self.count += 1
        print(f"ok {self.count} - {name} # SKIP {why}")


def read(path):
    with open(path, encoding="utf-8") as file:
        return file.read()


def documents(text):
    return [one for one in yaml.safe_load_all(text) if one]


def settings(chart, changes):
    values = yaml.safe_load(read(f"{chart}/values.yaml"))
    for path, value in changes.items():
        *folders, last = path.split(".")
        place = values
        for folder in folders:
            place = place[folder]
        assert last in place, path
        place[last] = value
    return values


def rendered(chart, changes):
    root = {"Values": settings(chart, changes), "Chart": yaml.safe_load(read(f"{chart}/Chart.yaml")),
            "Release": {"Name": NAME, "Namespace": NAMESPACE}}
    return [one for path in sorted(glob.glob(f"{chart}/templates/*.yaml"))
            for one in documents(gotemplate.render(read(path), root))]


def by_helm(chart, changes):
    words = [word for path, value in changes.items() for word in ("--set", f"{path}={gotemplate.text_of(value)}")]
    return documents(subprocess.run(["helm", "template", NAME, chart, "--namespace", NAMESPACE, *words], check=True,
                                    capture_output=True, text=True).stdout)


def refuses(function):
    try:
        function()
    except gotemplate.TemplateError:
        return True
    return False


def engine(tap):
    root = {"Values": {"a": {"b": "x", "n": 1, "yes": True, "none": ""}, "list": ["p", "q"], "map": {"k": ["v"]}}}
    for text, want in (
            ("{{ .Values.a.b }}", "x"), ("{{ .Values.a.n | quote }}", '"1"'), ("a\n  {{- .Values.a.b -}}\n b", "axb"),
            ("{{ if .Values.a.none }}y{{ else }}n{{ end }}", "n"), ("{{ if not .Values.a.none }}y{{ end }}", "y"),
            ("{{ with .Values.a }}{{ .b }}{{ $.Values.a.n }}{{ end }}", "x1"),
            ("{{ range .Values.list }}{{ . }},{{ end }}", "p,q,"), ("{{ /* no */ }}x", "x"),
            ("m:\n  {{- toYaml .Values.map | nindent 2 }}", "m:\n  k:\n  - v"),
            ('{{ .Values.a.b | replace "x" "\\\\." }}', "\\."), ('{{ .Values.a.none | default "d" }}', "d"),
            ("{{ if and .Values.a.yes .Values.a.b }}y{{ end }}", "y"), ("{{ .Values.a.yes }}", "true")):
        got = gotemplate.render(text, root)
        tap.check(got == want, f"template {text!r}", f"{got!r}")
    for text in ("{{ .Values.nothing }}", "{{ if .Values.a }}", "{{ end }}", "{{ lookup .Values.a }}", "{{ .Values.a.b | upper }}"):
        tap.check(refuses(lambda: gotemplate.render(text, root)), f"template {text!r}: refused")


def harmless(tap, name, sets):
    """What a plugin of software cards has no use for: nothing of the host but two folders, no rights."""
    for one in sets:
        pod = one["spec"]["template"]["spec"]
        containers = pod["containers"] + pod.get("initContainers", [])
        rights = [c["securityContext"] for c in containers]
        good = all(not r.get("privileged") and not r["allowPrivilegeEscalation"] and r["readOnlyRootFilesystem"]
                   and r["capabilities"] == {"drop": ["ALL"]} for r in rights)
        tap.check(good and not any(key.startswith("host") for key in pod), f"{name}: no rights, no namespaces of the host", rights)
        tap.check(pod["automountServiceAccountToken"] is False, f"{name}: no account of the cluster")
        terms = pod["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"]
        keys = {e["key"] for term in terms for e in term["matchExpressions"]}
        tap.check(keys == {"weft-efa"}, f"{name}: nodes by one label", keys)
        mounted = {mount["name"] for c in containers for mount in c["volumeMounts"]}
        tap.check(mounted == {volume["name"] for volume in pod["volumes"]}, f"{name}: each volume is used", mounted)


def main():
    weft, source, version = os.path.abspath(sys.argv[1]), os.path.abspath(sys.argv[2]), sys.argv[3]
    folder = f"{source}/deploy/kubernetes"
    chart = f"{folder}/chart"
    tap = Tap()
    engine(tap)
    for name, changes in PLAIN.items():
        plain = documents(read(f"{folder}/{name}"))
        made = rendered(chart, changes)
        tap.check(plain == made, f"{name} is what the chart makes", yaml.safe_dump_all(made))
        other = copy.deepcopy(plain)
        other[0]["spec"]["template"]["spec"]["containers"][0]["args"].append("--more")
        tap.check(other != made, f"{name}: a difference would show")
        if shutil.which("helm"):
            tap.check(by_helm(chart, changes) == made, f"{name}: helm makes the same")
        else:
            tap.skip(f"{name}: helm makes the same", "no helm here")
        harmless(tap, name, plain)
    counted = rendered(chart, {"cards.instance": "", "cards.count": 2})[0]["spec"]["template"]["spec"]
    arguments = counted["containers"][0]["args"]
    tap.check("--instance" not in arguments and arguments[arguments.index("--cards") + 1] == "2", "cards by number", arguments)
    tap.check("tolerations" not in rendered(chart, {"tolerations": []})[0]["spec"]["template"]["spec"], "no tolerations")

    about, values = yaml.safe_load(read(f"{chart}/Chart.yaml")), settings(chart, {})
    tap.check(about["version"] == about["appVersion"] == values["image"]["tag"] == version, f"versions are {version}",
              about, values["image"])
    manifests = sorted(glob.glob(f"{folder}/*.yaml") + glob.glob(f"{folder}/examples/*.yaml"))
    tap.check(len(manifests) >= 4, "manifests and examples are there", manifests)
    known = [path for path in manifests if not path.endswith("networkpolicy.yaml")]  # Of a kind that lint does not know.
    lint = subprocess.run([weft, "lint", *known], capture_output=True, text=True, check=False)
    tap.check(lint.returncode == 0, "weft lint has nothing to object to", lint.stdout, lint.stderr)
    if shutil.which("yamllint"):
        rules = "{extends: default, rules: {line-length: {max: 140}, document-start: disable, braces: disable, comments: {min-spaces-from-content: 1}}}"
        files = [*manifests, f"{chart}/Chart.yaml", f"{chart}/values.yaml"]
        done = subprocess.run(["yamllint", "-s", "-d", rules, *files], capture_output=True, text=True, check=False)
        tap.check(done.returncode == 0, "yamllint has nothing to object to", done.stdout)
    else:
        tap.skip("yamllint has nothing to object to", "no yamllint here")
    print(f"1..{tap.count}")
    sys.exit(1 if tap.failed else 0)


if __name__ == "__main__":
    main()
