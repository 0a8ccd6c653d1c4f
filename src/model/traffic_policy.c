/* trafficPolicy: each part by itself, with Istio's defaults. */
#include "model/traffic_policy.h"

#include "codec/http_head.h"

enum {
    CONNECT_TIMEOUT_MS = 10000,
    RING_SIZE = 1024,
    RING_SIZE_MAX = 8388608,
    TABLE_SIZE = 65537,
    TABLE_SIZE_MAX = 5000011,
    CONSECUTIVE = 5,
    INTERVAL_MS = 10000,
    EJECTION_MS = 30000,
    EJECTION_PERCENT = 10,
    WARMUP_PERCENT = 10,
    BUDGET_PERCENT = 20,
    BUDGET_MIN = 3,
    COOKIE_ATTRIBUTES_MAX = 32,
};

/* ---- load balancing ---- */

static bool is_prime(int64_t n)
{
    for (int64_t d = 2; d * d <= n; d++)
        if (n % d == 0)
            return false;
    return n > 1;
}

/* Is it fit to stand in a set-cookie? */
static bool is_clean(const char *text)
{
    return http_is_value(str_from(text)) && !strchr(text, ';');
}

static void read_attributes(struct object_reader *r, const json_t *list, struct traffic_policy *p)
{
    size_t n = json_array_size(list);
    struct route_cookie *c = &p->cookie;
    if (n > COOKIE_ATTRIBUTES_MAX) {
        reader_error(r, "attributes", NULL, "are more than %d", COOKIE_ATTRIBUTES_MAX);
        return;
    }
    c->attributes = xcalloc(2 * n + 1, sizeof(*c->attributes));
    for (size_t i = 0; i < n; i++) {
        const json_t *one = json_array_get(list, i);
        const char *name = json_key_str(one, "name"), *value = json_key_str(one, "value");
        size_t mark = reader_enter_item(r, "attributes", i);
        if (str_empty(name) || !http_is_token(str_from(name)) || (value && !is_clean(value))) {
            reader_error(r, NULL, NULL, "is no attribute of a cookie");
        } else {
            c->attributes[2 * c->n_attributes] = xstrdup(name);
            c->attributes[2 * c->n_attributes++ + 1] = xstrdup(value ? value : "");
        }
        reader_leave(r, mark);
    }
}

static void read_cookie(struct object_reader *r, const json_t *of, struct traffic_policy *p)
{
    const char *name = json_key_str(of, "name"), *path = json_key_str(of, "path");
    uint64_t ttl = 0;
    size_t mark = reader_enter(r, "httpCookie");
    if (str_empty(name) || !http_is_token(str_from(name)))
        reader_error(r, "name", NULL, "is no name of a cookie");
    else
        p->cookie.name = xstrdup(name);
    p->cookie.path = xstrdup(path ? path : "");
    read_attributes(r, json_object_get(of, "attributes"), p);
    p->cookie.found_only = !json_is_string(json_object_get(of, "ttl")); /* Istio sets none then */
    if (!streq(json_key_str(of, "ttl"), "0"))
        reader_duration_ms(r, of, "ttl", 0, &ttl);
    p->cookie.max_age_s = (uint32_t)((ttl + 999) / 1000);
    reader_leave(r, mark);
}

