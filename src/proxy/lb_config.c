/* Which policy a cluster has: by lb_policy and its lb_config, or by load_balancing_policy, a list
 * of which the first that is known here counts. */
#include <envoy/extensions/load_balancing_policies/least_request/v3/least_request.pb-c.h>
#include <envoy/extensions/load_balancing_policies/maglev/v3/maglev.pb-c.h>
#include <envoy/extensions/load_balancing_policies/random/v3/random.pb-c.h>
#include <envoy/extensions/load_balancing_policies/ring_hash/v3/ring_hash.pb-c.h>
#include <envoy/extensions/load_balancing_policies/round_robin/v3/round_robin.pb-c.h>
#include <envoy/extensions/load_balancing_policies/wrr_locality/v3/wrr_locality.pb-c.h>
#include <errno.h>

#include "base/arena.h"
#include "codec/pb_msg.h"
#include "proxy/duration.h"
#include "proxy/lb.h"

typedef Envoy__Config__Cluster__V3__Cluster pb_cluster;
typedef Envoy__Config__Cluster__V3__LoadBalancingPolicy pb_policy;
typedef Envoy__Extensions__LoadBalancingPolicies__Common__V3__LocalityLbConfig pb_locality;

enum { NESTED_MAX = 4, POLICY_BYTES = 256 * 1024 };

struct compile {
    struct lb_config *lb;
    struct pb_path *path;
    struct err *err;
    struct arena *arena; /* of what is packed inside messages */
    unsigned depth;
};

#define FAIL(c, ...) pb_path_fail((c)->path, (c)->err, -EINVAL, __VA_ARGS__)

/* ---- what both ways say ---- */

static int set_ring(struct compile *c, const Google__Protobuf__UInt64Value *min,
                    const Google__Protobuf__UInt64Value *max)
{
    struct lb_config *lb = c->lb;
    lb->policy = LB_RING_HASH;
    if (min)
        lb->ring_min = min->value;
    if (max)
        lb->ring_max = max->value;
    if (lb->ring_max > LB_RING_MAX || lb->ring_min < 1)
        return FAIL(c, "ring hash: sizes are 1 to %d", LB_RING_MAX);
    if (lb->ring_min > lb->ring_max)
        return FAIL(c, "ring hash: minimum_ring_size (%llu) > maximum_ring_size (%llu)",
                    (unsigned long long)lb->ring_min, (unsigned long long)lb->ring_max);
    return 0;
}

static int set_maglev(struct compile *c, const Google__Protobuf__UInt64Value *size)
{
    c->lb->policy = LB_MAGLEV;
    if (size && !lb_maglev_size_is_valid(size->value))
        return FAIL(c, "table_size: a prime of at most %d", LB_MAGLEV_MAX);
    if (size)
        c->lb->table_size = (uint32_t)size->value;
    return 0;
}

static int set_hashing(struct compile *c, bool by_hostname,
                       const Google__Protobuf__UInt32Value *balance)
{
    c->lb->hashes_hostname = by_hostname;
    return balance ? FAIL(c, "hash_balance_factor: is not implemented") : 0;
}

/* Two messages of two packages with the same fields. */
#define SET_HASHING(c, m)                                                                          \
    ((m) ? set_hashing(c, (m)->use_hostname_for_hashing, (m)->hash_balance_factor) : 0)

static int set_least_request(struct compile *c, const Google__Protobuf__UInt32Value *choices,
                             const Envoy__Config__Core__V3__RuntimeDouble *bias)
{
    c->lb->policy = LB_LEAST_REQUEST;
    if (choices)
        c->lb->choices = MIN(choices->value, (uint32_t)LB_CHOICES_MAX);
    if (bias && bias->default_value != 1.0)
        return FAIL(c, "active_request_bias: only 1.0 is implemented");
    return 0;
}

static int set_warming(struct compile *c, const Google__Protobuf__Duration *window,
                       const Envoy__Config__Core__V3__RuntimeDouble *aggression,
                       const Envoy__Type__V3__Percent *min)
{
    struct lb_config *lb = c->lb;
    lb->warm_ms = duration_ms(window, 0);
    lb->warm_aggression = aggression ? aggression->default_value : 1;
    lb->warm_min_percent = min ? min->value : 10;
    if (!(lb->warm_aggression > 0))
        return FAIL(c, "slow_start_config.aggression: must be above 0");
    if (!(lb->warm_min_percent >= 0 && lb->warm_min_percent <= 100))
        return FAIL(c, "slow_start_config.min_weight_percent: 0 to 100");
    return 0;
}

/* Two messages of two packages with the same fields. */
#define SET_WARMING(c, m)                                                                          \
    ((m) ? set_warming(c, (m)->slow_start_window, (m)->aggression, (m)->min_weight_percent) : 0)

/* ---- load_balancing_policy ---- */

