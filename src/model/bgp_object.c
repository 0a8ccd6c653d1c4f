/* Reading what says how addresses are announced by BGP. What goes into commands of a router later
 * is checked here to be what it says it is. */
#include "model/bgp_object.h"

#include <errno.h>

#include "base/time.h"
#include "codec/base64.h"
#include "codec/vty.h"
#include "model/object_reader.h"

/* ---- what they have in common ---- */

struct names {
    char **v;
    size_t n, cap;
};

static char *key_of(const json_t *j)
{
    const char *name = json_at_str(j, "metadata.name"), *ns = json_at_str(j, "metadata.namespace");
    return str_empty(name) ? NULL : xasprintf("%s/%s", ns ? ns : "", name);
}

static char *text_of(const json_t *j, const char *path)
{
    const char *text = json_at_str(j, path);
    return xstrdup(text ? text : "");
}

static char *word_or_null(const json_t *j, const char *name)
{
    const char *text = json_key_str(j, name);
    return str_empty(text) ? NULL : xstrdup(text);
}

static void read_names(struct object_reader *r, const json_t *spec, const char *name, size_t max,
                       struct names *ret)
{
    const json_t *item;
    size_t i;
    json_array_foreach(json_object_get(spec, name), i, item)
    {
        size_t mark = reader_enter_item(r, name, i);
        const char *text = json_string_value(item);
        bool twice = false;
        for (size_t k = 0; text && k < ret->n; k++)
            twice = twice || streq(ret->v[k], text);
        if (i >= max)
            reader_error(r, NULL, "spread them over several objects", "more than %zu", max);
        else if (twice)
            reader_error(r, NULL, "leave one of them", "\"%.80s\" is there twice", text);
        else if (text)
            vec_push(ret, xstrdup(text));
        reader_leave(r, mark);
        if (i >= max)
            return;
    }
}

struct selectors {
    struct selector *v;
    size_t n, cap;
};

static void read_selectors(struct object_reader *r, const json_t *spec, const char *name,
                           struct selectors *ret)
{
    const json_t *item;
    size_t i;
    json_array_foreach(json_object_get(spec, name), i, item)
    {
        struct selector s = {0};
        struct err err = {0};
        bool none;
        size_t mark = reader_enter_item(r, name, i);
        if (i >= POOL_SELECTORS_MAX)
            reader_error(r, NULL, "spread them over several objects", "more than 100 selectors");
        else if (selector_from_object(item, &s, &none, &err) < 0)
            reader_error(r, NULL, NULL, "%s", err_text(&err));
        else if (none)
            reader_error(r, NULL, "give {} for all", "is no selector");
        else
            vec_push(ret, s);
        reader_leave(r, mark);
        if (i >= POOL_SELECTORS_MAX)
            return;
    }
}

#define READ_NAMES(r, spec, name, max, vec)                                                        \
    do {                                                                                           \
        struct names names_ = {0};                                                                 \
        read_names(r, spec, name, max, &names_);                                                   \
        (vec)->v = names_.v;                                                                       \
        (vec)->n = names_.n;                                                                       \
        (vec)->cap = names_.cap;                                                                   \
    } while (0)

#define READ_SELECTORS(r, spec, name, vec)                                                         \
    do {                                                                                           \
        struct selectors selectors_ = {0};                                                         \
        read_selectors(r, spec, name, &selectors_);                                                \
        (vec)->v = selectors_.v;                                                                   \
        (vec)->n = selectors_.n;                                                                   \
        (vec)->cap = selectors_.cap;                                                               \
    } while (0)

static uint32_t read_u32(struct object_reader *r, const json_t *spec, const char *name, int64_t min,
                         int64_t max)
{
    int64_t v = 0;
    return reader_number(r, spec, name, min, max, &v) ? (uint32_t)v : 0;
}

bool bgp_selects_node(const struct selector *v, size_t n, const json_t *labels)
{
    bool found = n == 0;
    for (size_t i = 0; i < n && !found; i++)
        found = selector_matches_object(&v[i], labels);
    return found;
}