static void read_hash(struct object_reader *r, const json_t *of, struct traffic_policy *p)
{
    const char *header = json_key_str(of, "httpHeaderName"),
               *parameter = json_key_str(of, "httpQueryParameterName");
    const json_t *cookie = json_object_get(of, "httpCookie"),
                 *ring = json_object_get(of, "ringHash"), *maglev = json_object_get(of, "maglev");
    bool address = json_at_bool(of, "useSourceIp", false);
    size_t mark = reader_enter(r, "consistentHash");
    if (!header + !parameter + !cookie + !address != 3)
        reader_error(r, NULL,
                     "say httpHeaderName, httpCookie, useSourceIp or "
                     "httpQueryParameterName",
                     "names %s to hash",
                     header || parameter || cookie || address ? "several things" : "nothing");
    p->balance = maglev ? TRAFFIC_MAGLEV : TRAFFIC_RING_HASH;
    if (cookie)
        read_cookie(r, cookie, p);
    else if (address)
        p->key = (struct route_key){ROUTE_KEY_ADDRESS, NULL};
    else if (parameter)
        p->key = (struct route_key){ROUTE_KEY_QUERY, xstrdup(parameter)};
    else
        p->key = (struct route_key){ROUTE_KEY_HEADER, xstrdup(header ? header : "host")};
    reader_number(r, of, "minimumRingSize", 0, RING_SIZE_MAX, &p->ring_size);
    size_t part = reader_enter(r, "ringHash");
    reader_number(r, ring, "minimumRingSize", 0, RING_SIZE_MAX, &p->ring_size);
    reader_leave(r, part);
    part = reader_enter(r, "maglev");
    reader_number(r, maglev, "tableSize", 1, TABLE_SIZE_MAX, &p->table_size);
    if (!is_prime(p->table_size)) {
        reader_error(r, "tableSize", "use 65537", "%lld is no prime", (long long)p->table_size);
        p->table_size = TABLE_SIZE;
    }
    reader_leave(r, part);
    reader_leave(r, mark);
}

static void read_warmup(struct object_reader *r, const json_t *of, struct traffic_policy *p)
{
    const json_t *warmup = json_object_get(of, "warmup"), *v;
    uint64_t ms = 0;
    reader_duration_ms(r, of, "warmupDurationSecs", 1, &ms);
    size_t mark = reader_enter(r, "warmup");
    reader_duration_ms(r, warmup, "duration", 1, &ms);
    if (warmup && !ms)
        reader_error(r, "duration", "say how long", "is missing");
    v = json_object_get(warmup, "minimumPercent");
    if (v && !json_is_null(v) && (json_number_value(v) < 0 || json_number_value(v) > 100))
        reader_error(r, "minimumPercent", NULL, "is no share from 0 to 100");
    else if (v && json_is_number(v))
        p->warmup_min_percent = json_number_value(v);
    v = json_object_get(warmup, "aggression");
    if (v && !json_is_null(v) && json_number_value(v) < 1)
        reader_error(r, "aggression", NULL, "is less than 1");
    else if (v && json_is_number(v))
        p->warmup_aggression = json_number_value(v);
    p->warmup_ms = (uint32_t)ms;
    if (ms && p->balance != TRAFFIC_LEAST_REQUEST && p->balance != TRAFFIC_ROUND_ROBIN)
        reader_warn(r, NULL, "use LEAST_REQUEST or ROUND_ROBIN",
                    "has no effect with this way to balance");
    reader_leave(r, mark);
}

static void read_balance(struct object_reader *r, const json_t *policy, struct traffic_policy *p)
{
    static const struct {
        const char *word;
        enum traffic_balance balance;
    } words[] = {{"UNSPECIFIED", TRAFFIC_LEAST_REQUEST},
                 {"LEAST_REQUEST", TRAFFIC_LEAST_REQUEST},
                 {"LEAST_CONN", TRAFFIC_LEAST_REQUEST},
                 {"ROUND_ROBIN", TRAFFIC_ROUND_ROBIN},
                 {"RANDOM", TRAFFIC_RANDOM},
                 {"PASSTHROUGH", TRAFFIC_PASSTHROUGH}};
    static const char *const later[] = {"zoneAwareLbSetting"};
    const json_t *of = json_object_get(policy, "loadBalancer"),
                 *hash = json_object_get(of, "consistentHash");
    const char *simple = json_key_str(of, "simple");
    bool known = !simple;
    size_t mark = reader_enter(r, "loadBalancer");
    for (size_t i = 0; simple && i < ARRAY_LEN(words); i++)
        if (streq(simple, words[i].word)) {
            p->balance = words[i].balance;
            known = true;
        }
    if (!known)
        reader_error(r, "simple", "use LEAST_REQUEST, ROUND_ROBIN, RANDOM or PASSTHROUGH",
                     "\"%.40s\" is no way to balance", simple);
    if (hash && simple)
        reader_error(r, "consistentHash", "say one of the two", "stands beside simple");
    else if (hash)
        read_hash(r, hash, p);
    for (size_t i = 0; i < ARRAY_LEN(later); i++)
        if (json_object_get(of, later[i]))
            reader_warn(r, later[i], NULL, "is not done yet: it has no effect");
    read_warmup(r, of, p);
    locality_read(r, json_object_get(of, "localityLbSetting"), &p->locality);
    reader_leave(r, mark);
}

