#pragma once
/* Which requests an access log tells of: that part of CEL which can be said by filters of Envoy's
 * own (Telemetry, accessLogging[].filter.expression). Comparisons of a few attributes with
 * constants, joined by && || ! and parentheses; a comparison with what a request has not is false,
 * whatever it compares. Pure. */

#include "base/err.h"
#include "model/route.h"

enum { LOG_EXPRESSION_BYTES_MAX = 4096, LOG_EXPRESSION_NODES_MAX = 64, LOG_EXPRESSION_DEPTH = 16 };

enum log_expression_op {
    LOG_AND,
    LOG_OR,
    LOG_ANY,      /* true */
    LOG_CODE,     /* response.code */
    LOG_DURATION, /* request.duration, in milliseconds */
    LOG_GRPC,     /* response.grpc_status: == and != alone */
    LOG_FLAGS,    /* response.flags: some */
    LOG_FIELD,    /* of the request; pseudo-headers, too */
};

enum log_comparison { LOG_EQ, LOG_NE, LOG_GE, LOG_LE };

struct log_expression {
    enum log_expression_op op;
    struct log_expression *of[2]; /* LOG_AND, LOG_OR */
    enum log_comparison comparison;
    uint32_t value;
    const char *field; /* in lower case */
    enum route_comparison how;
    char *text;
    bool not ; /* LOG_FIELD: is not so, or is not there */
};

/* -EINVAL: why it cannot be said, with the place in it. */
int log_expression_parse(const char *text, struct log_expression **ret, struct err *reterr)
    NODISCARD;
void log_expression_free(struct log_expression *e); /* NULL is allowed */
