#pragma once
/* Text of ingress-nginx's snippets, read only to be talked about: which directives it holds, and
 * which annotation says the same. Nothing of it is ever put in force. Pure; any bytes may come. */

#include "base/err.h"
#include "base/str.h"

enum {
    SNIPPET_BYTES_MAX = 64 * 1024,
    SNIPPET_DIRECTIVES_MAX = 1000,
    SNIPPET_DEPTH_MAX = 16,
    SNIPPET_WORDS_MAX = 64, /* of one directive; more are left out */
};

struct snippet_directive {
    char *name;
    char **args; /* n_args; without their quotes */
    size_t n_args;
    unsigned line;  /* from 1 */
    unsigned depth; /* how many blocks it stands in */
    bool block;     /* it opens one */
};

struct snippet {
    struct snippet_directive *v;
    size_t n, cap;
};

/* -EINVAL: a quote, block or directive does not end; -E2BIG: over a limit. What was read up to
 * there stays in *ret, which is to be done with in any case. Blocks of Lua are one directive. */
int snippet_parse(struct str text, struct snippet *ret, struct err *reterr) NODISCARD;
void snippet_done(struct snippet *s);

enum snippet_fate {
    SNIPPET_TYPED,    /* an annotation says it */
    SNIPPET_NEEDLESS, /* it is so anyway */
    SNIPPET_NOTHING,  /* nothing says it */
};

struct snippet_advice {
    enum snippet_fate fate;
    const char *annotation; /* without the prefix; SNIPPET_TYPED; constant */
    char *value;            /* what to give it, as far as that can be told; NULL */
    const char *note;       /* a clause; constant; NULL */
};

/* What stands for the directive at v[at]; the others of the snippet are looked at, too. The caller
 * frees value. */
void snippet_advise(const struct snippet *s, size_t at, struct snippet_advice *ret);
