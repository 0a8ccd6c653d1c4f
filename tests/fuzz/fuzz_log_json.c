/* A format of an access log, as JSON or as text: what is taken writes lines; a JSON line is JSON
 * whatever the values are.
 * fuzz-layer: proxy */
#include <stdlib.h>

#include "proxy/log_json.h"

enum { FORMAT_MAX = 64 * 1024 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The input itself is the values, now and then none. */
static bool value(const struct format_piece *p, struct buf *to, void *user)
{
    const struct str *input = user;
    if (p->op % 3 == 0)
        return false;
    if (format_is_number(p))
        buf_addf(to, "%zu", input->n);
    else
        buf_add_str(to, *input);
    return true;
}

static void as_text(struct str input)
{
    AUTO(arena) struct arena *a = arena_new(4 << 20);
    AUTO_DONE(buf) struct buf line = {.cap = 4 << 20};
    struct format f;
    struct err err = {0};
    int r = format_compile(input, a, &f, &err);
    if (r == 0)
        format_write(&f, value, &input, STR("-"), &line);
    else if (r == -22 && !err.msg[0])
        abort(); /* refused without a word */
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    AUTO(arena) struct arena *a = arena_new(4 << 20);
    AUTO_DONE(buf) struct buf line = {.cap = 16 << 20}, scratch = {.cap = 4 << 20};
    struct str input = str_of(data, size);
    AUTO_JSON json_t *j = NULL, *back = NULL;
    struct log_json f = {.omit = size % 2};
    struct format all;
    if (size > FORMAT_MAX ||
        memchr(data, 0, size)) /* no value has a NUL, and our parser takes none */
        return 0;
    as_text(input);
    if (json_parse(input, FORMAT_MAX, NULL, &j, NULL) < 0 || !json_is_object(j) ||
        log_json_compile(j, a, &f, &all, NULL) < 0)
        return 0;
    log_json_write(&f, value, &input, &scratch, &line);
    if (line.failed || scratch.failed)
        return 0;
    if (line.p[line.n - 1] != '\n' || memchr(line.p, '\n', line.n) != line.p + line.n - 1 ||
        json_parse(buf_str(&line), 0, NULL, &back, NULL) < 0)
        abort();
    return 0;
}
