/* DestinationRules: checked, and put together. */
#include "model/destination_rule.h"

enum { CREDENTIALS_MAX = 64 }; /* of one rule: each is watched */
enum { SUBSETS_MAX = 256 };    /* of a host: each is a cluster at each port */

/* ---- policies of several levels ---- */

static const char *const parts[] = {"loadBalancer", "connectionPool", "outlierDetection", "tls",
                                    "retryBudget"};

static const json_t *of_port(const json_t *policy, uint16_t port)
{
    const json_t *list = json_object_get(policy, "portLevelSettings");
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *one = json_array_get(list, i);
        if (json_at_int(one, "port.number", 0) == port)
            return one;
    }
    return NULL;
}

/* What is said of a port has all parts of its own: what it leaves out is the default. */
static void lay_over(json_t *under, const json_t *policy, uint16_t port)
{
    const json_t *own = of_port(policy, port);
    for (size_t i = 0; i < ARRAY_LEN(parts); i++) {
        json_t *part = json_object_get(own ? own : policy, parts[i]);
        if (part)
            json_object_set(under, parts[i], part);
        else if (own)
            json_object_del(under, parts[i]);
    }
    json_t *proxy = json_object_get(policy, "proxyProtocol"); /* no port says otherwise */
    if (proxy)
        json_object_set(under, "proxyProtocol", proxy);
}

void destination_policy(const struct destination *d, const struct destination_subset *s,
                        uint16_t port, struct traffic_policy *ret)
{
    AUTO_JSON json_t *merged = json_object();
    AUTO_DONE(object_reader) struct object_reader silent = {0};
    lay_over(merged, d->policy, port);
    if (s)
        lay_over(merged, s->policy, port);
    traffic_policy_read(&silent, merged, ret);
}

/* ---- decoding ---- */

static void check_policy(struct object_reader *r, const json_t *policy)
{
    const json_t *ports = json_object_get(policy, "portLevelSettings");
    struct traffic_policy scratch;
    size_t mark = reader_enter(r, "trafficPolicy");
    if (policy && !json_is_object(policy))
        reader_error(r, NULL, NULL, "is no object");
    traffic_policy_read(r, policy, &scratch);
    traffic_policy_done(&scratch);
    for (size_t i = 0; i < json_array_size(ports); i++) {
        const json_t *one = json_array_get(ports, i);
        size_t item = reader_enter_item(r, "portLevelSettings", i);
        int64_t port = json_at_int(one, "port.number", 0);
        if (port < 1 || port > 65535)
            reader_error(r, "port.number", "say of which port", "is missing");
        else if (of_port(policy, (uint16_t)port) != one)
            reader_error(r, "port.number", "say it once", "%lld is there twice", (long long)port);
        traffic_policy_read(r, one, &scratch);
        traffic_policy_done(&scratch);
        reader_leave(r, item);
    }
    reader_leave(r, mark);
}

static void check_subsets(struct destination_rule *d, struct object_reader *r)
{
    const json_t *list = json_object_get(d->o.spec, "subsets");
    if (json_array_size(list) > SUBSETS_MAX)
        reader_error(r, "subsets", NULL, "are more than %d: the rest is left out", SUBSETS_MAX);
    for (size_t i = 0; i < MIN(json_array_size(list), (size_t)SUBSETS_MAX); i++) {
        const json_t *one = json_array_get(list, i);
        const char *name = json_key_str(one, "name");
        size_t mark = reader_enter_item(r, "subsets", i);
        if (str_empty(name) || !str_is_dns1123_label(str_from(name)))
            reader_error(r, "name", "use small letters, digits and -", "\"%.100s\" is no name",
                         name ? name : "");
        for (size_t k = 0; name && k < i; k++)
            if (streq(json_key_str(json_array_get(list, k), "name"), name))
                reader_error(r, "name", "give it another", "%.100s is there twice", name);
        check_policy(r, json_object_get(one, "trafficPolicy"));
        reader_leave(r, mark);
    }
}

static void note_locality(struct destination_rule *d, const json_t *policy)
{
    const json_t *of = json_at(policy, "loadBalancer.localityLbSetting");
    d->by_locality = d->by_locality || json_object_get(policy, "outlierDetection") ||
                     json_array_size(json_object_get(of, "distribute"));
    d->by_labels = d->by_labels || json_array_size(json_object_get(of, "failoverPriority"));
}

