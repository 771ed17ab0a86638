/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef WEFT_CLI_INFO_K8S_H
#define WEFT_CLI_INFO_K8S_H

#include "base/types.h"

/* `weft info --k8s`: GPUs and EFAs of the nodes of a cluster, beside what their types have. Takes the arguments of
 * `weft info`, --k8s among them; the result is the exit status. */
int weft_info_k8s(int argc, char **argv);

#endif