/* ---- communities ---- */

int bgp_community_parse(struct str text, struct bgp_community *ret)
{
    struct bgp_community c = {.large = str_starts(text, STR("large:"))};
    struct str rest = c.large ? str_sub(text, 6, text.n) : text;
    size_t n = c.large ? 3 : 2, i = 0;
    bool too_great = false;
    for (; i < n && rest.p; i++) {
        uint64_t v;
        struct str part = str_cut(rest, ':', &rest);
        int r = str_to_u64(part, &v);
        if (r < 0 && r != -ERANGE)
            return -EINVAL;
        too_great = too_great || r < 0 || v > (c.large ? UINT32_MAX : UINT16_MAX);
        c.v[i] = (uint32_t)v;
    }
    if (i < n || rest.p)
        return -EINVAL;
    if (too_great)
        return -ERANGE;
    *ret = c;
    return 0;
}

int bgp_community_cmp(const struct bgp_community *a, const struct bgp_community *b)
{
    int d = (int)a->large - (int)b->large;
    for (size_t i = 0; d == 0 && i < 3; i++)
        d = (a->v[i] > b->v[i]) - (a->v[i] < b->v[i]);
    return d;
}

struct community_names *community_names_decode(const json_t *j)
{
    char *key = key_of(j);
    const json_t *item;
    size_t i;
    if (!key)
        return NULL;
    struct community_names *c = NEW(struct community_names);
    c->key = key;
    c->uid = text_of(j, "metadata.uid");
    struct object_reader r = {.findings = &c->findings, .object = key, .id = "InvalidCommunity"};
    json_array_foreach(json_at(j, "spec.communities"), i, item)
    {
        struct community_alias a = {0};
        const char *name = json_key_str(item, "name"), *value = json_key_str(item, "value");
        size_t mark = reader_enter_item(&r, "spec.communities", i);
        if (i >= BGP_NAMES_MAX)
            reader_error(&r, NULL, "spread them over several objects", "more than 1000");
        else if (str_empty(name))
            reader_error(&r, "name", NULL, "has no name");
        else if (bgp_community_parse(str_from(value), &a.value) < 0)
            reader_error(&r, "value", "give 65000:1, or large:65000:1:2",
                         "\"%.60s\" is no community", value ? value : "");
        else
            a.name = xstrdup(name);
        if (a.name)
            vec_push(&c->aliases, a);
        reader_leave(&r, mark);
        if (i >= BGP_NAMES_MAX)
            break;
    }
    object_reader_done(&r);
    return c;
}

void community_names_free(struct community_names *c)
{
    if (!c)
        return;
    VEC_FOREACH (a, &c->aliases)
        free(a->name);
    vec_done(&c->aliases);
    findings_done(&c->findings);
    free(c->key);
    free(c->uid);
    free(c);
}

/* ---- peers ---- */

static struct ip read_ip(struct object_reader *r, const json_t *spec, const char *name)
{
    struct ip ip = {0};
    const char *text = json_key_str(spec, name);
    if (!str_empty(text) && ip_parse(str_from(text), &ip) < 0)
        reader_error(r, name, NULL, "\"%.60s\" is no address", text);
    return ip;
}

static bool read_seconds(struct object_reader *r, const json_t *spec, const char *name,
                         uint32_t *ret)
{
    uint64_t ms = 0;
    const char *text = json_key_str(spec, name);
    if (str_empty(text))
        return false;
    if (time_parse_duration(str_from(text), &ms) < 0 || ms / 1000 > UINT16_MAX)
        return reader_error(r, name, "give seconds such as 9s, at most 65535s",
                            "\"%.40s\" is not taken", text);
    *ret = (uint32_t)(ms / 1000);
    return true;
}

