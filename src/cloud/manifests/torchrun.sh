#!/bin/bash
@default port 29500
@ifnot nvidia
@refuse PyTorch reaches EFA through NCCL, which is for NVIDIA's GPUs; @instance@ has none
@end
# Run it on each of the @nodes@ x @instance@: MASTER_ADDR is the address of the first, NODE_RANK counts from 0.
#   MASTER_ADDR=10.0.1.10 NODE_RANK=0 bash FILE
set -eu

# A node that lacks a card would slow down all of them, and one without any take TCP: find out before.
cards=$(cat /sys/class/infiniband/*/device/vendor 2>/dev/null | grep -c 0x1d0f) || true
if [ "$cards" -ne @efas@ ]; then
	echo "$(hostname): $cards EFA cards, not @efas@" >&2
	exit 1
fi

# INFO, or the lines that prove EFA are missing. NCCL_ALGO, NCCL_PROTO, FI_PROVIDER and the like stay unset: with
# aws-ofi-nccl 1.7.0 and libfabric 1.18.0 and later they are chosen right, and by hand most often wrong.
export NCCL_DEBUG=INFO

exec torchrun \
	--nnodes=@nodes@ \
	--nproc-per-node=@accelerators@ \
	--node-rank="${NODE_RANK:?say which of the nodes this is, from 0}" \
	--master-addr="${MASTER_ADDR:?say the address of the first node}" \
	--master-port=@port@ \
	@command@