bool traffic_policy_is_local(const struct traffic_policy *p)
{
    return !p->locality.off &&
           (p->outliers.on || json_array_size(json_object_get(p->locality.setting, "distribute")));
}

/* ---- connections ---- */

/* Seconds of what is said as a duration: at least one. */
static void read_seconds(struct object_reader *r, const json_t *of, const char *name, int64_t *ret)
{
    uint64_t ms = 0;
    if (reader_duration_ms(r, of, name, 1, &ms))
        *ret = (int64_t)((ms + 999) / 1000);
}

static void read_keepalive(struct object_reader *r, const json_t *of, struct traffic_policy *p)
{
    if (!json_is_object(of))
        return;
    size_t mark = reader_enter(r, "tcpKeepalive");
    p->keepalive = true;
    reader_number(r, of, "probes", 0, UINT32_MAX, &p->keepalive_probes);
    read_seconds(r, of, "time", &p->keepalive_idle_s);
    read_seconds(r, of, "interval", &p->keepalive_interval_s);
    reader_leave(r, mark);
}

static void read_pings(struct object_reader *r, const json_t *of, struct traffic_policy *p)
{
    uint64_t interval = 0, timeout = 0;
    if (!json_is_object(of))
        return;
    size_t mark = reader_enter(r, "http2KeepAlive");
    bool known = reader_duration_ms(r, of, "interval", 1, &interval) &&
                 reader_duration_ms(r, of, "timeout", 1, &timeout);
    if (known && !interval)
        reader_error(r, "interval", "say how often", "is missing: nothing is asked");
    else if (known && !timeout)
        reader_error(r, "timeout", "say how long is waited for an answer",
                     "is missing: nothing is asked");
    else if (known) {
        p->ping_interval_ms = interval;
        p->ping_timeout_ms = timeout;
    }
    reader_leave(r, mark);
}

static void read_proxy(struct object_reader *r, const json_t *policy, struct traffic_policy *p)
{
    const json_t *of = json_object_get(policy, "proxyProtocol");
    const char *version = json_key_str(of, "version");
    if (!json_is_object(of))
        return;
    size_t mark = reader_enter(r, "proxyProtocol");
    p->proxy_version = streq(version, "V2") ? 2 : 1;
    if (version && !streq(version, "V1") && !streq(version, "V2"))
        reader_error(r, "version", "use V1 or V2", "\"%.40s\" is none: it is taken to be V1",
                     version);
    reader_leave(r, mark);
}

static void read_tcp(struct object_reader *r, const json_t *of, struct traffic_policy *p)
{
    uint64_t connect = CONNECT_TIMEOUT_MS, connection = 0, idle = UINT64_MAX;
    reader_number(r, of, "maxConnections", 0, INT32_MAX, &p->max_connections);
    reader_duration_ms(r, of, "connectTimeout", 1, &connect);
    reader_duration_ms(r, of, "maxConnectionDuration", 1, &connection);
    if (!streq(json_key_str(of, "idleTimeout"), "0"))
        reader_duration_ms(r, of, "idleTimeout", 0, &idle);
    else
        idle = 0;
    read_keepalive(r, json_object_get(of, "tcpKeepalive"), p);
    p->connect_timeout_ms = (uint32_t)connect;
    p->connection_ms = connection ? (int64_t)connection : -1;
    p->tcp_idle_ms = idle == UINT64_MAX ? -1 : (int64_t)idle;
}

