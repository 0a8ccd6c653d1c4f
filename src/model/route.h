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
    ROUTE_PATH_REGEX,    /* from the path's beginning; its end is open, if it is not whole */
};

struct route_path {
    enum route_path_kind kind;
    char *text;
    bool ignore_case; /* not of segments */
    bool whole;       /* a regex over all of the path */
};

enum { ROUTE_ALL = 1000000 }; /* as a share of a million */

enum route_comparison {
    ROUTE_IS,
    ROUTE_IS_LIKE, /* a regex over the whole value */
    ROUTE_BEGINS_WITH,
    ROUTE_IS_THERE, /* whatever it is */
};

/* A header of the request, or a parameter of its query. */
struct route_header {
    char *name;  /* of a header: lower case; :method, :scheme, :authority as in HTTP/2 */
    char *value; /* "" where it just is there */
    enum route_comparison how;
    bool not ; /* only requests of which that is not so */
};

/* Which object, and where in it: what `explain` names. */
struct route_origin {
    const char *kind; /* constant */
    char *object;     /* namespace/name */
    char *field;
};

enum route_field_op {
    ROUTE_FIELD_SET, /* in place of those of the name */
    ROUTE_FIELD_ADD, /* beside them */
    ROUTE_FIELD_REMOVE,
};

struct route_field {
    char *name;  /* lower case */
    char *value; /* "" of what is removed */
    enum route_field_op op;
};

struct route_fields {
    struct route_field *v;
    uint32_t n;
};

struct route_backend {
    char *service;                                     /* namespace/name; NULL: */
    char *host;                                        /* the DNS name of what is no Service */
    char *subset;                                      /* of its endpoints; NULL: all */
    uint16_t port;                                     /* of the Service */
    uint32_t weight;                                   /* against those of the other backends */
    struct route_fields request_fields, answer_fields; /* of what goes to it */
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
    char *path;   /* NULL: the request's; may hold a query, which then replaces the request's */
    char *prefix; /* NULL, or in place of as much of the path as the route compares */
    bool drop_query;
};

/* One of three at most. */
struct route_rewrite {
    char *path;   /* all of it: text, in which $1 to $9 are what the path's regex has caught */
    char *prefix; /* in place of as much of the path as the route compares: of a regex all */
    char *regex;  /* what is like that becomes: */
    char *to;     /* with \1 to \9 for what was caught */
    char *host;   /* NULL: the request's */
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
    char *host; /* by its DNS name; NULL: to */
    uint16_t port;
    bool tls;
    char *as_host;           /* NULL: host */
    struct route_backend to; /* by the request's own host */
    uint32_t per_million;    /* of requests */
};

/* What goes wrong on purpose, for a share of requests each. */
struct route_fault {
    uint32_t delay_ms, delay_per_million;
    uint16_t abort_status; /* of HTTP; or */
    uint8_t abort_grpc;    /* of gRPC, and one more */
    uint32_t abort_per_million;
};

/* What is sent again, and not just what the endpoint has not begun with. */
enum {
    ROUTE_RETRY_ERROR = 1 << 0,   /* the connection breaks */
    ROUTE_RETRY_TIMEOUT = 1 << 1, /* nothing is heard for idle_timeout_s */
    ROUTE_RETRY_ANY_METHOD = 1 << 2,
    ROUTE_RETRY_OFF = 1 << 3, /* nothing at all */
    ROUTE_RETRY_STATUSES_MAX = 16,
};

struct route_retry {
    uint32_t on;       /* set of those */
    uint32_t tries;    /* in all; 0: the default */
    uint32_t within_s; /* no try begins later than that; 0: no limit */
    uint16_t statuses[ROUTE_RETRY_STATUSES_MAX];
    uint32_t n_statuses;
    char *conditions;     /* Envoy's words, in place of all that `on` says; NULL: none */
    uint32_t per_try_ms;  /* 0: no limit of its own */
    uint32_t backoff_ms;  /* before the first further try; 0: the default */
    uint32_t other_hosts; /* with conditions: how often another is chosen; 0: any is taken */
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
    bool found_only;      /* none is set where there is none */
    char **attributes;    /* further ones: name, value, name, value... */
    uint32_t n_attributes;
};