static void set_locality(struct compile *c, const pb_locality *m)
{
    if (m)
        c->lb->locality_weighted =
            m->locality_config_specifier_case ==
            ENVOY__EXTENSIONS__LOAD_BALANCING_POLICIES__COMMON__V3__LOCALITY_LB_CONFIG__LOCALITY_CONFIG_SPECIFIER_LOCALITY_WEIGHTED_LB_CONFIG;
}

static int take_round_robin(struct compile *c, const ProtobufCMessage *base)
{
    const Envoy__Extensions__LoadBalancingPolicies__RoundRobin__V3__RoundRobin *m =
        (const void *)base;
    c->lb->policy = LB_ROUND_ROBIN;
    set_locality(c, m->locality_lb_config);
    return SET_WARMING(c, m->slow_start_config);
}

static int take_random(struct compile *c, const ProtobufCMessage *base)
{
    const Envoy__Extensions__LoadBalancingPolicies__Random__V3__Random *m = (const void *)base;
    c->lb->policy = LB_RANDOM;
    set_locality(c, m->locality_lb_config);
    return 0;
}

static int take_least_request(struct compile *c, const ProtobufCMessage *base)
{
    const Envoy__Extensions__LoadBalancingPolicies__LeastRequest__V3__LeastRequest *m =
        (const void *)base;
    set_locality(c, m->locality_lb_config);
    if ((m->enable_full_scan && m->enable_full_scan->value) || m->selection_method)
        return FAIL(c, "a full scan is not implemented");
    int r = SET_WARMING(c, m->slow_start_config);
    return r < 0 ? r : set_least_request(c, m->choice_count, m->active_request_bias);
}

static int take_ring_hash(struct compile *c, const ProtobufCMessage *base)
{
    const Envoy__Extensions__LoadBalancingPolicies__RingHash__V3__RingHash *m = (const void *)base;
    c->lb->locality_weighted = m->locality_weighted_lb_config;
    int r = SET_HASHING(c, m->consistent_hashing_lb_config);
    if (r == 0 && (m->use_hostname_for_hashing || m->hash_balance_factor))
        r = SET_HASHING(c, m);
    return r < 0 ? r : set_ring(c, m->minimum_ring_size, m->maximum_ring_size);
}

static int take_maglev(struct compile *c, const ProtobufCMessage *base)
{
    const Envoy__Extensions__LoadBalancingPolicies__Maglev__V3__Maglev *m = (const void *)base;
    c->lb->locality_weighted = m->locality_weighted_lb_config;
    int r = SET_HASHING(c, m->consistent_hashing_lb_config);
    return r < 0 ? r : set_maglev(c, m->table_size);
}

static int take_policy(struct compile *c, const pb_policy *m);

static int take_wrr_locality(struct compile *c, const ProtobufCMessage *base)
{
    const Envoy__Extensions__LoadBalancingPolicies__WrrLocality__V3__WrrLocality *m =
        (const void *)base;
    if (!m->endpoint_picking_policy)
        return FAIL(c, "endpoint_picking_policy: is required");
    size_t mark = pb_path_field(c->path, "endpoint_picking_policy");
    int r = take_policy(c, m->endpoint_picking_policy);
    if (r < 0)
        return r;
    pb_path_back(c->path, mark);
    c->lb->locality_weighted = true;
    return 0;
}

static const struct known_policy {
    const ProtobufCMessageDescriptor *type;
    int (*take)(struct compile *c, const ProtobufCMessage *m);
} known_policies[] = {
    {&envoy__extensions__load_balancing_policies__round_robin__v3__round_robin__descriptor,
     take_round_robin},
    {&envoy__extensions__load_balancing_policies__random__v3__random__descriptor, take_random},
    {&envoy__extensions__load_balancing_policies__least_request__v3__least_request__descriptor,
     take_least_request},
    {&envoy__extensions__load_balancing_policies__ring_hash__v3__ring_hash__descriptor,
     take_ring_hash},
    {&envoy__extensions__load_balancing_policies__maglev__v3__maglev__descriptor, take_maglev},
    {&envoy__extensions__load_balancing_policies__wrr_locality__v3__wrr_locality__descriptor,
     take_wrr_locality},
};

static const struct known_policy *find_policy(const Google__Protobuf__Any *any)
{
    for (size_t i = 0; any && i < ARRAY_LEN(known_policies); i++)
        if (str_is(pb_type_name(str_from(any->type_url)), known_policies[i].type->name))
            return &known_policies[i];
    return NULL;
}

