/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef WEFT_SIM_SIM_H
#define WEFT_SIM_SIM_H

/* The subcommands of `weft sim`. argv[0] is the name of the subcommand; the return value is the exit
 * status: 0, 1 for a run that failed its checks, 2 for a wrong argument or an output that cannot be
 * written. */
int weft_sim_faults_main(int argc, char **argv);
int weft_sim_fabric_main(int argc, char **argv);

#endif
