#pragma once
/* The one route model: host -> ordered routes -> action, into which every front door compiles
 * (Ingress; later Gateway API and VirtualService). A host is immutable, reference-counted and
 * rebuilt alone. The first route that matches decides; none: 404. */

#include "model/finding.h"
#include "model/route_guard.h"

enum route_path_kind {
    ROUTE_PATH_EXACT,
    ROUTE_PATH_PREFIX,   /* of the text, wherever a segment ends */
    ROUTE_PATH_SEGMENTS, /* whole segments: /a matches /a and /a/b, not /ab */
    ROUTE_PATH_REGEX,    /* from the path's beginning; its end is open */
};

struct route_path {
    enum route_path_kind kind;
    char *text;
    bool ignore_case; /* of a regex */
};

/* A header of the request. */
struct route_header {
    char *name;  /* lower case */
    char *value; /* equal to it; or a regex over the whole value */
    bool regex;
};

/* Which object, and where in it: what `explain` names. */
struct route_origin {
    const char *kind; /* constant */
    char *object;     /* namespace/name */
    char *field;
};

struct route_backend {
    char *service;   /* namespace/name */
    uint16_t port;   /* of the Service */
    uint32_t weight; /* against those of the other backends */
};

enum route_action {
    ROUTE_FORWARD,
    ROUTE_REDIRECT,
    ROUTE_ANSWER,
};

struct route_redirect {
    uint16_t code;
    char *scheme; /* NULL: the request's */
    char *host;   /* NULL: the request's; else all of the URL behind the scheme is given */
    uint16_t port;
    char *path; /* NULL: the request's; may hold a query, which then replaces the request's */
    bool drop_query;
};

/* The whole path is replaced: by text, in which $1 to $9 are what the path's regex has caught. */
struct route_rewrite {
    char *path; /* NULL: none */
    char *host; /* NULL: the request's */
};

enum route_protocol {
    ROUTE_HTTP1,
    ROUTE_HTTP2, /* prior knowledge, or ALPN over TLS */
};

/* How the backends are spoken to. */
struct route_upstream {
    enum route_protocol protocol;
    bool tls;                   /* not verified */
    uint32_t connect_timeout_s; /* 0: the default */
};

struct route_cors {
    bool on;
    char **origins; /* "*", exact, or "*.example.com" behind a scheme */
    uint32_t n_origins;
    char *methods, *headers, *expose, *max_age;
    bool credentials;
};

struct route {
    struct route_path path;
    struct route_header *headers;
    uint32_t n_headers;
    enum route_action action;
    struct route_backend *backends; /* ROUTE_FORWARD: at least one */
    uint32_t n_backends;
    uint16_t status; /* ROUTE_ANSWER */
    struct route_redirect redirect;
    struct route_rewrite rewrite;
    struct route_upstream upstream;
    struct route_cors cors;
    uint32_t idle_timeout_s;   /* between two reads of the answer; 0: the default */
    bool https_only;           /* plain requests are redirected to https with 308 */
    struct route_backend asks; /* whom its guard asks; service NULL: by the name in the guard */
    struct route_upstream asks_by;
    const struct route_client_cert *client_cert; /* its host's; NULL: none is asked for */
    bool challenge;            /* of ACME: in plain HTTP no certificate is asked for */
    struct route_guard *guard; /* NULL: none; before whatever it does, but redirects */
    struct route_origin origin;
};

struct route_host {
    unsigned refs;
    char *name;     /* "a.example", "*.example", "*" */
    bool one_label; /* the asterisk of a name stands for one label (Ingress) */
    struct route *routes;
    uint32_t n_routes;
    char *secret; /* namespace/name of what holds its certificate; "": the default; NULL: no TLS */
    struct route_client_cert *client_cert; /* NULL: none is asked for */
    struct findings findings;
};

struct route_host *route_host_new(const char *name);
/* A zeroed route at the end; good until the next one is added. */
struct route *route_host_add(struct route_host *h);
struct route_host *route_host_ref(struct route_host *h);
void route_host_unref(struct route_host *h); /* NULL is allowed */
void route_done(struct route *r);
void route_add_backend(struct route *r, const char *service, uint16_t port, uint32_t weight);
/* The golden form. */
void route_host_format(const struct route_host *h, struct buf *out);
