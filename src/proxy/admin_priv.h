#pragma once
/* What the pages of the admin interface share. */

#include "base/buf.h"
#include "net/http_server.h"
#include "proxy/admin.h"

struct admin {
    struct http_server *server;
    struct loop *loop;
    const struct admin_ops *ops;
    void *user;
    uint64_t begin_us;
};

/* A page that is being made: what is in `body` goes out when the page's function returns, unless it
 * streams. */
struct admin_page {
    struct http_exchange *x;
    struct str query;
    int status;
    const char *type; /* of the content */
    struct buf body;
    bool streams; /* the function answers by itself, then or later */
};

#define ADMIN_TEXT "text/plain; charset=UTF-8"
#define ADMIN_JSON "application/json"

/* ---- admin_page.c ---- */
/* A page in pieces. */
struct admin_source {
    /* Appends the next piece of about `bytes`; false: that was the last one. */
    bool (*next)(void *user, size_t bytes, struct buf *to);
    void (*free)(void *user);
};
/* Takes user. */
void admin_stream(struct admin *a, struct admin_page *p, const struct admin_source *source,
                  void *user);
/* An answer of one line. */
void admin_refuse(struct admin_page *p, int status, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/* What is in the body goes out, unless it streams. */
void admin_page_end(struct admin_page *p);

/* What is in force: borrowed. */
static inline struct proxy_config *admin_config(const struct admin *a)
{
    return a->ops->config(a->user);
}

/* ---- admin_stats.c ---- */
void admin_stats(struct admin *a, struct admin_page *p);
void admin_prometheus(struct admin *a, struct admin_page *p);
void admin_reset_counters(struct admin *a, struct admin_page *p);

/* ---- admin_config.c ---- */
void admin_config_dump(struct admin *a, struct admin_page *p);

/* ---- admin_clusters.c, admin_certs.c, admin_control.c ---- */
void admin_clusters(struct admin *a, struct admin_page *p);
void admin_listeners(struct admin *a, struct admin_page *p);
void admin_certs(struct admin *a, struct admin_page *p);
void admin_fail(struct admin *a, struct admin_page *p);
void admin_pass(struct admin *a, struct admin_page *p);
void admin_drain_listeners(struct admin *a, struct admin_page *p);
void admin_logging(struct admin *a, struct admin_page *p);
