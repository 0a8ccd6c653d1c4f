/* Shares of requests. */
#include "proxy/fraction.h"

#include "base/mem.h"

struct fraction fraction_of(const Envoy__Type__V3__FractionalPercent *m)
{
    static const uint32_t denominators[] = {100, 10000, 1000000};
    if (!m)
        return (struct fraction){0, 0};
    unsigned d = (unsigned)m->denominator;
    return (struct fraction){m->numerator, denominators[d < ARRAY_LEN(denominators) ? d : 0]};
}

struct fraction fraction_of_runtime(const Envoy__Config__Core__V3__RuntimeFractionalPercent *m)
{
    return fraction_of(m ? m->default_value : NULL);
}

bool fraction_hits(struct fraction f, uint64_t random, bool otherwise)
{
    return f.denominator ? random % f.denominator < f.numerator : otherwise;
}
