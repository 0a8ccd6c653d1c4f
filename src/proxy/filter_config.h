#pragma once
/* Chains of HTTP filters and what routes say about them, compiled. Immutable but for what filters
 * count in their configurations. */

#include <envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager.pb-c.h>

#include "codec/pb_path.h"
#include "proxy/filter.h"

struct filter {
    struct str name; /* as configured: routes speak of it by this */
    uint64_t hash;   /* of the name */
    const struct filter_type *type;
    void *config;
    bool disabled; /* unless a route says otherwise */
};

struct http_filters {
    struct arena *arena;
    struct filter *filters; /* the router is not among them */
    size_t n;
    bool on; /* one of them, unless a route says otherwise */
};

/* path stands at the connection manager. *ret is NULL where there is no filter but the router
 * and those that watch.
 * -EINVAL with the path of what is wrong. */
int http_filters_compile(
    const Envoy__Extensions__Filters__Network__HttpConnectionManager__V3__HttpConnectionManager *m,
    struct pb_path *path, struct http_filters **ret, struct filter_watch *ret_watch,
    struct err *reterr) NODISCARD;
void http_filters_free(struct http_filters *c); /* NULL is allowed */

/* One entry of a typed_per_filter_config; path stands at its value. What is optional and unknown is
 * left out: ret->name.p is NULL then. */
int filter_override_compile(struct str name, const Google__Protobuf__Any *any, struct arena *a,
                            struct pb_path *path, struct filter_override *ret, struct err *reterr)
    NODISCARD;
/* All entries of the map of message m. */
#define FILTER_OVERRIDES(m, a, path, ret, reterr)                                                  \
    ({                                                                                             \
        int fr_ = 0;                                                                               \
        size_t fn_ = (m)->n_typed_per_filter_config;                                               \
        size_t fmark_ = pb_path_field((path), "typed_per_filter_config");                          \
        if (fn_ && !((ret)->v = arena_alloc((a), fn_ * sizeof(*(ret)->v))))                        \
            fr_ = -ENOMEM;                                                                         \
        for (size_t fi_ = 0; fi_ < fn_ && fr_ == 0; fi_++) {                                       \
            struct str fname_ = str_from((m)->typed_per_filter_config[fi_]->key);                  \
            size_t fat_ = pb_path_key((path), fname_);                                             \
            struct filter_override *fo_ = &(ret)->v[(ret)->n];                                     \
            fr_ = filter_override_compile(fname_, (m)->typed_per_filter_config[fi_]->value, (a),   \
                                          (path), fo_, (reterr));                                  \
            (ret)->n += fr_ == 0 && fo_->name.p;                                                   \
            pb_path_back((path), fat_);                                                            \
        }                                                                                          \
        pb_path_back((path), fmark_);                                                              \
        fr_;                                                                                       \
    })

/* What places (the most specific first, NULL: nothing there) say about a filter. False: it is off;
 * else its type and config, and levels and route of c, the rest of which is zeroed. */
bool filter_resolve(const struct filter *f, const struct filter_overrides *const places[],
                    struct filter_call *c);
