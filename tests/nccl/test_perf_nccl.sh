#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# test_perf_nccl.sh PROGRAM LIBRARY: `weft perf nccl` with a stand-in for NCCL and CUDA, which has the faults that FAKE_NCCL
# names: ranks that it starts itself, and ranks that mpirun starts.
program=$1
library=$2
count=0
bad=0
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1

report() {
	count=$((count + 1))
	if [ "$1" = 0 ]; then
		echo "ok $count - $2"
	else
		echo "not ok $count - $2"
		sed 's/^/# /' "$dir/out" "$dir/err"
		bad=1
	fi
}

# check NAME STATUS PATTERN COMMAND...: ended so (+: anything but 0), and said that.
check() {
	name=$1 want=$2 pattern=$3
	shift 3
	timeout 60 "$@" >"$dir/out" 2>"$dir/err"
	status=$?
	if [ "$want" = + ]; then
		[ $status -ne 0 ] && [ $status -ne 124 ]
	else
		[ $status = "$want" ]
	fi && cat "$dir/out" "$dir/err" | grep -q -- "$pattern"
	report $? "$name"
}

nccl() {
	echo "$program" --nccl-lib "$library" --cudart-lib "$library" -n 3 -w 1 -b 8 -e 64K -f 32
}

mpi() {
	echo mpirun --oversubscribe -n 3 "$(nccl)" --id-file "$dir/id"
}

# shellcheck disable=SC2046 # Words of a command, none of which has a space.
cases() {
	for test in all_reduce all_gather reduce_scatter broadcast alltoall sendrecv; do
		check "$test" 0 'values : 0 OK' $(nccl) -t $test -g 3
	done
	check 'wrong data' 1 'values : [1-9][0-9]* FAILED' env FAKE_NCCL=wrong $(nccl)
	check 'a rank that hangs' 1 'no progress for 1 s' env FAKE_NCCL=hang $(nccl) --timeout 1
	check 'no launcher' 2 'ranks of mpirun or srun' $(nccl) --id-file "$dir/id"
	check 'no comparison' 2 'not with --id-file' $(nccl) --id-file "$dir/id" --compare socket
	if ! command -v mpirun >/dev/null; then
		count=$((count + 1))
		echo "ok $count - mpirun # SKIP there is none"
		return
	fi
	for test in all_reduce alltoall; do
		# As an earlier job that was killed would leave it.
		head -c 256 /dev/zero >"$dir/id"
		check "mpirun, $test" 0 'values : 0 OK' $(mpi) -t $test
		[ "$(grep -c '^#.*out-of-place' "$dir/out")" = 1 ] && [ "$(grep -c '^  *[0-9]' "$dir/out")" = 3 ] &&
			[ ! -e "$dir/id" ]
		report $? "mpirun, $test: one table, and no file is left"
	done
	check 'mpirun, JSON' 0 '"ranks": 3' $(mpi) --json
	check 'mpirun, hosts' 0 '3 GPUs as 3 hosts' $(mpi) --hosts-as 3
	check 'mpirun, wrong data elsewhere' + 'rank 1: [1-9][0-9]* wrong elements' env FAKE_NCCL=wrong $(mpi)
	check 'mpirun, a rank that ends' + '' env FAKE_NCCL=die $(mpi)
	check 'mpirun, a rank that hangs' + 'no progress for 1 s' env FAKE_NCCL=hang $(mpi) --timeout 1
	check 'mpirun, a root that is none' + 'a root that is no rank' $(mpi) -r 3 -t broadcast
}

cases
echo "1..$count"
exit $bad
