#pragma once
/* The one route model: host -> ordered routes -> action, into which every front door compiles
 * (Ingress; later Gateway API and VirtualService). A host is immutable, reference-counted and
 * rebuilt alone. The first route that matches decides; none: 404. */

#include "model/finding.h"
#include "model/route_backend_tls.h"
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

/* Which of a backend's endpoints. */
enum route_balance {
    ROUTE_BALANCE_TURN,
    ROUTE_BALANCE_LOAD, /* who has least to do */
    ROUTE_BALANCE_HASH, /* a ring: few move when endpoints change */
};

/* How the backends are spoken to. */
struct route_upstream {
    enum route_protocol protocol;
    bool tls;
    struct route_backend_tls *with; /* NULL: not verified, and nothing is shown; only with tls */
    enum route_balance balance;
    bool to_service;            /* to the Service's own address; it has none: to its endpoints */
    uint32_t connect_timeout_s; /* 0: the default */
};

/* Where copies of requests go; nobody waits for what they answer. */
struct route_mirror {
    char *host; /* NULL: nowhere */
    uint16_t port;
    bool tls;
    char *as_host; /* NULL: host */
};

/* What is sent again, and not just what the endpoint has not begun with. */
enum {
    ROUTE_RETRY_ERROR = 1 << 0,   /* the connection breaks */
    ROUTE_RETRY_TIMEOUT = 1 << 1, /* nothing is heard for idle_timeout_s */
    ROUTE_RETRY_ANY_METHOD = 1 << 2,
    ROUTE_RETRY_OFF = 1 << 3, /* nothing at all */
    ROUTE_RETRY_STATUSES_MAX = 8,
};

struct route_retry {
    uint32_t on;       /* set of those */
    uint32_t tries;    /* in all; 0: the default */
    uint32_t within_s; /* no try begins later than that; 0: no limit */
    uint16_t statuses[ROUTE_RETRY_STATUSES_MAX];
    uint32_t n_statuses;
};

/* Fields that are set, in place of those of the name. */
struct route_field {
    char *name; /* lower case */
    char *value;
};

struct route_fields {
    struct route_field *v;
    uint32_t n;
};

enum route_secure {
    ROUTE_SECURE_WITH_TLS, /* as the request came */
    ROUTE_SECURE_ALWAYS,
    ROUTE_SECURE_NEVER,
};

/* A cookie that keeps a client where it is. */
struct route_cookie {
    char *name; /* NULL: none */
    char *path;
    char *domain;          /* NULL: none */
    const char *same_site; /* constant; NULL: not said */
    uint32_t max_age_s;    /* 0: as long as the browser runs */
    enum route_secure secure;
    bool endpoint;        /* it names an endpoint; else a place in the ring */
    bool none_by_browser; /* SameSite=None is kept from browsers that take it for Strict */
    bool canary_anew;     /* backends with weights: chosen anew for each request */
};

struct route_cors {
    bool on;
    char **origins; /* "*", exact, or "*.example.com" behind a scheme */
    uint32_t n_origins;
    char *methods, *headers, *expose, *max_age;
    bool credentials;
};

enum { ROUTE_ERROR_CODES_MAX = 64 };

/* Answers of these statuses, of endpoints and of our own, are replaced by those of another backend.
 */
struct route_errors {
    uint16_t codes[ROUTE_ERROR_CODES_MAX];
    uint32_t n_codes;
    struct route_backend to;
    char *of_service, *of_port; /* what that is told: the names of the route's own */
};

/* Text at the beginning, and what takes its place; from NULL: none. */
struct route_pair {
    char *from, *to;
};

/* What becomes of answers on their way to the client, beside their fields. */
struct route_answers {
    struct route_pair cookie_domain; /* all of the attribute, in any case of letters */
    struct route_pair cookie_path;   /* of endpoints' cookies; the attribute's beginning */
    struct route_pair redirect;      /* the beginning of endpoints' Location, and Refresh's URL */
    bool relative;                   /* a redirect of our own names no host */
    bool unlogged;                   /* access logs do not tell of it */
    uint64_t bytes_per_s;            /* of one answer's body; 0: no limit */
    uint64_t bytes_before;           /* go without it */
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
    struct route_cookie affinity;
    struct route_key *keys; /* ROUTE_BALANCE_HASH without a cookie: by these */
    uint32_t n_keys;
    struct route_errors *errors; /* NULL: none */
    struct route_mirror mirror;
    struct route_retry retry;
    struct route_fields request_fields, answer_fields;
    char *answer_map; /* ConfigMap namespace/name with further fields of answers; NULL: none */
    struct route_answers answers;
    struct route_cors cors;
    uint32_t idle_timeout_s;   /* between two reads of the answer; 0: the default */
    bool https_only;           /* plain requests are redirected to https */
    uint16_t https_code;       /* with this; 0: 308 */
    bool believes_https;       /* not those that came to whoever is before us over https */
    struct route_backend asks; /* whom its guard asks; service NULL: by the name in the guard */
    struct route_upstream asks_by;
    bool unasked; /* its guard's server is not asked: of ACME's challenges, where all others are */
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
    struct route_fields tls_fields; /* of answers over TLS */
    /* Who gets connections of TLS for the host, still encrypted; service NULL: they end here. */
    struct route_backend passthrough;
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
void route_pair_done(struct route_pair *p);
void route_answers_done(struct route_answers *a);
void route_add_backend(struct route *r, const char *service, uint16_t port, uint32_t weight);
void route_set_field(struct route_fields *f, const char *name, const char *value);
/* The golden form. */
void route_host_format(const struct route_host *h, struct buf *out);