static void read_http(struct object_reader *r, const json_t *of, struct traffic_policy *p)
{
    const char *upgrade = json_key_str(of, "h2UpgradePolicy");
    uint64_t idle = 0;
    reader_number(r, of, "http1MaxPendingRequests", 0, INT32_MAX, &p->max_pending);
    reader_number(r, of, "http2MaxRequests", 0, INT32_MAX, &p->max_requests);
    reader_number(r, of, "maxRetries", 0, INT32_MAX, &p->max_retries);
    reader_number(r, of, "maxRequestsPerConnection", 0, INT32_MAX, &p->requests_per_connection);
    reader_number(r, of, "maxConcurrentStreams", 0, INT32_MAX, &p->max_concurrent_streams);
    reader_duration_ms(r, of, "idleTimeout", 1, &idle);
    p->http_idle_ms = idle ? (int64_t)idle : -1;
    p->upgrade_to_http2 = streq(upgrade, "UPGRADE");
    p->as_client_speaks = json_at_bool(of, "useClientProtocol", false);
    if (p->upgrade_to_http2 && p->as_client_speaks)
        reader_error(r, "useClientProtocol", "say one of the two",
                     "stands beside h2UpgradePolicy UPGRADE");
    read_pings(r, json_object_get(of, "http2KeepAlive"), p);
}

static void read_pool(struct object_reader *r, const json_t *policy, struct traffic_policy *p)
{
    const json_t *of = json_object_get(policy, "connectionPool");
    size_t mark = reader_enter(r, "connectionPool"), part = reader_enter(r, "tcp");
    if (json_object_get(of, "tcp"))
        read_tcp(r, json_object_get(of, "tcp"), p);
    reader_leave(r, part);
    part = reader_enter(r, "http");
    if (json_object_get(of, "http"))
        read_http(r, json_object_get(of, "http"), p);
    reader_leave(r, part);
    reader_leave(r, mark);
}

/* ---- outliers ---- */

static void read_outliers(struct object_reader *r, const json_t *policy, struct traffic_policy *p)
{
    const json_t *of = json_object_get(policy, "outlierDetection");
    struct traffic_outliers *o = &p->outliers;
    uint64_t interval = INTERVAL_MS, ejection = EJECTION_MS;
    int64_t percent = EJECTION_PERCENT, health = 0;
    *o = (struct traffic_outliers){.on = of != NULL,
                                   .consecutive_5xx = CONSECUTIVE,
                                   .consecutive_gateway = -1,
                                   .consecutive_local = CONSECUTIVE};
    size_t mark = reader_enter(r, "outlierDetection");
    reader_number(r, of, "consecutiveErrors", 0, INT32_MAX, &o->consecutive_5xx);
    reader_number(r, of, "consecutive5xxErrors", 0, UINT32_MAX, &o->consecutive_5xx);
    reader_number(r, of, "consecutiveGatewayErrors", 0, UINT32_MAX, &o->consecutive_gateway);
    reader_number(r, of, "consecutiveLocalOriginFailures", 0, UINT32_MAX, &o->consecutive_local);
    reader_number(r, of, "maxEjectionPercent", 0, 100, &percent);
    reader_number(r, of, "minHealthPercent", 0, 100, &health);
    reader_duration_ms(r, of, "interval", 1, &interval);
    reader_duration_ms(r, of, "baseEjectionTime", 1, &ejection);
    o->split_local = json_at_bool(of, "splitExternalLocalOriginErrors", false);
    o->interval_ms = (uint32_t)interval;
    o->ejection_ms = (uint32_t)ejection;
    o->max_ejection_percent = (uint32_t)percent;
    o->min_health_percent = (uint32_t)health;
    if (json_object_get(of, "outlierDetectionHttpErrorCodes"))
        reader_warn(r, "outlierDetectionHttpErrorCodes", NULL,
                    "is not done yet: statuses of 5xx count");
    reader_leave(r, mark);
}

