#include "model/traffic.h"

static const double bounds_ms[TRAFFIC_BOUNDS] = {
    0.5,  1,    5,     10,    25,    50,     100,    250,     500,    1000,
    2500, 5000, 10000, 30000, 60000, 300000, 600000, 1800000, 3600000};

void traffic_add(struct traffic *to, const struct traffic *more)
{
    to->seconds = MAX(to->seconds, more->seconds);
    to->requests += more->requests;
    to->errors += more->errors;
    to->milliseconds += more->milliseconds;
    for (size_t i = 0; i < ARRAY_LEN(to->buckets); i++)
        to->buckets[i] += more->buckets[i];
    to->received_bytes += more->received_bytes;
    to->sent_bytes += more->sent_bytes;
    to->connections += more->connections;
}

double traffic_rate(const struct traffic *t)
{
    return (double)t->requests / (double)MAX(t->seconds, (uint64_t)1);
}

double traffic_success(const struct traffic *t)
{
    return t->requests ? 1 - (double)MIN(t->errors, t->requests) / (double)t->requests : 1;
}

double traffic_percentile(const struct traffic *t, double q)
{
    uint64_t all = 0, below = 0;
    for (size_t i = 0; i < ARRAY_LEN(t->buckets); i++)
        all += t->buckets[i];
    if (!all)
        return 0;
    double rank = q * (double)all;
    for (size_t i = 0; i < TRAFFIC_BOUNDS; i++) {
        double from = i ? bounds_ms[i - 1] : 0, n = (double)t->buckets[i];
        if (n > 0 && (double)below + n >= rank)
            return from + (bounds_ms[i] - from) * (rank - (double)below) / n;
        below += t->buckets[i];
    }
    return bounds_ms[TRAFFIC_BOUNDS - 1]; /* and more */
}

json_t *traffic_to_json(const struct traffic *t)
{
    json_t *buckets = json_array();
    for (size_t i = 0; i < ARRAY_LEN(t->buckets); i++)
        json_array_append_new(buckets, json_integer((json_int_t)t->buckets[i]));
    return json_pack("{s:I,s:I,s:I,s:I,s:o,s:I,s:I,s:I,s:f,s:f,s:f,s:f,s:f}", "seconds",
                     (json_int_t)t->seconds, "requests", (json_int_t)t->requests, "errors",
                     (json_int_t)t->errors, "milliseconds", (json_int_t)t->milliseconds, "buckets",
                     buckets, "receivedBytes", (json_int_t)t->received_bytes, "sentBytes",
                     (json_int_t)t->sent_bytes, "connections", (json_int_t)t->connections,
                     "requestsPerSecond", traffic_rate(t), "success", traffic_success(t),
                     "p50Milliseconds", traffic_percentile(t, 0.5), "p95Milliseconds",
                     traffic_percentile(t, 0.95), "p99Milliseconds", traffic_percentile(t, 0.99));
}

static uint64_t number(const json_t *j)
{
    json_int_t n = json_integer_value(j);
    return n > 0 ? (uint64_t)n : 0;
}

void traffic_add_json(struct traffic *to, const json_t *j)
{
    struct traffic t = {
        .seconds = number(json_object_get(j, "seconds")),
        .requests = number(json_object_get(j, "requests")),
        .errors = number(json_object_get(j, "errors")),
        .milliseconds = number(json_object_get(j, "milliseconds")),
        .received_bytes = number(json_object_get(j, "receivedBytes")),
        .sent_bytes = number(json_object_get(j, "sentBytes")),
        .connections = number(json_object_get(j, "connections")),
    };
    for (size_t i = 0; i < ARRAY_LEN(t.buckets); i++)
        t.buckets[i] = number(json_array_get(json_object_get(j, "buckets"), i));
    traffic_add(to, &t);
}
