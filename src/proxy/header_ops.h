#pragma once
/* What a configuration does to the fields of a head: some are taken out, then some are put in, by
 * core.v3.HeaderValueOption. Compiled into an arena. */

#include <envoy/config/core/v3/base.pb-c.h>

#include "codec/format.h"
#include "codec/http_head.h"
#include "codec/pb_path.h"

struct header_name {
    uint16_t id;     /* enum http_name */
    struct str text; /* lower case */
};

enum header_action {
    HEADER_APPEND, /* one more line */
    HEADER_ADD_IF_ABSENT,
    HEADER_OVERWRITE_OR_ADD,
    HEADER_OVERWRITE, /* only if it is there */
};

/* Of a configured name; .text.p NULL: out of the arena's memory. */
struct header_name header_name_of(const char *text, struct arena *a);

struct header_add {
    struct header_name name;
    uint8_t action;
    bool keep_empty;
    struct format value;
};

struct header_ops {
    struct header_name *remove;
    size_t n_remove;
    struct header_add *add;
    size_t n_add;
};

/* path stands at the message that has both lists, whose names are given. -EINVAL, -ENOMEM. */
int header_ops_compile(Envoy__Config__Core__V3__HeaderValueOption *const *add, size_t n_add,
                       const char *add_field, char *const *remove, size_t n_remove,
                       const char *remove_field, struct arena *a, struct pb_path *path,
                       struct header_ops *ret, struct err *reterr) NODISCARD;
/* Values lie in a afterwards. What does not fit into its memory is left out. */
void header_ops_apply(const struct header_ops *ops, struct http_head *h, struct arena *a,
                      format_value_fn *value, void *user);
static inline bool header_ops_is_empty(const struct header_ops *ops)
{
    return !ops->n_add && !ops->n_remove;
}

/* Adds a field, with more room for fields from the arena if there is none left; borrows the value.
 * False: out of the arena's memory, and nothing was added. */
bool head_add(struct http_head *h, struct arena *a, struct header_name name, struct str value);
/* The first field of that name; NULL: none. */
struct http_field *head_find(struct http_head *h, struct header_name name);
