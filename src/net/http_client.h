#pragma once
/* A client of whole messages over net/http_stream.h: a pool of connections to one origin; whole
 * answers or pieces as they come. */

#include "net/http_stream.h"
#include "net/resolver.h"

struct http_client;
struct http_call;

struct http_client_config {
    struct ip ip; /* unset: host is resolved, again whenever none of its addresses answers */
    uint16_t port;
    const char *host;          /* Host header and TLS server name */
    const char *resolve;       /* the name to resolve; NULL = host */
    struct resolver *resolver; /* borrowed; NULL = one of its own */
    const char *prefix;        /* put before every target: "" or "/base"; NULL = "" */
    struct tls_context *tls;   /* NULL = plain */
    struct ip from;            /* whence to connect; unset: as the route says */
    const char *authorization; /* value of the Authorization header, or NULL */
    const char *user_agent;
    uint64_t connect_timeout_ms; /* 0 = 10 s */
    size_t idle_connections_max; /* kept for reuse; 0 = 4 */
};

struct http_client *http_client_new(struct loop *l, const struct http_client_config *c);
void http_client_free(struct http_client *c); /* open calls end with -ECANCELED */

/* For calls that start from now on; NULL = none. Copied. */
void http_client_set_authorization(struct http_client *c, const char *value);

struct http_request {
    const char *method;
    const char *target; /* path and query, already encoded */
    const struct http_header *headers;
    size_t n_headers;
    struct str
        body; /* copied; content length is added when not empty or method is POST/PUT/PATCH */
    uint64_t timeout_ms;   /* for the whole call; 0 = none (streams) */
    size_t body_bytes_max; /* whole answers: 0 = 512 MiB */
};

struct http_call_ops {
    /* The head has come. May be NULL. */
    void (*on_head)(struct http_call *call, int status, void *user);
    /* A piece of the body. NULL: gathered, see http_call_body. */
    void (*on_data)(struct http_call *call, struct str piece, void *user);
    /* 101: the connection is the callee's. Bytes already read are in conn_in. on_done is not
     * called. May be NULL. */
    void (*on_upgrade)(struct http_call *call, struct conn *c, void *user);
    /* Over: code 0 = the whole answer came (whatever its status); negative errno otherwise. The
     * call is freed after. */
    void (*on_done)(struct http_call *call, int code, const char *text, void *user);
};

/* Starts; callbacks never come from inside this call. */
struct http_call *http_call_start(struct http_client *c, const struct http_request *r,
                                  const struct http_call_ops *ops, void *user);
/* Ends it without a callback. */
void http_call_cancel(struct http_call *call);
/* on_data comes no more, but for what was read already, until it is resumed. Once the head has
 * come. */
void http_call_pause(struct http_call *call);
void http_call_resume(struct http_call *call);
int http_call_status(const struct http_call *call);
/* The answer's; without fields before it has come. */
const struct http_head *http_call_head(const struct http_call *call);
struct str http_call_header(const struct http_call *call, const char *name);
struct str http_call_body(const struct http_call *call);
