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
	exit 77
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
[ "$(find . -name '*.yaml' | wc -l)" -ge 20 ] && [ "$(find . -name '*.sh' | wc -l)" -ge 10 ]
report 'there was something to judge' $?
echo "1..$count"
