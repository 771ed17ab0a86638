#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# test_cli.sh WEFT VERSION HOLDER STATIC MAN BUILD PREFIX: what all commands have in common (exit status, what goes to which of
# stdout and stderr, one line for a mistake, and no success when the output could not be written), and those
# about the device: run, info, config. HOLDER is a process that seems to use a card, STATIC a static program,
# MAN the manual page. BUILD is the build folder, from which an installation below PREFIX is tried.
set -u
weft=$1
version=$2
holder=$3
static=$4
man=$5
build=$6
prefix=$7
dir=$(mktemp -d)
# Neither the settings of who runs this nor his processes may show.
for name in $(env | sed -n 's/^\(WEFT_[A-Za-z0-9_]*\|FI_EFA_[A-Z_]*\)=.*/\1/p'); do unset "$name"; done
unset LD_PRELOAD
export HOME="$dir/home" WEFT_RUN_DIR="$dir/run" WEFT_ADDR=127.0.0.1
mkdir -p "$dir/home/.config"
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

config=$dir/home/.config/weft.conf

skip() { # name reason
	count=$((count + 1))
	echo "ok $count - $1 # SKIP $2"
}

# config
check 'config' 0 '^WEFT_CARDS  *auto  *default$' - config
check 'config: environment' 0 '^WEFT_ADDR  *127.0.0.1  *environment$' - config
check 'config --cards' 0 '^WEFT_CARDS  *7  *environment$' - config --cards 7
check 'config --cards=' 2 - 'needs a value' config --cards=
check 'config -v' 0 '^# .*(5s)$' - config -v
check 'config with junk' 2 - 'no such argument: --jsom' config --jsom
check 'config: value refused' 1 '^WEFT_CARDS  *auto  *default' 'WEFT_CARDS: "x" (environment): not' config --cards x
one_line 'config: value refused: one line'
check 'config: unknown name' 2 - 'no such setting: WEFT_CARD; did you mean WEFT_CARDS?' config --env WEFT_CARD=1
printf 'cards = 3 # three\nwire=udp\n' >"$config"
check 'config: file' 0 '^WEFT_CARDS  *3  .*weft.conf:1$' - config
printf 'crads = 3\n' >"$config"
check 'config: unknown name in a file' 0 '^WEFT_CARDS  *auto' 'crads (.*weft.conf:1): .* WEFT_CARDS?' config
chmod 666 "$config"
check 'config: file that others may write' 1 '^WEFT_CARDS  *auto' 'others than its owner may write it' config
rm "$config"
check 'config: secret' 0 '^WEFT_KEY  *(set)  *environment' - config --env WEFT_KEY=hush
# The table of settings is in the program; the manual page has to keep up with it.
"$weft" config | cut -d ' ' -f 1 >"$dir/out"
sed -n 's/^\.It Ev //p' "$man" >"$dir/err"
if cmp -s "$dir/out" "$dir/err"; then report ok 'config: manual page'; else report not-ok 'config: manual page'; fi

json() { # name jq-filter argument...
	name=$1 filter=$2
	shift 2
	if ! command -v jq >/dev/null; then
		skip "$name" 'no jq'
	elif "$weft" "$@" 2>"$dir/err" | jq -e "$filter" >"$dir/out" 2>&1; then
		report ok "$name"
	else
		report not-ok "$name"
	fi
}
json 'config --json' 'length > 15 and all(has("name", "value", "origin", "default", "what"))' config --json
json 'config --json: bytes that are no text' '.[0].value == "x\ufffd\"y"' \
	config --json --env "$(printf 'WEFT_ADDR=x\377"y')"
json 'info --json' '[.cards[].name] == ["rdmap16s27", "rdmap32s27", "rdmap144s27", "rdmap160s27"]' \
	info --json --instance p4d.24xlarge
json 'info --json: capabilities' '.cards[0].caps == ["write", "sgid"]' info --json --env WEFT_CAPS=sgid,write

