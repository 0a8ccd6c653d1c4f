#include "model/ingress_backend_tls.h"

#include <ctype.h>

#include "model/ingress_auth.h"
#include "model/ingress_value.h"

enum { DEPTH = 1, DEPTH_MAX = 100 };

static struct route_backend_tls *tls_of(struct ingress_policy *p)
{
    if (!p->upstream.with)
        p->upstream.with = route_backend_tls_new();
    return p->upstream.with;
}

static const char *read_on(const char *value, bool *ret)
{
    bool on = streq(value, "on");
    if (!on && !streq(value, "off"))
        return "it must be on or off";
    *ret = on;
    return NULL;
}

const char *read_proxy_ssl_secret(struct ingress_policy *p, const char *value)
{
    return strchr(value, '/') ? ingress_value_keep(value, &tls_of(p)->secret)
                              : "it must be namespace/name";
}

const char *read_proxy_ssl_verify(struct ingress_policy *p, const char *value)
{
    return read_on(value, &tls_of(p)->verify);
}

const char *read_proxy_ssl_verify_depth(struct ingress_policy *p, const char *value)
{
    return ingress_value_number(value, 1, DEPTH_MAX, &tls_of(p)->depth);
}

const char *read_proxy_ssl_name(struct ingress_policy *p, const char *value)
{
    AUTO_CHARS char *lower = xstrdup(value);
    for (char *c = lower; *c; c++)
        *c = (char)tolower((unsigned char)*c);
    return str_is_dns1123_subdomain(str_from(lower))
               ? ingress_value_keep(lower, &tls_of(p)->name)
               : "it must be a DNS name, without an asterisk and without a port";
}

const char *read_proxy_ssl_server_name(struct ingress_policy *p, const char *value)
{
    return read_on(value, &tls_of(p)->server_name);
}

const char *read_proxy_ssl_protocols(struct ingress_policy *p, const char *value)
{
    struct route_backend_tls *t = tls_of(p);
    return ingress_value_tls_versions(value, &t->tls_min, &t->tls_max);
}

/* Those of TLS 1.2 that OpenSSL's default takes, but for those with a key known beforehand. */
static bool is_cipher(struct str name)
{
    static const char *const all[] = {"AES128-GCM-SHA256",
                                      "AES128-SHA",
                                      "AES128-SHA256",
                                      "AES256-GCM-SHA384",
                                      "AES256-SHA",
                                      "AES256-SHA256",
                                      "DHE-RSA-AES128-GCM-SHA256",
                                      "DHE-RSA-AES256-GCM-SHA384",
                                      "DHE-RSA-CHACHA20-POLY1305",
                                      "ECDHE-ECDSA-AES128-GCM-SHA256",
                                      "ECDHE-ECDSA-AES128-SHA",
                                      "ECDHE-ECDSA-AES128-SHA256",
                                      "ECDHE-ECDSA-AES256-GCM-SHA384",
                                      "ECDHE-ECDSA-AES256-SHA",
                                      "ECDHE-ECDSA-AES256-SHA384",
                                      "ECDHE-ECDSA-CHACHA20-POLY1305",
                                      "ECDHE-RSA-AES128-GCM-SHA256",
                                      "ECDHE-RSA-AES128-SHA",
                                      "ECDHE-RSA-AES128-SHA256",
                                      "ECDHE-RSA-AES256-GCM-SHA384",
                                      "ECDHE-RSA-AES256-SHA",
                                      "ECDHE-RSA-AES256-SHA384",
                                      "ECDHE-RSA-CHACHA20-POLY1305"};
    for (size_t i = 0; i < ARRAY_LEN(all); i++)
        if (str_is(name, all[i]))
            return true;
    return false;
}

const char *read_proxy_ssl_ciphers(struct ingress_policy *p, const char *value)
{
    struct str rest = str_from(value);
    if (streq(value, "DEFAULT"))
        return NULL;
    while (rest.p)
        if (!is_cipher(str_cut(rest, ':', &rest)))
            return "it must be DEFAULT, or names of ciphers of TLS 1.2 with : between them, such "
                   "as ECDHE-RSA-AES128-GCM-SHA256";
    return ingress_value_keep(value, &tls_of(p)->ciphers);
}

static void drop(struct ingress_policy *p)
{
    route_backend_tls_unref(p->upstream.with);
    p->upstream.with = NULL;
}

/* There is one of them, or there were no settings. */
static void tell_no_effect(const struct ingress_object *i, struct findings *f)
{
    for (uint32_t a = 0; a < i->n_annotations; a++) {
        if (!str_starts(str_from(i->annotations[a].name), STR("proxy-ssl-")))
            continue;
        AUTO_CHARS char *field =
            xasprintf("metadata.annotations[%s%s]", INGRESS_NGINX_PREFIX, i->annotations[a].name);
        finding_add(f, FINDING_WARNING, "AnnotationIncomplete", i->key, field,
                    "add backend-protocol: HTTPS or GRPCS",
                    "proxy-ssl-* has no effect: endpoints are not spoken to over TLS");
        return;
    }
}

void ingress_backend_tls_finish(struct ingress_policy *p, const struct ingress_object *i,
                                struct findings *f)
{
    struct route_backend_tls *t = p->upstream.with;
    if (!t)
        return;
    if (!p->upstream.tls) {
        tell_no_effect(i, f);
        drop(p);
        return;
    }
    if (!t->depth)
        t->depth = DEPTH;
    if (t->secret) {
        AUTO_CHARS char *given = TAKE(t->secret);
        t->secret = ingress_own_object(i, given);
        if (!t->secret)
            ingress_close_for(p, i, f, "proxy-ssl-secret", "it is no Secret of this namespace",
                              "name one of this namespace");
    } else if (t->verify) {
        ingress_close_for(p, i, f, "proxy-ssl-verify", "there is no proxy-ssl-secret",
                          "name a Secret of this namespace with ca.crt");
    }
    if (!t->secret && !t->server_name && !t->tls_min && !t->ciphers)
        drop(p);
}
