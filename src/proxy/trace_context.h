#pragma once
/* The context of a trace as it travels in the fields of a request: W3C Trace Context (traceparent)
 * and B3 (one field, or several). Pure. */

#include "base/buf.h"
#include "codec/http_head.h"

enum trace_sampled {
    TRACE_SAMPLED_UNKNOWN, /* nobody has decided */
    TRACE_SAMPLED_NO,
    TRACE_SAMPLED_YES,
};

struct trace_context {
    uint8_t trace_id[16]; /* the first half is 0 where it is of 64 bits */
    uint8_t span_id[8];
    bool has_ids;    /* else there is only the decision, or nothing */
    uint8_t sampled; /* enum trace_sampled */
};

enum {
    TRACE_PARENT_BYTES = 55,
    TRACE_PARENT_TRACE = 3, /* where its ids stand in it */
    TRACE_PARENT_SPAN = 36,
    TRACE_ID_HEX = 32,
    TRACE_SPAN_HEX = 16,
};

/* Of the text of a traceparent. False: it is none, and as if it were not there. */
bool trace_read_w3c(struct str text, struct trace_context *ret);
/* Of the field b3. */
bool trace_read_b3(struct str text, struct trace_context *ret);
/* Of the fields x-b3-…, or b3 where that is there. */
bool trace_read_b3_fields(const struct http_head *h, struct trace_context *ret);

/* Lower-case hex of n bytes, a multiple of 4; ret has room for 2 * n, no NUL is added. */
void trace_hex(const uint8_t *bytes, size_t n, char *ret);
void trace_write_w3c(const struct trace_context *c, char ret[TRACE_PARENT_BYTES]);