# info
check 'info' 0 '^rdmap0s6  0000:00:[01].\.0  127.0.0.1  fe80::5700:4e20:7f00:1  100   *v2/0xefa1 .*  -$' - info
check 'info: four cards' 0 '^rdmap160s27  0000:a0:1b.0 .* v1/0xefa0  *read,rnr,sgid  *- ' - \
	info --instance p4d.24xlarge
check 'info: two addresses' 0 '^rdmap96s0 .* 127.0.0.3 ' - info --addr 127.0.0.2,127.0.0.3
check 'info: unknown type' 2 - 'with EFA is known; did you mean p5.48xlarge?' info --instance p5.48xlrge
one_line 'info: unknown type: one line'
check 'info: facts that are not known' 0 '^rdmap0s6' 'EFA generation, .*: not known of c8in.48xlarge' \
	info --instance c8in.48xlarge
check 'info: address of another host' 2 - '192.0.2.77 is not an address of this host' info --addr 192.0.2.77
check 'info with junk' 2 - 'no such argument: --al' info --al
check 'info --all alone' 2 - 'goes with --counters' info --all
check 'info --counters: nobody' 0 - 'no process of yours' info --counters
check 'info --counters --json: nobody' 0 '^]$' - info --counters --json
mkdir -m 700 "$dir/run"
mkfifo "$dir/go" "$dir/ready"
"$holder" "$dir/run" rdmap0s6 <"$dir/go" >"$dir/ready" &
pid=$!
exec 9>"$dir/go"
read -r _ <"$dir/ready"
check 'info: used by' 0 "  $pid (.*hold.*)\$" - info
check 'info: another card' 0 '^rdmap79s0 .*  -$' - info --cards 2
check 'info --counters' 0 '^  tx_bytes  *12345$' - info --counters
check 'info --counters: card' 0 "^$pid (.*) rdmap0s6 .* 2 qps\$" - info --counters
check 'info --counters --all' 0 '^  rx_drop_tag  *0$' - info --counters --all
check 'info --counters --json' 0 "\"pid\": $pid, .*\"tx_bytes\": 12345," - info --counters --json
kill -9 $pid
wait $pid 2>/dev/null
exec 9>&-
check 'info: user gone' 0 '^rdmap0s6 .*  -$' - info
check 'info --counters: user gone' 0 - 'no process of yours' info --counters

