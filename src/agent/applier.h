#pragma once
/* The thread that talks to the kernel. Takes one delta at a time, answers on the loop; in between
 * it looks after the table. The decision thread never waits for it. */

#include "agent/delta.h"
#include "net/loop.h"

struct applier;

struct applier_result {
    int code; /* 0 or negative errno */
    struct err err;
    uint64_t took_us;   /* in the kernel */
    uint64_t oldest_us; /* of the delta; 0: not a delta but a repair or a sample */
    bool sample;        /* only the counters tell something */
    bool repaired;      /* somebody else had changed the table, and it is as it ought to be */
    size_t services;
    struct dataplane_counters counters;
};
typedef void applier_fn(const struct applier_result *r, void *user);

/* Takes the backend. fn is called on the loop for each delta, repair and sample. */
int applier_new(struct loop *l, struct dataplane *backend, applier_fn *fn, void *user,
                struct applier **ret, struct err *reterr) NODISCARD;
/* Takes the delta. Only when the one before was answered. */
void applier_start(struct applier *a, struct agent_delta **delta);
bool applier_is_busy(const struct applier *a);
/* For a failed assert, from any thread and without memory: what the thread applies. */
void applier_dump(const struct applier *a, int fd);
/* Waits for what is under way; fn is not called any more. */
void applier_free(struct applier *a);
