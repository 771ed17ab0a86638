/* SPDX-License-Identifier: BSD-2-Clause */
/* The smallest static program: only looked at, never run. */
void _start(void);

void _start(void)
{
	for (;;)
		;
}
