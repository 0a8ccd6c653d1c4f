#pragma once
/* Shares of requests as configurations give them (FractionalPercent). */

#include <stdbool.h>

#include <envoy/config/core/v3/base.pb-c.h>

struct fraction {
    uint32_t numerator;
    uint32_t denominator; /* 0: not given */
};

struct fraction fraction_of(const Envoy__Type__V3__FractionalPercent *m); /* NULL: not given */
struct fraction fraction_of_runtime(                                      /* the same */
                                    const Envoy__Config__Core__V3__RuntimeFractionalPercent *m);
/* Does a random number fall into it? What is not given is `otherwise`. */
bool fraction_hits(struct fraction f, uint64_t random, bool otherwise);
