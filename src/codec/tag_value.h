#pragma once
/* What a label of a metric is told to be (Telemetry, tagOverrides): that part of CEL which is a
 * constant or one attribute of the request. Pure. */

#include "base/err.h"
#include "base/str.h"

enum tag_attribute {
    TAG_TEXT,   /* a constant */
    TAG_METHOD, /* request.method */
    TAG_HOST,   /* request.host */
    TAG_SCHEME, /* request.scheme */
    TAG_FIELD,  /* request.headers['x'] */
};

struct tag_value {
    enum tag_attribute attribute;
    char *text; /* the constant; a field's name in lower case; NULL: none */
};

enum { TAG_VALUE_BYTES_MAX = 256, TAG_NAME_BYTES_MAX = 64 };

/* -EINVAL: why not. */
int tag_value_parse(const char *text, struct tag_value *ret, struct err *reterr) NODISCARD;
void tag_value_done(struct tag_value *v);
/* As Prometheus' labels are called. */
bool tag_name_is_valid(const char *name);