static void add_credential(struct destination_rule *d, const json_t *policy)
{
    note_locality(d, policy);
    const char *name = json_key_str(json_object_get(policy, "tls"), "credentialName");
    for (size_t i = 0; i < d->n_credentials; i++)
        if (streq(d->credentials[i], name))
            return;
    if (str_empty(name) || d->n_credentials == CREDENTIALS_MAX)
        return;
    d->credentials = xrealloc(d->credentials, (d->n_credentials + 1) * sizeof(*d->credentials));
    d->credentials[d->n_credentials++] = name;
}

static void add_credentials(struct destination_rule *d, const json_t *policy)
{
    const json_t *ports = json_object_get(policy, "portLevelSettings");
    add_credential(d, policy);
    for (size_t i = 0; i < json_array_size(ports); i++)
        add_credential(d, json_array_get(ports, i));
}

bool destination_rule_has_credential(const struct destination_rule *d, struct str secret)
{
    for (size_t i = 0; i < d->n_credentials; i++) {
        struct str name = str_from(d->credentials[i]);
        if (str_eq(name, secret) ||
            (str_starts(secret, name) &&
             str_is(str_sub(secret, name.n, secret.n), DESTINATION_CA_SUFFIX)))
            return true;
    }
    return false;
}

struct destination_rule *destination_rule_decode(const json_t *j)
{
    struct destination_rule *d = NEW(struct destination_rule);
    if (!istio_object_decode(j, &d->o)) {
        istio_object_done(&d->o);
        free(d);
        return NULL;
    }
    AUTO_DONE(object_reader)
    struct object_reader r = {
        .findings = &d->o.findings, .object = d->o.key, .id = "PolicyInvalid"};
    const char *host = json_key_str(d->o.spec, "host");
    size_t mark = reader_enter(&r, "spec");
    d->host = istio_host(host ? host : "", d->o.ns);
    d->selector = json_at(d->o.spec, "workloadSelector.matchLabels");
    if (str_empty(host))
        reader_error(&r, "host", "name a Service", "is missing");
    else if (!istio_host_is_valid(d->host))
        reader_error(&r, "host", "name a Service", "%.100s is no host", host);
    if (!json_object_size(d->selector))
        d->selector = NULL;
    istio_object_read_export(&d->o, &r);
    check_policy(&r, json_object_get(d->o.spec, "trafficPolicy"));
    check_subsets(d, &r);
    const json_t *subsets = json_object_get(d->o.spec, "subsets");
    add_credentials(d, json_object_get(d->o.spec, "trafficPolicy"));
    for (size_t i = 0; i < json_array_size(subsets); i++)
        add_credentials(d, json_object_get(json_array_get(subsets, i), "trafficPolicy"));
    reader_leave(&r, mark);
    return d;
}

void destination_rule_free(struct destination_rule *d)
{
    if (!d)
        return;
    free(d->host);
    free(d->credentials);
    istio_object_done(&d->o);
    free(d);
}

/* ---- several rules ---- */

const struct destination_subset *destination_find(const struct destination *d, const char *name)
{
    for (size_t i = 0; i < d->n_subsets; i++)
        if (streq(d->subsets[i].name, name))
            return &d->subsets[i];
    return NULL;
}

void destination_add(struct destination *d, const struct destination_rule *rule)
{
    const json_t *list = json_object_get(rule->o.spec, "subsets");
    d->selected = d->selected || rule->selector;
    if (!d->policy)
        d->policy = json_object_get(rule->o.spec, "trafficPolicy");
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *one = json_array_get(list, i);
        const char *name = json_key_str(one, "name");
        if (d->n_subsets == SUBSETS_MAX || str_empty(name) ||
            !str_is_dns1123_label(str_from(name)) || destination_find(d, name))
            continue;
        d->subsets = xrealloc(d->subsets, (d->n_subsets + 1) * sizeof(*d->subsets));
        d->subsets[d->n_subsets++] = (struct destination_subset){
            name, json_object_get(one, "labels"), json_object_get(one, "trafficPolicy")};
    }
}

void destination_done(struct destination *d)
{
    free(d->subsets);
    *d = (struct destination){0};
}
