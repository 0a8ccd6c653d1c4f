#pragma once
/* Protobuf wire format without a schema: one field at a time out of a slice, or behind a buffer. */

#include "base/buf.h"

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

void pb_add_varint(struct buf *to, uint64_t value);
/* A field of bytes, a string or a packed message. */
void pb_add_bytes(struct buf *to, unsigned number, struct str bytes);
static inline void pb_add_text(struct buf *to, unsigned number, const char *text)
{
    pb_add_bytes(to, number, str_from(text));
}
/* A number, enum or bool. */
void pb_add_uint(struct buf *to, unsigned number, uint64_t value);
void pb_add_double(struct buf *to, unsigned number, double value);
/* A message whose fields are added until pb_end() is given what this returned. */
size_t pb_begin(struct buf *to, unsigned number);
void pb_end(struct buf *to, size_t at);
