#pragma once
/* Lines of access logs as JSON: a tree of formats, flattened. A text that is one operator gives a
 * value of that operator's type, null where there is none; any other text a string. Immutable; any
 * thread writes by it. */

#include "codec/format.h"
#include "codec/json.h"

enum { LOG_JSON_NODES_MAX = 1024, LOG_JSON_DEPTH_MAX = 16 };

struct log_json_node;

struct log_json {
    struct log_json_node *nodes;
    size_t n;
    bool omit;  /* members without a value are left out */
    bool texts; /* all values are strings (FileAccessLog.json_format) */
};

/* Members go in the order of their names. All operators, of all formats, also go to *ret_all. In
 * the arena. -EINVAL: a format that is wrong, with its name. */
int log_json_compile(const json_t *j, struct arena *a, struct log_json *ret, struct format *ret_all,
                     struct err *reterr) NODISCARD;
/* One line, with its end. scratch is the caller's, for single values. */
void log_json_write(const struct log_json *f, format_value_fn *value, void *user,
                    struct buf *scratch, struct buf *to);