static int take_policy(struct compile *c, const pb_policy *m)
{
    if (++c->depth > NESTED_MAX)
        return FAIL(c, "policies in policies: more than %d", NESTED_MAX);
    for (size_t i = 0; i < m->n_policies; i++) {
        const Envoy__Config__Core__V3__TypedExtensionConfig *t =
            m->policies[i]->typed_extension_config;
        const struct known_policy *p = t ? find_policy(t->typed_config) : NULL;
        ProtobufCMessage *message;
        if (!p)
            continue;
        pb_path_field(c->path, "policies");
        pb_path_index(c->path, i);
        int r = pb_unpack(p->type, str_of(t->typed_config->value.data, t->typed_config->value.len),
                          c->arena, &message, c->err);
        return r < 0 ? r : p->take(c, message);
    }
    return FAIL(c, "Didn't find a registered load balancer factory");
}

/* ---- lb_policy ---- */

static int take_named_policy(struct compile *c, const pb_cluster *m)
{
    switch ((unsigned)m->lb_policy) {
    case ENVOY__CONFIG__CLUSTER__V3__CLUSTER__LB_POLICY__ROUND_ROBIN:
        c->lb->policy = LB_ROUND_ROBIN;
        return m->lb_config_case ==
                       ENVOY__CONFIG__CLUSTER__V3__CLUSTER__LB_CONFIG_ROUND_ROBIN_LB_CONFIG
                   ? SET_WARMING(c, m->round_robin_lb_config->slow_start_config)
                   : 0;
    case ENVOY__CONFIG__CLUSTER__V3__CLUSTER__LB_POLICY__LEAST_REQUEST: {
        bool has = m->lb_config_case ==
                   ENVOY__CONFIG__CLUSTER__V3__CLUSTER__LB_CONFIG_LEAST_REQUEST_LB_CONFIG;
        int r = has ? SET_WARMING(c, m->least_request_lb_config->slow_start_config) : 0;
        return r < 0 ? r
                     : set_least_request(c, has ? m->least_request_lb_config->choice_count : NULL,
                                         has ? m->least_request_lb_config->active_request_bias
                                             : NULL);
    }
    case ENVOY__CONFIG__CLUSTER__V3__CLUSTER__LB_POLICY__RING_HASH: {
        bool has =
            m->lb_config_case == ENVOY__CONFIG__CLUSTER__V3__CLUSTER__LB_CONFIG_RING_HASH_LB_CONFIG;
        return set_ring(c, has ? m->ring_hash_lb_config->minimum_ring_size : NULL,
                        has ? m->ring_hash_lb_config->maximum_ring_size : NULL);
    }
    case ENVOY__CONFIG__CLUSTER__V3__CLUSTER__LB_POLICY__MAGLEV:
        return set_maglev(c, m->lb_config_case ==
                                     ENVOY__CONFIG__CLUSTER__V3__CLUSTER__LB_CONFIG_MAGLEV_LB_CONFIG
                                 ? m->maglev_lb_config->table_size
                                 : NULL);
    case ENVOY__CONFIG__CLUSTER__V3__CLUSTER__LB_POLICY__RANDOM:
        c->lb->policy = LB_RANDOM;
        return 0;
    case ENVOY__CONFIG__CLUSTER__V3__CLUSTER__LB_POLICY__LOAD_BALANCING_POLICY_CONFIG:
        return FAIL(c, "lb_policy: LOAD_BALANCING_POLICY_CONFIG needs load_balancing_policy");
    default:
        return FAIL(c, "lb_policy: is not implemented");
    }
}

static int take_common(struct compile *c,
                       const Envoy__Config__Cluster__V3__Cluster__CommonLbConfig *m)
{
    if (!m)
        return 0;
    if (m->healthy_panic_threshold) {
        double percent = m->healthy_panic_threshold->value;
        if (!(percent >= 0 && percent <= 100))
            return FAIL(c, "common_lb_config.healthy_panic_threshold: 0 to 100");
        c->lb->panic_percent = (uint8_t)percent;
    }
    c->lb->locality_weighted =
        m->locality_config_specifier_case ==
        ENVOY__CONFIG__CLUSTER__V3__CLUSTER__COMMON_LB_CONFIG__LOCALITY_CONFIG_SPECIFIER_LOCALITY_WEIGHTED_LB_CONFIG;
    return SET_HASHING(c, m->consistent_hashing_lb_config);
}

int lb_config_compile(const pb_cluster *m, struct pb_path *path, struct lb_config *lb,
                      struct err *reterr)
{
    struct compile c = {.lb = lb, .path = path, .err = reterr};
    int r = take_common(&c, m->common_lb_config);
    if (r < 0 || !m->load_balancing_policy)
        return r < 0 ? r : take_named_policy(&c, m);
    c.arena = arena_new(POLICY_BYTES);
    size_t mark = pb_path_field(path, "load_balancing_policy");
    lb->locality_weighted = false; /* the policy says that itself */
    r = take_policy(&c, m->load_balancing_policy);
    if (r == 0)
        pb_path_back(path, mark);
    arena_free(c.arena);
    return r;
}
