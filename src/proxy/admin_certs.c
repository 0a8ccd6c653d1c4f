/* /certs: what is trusted and what is shown to peers, of all listeners and clusters. Names and
 * dates, never a key. */
#include "base/time.h"
#include "codec/json.h"
#include "proxy/admin_priv.h"

struct certs {
    json_t *all;
    /* Of the context at hand. */
    json_t *trusted, *own;
    int64_t now_s;
};

static void add_names(json_t *to, const char *kind, const struct str *names, size_t n)
{
    for (size_t i = 0; i < n; i++)
        json_array_append_new(to, json_pack("{s:o}", kind, json_text(names[i])));
}

static void on_certificate(bool trusted, const struct tls_peer *f, void *user)
{
    struct certs *c = user;
    char from[21], to[21], days[24];
    json_t *names = json_array();
    add_names(names, "dns", f->dns.v, f->dns.n);
    add_names(names, "uri", f->uris.v, f->uris.n);
    add_names(names, "ip_address", f->ips.v, f->ips.n);
    time_format_rfc3339(f->not_before_s, from);
    time_format_rfc3339(f->not_after_s, to);
    int64_t left = (f->not_after_s - c->now_s) / 86400;
    snprintf(days, sizeof(days), "%lld", (long long)MAX(left, (int64_t)0));
    json_array_append_new(trusted ? c->trusted : c->own,
                          json_pack("{s:o, s:o, s:o, s:s, s:s, s:s}", "serial_number",
                                    json_text(f->serial), "subject", json_text(f->subject),
                                    "subject_alt_names", names, "days_until_expiration", days,
                                    "valid_from", from, "expiration_time", to));
}

static void add_slot(struct certs *c, struct tls_slot *slot)
{
    struct tls_context *t = slot ? tls_slot_context(slot) : NULL;
    if (!t)
        return; /* plain, or its secret has not come */
    c->trusted = json_array();
    c->own = json_array();
    tls_context_each(t, on_certificate, c);
    json_array_append_new(c->all,
                          json_pack("{s:o, s:o}", "ca_cert", c->trusted, "cert_chain", c->own));
    tls_context_unref(t);
}

void admin_certs(struct admin *a, struct admin_page *p)
{
    AUTO_JSON json_t *all = json_array();
    struct certs c = {.all = all, .now_s = time_real_us() / 1000000};
    const struct proxy_config *config = admin_config(a);
    void *cluster;
    VEC_FOREACH (l, &config->listeners) {
        VEC_FOREACH (chain, &(*l)->chains.v)
            add_slot(&c, chain->tls);
        if ((*l)->chains.otherwise)
            add_slot(&c, (*l)->chains.otherwise->tls);
    }
    for (size_t at = 0; map_next(&config->clusters->by_name, &at, NULL, &cluster);) {
        const struct upstream_tls *tls;
        for (size_t k = 0; cluster_next_tls(cluster, &k, &tls);)
            add_slot(&c, tls->slot);
    }
    buf_add_cstr(&p->body, "{\"certificates\":");
    json_write_indented(&p->body, all);
    buf_add_cstr(&p->body, "}\n");
}
