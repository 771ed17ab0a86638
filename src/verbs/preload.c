/* SPDX-License-Identifier: BSD-2-Clause */
/* The library's entry and exit. It is loaded into every process below `weft run`, most of which (shells, launchers)
 * never touch a device: so nothing is made before main() but one environment variable, which has to be there
 * before the first reader. Cards, files and sockets come with the calls that need them. */
#include "verbs/sysfs.h"

#include <sys/auxv.h>

__attribute__((constructor)) static void on_load(void)
{
	/* A program with raised rights does not listen to the environment, and neither do we change it. */
	if (!getauxval(AT_SECURE))
		weft_sysfs_init();
}

__attribute__((destructor)) static void on_unload(void)
{
	weft_sysfs_fini();
}
