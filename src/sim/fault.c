/* SPDX-License-Identifier: BSD-2-Clause */
#include "sim/fault.h"

#include <string.h>

static const char *const host_names[WEFT_FAULT_COUNT - WEFT_LOSSY_FAULT_COUNT] = {
#define NAME(fault, name) [WEFT_FAULT_##fault - WEFT_LOSSY_FAULT_COUNT] = name
	NAME(CLOCK_OFFSET, "clock-offset"),
	NAME(CLOCK_WRAP, "clock-wrap"),
	NAME(CLOCK_DRIFT, "clock-drift"),
	NAME(CLOCK_JUMP, "clock-jump"),
	NAME(STALL, "stall"),
	NAME(LATE_POLL, "late-poll"),
	NAME(SOCKET_FULL, "socket-full"),
	NAME(BACKPRESSURE, "backpressure"),
	NAME(SHORT_GSO, "short-gso"),
	NAME(QP_ERROR, "qp-error"),
	NAME(QP_GONE, "qp-gone"),
	NAME(RNR, "rnr"),
	NAME(NO_WQE, "no-wqe"),
	NAME(SHORT_RECV, "short-recv"),
	NAME(BAD_KEY, "bad-key"),
	NAME(BAD_QPN, "bad-qpn"),
	NAME(REFUSED, "read-refused"),
	NAME(DEREG, "dereg"),
	NAME(CRASH, "crash"),
	NAME(CRASH_FOREVER, "crash-forever"),
	NAME(CRASH_HELLO, "crash-hello"),
	NAME(CRASH_BOTH, "crash-both"),
	NAME(HALF_OPEN, "half-open"),
	NAME(CLOSE, "close"),
	NAME(POOL_CONTEXTS, "pool-contexts"),
	NAME(POOL_ACTIVE, "pool-active"),
	NAME(POOL_MSGS, "pool-msgs"),
	NAME(POOL_READS, "pool-reads"),
	NAME(POOL_RX_MSGS, "pool-rx-msgs"),
	NAME(POOL_PACKETS, "pool-packets"),
	NAME(HOST_DOWN, "host-down"),
	NAME(CANCEL, "cancel"),
	NAME(NOBODY, "nobody"),
	NAME(NOBODY_LIE, "nobody-lie"),
#undef NAME
};

const char *weft_sim_fault_name(uint32_t fault)
{
	if (fault < WEFT_LOSSY_FAULT_COUNT)
		return weft_lossy_fault_name((enum weft_lossy_fault)fault);
	return fault < WEFT_FAULT_COUNT ? host_names[fault - WEFT_LOSSY_FAULT_COUNT] : "?";
}

uint32_t weft_sim_fault_find(const char *name)
{
	for (uint32_t i = 0; i < WEFT_FAULT_COUNT; i++)
		if (!strcmp(weft_sim_fault_name(i), name))
			return i;
	return WEFT_FAULT_COUNT;
}

bool weft_sim_fault_is_extra(uint32_t fault)
{
	return fault >= WEFT_FAULT_CANCEL && fault <= WEFT_FAULT_NOBODY_LIE;
}

bool weft_sim_fault_is_choice(uint32_t fault)
{
	return fault < WEFT_FAULT_COUNT && fault != WEFT_LOSSY_PATH_OVERFLOW &&
	       fault != WEFT_LOSSY_ECN_MARK && fault != WEFT_FAULT_HOST_DOWN;
}
