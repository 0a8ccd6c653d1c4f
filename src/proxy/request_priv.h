#pragma once
/* A request's state: request.c moves it, request_values.c tells of it. */

#include "proxy/reasons.h"
#include "proxy/request.h"
#include "proxy/retry_state.h"
#include "proxy/route_hash.h"

/* A field of the answer that a log wants, kept because the answer's head goes before the log is
 * written. */
struct answer_value {
    struct str name; /* lower case, the format's own */
    struct str value;
};

struct filter_run;
struct pace;
struct request_trace;

struct request {
    uint64_t begin_us; /* monotonic */
    int64_t begin_real_us;
    uint64_t received_bytes; /* of bodies */
    uint64_t body_max;       /* of what may be received; 0: no limit */
    uint64_t sent_bytes;
    struct str upstream_host;           /* .p NULL: none was chosen */
    struct answer_value *answer_values; /* of the fields that logs want */
    size_t n_answer_values;
    uint16_t status;  /* 0: none was sent */
    uint8_t reason;   /* enum reason */
    uint8_t grpc;     /* the status of gRPC and one more; 0: the answer has none */
    uint8_t own_grpc; /* the same of an answer of our own; 0: what its status means */
    uint16_t up_port;
    struct ip up_ip;       /* from where the endpoint is spoken to, where a log wants it */
    struct str up_failure; /* why the last connection did not come about; .p NULL: it did */
    uint64_t begin_ms;     /* of the loop */
    struct worker *worker;
    struct stats_cell *stats;     /* the worker's of the connection manager */
    struct worker_config *config; /* the one it began with */
    const struct route_table *routes;
    const struct mesh_client *client;       /* the connection's; NULL: nobody counts by it */
    const char *service, *peer, *principal; /* as mesh_key has them */
    struct http_stream *down;
    struct http_stream *up; /* NULL: not yet, or no more */
    struct upstream_wait wait;
    const struct http_config *http;
    const struct route_host *host;
    const struct route *route;
    const struct route_cluster *cluster;
    /* Before an answer with that status: true if that to another request goes out instead. NULL:
     * its listener has no filters. */
    bool (*detour)(struct request *r, uint16_t status);
    struct filter_run *filters;  /* NULL: its listener has none, or it has not come to them */
    uint64_t random;             /* of its route; with filters only */
    uint64_t preferred;          /* the id of the endpoint that its session keeps */
    bool prefers;                /* it has one */
    struct str details;          /* instead of the reason's; .p NULL: the reason's */
    struct request_trace *trace; /* NULL: its listener traces nothing */
    struct retry_state *retry;   /* NULL: it is sent once */
    struct affinity *affinity;   /* NULL: its route has no hash policy, or it has not come there */
    struct pace *pace;           /* NULL: its answer goes as it comes */
    struct mirror_plan *mirrors; /* NULL: none, as most */
    struct loop_timer *timer;    /* NULL: answered by ourselves, or over */
    uint64_t timeout_ms;         /* the route's, or what the request says itself; 0: none */
    uint64_t deadline_ms;        /* of the answer; 0: none */
    uint64_t idle_ms;            /* 0: none */
    uint64_t whole_ms;           /* when the request was whole; 0: it is not */
    uint64_t limit_ms;           /* the earliest of the next three; 0: none */
    uint64_t over_ms;            /* of the stream; 0: none */
    uint64_t try_over_ms;        /* of the endpoint's stream; 0: none */
    uint64_t whole_by_ms;        /* of the request; 0: none */
    uint64_t idle_deadline_ms;   /* put off whenever something is heard, without the timer */
    bool traced;                 /* its span goes to a collector */
    bool reused;                 /* its stream is on a connection that has carried others */
    bool again;                  /* it was asked a second time */
    bool delayed;                /* by a filter, on purpose */
    bool unlogged;               /* no log tells of it */
    bool upgrade;                /* it asks for another protocol, and may */
    bool detoured;  /* another request is asked instead: of this one only the head counts */
    bool answering; /* the answer's head has gone out */
    bool answered;  /* and its end */
};

/* What operators of formats stand for (user: the request). */
bool request_value(const struct format_piece *p, struct buf *to, void *user);
/* Keeps what logs want of an answer's head. */
void request_keep_answer(struct request *r, const struct http_head *h);
/* The status of gRPC, of a head or of trailers, where a log wants it. */
void request_keep_grpc(struct request *r, const struct http_head *h);
void request_log(struct request *r);

/* ---- request_answer.c ---- */
/* Fields as table, host, route and cluster change them; of the request, or of the answer. */
void request_change_fields(struct request *r, struct http_head *h, bool answer);
/* An answer of the proxy's own. location .p NULL: none. */
void request_answer(struct request *r, unsigned status, struct str body, struct str location);
/* The same with any fields. */
void request_answer_with(struct request *r, unsigned status, struct str body,
                         const struct http_header *fields, size_t n);
void request_reply(struct request *r, enum reason why);
/* Answers, or cuts an answer that has begun. */
void request_fail(struct request *r, enum reason why);
/* Logs it and gives back what it holds. Harmless twice. */
void request_done(struct request *r);