# run
check 'run alone' 2 - 'which command?' run
check 'run --' 2 - 'which command?' run --
check 'run with junk' 2 - 'no such argument: --adr; see' run --adr 1 true
check 'run: option without value' 2 - 'needs a value' run --addr
check 'run: command not found' 2 - 'command not found: no-such-command' run no-such-command
one_line 'run: command not found: one line'
check 'run: no such file' 2 - 'No such file' run ./no/such/file
check 'run: a directory' 2 - 'Is a directory' run /
check 'run: unknown type' 2 - 'did you mean p4d.24xlarge?' run --instance p4d.24xlareg true
one_line 'run: unknown type: one line'
check 'run: address of another host' 2 - '192.0.2.77 is not an address of this host' run --addr 192.0.2.77 -- true
check 'run: bad setting' 2 - 'WEFT_WIRE: "tcp" (environment): not one of auto, udp, local' run --wire tcp true
check 'run: bad --env' 2 - 'wants NAME=VALUE' run --env PATH true
check 'run: unknown setting' 2 - 'did you mean WEFT_LOSS?' run --env WEFT_LOSSS=1% true
cp /bin/true "$dir/true"
chmod 4755 "$dir/true"
check 'run: setuid' 2 - 'true is setuid' run "$dir/true"
chmod 2755 "$dir/true"
check 'run: setgid' 2 - 'true is setgid' run "$dir/true"
chmod 644 "$dir/true"
check 'run: not executable' 2 - 'Permission denied' run "$dir/true"
chmod 755 "$dir/true"
printf '\377' | dd of="$dir/true" bs=1 seek=18 conv=notrunc 2>/dev/null
check 'run: another machine' 2 - 'for another kind of machine' run "$dir/true"
head -c 100 /bin/true >"$dir/true"
check 'run: half a program' 2 - 'or broken' run "$dir/true"
check 'run: static' 2 - 'is statically linked' run "$static"
one_line 'run: static: one line'
script() { # text
	printf '%b' "$1" >"$dir/script"
	chmod 755 "$dir/script"
}
script 'echo hello\n'
check 'run: neither program nor script' 2 - 'neither a program nor a script' run "$dir/script"
script '#!/no/such/interpreter\n'
check 'run: interpreter missing' 2 - 'needs the interpreter "/no/such/interpreter"' run "$dir/script"
script '#!/bin/sh\r\n'
check 'run: line end of another world' 2 - 'needs the interpreter "/bin/sh?"' run "$dir/script"
script '#!/usr/bin/env no-such-interpreter\n'
check 'run: interpreter missing, by env' 2 - 'needs the interpreter "no-such' run "$dir/script"
script "#!$static\n"
check 'run: interpreter static' 2 - 'its interpreter .* statically linked' run "$dir/script"
script "#!$dir/script\n"
check 'run: script that runs itself' 2 - 'too many' run "$dir/script"
mkdir "$dir/bin"
cp "$weft" "$dir/bin/weft"
"$dir/bin/weft" run true >"$dir/out" 2>"$dir/err"
if [ $? = 2 ] && matches 'there is no libweft-preload.so' "$dir/err"; then
	report ok 'run: library missing'
else
	report not-ok 'run: library missing'
fi
mkdir "$dir/lib"
echo nonsense >"$dir/lib/libweft-preload.so"
"$dir/bin/weft" run true >"$dir/out" 2>"$dir/err"
if [ $? = 2 ] && matches 'is not a library for this machine' "$dir/err"; then
	report ok 'run: library broken'
else
	report not-ok 'run: library broken'
fi
chmod 750 "$dir/run"
check 'run: run directory open to others' 2 - 'open to others' run true
if "$weft" info --addr ::1 >/dev/null 2>&1; then
	check 'run: run directory open to others, IPv6' 2 - 'open to others' run --addr ::1 true
else
	skip 'run: run directory open to others, IPv6' 'no IPv6'
fi
chmod 700 "$dir/run"
check 'info with a broken run directory' 0 '^rdmap0s6' - info --env WEFT_RUN_DIR=/proc/1/nothing

check 'perf nccl: help' 0 'hosts-as N' - perf nccl --help
check 'perf nccl: argument' 2 - 'no such argument: --nonsense' perf nccl --nonsense
check 'perf nccl: sizes' 2 - 'no sizes' perf nccl -b 1M -e 1K
check 'perf nccl: test' 2 - 'not all_reduced' perf nccl -t all_reduced
check 'perf nccl: more hosts than GPUs' 2 - 'more hosts than GPUs' perf nccl --hosts-as 3
check 'perf nccl: no rank' 2 - 'this is none' perf nccl --id-file /nonexistent

# An installation, in a folder of its own.
there=$dir/dest$prefix
if ! command -v meson >/dev/null; then
	skip 'install' 'no meson'
elif DESTDIR="$dir/dest" meson install -C "$build" --no-rebuild --quiet >"$dir/out" 2>"$dir/err" &&
	[ -x "$there/bin/weft" ] && [ -f "$there/lib/weft/libweft-preload.so" ] &&
	find "$there" -name weft.1 | grep -q 'man/man1/weft.1$' &&
	[ -f "$there/lib/weft/libnccl-net-weft.so" ] && [ -x "$there/lib/weft/weft-perf-nccl" ] &&
	[ -x "$there/bin/weft-device-plugin" ] &&
	[ "$(find "$dir/dest" -type f ! -path '*/man/man1/weft*.1' ! -path '*/lib/weft/slurm/*' | wc -l)" = 5 ]; then
	report ok 'install'
