/* SPDX-License-Identifier: BSD-2-Clause */
#include "dev/core.h"
void weft_report_up(struct weft_card *card)
{
	(void)card;
}
void weft_report(struct weft_card *card)
{
	(void)card;
}
void weft_report_fini(void)
{
}
void weft_report_forked(void)
{
}
