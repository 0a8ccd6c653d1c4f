#pragma once
/* Texts with operators (%REQ(:METHOD)%, %RESPONSE_CODE%) of access logs and added headers,
 * compiled. What an operator stands for its source knows. */

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "codec/http_names.h"

enum format_op {
    FORMAT_LITERAL,
#define FORMAT_OP(name, argument, state) FORMAT_##name,
#include "codec/format_ops.def"
#undef FORMAT_OP
    _FORMAT_MAX,
};

struct format_piece {
    uint8_t op;            /* enum format_op */
    uint16_t id, other_id; /* of the names: enum http_name */
    struct str text;       /* a literal; or the argument: a name in lower case, a time's format */
    struct str other;      /* the name after '?' */
    uint32_t length_max;   /* 0: all of it */
};

struct format {
    struct format_piece *pieces;
    size_t n;
};

/* One value; false: there is none. What it appends is the raw text: `format_write` cuts it. */
typedef bool format_value_fn(const struct format_piece *piece, struct buf *to, void *user);

/* -EINVAL: an operator that is malformed, unknown or not done yet. */
int format_compile(struct str text, struct arena *a, struct format *ret, struct err *reterr)
    NODISCARD;
/* Its value is a decimal number. */
bool format_is_number(const struct format_piece *p);
/* `absent` stands for what is not there. How many of its operators had a value. */
size_t format_write(const struct format *f, format_value_fn *value, void *user, struct str absent,
                    struct buf *to);
