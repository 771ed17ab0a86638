/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef WEFT_DEV_LOCKING_H
#define WEFT_DEV_LOCKING_H

/* weft Locking Strategy
 *
 * Four kinds of lock, always taken in this order:
 *
 *	1. weft_dev.lock      the process: which cards are open, the helper thread
 *	2. weft_cq.lock       one per CQ: who takes completions out of it
 *	3. weft_card.lock     one per card: engines, wires, QPs, regions, address handles, the producing end
 *	                      of its CQs. The thread that posts or polls runs the engine under it
 *	4. weft_channel.lock  one per completion channel: its queue of events
 *
 * The thread that maps GPU memory (share.c) has a lock of its own for what it is to do, and so have the threads that copy
 * between processes (haul.c). Both come last of all, and under them nothing else is done; nothing is copied under them.
 * Whoever takes memory away under a card's lock waits for a copy of it that is under way, some ten microseconds.
 *
 * What the order is for:
 *
 * A poll session (weft_cq_begin to weft_cq_end) holds the CQ's lock, and the application may keep it open
 * between its calls. So nothing that makes the card's work go on may need it: completions enter a CQ under
 * the card's lock, through a ring with one producer (whoever holds that lock) and one consumer (whoever
 * holds the CQ's). The two meet only in the ring's head and tail.
 *
 * Polling and the helper only *try* the card's lock: when another thread has it, that thread is making the
 * progress that they came for. Posting waits for it. Nobody waits for anything else, blocks in a system call
 * or calls the application while holding it.
 *
 * Places in a send or receive queue are given back by the consumer of the CQ, without the card's lock:
 * they are counters in weft_card.slots, which live as long as the card, so a completion that outlives its
 * QP touches no freed memory; the generation tells whether it still counts.
 *
 * fork: the child closes what it inherited and forgets it (card.c, "Fork"); it takes no lock, since a
 * thread that does not exist there may have held it. */

#endif
