#pragma once
/* What the two halves of compiling routes share: a virtual host (route_config.c) and the table of
 * them (route_table.c). */

#include "codec/pb_path.h"
#include "proxy/filter_config.h"
#include "proxy/mirror_config.h"
#include "proxy/route.h"

/* Where a compilation stands: what every step of it needs. */
struct making {
    struct arena *a;
    struct pb_path *path;
    struct err *err;
    size_t body_max; /* of a direct response */
};

#define FAIL(c, ...) pb_path_fail((c)->path, (c)->err, -EINVAL, __VA_ARGS__)

#define HEADER_OPS(c, m, ret)                                                                      \
    ({                                                                                             \
        int r_ = header_ops_compile((m)->request_headers_to_add, (m)->n_request_headers_to_add,    \
                                    "request_headers_to_add", (m)->request_headers_to_remove,      \
                                    (m)->n_request_headers_to_remove, "request_headers_to_remove", \
                                    (c)->a, (c)->path, &(ret)->request_ops, (c)->err);             \
        if (r_ == 0)                                                                               \
            r_ = header_ops_compile((m)->response_headers_to_add, (m)->n_response_headers_to_add,  \
                                    "response_headers_to_add", (m)->response_headers_to_remove,    \
                                    (m)->n_response_headers_to_remove,                             \
                                    "response_headers_to_remove", (c)->a, (c)->path,               \
                                    &(ret)->answer_ops, (c)->err);                                 \
        r_;                                                                                        \
    })

#define MIRRORS(c, m, ret)                                                                         \
    ((m)->n_request_mirror_policies                                                                \
         ? mirror_compile((m)->request_mirror_policies, (m)->n_request_mirror_policies, (c)->a,    \
                          (c)->path, &(ret)->mirrors, (c)->err)                                    \
         : 0)

/* A host (c->a is not used) in an arena that begins with `memory` bytes. A reference. */
int route_host_compile(const struct making *under, const Envoy__Config__Route__V3__VirtualHost *m,
                       size_t memory, struct route_host **ret) NODISCARD;
