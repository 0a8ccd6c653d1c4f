/* Buckets and rules are kube-proxy's (pkg/proxy/metrics, endpointschangetracker): from 250 ms to 5
 * minutes, changes from before the start are left out. Bounded: of more changes than are remembered
 * the later ones are not measured. */
#include "agent/programming_latency.h"

#include "base/hash.h"
#include "base/time.h"

enum { PENDING_MAX = 10000 };

static double bucket_limit(size_t i)
{
    if (i < 2)
        return 0.25 * (double)(i + 1);
    if (i < 61)
        return (double)(i - 1);
    return i < 73 ? 60 + 5 * (double)(i - 61) : 120 + 30 * (double)(i - 73);
}

static uint64_t hash_of(struct str slice)
{
    return hash_bytes(slice.p, slice.n);
}

void programming_latency_done(struct programming_latency *p)
{
    vec_done(&p->pending);
}

void programming_latency_note(struct programming_latency *p, struct str slice, unsigned family,
                              const char *trigger)
{
    int64_t us;
    if (!trigger || p->pending.n >= PENDING_MAX || time_parse_rfc3339(str_from(trigger), &us) < 0 ||
        us <= p->started_us)
        return;
    vec_push(&p->pending, ((struct latency_pending){us, hash_of(slice), family == 1, false}));
}

/* Keeps those for which the condition holds. */
#define KEEP_IF(p, condition)                                                                      \
    do {                                                                                           \
        size_t kept_ = 0;                                                                          \
        for (size_t i_ = 0; i_ < (p)->pending.n; i_++) {                                           \
            const struct latency_pending *it = &(p)->pending.v[i_];                                \
            if (condition)                                                                         \
                (p)->pending.v[kept_++] = *it;                                                     \
        }                                                                                          \
        (p)->pending.n = kept_;                                                                    \
    } while (0)

void programming_latency_forget(struct programming_latency *p, struct str slice)
{
    uint64_t hash = hash_of(slice);
    KEEP_IF(p, it->slice != hash);
}

void programming_latency_sent(struct programming_latency *p)
{
    VEC_FOREACH (it, &p->pending)
        it->sent = true;
}

void programming_latency_arrived(struct programming_latency *p, int64_t now_us)
{
    VEC_FOREACH (it, &p->pending) {
        double s = (double)MAX(now_us - it->since_us, (int64_t)0) / 1e6;
        size_t i = 0;
        if (!it->sent)
            continue;
        while (i < LATENCY_BUCKETS && s > bucket_limit(i))
            i++;
        p->buckets[it->family][i]++;
        p->n[it->family]++;
        p->sum_s[it->family] += s;
    }
    KEEP_IF(p, !it->sent);
}

void programming_latency_format(const struct programming_latency *p, struct buf *out)
{
    static const char name[] = "kubeproxy_network_programming_duration_seconds";
    buf_addf(out, "# TYPE %s histogram\n", name);
    for (unsigned f = 0; f < 2; f++) {
        const char *family = f ? "IPv6" : "IPv4";
        uint64_t sum = 0;
        for (size_t i = 0; i < LATENCY_BUCKETS; i++) {
            sum += p->buckets[f][i];
            buf_addf(out, "%s_bucket{ip_family=\"%s\",le=\"%g\"} %llu\n", name, family,
                     bucket_limit(i), (unsigned long long)sum);
        }
        buf_addf(out, "%s_bucket{ip_family=\"%s\",le=\"+Inf\"} %llu\n", name, family,
                 (unsigned long long)p->n[f]);
        buf_addf(out, "%s_sum{ip_family=\"%s\"} %g\n", name, family, p->sum_s[f]);
        buf_addf(out, "%s_count{ip_family=\"%s\"} %llu\n", name, family,
                 (unsigned long long)p->n[f]);
    }
}
