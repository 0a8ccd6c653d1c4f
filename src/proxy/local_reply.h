#pragma once
/* How a connection manager's own answers look (LocalReplyConfig): other status, body and fields for
 * those that a filter of access logs takes (proxy/log_filter.h), and one form for all bodies. */

#include <envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager.pb-c.h>

#include "proxy/compile.h"
#include "proxy/header_ops.h"

struct body_format;
struct local_replies;

enum { LOCAL_REPLY_MAPPERS_MAX = 64, LOCAL_REPLY_BYTES_MAX = 64 * 1024 };

/* c->path stands at the connection manager. *ret is NULL where it says nothing. -EINVAL with the
 * path of what is wrong; -ENOMEM. */
int local_replies_compile(
    struct compile *c,
    const Envoy__Extensions__Filters__Network__HttpConnectionManager__V3__HttpConnectionManager *m,
    struct local_replies **ret) NODISCARD;
void local_replies_free(struct local_replies *l); /* NULL is allowed */

/* An answer before it goes out; what is made lies in a. */
struct local_reply {
    const struct http_head *request;
    struct arena *a;
    format_value_fn *value;
    void *user;
    /* Changed: */
    uint16_t status;
    struct str body;
    struct str content_type;          /* .p NULL: as it would be */
    const struct header_ops *ops;     /* to be applied to its head; NULL: none */
    const struct body_format *format; /* what local_reply_format writes; NULL: nothing */
};
/* The first mapper whose filter takes it: status, body, ops. Then: */
void local_reply_map(const struct local_replies *l, struct local_reply *r);
/* Its body in the form that is to have; after its status is known to `value`. */
void local_reply_format(struct local_reply *r);
