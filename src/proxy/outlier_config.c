/* From an OutlierDetection message to its configuration; what is left out is as Envoy has it. */
#include <errno.h>

#include "proxy/duration.h"
#include "proxy/outlier.h"

typedef Envoy__Config__Cluster__V3__OutlierDetection pb_outlier;

static uint32_t number(const Google__Protobuf__UInt32Value *m, uint32_t otherwise)
{
    return m ? m->value : otherwise;
}

static void read_enforcing(const pb_outlier *m, struct outlier_config *o)
{
    const struct {
        const Google__Protobuf__UInt32Value *m;
        uint8_t *to;
        uint8_t otherwise;
    } all[] = {
        {m->enforcing_consecutive_5xx, &o->enforcing_5xx, 100},
        {m->enforcing_consecutive_gateway_failure, &o->enforcing_gateway, 0},
        {m->enforcing_consecutive_local_origin_failure, &o->enforcing_local, 100},
        {m->enforcing_success_rate, &o->enforcing_rate, 100},
        {m->enforcing_local_origin_success_rate, &o->enforcing_local_rate, 100},
        {m->enforcing_failure_percentage, &o->enforcing_failures, 0},
        {m->enforcing_failure_percentage_local_origin, &o->enforcing_local_failures, 0},
    };
    for (size_t i = 0; i < ARRAY_LEN(all); i++)
        *all[i].to = (uint8_t)MIN(number(all[i].m, all[i].otherwise), 100u);
}

int outlier_compile(const pb_outlier *m, struct pb_path *path, struct outlier_config **ret,
                    struct err *reterr)
{
    struct outlier_config *o = NEW(struct outlier_config);
    o->consecutive_5xx = number(m->consecutive_5xx, 5);
    o->consecutive_gateway = number(m->consecutive_gateway_failure, 5);
    o->consecutive_local = number(m->consecutive_local_origin_failure, 5);
    o->split_local = m->split_external_local_origin_errors;
    o->always_eject_one = m->always_eject_one_host && m->always_eject_one_host->value;
    o->check_unejects = !m->successful_active_health_check_uneject_host ||
                        m->successful_active_health_check_uneject_host->value;
    o->interval_ms = interval_ms(m->interval, 10000);
    o->base_ejection_ms = interval_ms(m->base_ejection_time, 30000);
    o->max_ejection_ms = interval_ms(m->max_ejection_time, MAX(o->base_ejection_ms, 300000ull));
    o->jitter_ms = m->max_ejection_time_jitter ? interval_ms(m->max_ejection_time_jitter, 0) : 0;
    o->max_ejection_percent = MIN(number(m->max_ejection_percent, 10), 100u);
    o->rate_min_hosts = number(m->success_rate_minimum_hosts, 5);
    o->rate_volume = number(m->success_rate_request_volume, 100);
    o->rate_stdev_factor = number(m->success_rate_stdev_factor, 1900);
    o->failures_percent = number(m->failure_percentage_threshold, 85);
    o->failures_min_hosts = number(m->failure_percentage_minimum_hosts, 5);
    o->failures_volume = number(m->failure_percentage_request_volume, 50);
    read_enforcing(m, o);
    if (o->max_ejection_ms < o->base_ejection_ms) {
        free(o);
        return pb_path_fail(path, reterr, -EINVAL,
                            "outlier_detection: max_ejection_time cannot be smaller than "
                            "base_ejection_time");
    }
    *ret = o;
    return 0;
}
