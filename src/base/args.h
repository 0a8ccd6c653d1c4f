#pragma once
/* Command line: one table of flags per program gives parsing, --help and completion. Long
 * options with
 * --name VALUE or --name=VALUE, short ones where a letter is given; "--" ends the options; --help
 * and --version are in every program. Errors name the flag and, if one is near, what was probably
 * meant. */

#include "base/err.h"
#include "base/str.h"
#include "base/vec.h"

enum arg_type {
    ARG_STRING,   /* const char ** */
    ARG_STRINGS,  /* struct arg_list *: may be repeated; "a,b" is kept whole */
    ARG_BOOL,     /* bool *: --x, --x=false */
    ARG_INT,      /* int64_t *, with min and max */
    ARG_DURATION, /* uint64_t *, milliseconds */
};

struct arg_list {
    const char **v;
    size_t n;
    size_t cap;
};

static inline void arg_list_done(struct arg_list *l)
{
    free(l->v);
    *l = (struct arg_list){0};
}

struct arg {
    const char *name; /* without dashes; NULL ends the table */
    char letter;      /* 0 = none */
    enum arg_type type;
    void *value;
    const char *meta; /* NAME shown in --help */
    const char *help;
    int64_t min;
    int64_t max; /* min == max == 0: no bounds */
    bool set;    /* was it given? */
};

/* Parses argv[1…]. Everything that is not an option goes to *ret_rest (in order; borrowed from
 * argv), unless stop_at_word is true: then the first word and all after it go there unparsed (`exec
 * POD -- ls -l`). After "--" everything goes to *ret_rest too; ret_dashes (may be NULL) gets the
 * index in *ret_rest of the first word after "--", or SIZE_MAX. Returns 0 or -EINVAL. */
int args_parse(struct arg *table, int argc, char **argv, bool stop_at_word,
               struct arg_list *ret_rest, size_t *ret_dashes, struct err *reterr) NODISCARD;

/* The flag lines of --help. */
void args_print_help(const struct arg *table);

/* "--name<TAB>help" lines, for completion. */
void args_print_names(const struct arg *table);

/* The entry of `names` (n of them) nearest to word, or NULL if none is near. */
const char *args_nearest(const char *word, const char *const *names, size_t n);