struct route_cors {
    bool on;
    char **origins; /* "*", exact, or "*.example.com" behind a scheme */
    uint32_t n_origins;
    struct route_header *like; /* or the Origin compared in other ways */
    uint32_t n_like;
    bool answers_all; /* also preflights of other origins, which then are not forwarded */
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

/* Where requests come from that a route is for. */
enum route_side {
    ROUTE_AT_BOTH,
    ROUTE_AT_PLAIN,
    ROUTE_AT_TLS,
};

struct route {
    char *name; /* in logs; NULL: by its origin */
    enum route_side only_at;
    struct route_path path;
    struct route_header *headers;
    uint32_t n_headers;
    struct route_header *query; /* parameters */
    uint32_t n_query;
    enum route_action action;
    struct route_backend *backends; /* ROUTE_FORWARD: at least one */
    uint32_t n_backends;
    uint16_t status; /* ROUTE_ANSWER */
    char *body;      /* of it; NULL: none */
    size_t body_n;
    struct route_redirect redirect;
    struct route_rewrite rewrite;
    struct route_upstream upstream;
    struct route_cookie affinity;
    struct route_key *keys; /* ROUTE_BALANCE_HASH without a cookie: by these */
    uint32_t n_keys;
    struct route_errors *errors; /* NULL: none */
    struct route_mirror *mirrors;
    uint32_t n_mirrors;
    struct route_fault fault;
    struct route_retry retry;
    struct route_fields request_fields, answer_fields;
    char *answer_map; /* ConfigMap namespace/name with further fields of answers; NULL: none */
    struct route_answers answers;
    struct route_cors cors;
    uint32_t timeout_ms;       /* of all tries together; 0: none */
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

/* Who gets connections of bytes. */
struct route_stream {
    char **server_names; /* of TLS, "*.a.example" too; none: whatever they say */
    uint32_t n_server_names;
    struct route_backend *backends; /* at least one */
    uint32_t n_backends;
    struct route_origin origin;
};

struct route_host {
    unsigned refs;
    char *name;     /* "a.example", "*.example", "*" */
    bool one_label; /* the asterisk of a name stands for one label (Ingress) */
    struct route *routes;
    uint32_t n_routes;
    struct route_stream *streams; /* the first that matches decides, too */
    uint32_t n_streams;
    struct route_fields tls_fields; /* of answers over TLS */
    /* Who gets connections of TLS for the host, still encrypted; service NULL: they end here. */
    struct route_backend passthrough;
    char *secret; /* namespace/name of what holds its certificate; "": the default; NULL: no TLS */
    struct route_client_cert *client_cert; /* NULL: none is asked for */
    struct route_origin owner; /* the oldest object that makes it; kind NULL: none does */
    int64_t since_s;           /* when that was made */
    struct findings findings;
};

struct route_host *route_host_new(const char *name);
/* A zeroed route at the end; good until the next one is added. */
struct route *route_host_add(struct route_host *h);
struct route_stream *route_host_add_stream(struct route_host *h);
struct route_host *route_host_ref(struct route_host *h);
void route_host_unref(struct route_host *h); /* NULL is allowed */
void route_done(struct route *r);
void route_pair_done(struct route_pair *p);
void route_answers_done(struct route_answers *a);
struct route_backend *route_add_backend(struct route *r, const char *service, uint16_t port,
                                        uint32_t weight);
void route_backend_done(struct route_backend *b);
/* A zeroed one at the end of a list. */
struct route_header *route_headers_add(struct route_header **list, uint32_t *n);
void route_headers_free(struct route_header *list, uint32_t n);
struct route_mirror *route_add_mirror(struct route *r);
void route_add_field(struct route_fields *f, const char *name, const char *value,
                     enum route_field_op op);
void route_set_field(struct route_fields *f, const char *name, const char *value);
/* The golden form. */
void route_host_format(const struct route_host *h, struct buf *out);
