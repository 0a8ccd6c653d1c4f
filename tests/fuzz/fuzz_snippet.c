/* fuzz-layer: model
 * Text of ingress-nginx's snippets: any bytes are read within the limits, and something is said of
 * every directive. */
#include <errno.h>
#include <stdlib.h>

#include "model/snippet.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
void fuzz_without_faults(void);

/* Read by a command, which ends for want of memory. */
void fuzz_without_faults(void)
{
}

static void check(const struct snippet *s, size_t at)
{
    const struct snippet_directive *d = &s->v[at];
    struct snippet_advice a;
    if (!d->name || d->n_args > SNIPPET_WORDS_MAX || d->depth > SNIPPET_DEPTH_MAX || d->line == 0)
        abort();
    snippet_advise(s, at, &a);
    if ((a.fate == SNIPPET_TYPED) != (a.annotation != NULL))
        abort();
    free(a.value);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct snippet s = {0};
    struct err err = {0};
    int r = snippet_parse(str_of(data, size), &s, &err);
    if ((r != 0 && r != -EINVAL && r != -E2BIG) || (r == 0) != (err.code == 0) ||
        s.n > SNIPPET_DIRECTIVES_MAX)
        abort();
    for (size_t i = 0; i < s.n; i++)
        check(&s, i);
    snippet_done(&s);
    return 0;
}
