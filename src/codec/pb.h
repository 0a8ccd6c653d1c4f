#pragma once
/* Protobuf wire format, reading: one field at a time out of a slice. No schema, no allocation. */

#include "base/str.h"

enum pb_wire {
    PB_VARINT = 0,
    PB_FIXED64 = 1,
    PB_BYTES = 2,
    PB_FIXED32 = 5,
};

struct pb_field {
    uint64_t number;
    enum pb_wire wire;
    uint64_t value;   /* varint and fixed */
    struct str bytes; /* PB_BYTES: a slice of the input */
};

/* Takes the next field off *in. 1 = *ret is filled, 0 = the end, -EBADMSG = malformed (groups are
 * refused too). */
int pb_next(struct str *in, struct pb_field *ret) NODISCARD;
