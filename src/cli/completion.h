#pragma once
/* Shell completion: scripts for the shells, and the candidates they ask for. */

#include <stddef.h>

struct cli_command {
    const char *name;
    int (*run)(int argc, char **argv); /* NULL = a verb of the lab's program */
    const char *what;
};

struct cli_commands {
    const struct cli_command *commands;
    size_t n_commands;
    const struct cli_command *lab_verbs;
    size_t n_lab_verbs;
    int (*run_lab)(int argc, char **argv);
};

int cli_completion(int argc, char **argv);
/* The hidden __complete WORD… (what stands after "fairlead" so far; the last may be empty): prints
 * candidates for the last, "WORD<TAB>what it is". Nothing to say is not an error. */
int cli_complete(const struct cli_commands *all, int argc, char **argv);
