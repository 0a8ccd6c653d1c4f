#pragma once
/* What every program does at its start and end: --help, --version, --log-level, --log-format, usage
 * errors. */

#include "base/args.h"
#include "base/log.h"

/* Exit codes of docs/cli.md. */
enum program_exit {
    EXIT_OK = 0,
    EXIT_FAILED = 1,
    EXIT_FINDINGS = 2,
    EXIT_USAGE_ERROR = 64,
    EXIT_UNREACHABLE = 69,
    EXIT_TIMEOUT = 124,
};

struct program {
    const char *name;     /* "fairlead-agent", "fairlead-labd apiserver" */
    const char *summary;  /* one sentence */
    const char *usage;    /* after the name: "[flags]" */
    const char *examples; /* lines, or NULL */
    struct arg *args;     /* its own flags, ended by {NULL}; the common ones are added */
    bool stop_at_word;
};

/* The only argument: print the flags one a line, with what they do, for shell completion. */
#define PROGRAM_LIST_FLAGS "--complete-flags"

/* Parses argv and sets up logging. ret_rest NULL: the program takes no words, one is an error.
 * Returns -1 to go on, or the exit code (after --help, --version
 * or a usage error, which it has printed). */
int program_start(const struct program *p, int argc, char **argv, struct arg_list *ret_rest,
                  size_t *ret_dashes);

/* "error: WHAT: CAUSE" and "hint: …" on stderr; hint may be NULL. Returns code. */
int program_fail(int code, const char *hint, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
