#pragma once
/* Which requests an access log has a line for (AccessLogFilter). Pure; what is asked about comes as
 * values of operators. */

#include <envoy/config/accesslog/v3/accesslog.pb-c.h>

#include "codec/format.h"
#include "codec/http_head.h"
#include "codec/pb_path.h"

enum { LOG_FILTERS_MAX = 256, LOG_FILTER_DEPTH_MAX = 16 };

struct log_filter;

/* path stands at the filter. In the arena. *ret_grpc: it asks for the status of gRPC. -EINVAL with
 * the path of what is wrong. */
int log_filter_compile(const Envoy__Config__Accesslog__V3__AccessLogFilter *m, struct arena *a,
                       struct pb_path *path, struct log_filter **ret, bool *ret_grpc,
                       struct err *reterr) NODISCARD;
/* head: of the request; NULL: there is none. */
bool log_filter_passes(const struct log_filter *f, format_value_fn *value, void *user,
                       const struct http_head *head);