/* ---- TLS ---- */

static char *text_or_null(const json_t *of, const char *name)
{
    const char *text = json_key_str(of, name);
    return str_empty(text) ? NULL : xstrdup(text);
}

/* What a mode must have, and what it may not. False: calls would not be what somebody asked for. */
static bool check_tls(struct object_reader *r, const struct traffic_tls *t)
{
    bool files = t->client_certificate || t->private_key, own = t->mode == TRAFFIC_TLS_MUTUAL,
         tls = own || t->mode == TRAFFIC_TLS_SIMPLE;
    if (own && !t->credential_name && !(t->client_certificate && t->private_key)) {
        reader_error(r, NULL, "give clientCertificate and privateKey, or credentialName",
                     "is MUTUAL with nothing to show");
        return false;
    }
    if (t->mode == TRAFFIC_TLS_ISTIO_MUTUAL && (files || t->ca_certificates || t->credential_name))
        reader_error(r, NULL, "leave certificates out, or use MUTUAL",
                     "is ISTIO_MUTUAL, which has certificates of its own");
    if (tls && t->credential_name && (files || t->ca_certificates || t->ca_crl)) {
        reader_error(r, "credentialName", "say one of the two", "stands beside files");
        return false;
    }
    if (t->credential_name && !str_is_dns1123_subdomain(str_from(t->credential_name))) {
        reader_error(r, "credentialName", "name a Secret", "\"%.100s\" is no name of a Secret",
                     t->credential_name);
        return !tls;
    }
    if (t->client_certificate && strchr(t->client_certificate, '~')) {
        reader_error(r, "clientCertificate", NULL, "holds a ~");
        return !tls;
    }
    return true;
}

static void read_tls(struct object_reader *r, const json_t *policy, struct traffic_policy *p)
{
    static const char *const modes[] = {"", "DISABLE", "SIMPLE", "MUTUAL", "ISTIO_MUTUAL"};
    const json_t *of = json_object_get(policy, "tls"), *names;
    const char *mode = json_key_str(of, "mode");
    struct traffic_tls *t = &p->tls;
    bool known = false;
    if (!of)
        return;
    size_t mark = reader_enter(r, "tls");
    t->mode = mode ? TRAFFIC_TLS_CLOSED
                   : TRAFFIC_TLS_DISABLE; /* which is Istio's default of a tls without a mode */
    for (unsigned i = 1; mode && i < ARRAY_LEN(modes); i++)
        if (streq(mode, modes[i])) {
            t->mode = (enum traffic_tls_mode)i;
            known = true;
        }
    if (mode && !known)
        reader_error(r, "mode", "use DISABLE, SIMPLE, MUTUAL or ISTIO_MUTUAL",
                     "\"%.40s\" is no mode", mode);
    t->client_certificate = text_or_null(of, "clientCertificate");
    t->private_key = text_or_null(of, "privateKey");
    t->ca_certificates = text_or_null(of, "caCertificates");
    t->ca_crl = text_or_null(of, "caCrl");
    t->credential_name = text_or_null(of, "credentialName");
    t->sni = text_or_null(of, "sni");
    t->unverified = json_at_bool(of, "insecureSkipVerify", false);
    names = json_object_get(of, "subjectAltNames");
    t->names = xcalloc(TRAFFIC_NAMES_MAX, sizeof(*t->names));
    for (size_t i = 0; i < MIN(json_array_size(names), (size_t)TRAFFIC_NAMES_MAX); i++) {
        const char *name = json_string_value(json_array_get(names, i));
        if (!str_empty(name))
            t->names[t->n_names++] = xstrdup(name);
    }
    if (json_array_size(names) > TRAFFIC_NAMES_MAX)
        reader_error(r, "subjectAltNames", NULL, "has more than %d names", TRAFFIC_NAMES_MAX);
    if (!check_tls(r, t))
        t->mode = TRAFFIC_TLS_CLOSED;
    reader_leave(r, mark);
}

