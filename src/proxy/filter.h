#pragma once
/* HTTP filters: what stands between a request's route and what is done about it. A filter is one
 * file and one row of filters.def; it knows its own configuration and the call below, nothing of
 * requests, routes or workers.
 *
 * On a request each filter of the chain is asked in turn. One that waits holds the request up until
 * it calls go_on(); the client may be gone before, and then on_done() comes first. on_answer() is
 * asked in the opposite order, of the answers of endpoints and of our own, whoever made them, also
 * of filters that the request never came to. */

#include <google/protobuf/any.pb-c.h>

#include "codec/format.h"
#include "codec/json.h"
#include "codec/pb_path.h"
#include "net/http_stream.h"
#include "proxy/reasons.h"
#include "proxy/stats.h"

enum filter_result {
    FILTER_CONTINUE,
    FILTER_WAIT,     /* go_on() is called later; the client is held back meanwhile */
    FILTER_COLLECT,  /* it goes on with on_body(), if any, when the body is here: collect_max */
    FILTER_ANSWERED, /* by what stands in answer */
};

struct answer_cache;
struct filter_call;
struct filter_fetch;
struct header_ops;

/* Another request, whose answer goes out instead of one: to another virtual host of the same table.
 */
struct filter_detour {
    struct str host, path; /* path .p NULL: the request's */
    bool strip_query;
    const struct header_ops *request_ops; /* before host and path are changed */
};

struct filter_answer {
    uint8_t reason;                   /* enum reason */
    uint16_t status;                  /* 0: the reason's */
    uint8_t grpc;                     /* of gRPC, and one more; 0: what the status means there */
    struct str body;                  /* .p NULL: the reason's */
    struct str details;               /* .p NULL: the reason's */
    const struct http_header *fields; /* borrowed until it has been answered */
    size_t n_fields;
};

/* A filter's configuration at one place of the route tables, under the filter's configured name. */
struct filter_override {
    struct str name;
    uint64_t hash;                  /* of the name */
    const struct filter_type *type; /* NULL: on or off alone */
    void *config;                   /* in the table's arena; NULL: none */
    bool disabled;
};

struct filter_overrides {
    struct filter_override *v;
    size_t n;
};

/* The places where it may stand, the most specific first: cluster by weight, route, host, table. */
enum { FILTER_LEVELS = 4 };

/* A question of a filter's own to a cluster. */
struct filter_question {
    const char *cluster;
    uint64_t timeout_ms; /* 0: none */
    struct http_head head;
    bool with_body;        /* what was collected of the request's goes with it */
    struct chain *message; /* in place of that: taken by ask(); NULL: none */
    /* Its answer, whole; NULL: none came. Both are gone when it returns; never called from inside
     * ask(). */
    void (*on_answer)(struct filter_call *c, const struct http_head *answer, struct str body);
};

struct filter_call {
    const struct filter_type *type;
    const void *config;                /* the filter's own */
    const void *levels[FILTER_LEVELS]; /* what routes say, the most specific first; NULL: nothing */
    const void *route;                 /* the first of them; NULL: none */
    void *state;                       /* the filter's, zeroed, as large as its type says */
    struct http_head *head;            /* the request's */
    struct http_stream *down;
    struct loop *loop;
    /* Who asks, behind proxies that are believed. Negative: not known. */
    int (*client)(const struct filter_call *c, struct ip *ret);
    format_value_fn *value;   /* of operators of formats */
    void *request;            /* its user */
    json_t **metadata;        /* what filters say to those behind them: an object each, by the
                                 filter's name; NULL: nothing yet */
    const struct chain *body; /* what was collected of the request's */
    const struct http_head *trailers; /* of the answer to its question, which on_answer() is told
                                         of; NULL: none */
    struct answer_cache *answers;     /* that filters have been given; the worker's */
    const char *cluster;              /* that the route names; NULL: none */
    struct stats_cell *stats;         /* the worker's of the connection manager */
    unsigned worker;                  /* its index */
    uint64_t collect_max;             /* bytes of body that FILTER_COLLECT takes */
    uint64_t body_max; /* set: a body that turns out larger is refused; 0: no limit */
    struct filter_answer answer;
    bool delayed;  /* the log is to say so */
    bool unlogged; /* no log is to tell of it */
    uint64_t bytes_per_s,
        bytes_before; /* of the answer's body, and how many go first; 0: no limit */
    void (*go_on)(struct filter_call *c, enum filter_result r);
    /* The endpoint with that id is to have the request, while it can be used. */
    void (*prefer)(struct filter_call *c, uint64_t id);
    /* NULL: it cannot be asked. */
    struct filter_fetch *(*ask)(struct filter_call *c, const struct filter_question *q);
    void (*ask_no_more)(struct filter_fetch *f); /* NULL is allowed */
};

/* Where the compilation of a filter's configuration stands. */
struct filter_compile {
    struct arena *a; /* what is made lives here */
    struct pb_path *path;
    struct err *err;
};

/* -EINVAL with the path of what is wrong, -ENOMEM. */
typedef int filter_compile_fn(struct filter_compile *c, const ProtobufCMessage *m, void **ret);

/* A filter that has nothing to do with requests but that they are counted. */
struct filter_watch {
    bool counts;
    bool no_host;                   /* what was called is not told where it is no Service */
    const struct mesh_edits *edits; /* what metrics are told otherwise; NULL: nothing */
};

struct filter_type {
    const char *name; /* Envoy's */
    const ProtobufCMessageDescriptor *message;
    const ProtobufCMessageDescriptor *route_message; /* NULL: routes have nothing to say */
    filter_compile_fn *compile;
    filter_compile_fn *compile_route;
    size_t state_bytes;
    bool is_terminal;                          /* the router */
    bool watches;                              /* its config is a struct filter_watch, and it is
                                                  never called */
    struct str (*cluster)(const void *config); /* that it asks; empty: none */
    enum filter_result (*on_request)(struct filter_call *c);
    enum filter_result (*on_body)(struct filter_call *c); /* what it asked to collect is here */
    /* Before on_answer(): of an answer with that status, also of our own. NULL: it goes out. */
    const struct filter_detour *(*detour)(const struct filter_call *c, uint16_t status);
    /* Of an endpoint's answer that goes on, as it came: before anything of ours is added. */
    void (*on_received)(struct filter_call *c, struct http_head *answer);
    void (*on_answer)(struct filter_call *c, struct http_head *answer);
    void (*on_done)(struct filter_call *c); /* the request is over: timers end */
};
