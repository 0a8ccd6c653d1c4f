#pragma once
/* What stands before a route and may refuse a request, whatever front door asked for it. Immutable
 * once it is on a route; routes of one Ingress share it. */

#include "base/addr.h"
#include "base/buf.h"

struct route_prefixes {
    struct prefix *v;
    uint32_t n;
};

/* By the client's address: 403. deny counts before allow; no allow: all that are not denied. */
struct route_addresses {
    struct route_prefixes allow, deny;
};

/* Texts in which stand parts of the request. */
enum route_variable {
    ROUTE_VARIABLE_NONE,
    ROUTE_SCHEME,
    ROUTE_HOST,      /* without a port */
    ROUTE_HTTP_HOST, /* as the client says it */
    ROUTE_REQUEST_URI,
    ROUTE_ESCAPED_REQUEST_URI,
};

struct route_piece {
    char *literal; /* never NULL; before the variable */
    enum route_variable variable;
};

struct route_text {
    struct route_piece *v;
    uint32_t n;
};

/* For each client address, of all routes with the same key: 503. */
struct route_limits {
    char *key;           /* NULL: nothing is limited */
    uint32_t concurrent; /* requests at a time; 0: any number, as of the others */
    uint32_t per_minute, per_second;
    uint32_t burst;                          /* that many times as much at once */
    uint16_t concurrent_status, rate_status; /* of what is refused; 0: 503 */
    struct route_prefixes exempt;
};

/* By name and password: 401. */
struct route_basic_auth {
    char *secret; /* namespace/name; NULL: nobody is asked for them */
    bool map;     /* its keys are the names; else its key "auth" is a file of htpasswd */
    char *realm;
};

/* How long an answer with one of these statuses is remembered. */
struct route_remembered {
    uint16_t status;
    uint32_t seconds;
};

enum { ROUTE_REMEMBERED_MAX = 16 };

enum route_key_kind {
    ROUTE_KEY_URI,  /* with the query */
    ROUTE_KEY_PATH, /* without */
    ROUTE_KEY_HOST,
    ROUTE_KEY_ADDRESS, /* of the client */
    ROUTE_KEY_QUERY,
    ROUTE_KEY_COOKIE,
    ROUTE_KEY_HEADER,
};

/* A part of what is hashed, or remembered by. */
struct route_key {
    enum route_key_kind kind;
    char *name; /* NULL: of the last three alone */
};

void route_keys_free(struct route_key *keys, uint32_t n);
/* "uri + cookie sid". */
void route_keys_format(const struct route_key *keys, uint32_t n, struct buf *out);

/* By what another server says: 401 or 403, 500 where it says nothing of use. */
struct route_auth_request {
    bool on, tls;
    bool own_host; /* the host is the request's own: what this host's routes lead to is asked */
    char *host;    /* lower case; with own_host: NULL */
    uint16_t port;
    struct route_text path;
    char *method;
    struct route_text sign_in; /* where 401 becomes a redirect; n 0: it does not */
    struct route_text
        redirect; /* what the server is told of where the client wanted to go; n 0: path */
    char **response_headers; /* of the server, for the backend */
    uint32_t n_response_headers;
    char *set_headers; /* ConfigMap namespace/name; NULL: none */
    bool always_set_cookie;
    struct route_key *keys; /* its answers are remembered by these; n_keys 0: they are not */
    uint32_t n_keys;
    struct route_remembered remembered[ROUTE_REMEMBERED_MAX];
    uint32_t n_remembered;
};

struct route_guard {
    unsigned refs;
    uint64_t body_max_bytes; /* of the request: 413; 0: no limit */
    struct route_addresses addresses;
    struct route_limits limits;
    struct route_basic_auth basic;
    struct route_auth_request request;
    bool any; /* of address, name and server one is enough */
};

/* Certificates of clients, of all connections for a host: 400. */
enum route_verify_client {
    ROUTE_VERIFY_ON,
    ROUTE_VERIFY_OPTIONAL,       /* none is good, too */
    ROUTE_VERIFY_OPTIONAL_NO_CA, /* and any: the backend is told what it is worth */
    ROUTE_VERIFY_OFF,
};

struct route_client_cert {
    unsigned refs;
    char *secret; /* namespace/name of the Secret with ca.crt, and ca.crl if there is one */
    enum route_verify_client verify;
    uint32_t depth;
    char *error_page; /* instead of 400; NULL: none */
    char *match_cn;   /* expression for a part of the subject: 403; NULL: any */
    bool pass;        /* the backend is told the certificate itself */
};

struct route_client_cert *route_client_cert_new(void);
struct route_client_cert *route_client_cert_ref(struct route_client_cert *c);
void route_client_cert_unref(struct route_client_cert *c); /* NULL is allowed */
bool route_client_cert_eq(const struct route_client_cert *a, const struct route_client_cert *b);
void route_client_cert_format(const struct route_client_cert *c, struct buf *out);

void route_text_add(struct route_text *t, struct str literal, enum route_variable variable);
void route_text_done(struct route_text *t);

struct route_guard *route_guard_new(void);
struct route_guard *route_guard_ref(struct route_guard *g);
void route_guard_unref(struct route_guard *g); /* NULL is allowed */
/* Does it refuse anything at all? g NULL: no. */
bool route_guard_is_empty(const struct route_guard *g);
/* Does it keep some clients from what others get? A limit of bodies alone does not. g NULL: no. */
bool route_guard_restricts(const struct route_guard *g);
/* The golden form: one line's end, with a blank before each part. */
void route_guard_format(const struct route_guard *g, struct buf *out);
/* What a reader of `explain` is told: parts with ", " between them; nothing: empty. */
void route_guard_explain(const struct route_guard *g, struct buf *out);
