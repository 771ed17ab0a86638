#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# regressions WEFT FILE: replay every seed of FILE; one TAP line for each.
set -u
weft=$1
list=$2
n=0
bad=0
while read -r seed phase name _; do
	case $seed in
	'#'* | '') continue ;;
	esac
	n=$((n + 1))
	if out=$("$weft" sim faults --seeds "$seed" --phase "$phase" --jobs 1 2>&1 </dev/null); then
		echo "ok $n - $name"
	else
		bad=1
		echo "not ok $n - $name"
		printf '%s\n' "$out" | sed 's/^/# /'
	fi
done <"$list"
echo "1..$n"
exit $bad