/* ---- the whole ---- */

static void read_budget(struct object_reader *r, const json_t *policy, struct traffic_policy *p)
{
    const json_t *of = json_object_get(policy, "retryBudget"),
                 *percent = json_object_get(of, "percent");
    size_t mark = reader_enter(r, "retryBudget");
    p->budget = of != NULL;
    if (json_is_number(percent) && json_number_value(percent) >= 0 &&
        json_number_value(percent) <= 100)
        p->budget_percent = json_number_value(percent);
    else if (percent && !json_is_null(percent))
        reader_error(r, "percent", NULL, "is no share from 0 to 100");
    reader_number(r, of, "minRetryConcurrency", 0, UINT32_MAX, &p->budget_min);
    if (json_object_get(of, "budgetInterval"))
        reader_warn(r, "budgetInterval", NULL, "has no effect: what runs now counts");
    reader_leave(r, mark);
}

void traffic_policy_read(struct object_reader *r, const json_t *j, struct traffic_policy *ret)
{
    *ret = (struct traffic_policy){.ring_size = RING_SIZE,
                                   .table_size = TABLE_SIZE,
                                   .warmup_min_percent = WARMUP_PERCENT,
                                   .warmup_aggression = 1,
                                   .max_connections = -1,
                                   .max_pending = -1,
                                   .max_requests = -1,
                                   .max_retries = -1,
                                   .budget_percent = BUDGET_PERCENT,
                                   .budget_min = BUDGET_MIN,
                                   .connect_timeout_ms = CONNECT_TIMEOUT_MS,
                                   .connection_ms = -1,
                                   .tcp_idle_ms = -1,
                                   .http_idle_ms = -1};
    read_balance(r, j, ret);
    read_pool(r, j, ret);
    read_outliers(r, j, ret);
    read_budget(r, j, ret);
    read_tls(r, j, ret);
    read_proxy(r, j, ret);
    if (json_object_get(j, "tunnel"))
        reader_warn(r, "tunnel", NULL, "is not done yet: it has no effect");
}

void traffic_policy_done(struct traffic_policy *p)
{
    struct traffic_tls *t = &p->tls;
    for (size_t i = 0; i < t->n_names; i++)
        free(t->names[i]);
    free(t->names);
    free(t->client_certificate);
    free(t->private_key);
    free(t->ca_certificates);
    free(t->ca_crl);
    free(t->credential_name);
    free(t->sni);
    free(p->key.name);
    free(p->cookie.name);
    free(p->cookie.path);
    for (uint32_t i = 0; i < 2 * p->cookie.n_attributes; i++)
        free(p->cookie.attributes[i]);
    free(p->cookie.attributes);
}

void traffic_policy_hash(const struct traffic_policy *p, struct route *r)
{
    if (p->balance != TRAFFIC_RING_HASH && p->balance != TRAFFIC_MAGLEV)
        return;
    r->retry.other_hosts = 0; /* the place in the ring is the endpoint's */
    if (p->cookie.name) {
        r->affinity.name = xstrdup(p->cookie.name);
        r->affinity.path = xstrdup(p->cookie.path);
        r->affinity.max_age_s = p->cookie.max_age_s;
        r->affinity.secure = ROUTE_SECURE_NEVER;
        r->affinity.canary_anew = true; /* weights count for each request */
        r->affinity.found_only = p->cookie.found_only;
        r->affinity.n_attributes = p->cookie.n_attributes;
        r->affinity.attributes =
            xcalloc(2 * p->cookie.n_attributes + 1, sizeof(*r->affinity.attributes));
        for (uint32_t i = 0; i < 2 * p->cookie.n_attributes; i++)
            r->affinity.attributes[i] = xstrdup(p->cookie.attributes[i]);
        return;
    }
    r->keys = xcalloc(1, sizeof(*r->keys));
    r->keys[0] = (struct route_key){p->key.kind, p->key.name ? xstrdup(p->key.name) : NULL};
    r->n_keys = 1;
}
