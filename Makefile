# The front door. Meson does the work; see CONTRIBUTING.md. Each target does its own set-up, so that it is
# the one command that is needed on a machine with nothing but git and make.
B ?= build
T ?= 60
MESON_ARGS ?=
BENCH_ARGS ?=
# `make sim SEED=7` replays one seed; `make sim` and `make sim N=5000` soak.
N ?= $(if $(SEED),1,1000)

.DEFAULT_GOAL := all
.PHONY: all install check demo lint format asan tsan fuzz sim mutants bench slurm kube hooks clean help

all:
	@tools/dev/setup build
	@tools/dev/configure $(B) $(MESON_ARGS)
	@ninja -C $(B)

# Below /usr/local, or elsewhere with MESON_ARGS=--prefix=/usr; DESTDIR=/somewhere for packages.
install: all
	@meson install -C $(B) --no-rebuild

check:
	@tools/dev/setup check
	@tools/dev/check all

demo:
	@tools/dev/setup demo
	@tools/dev/configure $(B) $(MESON_ARGS)
	@ninja -C $(B) weft libweft-preload.so
	@tools/dev/demo $(B)/weft

lint:
	@tools/dev/setup check
	@tools/dev/check lint

format:
	@tools/dev/setup check
	@tools/dev/format

asan:
	@tools/dev/setup check
	@tools/dev/check asan

tsan:
	@tools/dev/setup check
	@tools/dev/check tsan

fuzz:
	@tools/dev/setup check
	@tools/dev/fuzz $(T)

sim:
	@tools/dev/setup build
	@tools/dev/configure $(B) $(MESON_ARGS)
	@ninja -C $(B) weft
	@tools/dev/sim $(B)/weft "$(SEED)" "$(N)"

mutants:
	@tools/dev/setup build
	@tools/dev/mutants

# What libraries are there shows when a build folder is configured, so that comes again after an installation.
bench:
	@tools/dev/setup bench
	@tools/dev/configure $(B) $(MESON_ARGS)
	@[ -e $(B)/bench/workers/fabric ] && [ -e $(B)/bench/workers/mpi ] || meson setup --reconfigure $(B) >/dev/null
	@ninja -C $(B)
	@tools/dev/bench $(B) $(BENCH_ARGS)

# As above; that there were no headers is remembered, unless told otherwise.
slurm:
	@tools/dev/setup slurm
	@tools/dev/configure $(B) $(MESON_ARGS)
	@ninja -C $(B) -t query gres_efa.so tests/e2e/mpi_mix >/dev/null 2>&1 || \
		{ meson configure --clearcache $(B) && meson setup --reconfigure $(B); } >/dev/null
	@ninja -C $(B) all tests/e2e/mpi_mix
	@tests/slurm/run $(B)

# Kubernetes itself is built into build-kube, once: about ten minutes.
kube:
	@tools/dev/setup kube
	@tools/dev/configure $(B) $(MESON_ARGS)
	@ninja -C $(B) weft weft-device-plugin-static libweft-preload.so libnccl-net-weft.so tests/e2e/mpi_mix
	@tools/kube/build build-kube
	@tests/cluster/kube.py $(B) build-kube $(STEPS)

hooks:
	@ln -sf "$(CURDIR)/tools/dev/pre-commit" "$$(git rev-parse --git-path hooks)/pre-commit"
	@echo "hooks: tools/dev/pre-commit runs before each commit"

clean:
	rm -rf build build-asan build-tsan build-fuzz build-mutants build-judges

help:
	@echo "make            build into build/; the program is build/weft"
	@echo "make install    weft, its library and manual page, below /usr/local; DESTDIR=folder"
	@echo "make demo       unmodified fi_info and fi_pingpong on two hosts of this machine, beside tcp"
	@echo "make check      what CI runs: lint, build, all tests, and again under sanitizers"
	@echo "make lint       format, tidy, cppcheck, layers, purity, headers, codespell, shellcheck"
	@echo "make format     run clang-format over the C files"
	@echo "make asan       build with clang, ASan and UBSan, and run the tests"
	@echo "make tsan       build with clang and TSan, and run what has threads"
	@echo "make fuzz       every fuzzer for T=60 seconds"
	@echo "make sim        1000 seeds of the fault simulator; N=count, SEED=first (alone: replay it)"
	@echo "make mutants    plant protocol bugs one at a time; the simulator has to find them"
	@echo "make bench      weft beside its peers, as root; BENCH_ARGS=--quick for a look; build/bench/NAME for one"
	@echo "make slurm      jobs of Slurm over weft's cards, on a cluster of two nodes made for it, as root"
	@echo "make kube       pods with weft's cards, on a Kubernetes cluster of two nodes made for it, as root; STEPS=name for some"
	@echo "make hooks      check format and layers before each commit"
	@echo "make clean      remove the build folders"
