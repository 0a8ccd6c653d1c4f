#pragma once
/* The table of what is supported (xds_support.def), by descriptor. */

#include <protobuf-c/protobuf-c.h>

#include "base/str.h"

enum xds_state {
    XDS_USED,   /* implemented */
    XDS_WARN,   /* accepted; a warning names it */
    XDS_REFUSE, /* the resource is refused */
};

enum xds_row_kind {
    XDS_ROW_FIELD,
    XDS_ROW_MESSAGE, /* the rows of its fields follow, as many as its descriptor has, in that order
                      */
    XDS_ROW_OPAQUE,  /* a message whose fields nobody declares */
    XDS_ROW_SECTION,
};

struct xds_row {
    union {
        const char *name; /* of the field or section */
        const ProtobufCMessageDescriptor *message;
    };
    const char *note; /* "" if there is nothing to say */
    uint8_t kind;     /* enum xds_row_kind */
    uint8_t state;    /* enum xds_state, of a field */
};

/* The whole table, in its order. */
const struct xds_row *xds_support_rows(size_t *ret_n);
/* The row of a message; NULL: not in the table. */
const struct xds_row *xds_support_find(const ProtobufCMessageDescriptor *d);
/* The message of this full name; NULL: not in the table. */
const ProtobufCMessageDescriptor *xds_support_type(struct str full_name);