else
	find "$dir/dest" >>"$dir/err"
	report not-ok 'install'
fi

# A library built with a sanitizer wants to be first of all, so nothing can be run with it.
if ldd "$(dirname "$weft")/libweft-preload.so" 2>/dev/null | grep -q 'lib[at]san\|libclang_rt' ||
	nm -D "$(dirname "$weft")/libweft-preload.so" 2>/dev/null | grep -q '__asan_init\|__tsan_init'; then
	skip 'run' 'built with a sanitizer'
else
	# shellcheck disable=SC2016
	script '#!/bin/sh\necho "$WEFT_INSTANCE $WEFT_CARDS $WEFT_WIRE $X $1"\nexit 7\n'
	check 'run: settings and arguments' 7 '^p5.48xlarge 2 udp y=z arg$' - \
		run --instance p5.48xlarge --cards=2 --wire udp --env X=y=z -- "$dir/script" arg
	# shellcheck disable=SC2016
	script '#!/bin/sh\necho "$LD_PRELOAD"\n'
	check 'run: preload' 0 '^/[^:]*/libweft-preload.so$' - run "$dir/script"
	check 'run: once in itself' 0 '^/[^:]*/libweft-preload.so$' - run "$weft" run "$dir/script"
	check 'run: before others' 0 '^/[^:]*/libweft-preload.so:/no/such.so$' '/no/such.so' \
		run --env LD_PRELOAD=/no/such.so "$dir/script"
	if [ -x "$there/bin/weft" ]; then
		mkdir "$dir/else"
		mv "$dir/dest" "$dir/else"
		# shellcheck disable=SC2016
		"$dir/else/dest$prefix/bin/weft" run sh -c 'echo "$LD_PRELOAD"' >"$dir/out" 2>"$dir/err"
		if [ "$(cat "$dir/out")" = "$dir/else/dest$prefix/lib/weft/libweft-preload.so" ]; then
			report ok 'run: installed, and moved'
		else
			report not-ok 'run: installed, and moved'
		fi
	else
		skip 'run: installed, and moved' 'not installed'
	fi
	check 'run: found in PATH' 3 - - run sh -c 'exit 3'
	# shellcheck disable=SC2016
	script '#!/bin/sh\necho "<$FI_EFA_USE_DEVICE_RDMA> <$FI_EFA_INTER_MIN_READ_MESSAGE_SIZE>"\n'
	check 'run: libfabric may READ' 0 '^<1> <131072>$' - run "$dir/script"
	check 'run: libfabric as it was told' 0 '^<0> <131072>$' - \
		run --env FI_EFA_USE_DEVICE_RDMA=0 "$dir/script"
	check 'run: cards that cannot READ' 0 '^<> <>$' - run --instance g5.8xlarge "$dir/script"
	check 'run: print' 0 "^export X='a'\\\\''b'\$" - run --print --env "X=a'b"
	check 'run: print, and a command' 2 - 'runs nothing' run --print true
	# shellcheck disable=SC2016
	script '#!/bin/sh\necho "$NCCL_NET $NCCL_NET_PLUGIN $NCCL_NET_GDR_LEVEL ${LD_LIBRARY_PATH%%:*}/ $LD_PRELOAD"\n'
	check 'run: NCCL' 0 '^weft weft SYS /[^:]*/ $' - run --nccl "$dir/script"
	check 'run: NCCL, near cards' 0 '^weft weft PIX /' - run --env NCCL_NET_GDR_LEVEL=PIX --nccl "$dir/script"
	script '#!/usr/bin/env -S sh -e\nexit 5\n'
	check 'run: env with options' 5 - - run "$dir/script"
fi
echo "1..$count"
