#pragma once
/* Access logs: one line a request, gathered by each worker and written in batches. */

#include <envoy/config/accesslog/v3/accesslog.pb-c.h>

#include <stdatomic.h>

#include "base/vec.h"
#include "codec/pb_path.h"
#include "net/loop.h"
#include "proxy/log_filter.h"
#include "proxy/log_json.h"
#include "proxy/stats.h"

struct access_log {
    atomic_uint refs;
    atomic_uint writers; /* of those */
    struct arena *arena;
    char *path;           /* NULL: standard output or error */
    int fd;               /* of all workers: appended to */
    struct format format; /* of JSON: all operators */
    bool is_json;
    struct log_json json;
    struct log_filter *filter; /* NULL: a line for each request */
    bool wants_grpc;           /* the status of gRPC */
    bool wants_local;          /* the address from where an endpoint is spoken to */
};

/* With an arena, and nothing else. */
struct access_log *access_log_new(void);
/* The file, to be appended to; negative errno. */
int access_log_open(const char *path) NODISCARD;

/* Opens the file. -EINVAL with the path of the field that is wrong; negative errno of open. */
int access_log_compile(const Envoy__Config__Accesslog__V3__AccessLog *m, struct pb_path *path,
                       struct access_log **ret, struct err *reterr) NODISCARD;

struct access_logs {
    struct access_log **v;
    size_t n, cap;
    bool wants_grpc, wants_local; /* one of them does */
};
/* A message's access_log field; path stands at the message. What was added before an error stays.
 */
int access_logs_compile(Envoy__Config__Accesslog__V3__AccessLog *const *m, size_t n,
                        struct pb_path *path, struct access_logs *ret, struct err *reterr)
    NODISCARD;
void access_logs_done(struct access_logs *l);
void access_log_unref(struct access_log *l); /* NULL is allowed */
/* Opens the file anew under the same name, for who has moved the old one away (SIGUSR1). */
int access_log_reopen(struct access_log *l) NODISCARD;

/* A worker's lines that are not written yet. What a full pipe does not take for LOG_KEPT_BYTES is
 * dropped and counted: a log never holds a request back. */
struct access_log_writer;
/* stats: the thread's own of the program. */
struct access_log_writer *access_log_writer_new(struct loop *loop, struct access_log *l,
                                                struct stats_cell *stats);
void access_log_writer_free(struct access_log_writer *w); /* writes what is left */
/* Nothing but writers has the log any more: no line will come. */
bool access_log_writer_is_orphan(const struct access_log_writer *w);
/* head: of the request; NULL: there is none. */
void access_log_writer_add(struct access_log_writer *w, format_value_fn *value, void *user,
                           const struct http_head *head);
