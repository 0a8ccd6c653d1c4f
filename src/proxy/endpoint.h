#pragma once
/* An endpoint: one address of a cluster, shared by reference. It outlives the sets that name it,
 * and with it what is known of its health and load: a new set that has its address takes it over.
 */

#include <stdatomic.h>

#include "base/addr.h"
#include "base/str.h"

enum {
    WORKERS_MAX = 64,
    ENDPOINT_TEXT_BYTES = 128,
    CACHE_LINE_BYTES = 64,
};

/* What is known of it beside its set: bits, written by the main thread, read by everybody. */
enum {
    ENDPOINT_FAILED_CHECK = 1,  /* its active health check fails */
    ENDPOINT_EJECTED = 2,       /* outlier detection has thrown it out */
    ENDPOINT_PENDING_CHECK = 4, /* not checked yet, and not to be used before */
};

/* What a worker writes about it: a line of its own for each. */
struct endpoint_load {
    _Alignas(CACHE_LINE_BYTES) atomic_uint active; /* requests that have chosen it */
    /* For outlier detection, counting on: answers, and those below 500; tries, and those that
     * reached it. */
    atomic_uint total;
    atomic_uint ok;
    atomic_uint local_total;
    atomic_uint local_ok;
};

struct endpoint {
    atomic_uint refs;
    atomic_uint flags;
    atomic_uint conns; /* of all workers, where the cluster limits them for each endpoint */
    socklen_t address_bytes;
    struct sockaddr_storage address;
    _Atomic(struct endpoint_load *) loads; /* one for each worker; made when first asked for */
    _Atomic(const char *) peer;            /* a label_text(): the workload there; NULL: not told */
    _Atomic(const char *)
        principal; /* a label_text(): who its certificate last said it is; NULL: none */
    struct outlier_host *outlier; /* owned; NULL: the cluster has no outlier detection */
    uint64_t usable_ms;           /* since when, where a cluster warms up; the main thread's */
    uint64_t id;                  /* a hash of its text, the same in every proxy */
    char *labels; /* by which it is chosen how it is spoken to (socket_match.h); NULL: none */
    size_t labels_n;
    char text[]; /* 10.0.0.1:80, [::1]:80, or a path; at most ENDPOINT_TEXT_BYTES */
};

/* How many workers there are: said once, before the first of them runs. 1 if nobody says. */
void endpoint_set_workers(unsigned n);
unsigned endpoint_workers(void);

struct endpoint *endpoint_new(const struct ip *ip, uint16_t port);
/* -ENAMETOOLONG. */
int endpoint_new_unix(struct str path, struct endpoint **ret) NODISCARD;
struct endpoint *endpoint_ref(struct endpoint *e);
void endpoint_unref(struct endpoint *e); /* NULL is allowed */
struct endpoint_load *endpoint_load(struct endpoint *e, unsigned worker);
/* Requests on it, of all workers. */
unsigned endpoint_active(const struct endpoint *e);