/* One of the two is enough: MetalLB's rule. */
static void read_timers(struct object_reader *r, const json_t *spec, struct bgp_peer *p)
{
    bool hold = read_seconds(r, spec, "holdTime", &p->hold_s);
    bool keepalive = read_seconds(r, spec, "keepaliveTime", &p->keepalive_s);
    p->has_timers = hold || keepalive;
    if (hold && !keepalive)
        p->keepalive_s = p->hold_s / 3;
    if (keepalive && !hold)
        p->hold_s = p->keepalive_s * 3;
    if (p->hold_s && p->hold_s < 3)
        reader_error(r, "holdTime", "give 0s, or 3s or more", "%u s are too short", p->hold_s);
    if (p->hold_s > UINT16_MAX)
        reader_error(r, "keepaliveTime", "give holdTime, too", "three times that is too long");
    if (p->keepalive_s > p->hold_s)
        reader_error(r, "keepaliveTime", NULL, "is longer than the hold time");
    if (read_seconds(r, spec, "connectTime", &p->connect_s) && !p->connect_s)
        reader_error(r, "connectTime", "give 1s to 65535s", "is less than a second");
}

static void read_numbers(struct object_reader *r, const json_t *spec, struct bgp_peer *p)
{
    const char *dynamic = json_key_str(spec, "dynamicASN");
    p->my_asn = read_u32(r, spec, "myASN", 0, UINT32_MAX);
    p->peer_asn = read_u32(r, spec, "peerASN", 0, UINT32_MAX);
    p->local_asn = read_u32(r, spec, "localASN", 0, UINT32_MAX);
    p->external = streq(dynamic, "external");
    if (!p->my_asn)
        reader_error(r, "myASN", NULL, "the AS of this end is missing");
    if (!p->peer_asn && str_empty(dynamic))
        reader_error(r, "peerASN", "give it, or dynamicASN", "the AS of the peer is missing");
    if (p->peer_asn && !str_empty(dynamic))
        reader_error(r, "dynamicASN", "leave one of them", "peerASN is there, too");
    if (!str_empty(dynamic) && !p->external && !streq(dynamic, "internal"))
        reader_error(r, "dynamicASN", "give internal or external", "\"%.40s\" is not known",
                     dynamic);
    p->multihop = json_at_bool(spec, "ebgpMultiHop", false);
    bool same = p->peer_asn ? p->peer_asn == p->my_asn : !p->external;
    if (p->multihop && same)
        reader_error(r, "ebgpMultiHop", "leave it out", "the peer is of the same AS");
    if (p->local_asn && (same || p->local_asn == p->my_asn))
        reader_error(r, "localASN", "leave it out",
                     "is only for a peer of another AS, and another one than myASN");
}

static bool is_password(const char *text)
{
    return vty_is_word(str_from(text)) && strlen(text) <= BGP_PASSWORD_MAX;
}

static const char password_rule[] = "no blanks, printable ASCII, at most 80 characters";

static void read_password(struct object_reader *r, const json_t *spec, struct bgp_peer *p)
{
    p->password = word_or_null(spec, "password");
    p->secret = word_or_null(json_object_get(spec, "passwordSecret"), "name");
    if (p->password && p->secret)
        reader_error(r, "password", "leave one of them", "passwordSecret is there, too");
    if (p->password && !is_password(p->password))
        reader_error(r, "password", password_rule, "cannot be given to bgpd");
}

char *bgp_password_decode(const json_t *secret, const char **ret_why)
{
    AUTO_DONE(buf) struct buf text = {0};
    const char *data = json_key_str(json_at(secret, "data"), "password");
    const char *why = NULL;
    if (!streq(json_key_str(secret, "type"), "kubernetes.io/basic-auth"))
        why = "is not of type kubernetes.io/basic-auth";
    else if (!data)
        why = "has no `password`";
    else if (base64_decode(str_from(data), &text) < 0 || strlen(buf_cstr(&text)) != text.n ||
             !is_password(buf_cstr(&text)))
        why = "has a password that cannot be given to bgpd: no blanks, printable ASCII, at most 80 "
              "characters";
    *ret_why = why;
    return why ? NULL : buf_take_cstr(&text);
}

