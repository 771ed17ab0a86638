#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# test_cli.sh WEFT VERSION: what all commands have in common: exit status, what goes to which of stdout and
# stderr, one line for a mistake, and no success when the output could not be written.
set -u
weft=$1
version=$2
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
count=0

report() { # ok|not-ok name
	count=$((count + 1))
	if [ "$1" = ok ]; then
		echo "ok $count - $2"
	else
		echo "not ok $count - $2"
		sed 's/^/# stdout: /' "$dir/out"
		sed 's/^/# stderr: /' "$dir/err"
	fi
}

# Exit status, a pattern that stdout has to contain and one for stderr. "-" means: nothing at all there.
matches() { # pattern file
	if [ "$1" = - ]; then [ ! -s "$2" ]; else grep -q -e "$1" "$2"; fi
}

check() { # name status stdout stderr argument...
	name=$1 status=$2 out=$3 err=$4
	shift 4
	"$weft" "$@" >"$dir/out" 2>"$dir/err"
	got=$?
	if [ $got = "$status" ] && matches "$out" "$dir/out" && matches "$err" "$dir/err"; then
		report ok "$name"
	else
		report not-ok "$name (exit $got)"
	fi
}

one_line() { # name: of the last check's stderr
	if [ "$(wc -l <"$dir/err")" = 1 ]; then report ok "$1"; else report not-ok "$1"; fi
}

check 'alone: help on stderr' 2 - '^usage: weft COMMAND'
check 'help' 0 '^  version  *print' - help
check '--help' 0 '^  version  *print' - --help
check '-h' 0 '^  version  *print' - -h
check 'help COMMAND' 0 '^usage: weft version' - help version
check 'COMMAND --help' 0 '^usage: weft version' - version --help
check 'help of a spelling' 0 '^usage: weft version' - help --version
check 'help of nothing known' 2 - 'no such command: frobnicate' help frobnicate
check 'help of two' 2 - 'at most one' help version help
check 'version' 0 "^weft $version\$" - version
check '--version' 0 "^weft $version\$" - --version
check 'version --json' 0 "^{\"name\": \"weft\", \"version\": \"$version\"}\$" - version --json
check 'version with junk' 2 - '--jsom' version --jsom
one_line 'version with junk: one line'
check 'version with more junk' 2 - 'junk' version --json junk
check 'misspelt' 2 - 'no such command: verison; did you mean version?' verison
one_line 'misspelt: one line'
check 'nothing like it' 2 - 'no such command: frobnicate; see' frobnicate
one_line 'nothing like it: one line'
check 'empty name' 2 - 'no such command' ''
check 'long name' 2 - 'no such command: aaaa' "$(printf 'a%.0s' 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 \
	18 19 20 21 22 23 24 25 26 27 28 29 30 31 32 33 34 35 36 37 38 39 40)"
check 'sim alone' 2 - '^usage: weft sim' sim
check 'sim --help' 0 '^usage: weft sim' - sim --help
check 'sim with nothing known' 2 - 'weft sim: no such command: faluts; did you mean faults?' sim faluts

if [ -c /dev/full ]; then
	"$weft" version >/dev/full 2>"$dir/err"
	got=$?
	: >"$dir/out"
	if [ $got = 2 ] && grep -q 'cannot write' "$dir/err"; then
		report ok 'full disk'
	else
		report not-ok "full disk (exit $got)"
	fi
else
	count=$((count + 1))
	echo "ok $count - full disk # SKIP no /dev/full"
fi
"$weft" help >&- 2>"$dir/err"
got=$?
if [ $got = 2 ] && grep -q 'cannot write' "$dir/err"; then
	report ok 'closed stdout'
else
	report not-ok "closed stdout (exit $got)"
fi
echo "1..$count"
