#pragma once
/* Keeps the node's own program file out of the reach of its containers. */

#include "base/err.h"

/* Executes this program again from a read-only view of its file, with the same words (argv begins
 * with the verb, "node"); does not return then. 0: that has been done already. Call it before
 * anything is open. */
int program_guard(char **argv, struct err *reterr) NODISCARD;
/* The directory the program was started from; owned. */
char *program_guard_directory(void);