static void read_where(struct object_reader *r, const json_t *spec, struct bgp_peer *p)
{
    p->address = read_ip(r, spec, "peerAddress");
    p->source = read_ip(r, spec, "sourceAddress");
    p->router_id = read_ip(r, spec, "routerID");
    if (!str_empty(json_key_str(spec, "interface")))
        reader_error(r, "interface", "give peerAddress", "peers without an address: not supported");
    else if (str_empty(json_key_str(spec, "peerAddress")))
        reader_error(r, "peerAddress", NULL, "the address of the peer is missing");
    if (!str_empty(json_key_str(spec, "vrf")))
        reader_error(r, "vrf", "leave it out", "not supported");
    if (p->router_id.family == AF_INET6)
        reader_error(r, "routerID", "give an IPv4 address", "is an IPv6 address");
    if (p->source.family && p->address.family && p->source.family != p->address.family)
        reader_error(r, "sourceAddress", NULL, "is of another family than peerAddress");
    p->port = (uint16_t)read_u32(r, spec, "peerPort", 0, 16384);
    p->port = p->port ? p->port : 179;
}

struct bgp_peer *bgp_peer_decode(const json_t *j)
{
    const json_t *spec = json_at(j, "spec");
    char *key = key_of(j);
    if (!key)
        return NULL;
    struct bgp_peer *p = NEW(struct bgp_peer);
    p->key = key;
    p->name = text_of(j, "metadata.name");
    p->uid = text_of(j, "metadata.uid");
    p->created = text_of(j, "metadata.creationTimestamp");
    struct object_reader r = {.findings = &p->findings, .object = key, .id = "InvalidBGPPeer"};
    size_t mark = reader_enter(&r, "spec");
    read_numbers(&r, spec, p);
    read_where(&r, spec, p);
    read_timers(&r, spec, p);
    read_password(&r, spec, p);
    READ_SELECTORS(&r, spec, "nodeSelectors", &p->node_selectors);
    p->bfd_profile = word_or_null(spec, "bfdProfile");
    p->graceful_restart = json_at_bool(spec, "enableGracefulRestart", false);
    p->dual_stack = json_at_bool(spec, "dualStackAddressFamily", false);
    reader_leave(&r, mark);
    p->refused = r.errors > 0;
    object_reader_done(&r);
    return p;
}

void bgp_peer_free(struct bgp_peer *p)
{
    if (!p)
        return;
    VEC_FOREACH (s, &p->node_selectors)
        selector_done(s);
    vec_done(&p->node_selectors);
    findings_done(&p->findings);
    free(p->key);
    free(p->name);
    free(p->uid);
    free(p->created);
    free(p->password);
    free(p->secret);
    free(p->bfd_profile);
    free(p);
}

/* ---- advertisements ---- */

static uint8_t read_length(struct object_reader *r, const json_t *spec, const char *name,
                           uint8_t most)
{
    int64_t v = most;
    return reader_number(r, spec, name, 1, most, &v) ? (uint8_t)v : most;
}

