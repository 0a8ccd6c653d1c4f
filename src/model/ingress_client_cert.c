#include "model/ingress_client_cert.h"

#include "codec/regex.h"
#include "model/ingress_value.h"

enum { DEPTH = 1, DEPTH_MAX = 100 };

static struct route_client_cert *cert_of(struct ingress_policy *p)
{
    if (!p->client_cert)
        p->client_cert = route_client_cert_new();
    return p->client_cert;
}

const char *read_auth_tls_secret(struct ingress_policy *p, const char *value)
{
    return strchr(value, '/') ? ingress_value_keep(value, &cert_of(p)->secret)
                              : "it must be namespace/name";
}

const char *read_auth_tls_verify_client(struct ingress_policy *p, const char *value)
{
    static const char *const modes[] = {"on", "optional", "optional_no_ca", "off"};
    for (unsigned i = 0; i < ARRAY_LEN(modes); i++)
        if (streq(value, modes[i])) {
            cert_of(p)->verify = (enum route_verify_client)i;
            return NULL;
        }
    return "it must be on, off, optional or optional_no_ca";
}

const char *read_auth_tls_verify_depth(struct ingress_policy *p, const char *value)
{
    uint64_t n;
    if (str_to_u64(str_from(value), &n) < 0 || n < 1 || n > DEPTH_MAX)
        return "it must be a number from 1 to 100";
    cert_of(p)->depth = (uint32_t)n;
    return NULL;
}

const char *read_auth_tls_error_page(struct ingress_policy *p, const char *value)
{
    struct str s = str_from(value);
    if (!ingress_value_is_visible(value) || strpbrk(value, "$\"'\\{};") ||
        !(str_starts(s, STR("http://")) || str_starts(s, STR("https://"))))
        return "it must be a URL that begins with http:// or https://, without variables";
    return ingress_value_keep(value, &cert_of(p)->error_page);
}

const char *read_auth_tls_pass_certificate_to_upstream(struct ingress_policy *p, const char *value)
{
    return ingress_value_bool(value, &cert_of(p)->pass);
}

const char *read_auth_tls_match_cn(struct ingress_policy *p, const char *value)
{
    AUTO(regex) struct regex *regex = NULL;
    AUTO_DONE(buf) struct buf whole = {0};
    buf_addf(&whole, ".*(?:%s).*", value);
    if (!str_starts(str_from(value), STR("CN=")) || regex_new(buf_str(&whole), &regex, NULL) < 0)
        return "it must be CN= and an expression (RE2's language)";
    return ingress_value_keep(value, &cert_of(p)->match_cn);
}

void ingress_client_cert_finish(struct ingress_policy *p, const struct ingress_object *i,
                                struct findings *f)
{
    static const char field[] = "metadata.annotations[" INGRESS_NGINX_PREFIX "auth-tls-secret]";
    struct route_client_cert *c = p->client_cert;
    if (!c)
        return;
    if (!c->depth)
        c->depth = DEPTH;
    struct str name, ns = str_cut(str_from(c->secret ? c->secret : ""), '/', &name);
    bool own = c->secret && str_is(ns, i->namespace_) && str_is_dns1123_subdomain(name);
    if (c->secret && !own) {
        p->closed = true;
        finding_add(f, FINDING_ERROR, "AnnotationInvalid", i->key, field,
                    "name one of this namespace",
                    "it is no Secret of this namespace, and because it protects, the paths of this "
                    "Ingress answer 503");
    } else if (!c->secret && !p->closed) {
        finding_add(f, FINDING_WARNING, "AnnotationIncomplete", i->key, field,
                    "name the Secret of the CA",
                    "annotations of client certificates have no effect without it");
    }
    if (!own || c->verify == ROUTE_VERIFY_OFF) {
        route_client_cert_unref(c);
        p->client_cert = NULL;
    }
}
