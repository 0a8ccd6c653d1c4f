#pragma once
/* Which addresses Services of type LoadBalancer have: of pools, as MetalLB gives them. Objects are
 * put and removed in any order; address_allocator_work() then says what follows, Service by
 * Service. What a Service's status says is its own as long as a pool has it, so a table that is
 * made anew comes out as it was. Pure. */

#include "model/address_pool.h"
#include "model/balanced_service.h"

struct address_allocator;

/* What is to be done for a Service. */
struct address_verdict {
    const struct balanced_service *service;
    bool write; /* status is to be as below; else it is so, or nobody's business */
    struct ip ips[2];
    size_t n_ips;       /* 0: it is to have none */
    const char *pool;   /* of the addresses; NULL: none */
    const char *reason; /* of an Event; NULL: nothing is to be told */
    bool warning;
    const char *message;
};
typedef void address_verdict_fn(const struct address_verdict *v, void *user);

struct address_allocator *address_allocator_new(const char *class_); /* NULL: of no class */
void address_allocator_free(struct address_allocator *a);            /* NULL is allowed */
void address_allocator_put_pool(struct address_allocator *a, const json_t *j);
void address_allocator_remove_pool(struct address_allocator *a, struct str key);
void address_allocator_put_namespace(struct address_allocator *a, const json_t *j);
void address_allocator_remove_namespace(struct address_allocator *a, struct str name);
void address_allocator_put_service(struct address_allocator *a, const json_t *j);
void address_allocator_remove_service(struct address_allocator *a, struct str key);
/* Nothing is given yet: what counts is what status says. */
void address_allocator_forget(struct address_allocator *a);
/* All that has changed, until nothing follows any more. Everything is to be known before. */
void address_allocator_work(struct address_allocator *a, address_verdict_fn *fn, void *user);
/* It has not come to be (the write has failed): said again. */
void address_allocator_mark(struct address_allocator *a, struct str key);
/* Counts the addresses that are somebody's, pool by pool, as next_pool() then tells them. */
void address_allocator_count(struct address_allocator *a);
/* for (size_t at = 0; address_allocator_next_pool(a, &at, &p, in_use);) : all, with what is wrong,
 * and how many addresses (IPv4, IPv6) of each were somebody's when they were counted. Overlaps are
 * among what is wrong after the next work(). */
bool address_allocator_next_pool(const struct address_allocator *a, size_t *at,
                                 const struct address_pool **ret, uint64_t ret_in_use[2]);
