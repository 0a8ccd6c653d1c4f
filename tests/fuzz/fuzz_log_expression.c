/* Expressions of access logs: whatever stands there, it is read or told why not.
 * fuzz-layer: model */
#include <stdlib.h>

#include "model/log_expression.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The tree is made of small things that end the program for want of memory. */
void fuzz_without_faults(void);
void fuzz_without_faults(void)
{
}

static void check(const struct log_expression *e, unsigned depth)
{
    if (depth > LOG_EXPRESSION_NODES_MAX || (e->op == LOG_FIELD && (!e->field || !e->text)))
        abort();
    for (size_t i = 0; i < 2 && e->op <= LOG_OR; i++)
        check(e->of[i], depth + 1);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    AUTO_CHARS char *text = str_dup(str_of(data, size));
    struct log_expression *e = NULL;
    struct err err = {0};
    if (log_expression_parse(text, &e, &err) < 0) {
        if (!err.code)
            abort();
        return 0;
    }
    check(e, 0);
    log_expression_free(e);
    return 0;
}
