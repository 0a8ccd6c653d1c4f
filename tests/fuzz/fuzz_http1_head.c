/* fuzz-layer: codec
 * Heads of HTTP/1: what is read is written, and what was written is read as the same. */
#include <stdlib.h>

#include "codec/http1.h"
#include "codec/http1_head.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct http_field fields[HTTP_FIELDS_MAX], again[HTTP_FIELDS_MAX];

static void expect(bool what)
{
    if (!what)
        abort();
}

static void compare(const struct http_head *a, const struct http_head *b)
{
    expect(a->n == b->n && a->status == b->status && a->content_length == b->content_length);
    expect(str_eq(a->method, b->method) && str_eq(a->target, b->target) &&
           a->chunked == b->chunked);
    for (uint16_t i = 0; i < a->n; i++) {
        expect(a->fields[i].id == b->fields[i].id && a->fields[i].name_n == b->fields[i].name_n);
        expect(str_eq(http_field_value(&a->fields[i]), http_field_value(&b->fields[i])));
    }
}

/* Written and read again. HTTP/1.0 becomes 1.1, for which more codings are good. */
static void there_and_back(const struct http_head *h, bool request)
{
    struct http_head back = {.fields = again, .cap = HTTP_FIELDS_MAX};
    AUTO_DONE(chain) struct chain c = {0};
    if ((request ? http1_write_request(&c, h, STR("")) : http1_write_response(&c, h, STR(""))) < 0)
        return; /* an allocation was made to fail */
    struct str text = chain_front(&c);
    expect(text.n == c.n);
    expect((request ? http1_read_request(text, &back, NULL)
                    : http1_read_response(text, &back, NULL)) == 0);
    compare(h, &back);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct http_head h = {.fields = fields, .cap = HTTP_FIELDS_MAX};
    struct str all = str_of(data, size);
    size_t scanned = 0;
    ssize_t n = http1_head_length(all, &scanned);
    if (n <= 0)
        return 0;
    struct str head = str_sub(all, 0, (size_t)n);
    if (http1_read_request(head, &h, NULL) == 0)
        there_and_back(&h, true);
    if (http1_read_response(head, &h, NULL) == 0)
        there_and_back(&h, false);
    if (http1_read_trailers(all, &h, NULL) == 0)
        expect(!h.chunked && h.content_length == HTTP_LENGTH_NONE);
    return 0;
}
