#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# test_manifests.sh WEFT ALL MODULES: every kind of manifest for every instance type, before judges that know nothing of
# weft. node's modules judge each of them; yamllint, shellcheck and the shells, which take their time with
# each file, one of each shape. MODULES is where tools/dev/judges put the modules.
set -u
weft=$1
all=$2
modules=$3/node_modules
here=$(dirname "$0")

skip() { # reason
	echo "1..0 # SKIP $1"
	echo "$1"
	exit 0
}

command -v node >/dev/null || skip 'no node here (Debian package nodejs)'
[ -e "$modules/ajv/package.json" ] || skip "no npm modules here: tools/dev/judges gets them, with npm and a network"
for program in yamllint shellcheck bash; do
	command -v $program >/dev/null || skip "no $program here (Debian package $program)"
done

dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
mkdir "$dir/shapes"
count=0

report() { # name status: output is in $dir/log
	count=$((count + 1))
	if [ "$2" = 0 ]; then
		echo "ok $count - $1"
		return
	fi
	echo "not ok $count - $1"
	head -n 40 "$dir/log" | sed 's/^/# /'
}

"$all" >"$dir/records" 2>"$dir/log" && "$weft" plan --list --json >"$dir/list" 2>>"$dir/log"
report 'all kinds for all types' $?
"$all" 2>"$dir/log" | cmp - "$dir/records" >>"$dir/log" 2>&1
report 'the same again' $?
node "$here/judge.js" "$modules" "$dir/list" "$dir/shapes" <"$dir/records" >"$dir/log" 2>&1
report "judge.js: $(head -n 1 "$dir/log")" $?

# Judges that find nothing in spoilt manifests would be none. What is put in place of something is as long as that.
spoil() { # kind sed-script complaint
	rm -rf "$dir/spoilt" && mkdir "$dir/spoilt"
	"$all" "$1" p4d.24xlarge | sed "$2" >"$dir/records"
	! node "$here/judge.js" "$modules" "$dir/list" "$dir/spoilt" <"$dir/records" >"$dir/log" 2>&1 &&
		grep -q -e "$3" "$dir/log"
	report "spoilt $1: $3" $?
}
spoil pod 's/efa: 4$/efa: 3/' 'not all cards'
spoil pod '/requests:/,/never/s/memory: ./memory: 9/' 'limits are not requests'
spoil pod 's/hugepages-2Mi/hugepages-1Mi/' 'no whole huge pages'
spoil mpijob 's/slotsPerWorker/slotPerWorkers/' 'must NOT have additional properties'
spoil mpijob 's/"32"$/"31"/' '-np'
spoil rayjob 's/maxReplicas: 4/maxReplicas: 5/' 'nodes'
spoil eksctl 's/\(availabilityZones: \["us-west-2\)b"/\1a"/; s/2b"\]/2a"]/' 'NOT have duplicate items'
spoil bottlerocket 's/hugepages: "../hugepages: "9/' 'huge pages'
spoil run-instances 's/DeviceIndex=1/DeviceIndex=0/' 'two interfaces in one place'
spoil launch-template 's/"efa-only"/"efaonly_"/' 'must be equal to one of'
spoil security-group 's/-egress/_egress/' 'rules for egress'
spoil terraform 's/enable_efa_support/enable_efa_suport_/' 'EFA on both levels'
spoil dockerfile 's/^FROM/FORM/' 'line '

cd "$dir/shapes" || exit 2
yamllint --strict -d '{extends: default, rules: {line-length: disable, document-start: disable}}' ./*.yaml \
	>"$dir/log" 2>&1
report 'yamllint' $?
for script in *.sh; do
	# In the language of its first line.
	"$(sed -n '1s/^#!//p' "$script")" -n "$script" || echo "$script"
done >"$dir/log" 2>&1
[ ! -s "$dir/log" ]
report 'the shells can read the scripts' $?
shellcheck ./*.sh >"$dir/log" 2>&1
report 'shellcheck' $?
# What kubectl knows of itself it reads strictly, and without a server; of a service it would have no use for variables.
if command -v kubectl >/dev/null; then
	bad=0
	for file in pod-*.yaml burnin-*.yaml; do
		case $file in
		burnin*) sed '1,/^---$/d' "$file" ;;
		*) cat "$file" ;;
		esac | KUBECONFIG=/dev/null kubectl set env --local -f - JUDGED=yes -o json || bad=1
	done 2>"$dir/log" >/dev/null
	report 'kubectl' $bad
else
	count=$((count + 1))
	echo "ok $count - kubectl # SKIP no kubectl here"
fi
[ "$(find . -name '*.yaml' | wc -l)" -ge 20 ] && [ "$(find . -name '*.sh' | wc -l)" -ge 10 ]
report 'there was something to judge' $?
echo "1..$count"
