/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef WEFT_SIM_FAULT_H
#define WEFT_SIM_FAULT_H

/* All faults under one numbering: those of the network, then those of the hosts. */
#include "wire/sim/lossy.h"

enum weft_sim_fault {
	WEFT_FAULT_CLOCK_OFFSET = WEFT_LOSSY_FAULT_COUNT, /* Clocks of hosts differ by seconds. */
	WEFT_FAULT_CLOCK_WRAP, /* The 32-bit time stamps of the wire wrap during the run. */
	WEFT_FAULT_CLOCK_DRIFT, /* Clocks run fast or slow. */
	WEFT_FAULT_CLOCK_JUMP, /* A clock jumps forward. */
	WEFT_FAULT_STALL, /* A host does nothing for 10 to 500 ms; frames pile up. */
	WEFT_FAULT_LATE_POLL, /* A host looks at its socket only now and then. */
	WEFT_FAULT_SOCKET_FULL, /* Counts frames dropped by a full socket. */
	WEFT_FAULT_BACKPRESSURE, /* The socket refuses to send for a while. */
	WEFT_FAULT_SHORT_GSO, /* Only the first packets of a burst leave. */
	WEFT_FAULT_QP_ERROR, /* A receiving QP answers "no such QP" for a while. */
	WEFT_FAULT_QP_GONE,
	WEFT_FAULT_RNR, /* Receives are posted late. */
	WEFT_FAULT_NO_WQE, /* Receives are not posted at all until late. */
	WEFT_FAULT_SHORT_RECV,
	WEFT_FAULT_BAD_KEY,
	WEFT_FAULT_BAD_QPN,
	WEFT_FAULT_REFUSED, /* The initiator refuses the data of its own READ. */
	WEFT_FAULT_DEREG,
	WEFT_FAULT_CRASH, /* And back with the same address. */
	WEFT_FAULT_CRASH_FOREVER,
	WEFT_FAULT_CRASH_HELLO, /* Between the handshake and the data. */
	WEFT_FAULT_CRASH_BOTH,
	WEFT_FAULT_HALF_OPEN, /* Crash and restart while the peers have nothing to say. */
	WEFT_FAULT_CLOSE, /* Orderly. */
	WEFT_FAULT_POOL_CONTEXTS,
	WEFT_FAULT_POOL_ACTIVE,
	WEFT_FAULT_POOL_MSGS,
	WEFT_FAULT_POOL_READS,
	WEFT_FAULT_POOL_RX_MSGS,
	WEFT_FAULT_POOL_PACKETS,
	WEFT_FAULT_HOST_DOWN, /* Counts frames that arrived at a dead host. */
	/* Added when the seeds already meant something: never in place of one of the above. */
	WEFT_FAULT_CANCEL, /* The application gives requests up. */
	WEFT_FAULT_NOBODY, /* The network says so when a frame arrives at a dead host. */
	WEFT_FAULT_NOBODY_LIE, /* The same about a host that lives. */
	WEFT_FAULT_COUNT,
};

#define WEFT_FAULT_HOST_FIRST ((uint32_t)WEFT_LOSSY_FAULT_COUNT)

/* "?" for a number that is none. */
const char *weft_sim_fault_name(uint32_t fault);

/* WEFT_FAULT_COUNT when there is none of that name. */
uint32_t weft_sim_fault_find(const char *name);

/* Whether it is drawn for a run by itself, whatever else is drawn. */
bool weft_sim_fault_is_extra(uint32_t fault);

/* Consequences of others (a full queue, a dead host) cannot be asked for, only counted. */
bool weft_sim_fault_is_choice(uint32_t fault);

#endif
