/* Loads of priorities. Integers throughout: the same remainders as Envoy's, given to the same. */
#include "proxy/lb_priority.h"

#include "base/mem.h"

static uint32_t counted(const struct lb_priority *p)
{
    return p->hosts - p->excluded;
}

/* Of a priority: 100 is enough to take everything. */
static uint32_t availability(const struct lb_priority *p, uint32_t usable, uint32_t factor)
{
    return counted(p) ? (uint32_t)MIN(100ull, 1ull * usable * factor / counted(p)) : 0;
}

static bool too_few(const struct lb_priority *p, uint32_t panic_percent)
{
    uint64_t usable = (uint64_t)p->healthy + p->degraded;
    return usable * 100 < (uint64_t)panic_percent * counted(p) ||
           (!counted(p) && panic_percent > 0);
}

/* Everybody is in panic: by the number of hosts. */
static void share_by_hosts(struct lb_priority *p, size_t n)
{
    uint64_t all = 0;
    uint32_t left = 100;
    struct lb_priority *first = NULL;
    for (size_t i = 0; i < n; i++)
        all += p[i].hosts;
    for (size_t i = 0; i < n; i++) {
        p[i].healthy_load = (uint8_t)(all ? 100 * (uint64_t)p[i].hosts / all : 0);
        p[i].degraded_load = 0;
        left -= p[i].healthy_load;
        if (!first && p[i].hosts)
            first = &p[i];
    }
    if (!first)
        first = p;
    if (n)
        first->healthy_load = (uint8_t)(first->healthy_load + left);
}

static uint32_t share(uint32_t available, uint32_t total, uint32_t left)
{
    return total ? MIN(left, available * 100 / total) : 0;
}

static void share_by_health(struct lb_priority *p, size_t n, uint32_t factor, uint32_t total)
{
    uint32_t left = 100;
    uint8_t *first = NULL;
    for (size_t i = 0; i < n; i++) {
        uint32_t available = availability(&p[i], p[i].healthy, factor);
        p[i].healthy_load = (uint8_t)share(available, total, left);
        left -= p[i].healthy_load;
        if (!first && available)
            first = &p[i].healthy_load;
    }
    for (size_t i = 0; i < n; i++) {
        uint32_t available = availability(&p[i], p[i].degraded, factor);
        p[i].degraded_load = (uint8_t)share(available, total, left);
        left -= p[i].degraded_load;
        if (!first && available)
            first = &p[i].degraded_load;
    }
    if (!first && n) /* nobody, and no panic either: the first answers for it */
        first = &p->healthy_load;
    if (first)
        *first = (uint8_t)(*first + left);
}

void lb_priority_loads(struct lb_priority *p, size_t n, uint32_t overprovisioning_percent,
                       uint32_t panic_percent)
{
    uint32_t total = 0;
    bool all_panic = true;
    for (size_t i = 0; i < n && total < 100; i++)
        total += availability(&p[i], p[i].healthy, overprovisioning_percent) +
                 availability(&p[i], p[i].degraded, overprovisioning_percent);
    total = MIN(total, 100u);
    for (size_t i = 0; i < n; i++) {
        p[i].panic = total < 100 && too_few(&p[i], panic_percent);
        all_panic = all_panic && p[i].panic;
    }
    if (all_panic)
        share_by_hosts(p, n);
    else
        share_by_health(p, n, overprovisioning_percent, total);
}
