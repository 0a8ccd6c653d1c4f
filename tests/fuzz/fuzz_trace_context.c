/* What a client says of a trace: what is taken as a traceparent is written back as it was, but for
 * its version and other flags.
 * fuzz-layer: proxy */
#include <stdlib.h>

#include "proxy/trace_context.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str text = str_of(data, size);
    struct trace_context c = {0};
    char back[TRACE_PARENT_BYTES];
    if (trace_read_w3c(text, &c)) {
        trace_write_w3c(&c, back);
        if (!c.has_ids || memcmp(back + 2, text.p + 2, 51) != 0)
            abort();
    }
    if (trace_read_b3(text, &c) && !c.has_ids && c.sampled == TRACE_SAMPLED_UNKNOWN)
        abort();
    struct http_field fields[1] = {{.id = HTTP_NAME_X_B3_TRACEID,
                                    .name = "x-b3-traceid",
                                    .name_n = 12,
                                    .value = text.p,
                                    .value_n = (uint32_t)text.n}};
    struct http_head h = {.fields = fields, .cap = 1, .n = 1};
    if (trace_read_b3_fields(&h, &c)) /* there is no span */
        abort();
    return 0;
}