struct bgp_advertisement *bgp_advertisement_decode(const json_t *j)
{
    const json_t *spec = json_at(j, "spec");
    char *key = key_of(j);
    if (!key)
        return NULL;
    struct bgp_advertisement *a = NEW(struct bgp_advertisement);
    a->key = key;
    a->name = text_of(j, "metadata.name");
    a->uid = text_of(j, "metadata.uid");
    struct object_reader r = {
        .findings = &a->findings, .object = key, .id = "InvalidBGPAdvertisement"};
    size_t mark = reader_enter(&r, "spec");
    a->length4 = read_length(&r, spec, "aggregationLength", 32);
    a->length6 = read_length(&r, spec, "aggregationLengthV6", 128);
    a->local_pref = read_u32(&r, spec, "localPref", 0, UINT32_MAX);
    READ_NAMES(&r, spec, "ipAddressPools", BGP_NAMES_MAX, &a->pools);
    READ_NAMES(&r, spec, "peers", BGP_NAMES_MAX, &a->peers);
    READ_NAMES(&r, spec, "communities", BGP_COMMUNITIES_MAX, &a->communities);
    READ_SELECTORS(&r, spec, "ipAddressPoolSelectors", &a->pool_selectors);
    READ_SELECTORS(&r, spec, "nodeSelectors", &a->node_selectors);
    if (json_array_size(json_object_get(spec, "serviceSelectors")))
        reader_error(&r, "serviceSelectors", "select pools instead", "not supported");
    reader_leave(&r, mark);
    a->refused = r.errors > 0;
    object_reader_done(&r);
    return a;
}

static void names_done(struct names *n)
{
    VEC_FOREACH (s, n)
        free(*s);
    vec_done(n);
}

void bgp_advertisement_free(struct bgp_advertisement *a)
{
    if (!a)
        return;
    names_done(&(struct names){a->pools.v, a->pools.n, 0});
    names_done(&(struct names){a->peers.v, a->peers.n, 0});
    names_done(&(struct names){a->communities.v, a->communities.n, 0});
    VEC_FOREACH (s, &a->pool_selectors)
        selector_done(s);
    VEC_FOREACH (s, &a->node_selectors)
        selector_done(s);
    vec_done(&a->pool_selectors);
    vec_done(&a->node_selectors);
    findings_done(&a->findings);
    free(a->key);
    free(a->name);
    free(a->uid);
    free(a);
}

bool bgp_advertisement_is_of_pool(const struct bgp_advertisement *a, const char *pool,
                                  const json_t *labels)
{
    bool found = !a->pools.n && !a->pool_selectors.n;
    VEC_FOREACH (name, &a->pools)
        found = found || streq(*name, pool);
    VEC_FOREACH (s, &a->pool_selectors)
        found = found || selector_matches_object(s, labels);
    return found;
}

bool bgp_advertisement_is_to(const struct bgp_advertisement *a, const char *peer)
{
    bool found = !a->peers.n;
    VEC_FOREACH (name, &a->peers)
        found = found || streq(*name, peer);
    return found;
}

/* ---- BFD ---- */

struct bfd_profile *bfd_profile_decode(const json_t *j)
{
    const json_t *spec = json_at(j, "spec");
    char *key = key_of(j);
    if (!key)
        return NULL;
    struct bfd_profile *p = NEW(struct bfd_profile);
    p->key = key;
    p->name = text_of(j, "metadata.name");
    p->uid = text_of(j, "metadata.uid");
    struct object_reader r = {.findings = &p->findings, .object = key, .id = "InvalidBFDProfile"};
    size_t mark = reader_enter(&r, "spec");
    p->receive_ms = read_u32(&r, spec, "receiveInterval", 10, 60000);
    p->transmit_ms = read_u32(&r, spec, "transmitInterval", 10, 60000);
    p->multiplier = read_u32(&r, spec, "detectMultiplier", 2, 255);
    p->echo_ms = read_u32(&r, spec, "echoInterval", 10, 60000);
    p->minimum_ttl = read_u32(&r, spec, "minimumTtl", 1, 254);
    p->echo = json_at_bool(spec, "echoMode", false);
    p->passive = json_at_bool(spec, "passiveMode", false);
    if (strlen(p->name) > 50)
        reader_error(&r, NULL, "give it a shorter name",
                     "bfdd takes no names of over 63 characters");
    reader_leave(&r, mark);
    p->refused = r.errors > 0;
    object_reader_done(&r);
    return p;
}

void bfd_profile_free(struct bfd_profile *p)
{
    if (!p)
        return;
    findings_done(&p->findings);
    free(p->key);
    free(p->name);
    free(p->uid);
    free(p);
}
