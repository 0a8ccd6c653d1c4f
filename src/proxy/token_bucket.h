#pragma once
/* A bucket of tokens that all workers take from (envoy.type.v3.TokenBucket): it fills evenly, a
 * token at a time. One atomic word. */

#include <stdatomic.h>
#include <stdint.h>

#include <envoy/type/v3/token_bucket.pb-c.h>

#include "base/str.h"

struct token_bucket {
    uint32_t max;
    int64_t token_ns;         /* in which one comes */
    int64_t full_ns;          /* in which all of them do */
    _Atomic int64_t empty_ns; /* when it was, or would have been, empty */
};

/* Full. m has been checked: a max_tokens of 0 lets nothing through. */
void token_bucket_init(struct token_bucket *b, const Envoy__Type__V3__TokenBucket *m,
                       int64_t now_ns);
bool token_bucket_take(struct token_bucket *b, int64_t now_ns);
uint32_t token_bucket_left(const struct token_bucket *b, int64_t now_ns);
/* Until there is one, rounded up; 0: there is. */
uint64_t token_bucket_wait_s(const struct token_bucket *b, int64_t now_ns);
