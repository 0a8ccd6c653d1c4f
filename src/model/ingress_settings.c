/* Keys of the ConfigMap, by closed grammars. */
#include "model/ingress_settings.h"

#include "base/vec.h"
#include "model/ingress_annotations.h"
#include "model/ingress_value.h"

enum { HSTS_AGE_S = 31536000, HTTPS_CODE = 308, NAMES_MAX = 64 };

/* NULL: taken; else why not. */
typedef const char *reader(struct ingress_settings *s, const char *value);

static void add_default(struct ingress_default **list, uint32_t *n, const char *name,
                        const char *value)
{
    *list = xrealloc(*list, (*n + 1u) * sizeof(**list));
    (*list)[(*n)++] = (struct ingress_default){xstrdup(name), xstrdup(value)};
}

static void defaults_free(struct ingress_default **list, uint32_t *n)
{
    for (; *n; --*n) {
        free((*list)[*n - 1].annotation);
        free((*list)[*n - 1].value);
    }
    free(TAKE(*list));
}

static const char *read_hsts(struct ingress_settings *s, const char *v)
{
    return ingress_value_bool(v, &s->hsts);
}

static const char *read_hsts_subdomains(struct ingress_settings *s, const char *v)
{
    return ingress_value_bool(v, &s->hsts_subdomains);
}

static const char *read_hsts_preload(struct ingress_settings *s, const char *v)
{
    return ingress_value_bool(v, &s->hsts_preload);
}

static const char *read_hsts_max_age(struct ingress_settings *s, const char *v)
{
    return ingress_value_number(v, 0, INT32_MAX, &s->hsts_max_age_s);
}

static const char *read_http_redirect_code(struct ingress_settings *s, const char *v)
{
    static const char *const codes[] = {"301", "302", "307", "308"};
    for (size_t i = 0; i < ARRAY_LEN(codes); i++)
        if (streq(v, codes[i])) {
            s->https_code = (uint16_t)(300 + (codes[i][2] - '0'));
            return NULL;
        }
    return "it must be 301, 302, 307 or 308";
}

static const char *read_use_forwarded_headers(struct ingress_settings *s, const char *v)
{
    return ingress_value_bool(v, &s->forwarded);
}

static const char *read_keep_alive(struct ingress_settings *s, const char *v)
{
    const char *why = ingress_value_number(v, 0, INGRESS_TIMEOUT_MAX_S, &s->keep_alive_s);
    s->says_keep_alive = s->says_keep_alive || !why;
    return why;
}

static const char *read_keep_alive_requests(struct ingress_settings *s, const char *v)
{
    return ingress_value_number(v, 1, INT32_MAX, &s->keep_alive_requests);
}

static const char *read_server_tokens(struct ingress_settings *s, const char *v)
{
    bool on = false;
    const char *why = ingress_value_bool(v, &on);
    if (!why)
        s->server = on ? INGRESS_SERVER_OURS : INGRESS_SERVER_NONE;
    return why;
}

static const char *read_status(const char *v, uint16_t *ret)
{
    uint32_t status = 0;
    const char *why = ingress_value_number(v, 400, 599, &status);
    if (!why)
        *ret = (uint16_t)status;
    return why;
}

static const char *read_rate_status(struct ingress_settings *s, const char *v)
{
    return read_status(v, &s->rate_status);
}

static const char *read_concurrent_status(struct ingress_settings *s, const char *v)
{
    return read_status(v, &s->concurrent_status);
}

static const char *read_proxy_protocol(struct ingress_settings *s, const char *v)
{
    return ingress_value_bool(v, &s->proxy_protocol);
}

static const char *read_no_log(struct ingress_settings *s, const char *v)
{
    bool off = false;
    const char *why = ingress_value_bool(v, &off);
    if (!why && off)
        add_default(&s->defaults, &s->n_defaults, "enable-access-log", "false");
    return why;
}

static const char *read_underscores(struct ingress_settings *s, const char *v)
{
    return ingress_value_bool(v, &s->underscores);
}

/* "X-A, X-B,": one at least. */
static const char *read_names(const char *v, bool (*is_good)(struct str name), char ***ret,
                              uint32_t *ret_n)
{
    struct str rest = str_from(v);
    VEC(char *) list = {0};
    bool ok = true;
    while (rest.p && ok) {
        struct str one = str_trim(str_cut(rest, ',', &rest));
        if (!one.n)
            continue;
        ok = is_good(one) && list.n < NAMES_MAX;
        vec_push(&list, str_dup(one));
    }
    if (!ok || !list.n) {
        VEC_FOREACH (name, &list)
            free(*name);
        vec_done(&list);
        return "it must be a list of names with commas between them, at most 64, of fields that "
               "may be so treated";
    }
    *ret = list.v;
    *ret_n = (uint32_t)list.n;
    return NULL;
}

static const char *read_hide_headers(struct ingress_settings *s, const char *v)
{
    return read_names(v, ingress_value_is_token, &s->hidden, &s->n_hidden);
}

static const char *read_allowed_headers(struct ingress_settings *s, const char *v)
{
    return read_names(v, ingress_value_is_settable, &s->allowed, &s->n_allowed);
}

bool ingress_settings_allow(const struct ingress_settings *s, const char *field)
{
    for (uint32_t i = 0; s && i < s->n_allowed; i++)
        if (str_eq_nocase(str_from(s->allowed[i]), str_from(field)))
            return true;
    return false;
}

static const char *read_ssl_protocols(struct ingress_settings *s, const char *v)
{
    return ingress_value_tls_versions(v, &s->tls_min, &s->tls_max);
}

/* "namespace/name" */
static const char *read_map_name(const char *v, char **ret)
{
    struct str name, ns = str_cut(str_from(v), '/', &name);
    return name.p && str_is_dns1123_label(ns) && str_is_dns1123_subdomain(name)
               ? ingress_value_keep(v, ret)
               : "it must be namespace/name of a ConfigMap";
}

static const char *read_add_headers(struct ingress_settings *s, const char *v)
{
    return read_map_name(v, &s->add_headers);
}

static const char *read_proxy_set_headers(struct ingress_settings *s, const char *v)
{
    return read_map_name(v, &s->set_headers);
}

static const struct {
    const char *name;
    reader *read; /* NULL: the default of the annotation of that name */
} rows[] = {
    {"add-headers", read_add_headers},
    {"custom-http-errors", NULL},
    {"denylist-source-range", NULL},
    {"disable-access-log", read_no_log},
    {"enable-underscores-in-headers", read_underscores},
    {"force-ssl-redirect", NULL},
    {"global-allowed-response-headers", read_allowed_headers},
    {"hide-headers", read_hide_headers},
    {"hsts", read_hsts},
    {"hsts-include-subdomains", read_hsts_subdomains},
    {"hsts-max-age", read_hsts_max_age},
    {"hsts-preload", read_hsts_preload},
    {"http-redirect-code", read_http_redirect_code},
    {"keep-alive", read_keep_alive},
    {"keep-alive-requests", read_keep_alive_requests},
    {"limit-conn-status-code", read_concurrent_status},
    {"limit-rate", NULL},
    {"limit-rate-after", NULL},
    {"limit-req-status-code", read_rate_status},
    {"load-balance", NULL},
    {"preserve-trailing-slash", NULL},
    {"proxy-body-size", NULL},
    {"proxy-connect-timeout", NULL},
    {"proxy-cookie-domain", NULL},
    {"proxy-cookie-path", NULL},
    {"proxy-http-version", NULL},
    {"proxy-next-upstream", NULL},
    {"proxy-next-upstream-timeout", NULL},
    {"proxy-next-upstream-tries", NULL},
    {"proxy-read-timeout", NULL},
    {"proxy-redirect-from", NULL},
    {"proxy-redirect-to", NULL},
    {"proxy-set-headers", read_proxy_set_headers},
    {"relative-redirects", NULL},
    {"server-tokens", read_server_tokens},
    {"service-upstream", NULL},
    {"ssl-protocols", read_ssl_protocols},
    {"ssl-redirect", NULL},
    {"upstream-hash-by", NULL},
    {"use-forwarded-headers", read_use_forwarded_headers},
    {"use-proxy-protocol", read_proxy_protocol},
    {"whitelist-source-range", NULL},
};

/* global-auth-NAME: of the server that is asked for all Ingresses, as the annotation auth-NAME. */
static const char *take_global_auth(struct ingress_settings *s, struct ingress_policy *scratch,
                                    const char *name, const char *value)
{
    static const char *const names[] = {"auth-always-set-cookie",
                                        "auth-cache-duration",
                                        "auth-cache-key",
                                        "auth-method",
                                        "auth-request-redirect",
                                        "auth-response-headers",
                                        "auth-signin",
                                        "auth-signin-redirect-param",
                                        "auth-url"};
    const char *why = "", *annotation = name + strlen("global-");
    for (size_t i = 0; *why == 0 && i < ARRAY_LEN(names); i++)
        if (streq(names[i], annotation)) {
            ingress_annotation_take(scratch, annotation, value, &why);
            if (!why)
                add_default(&s->global_auth, &s->n_global_auth, annotation, value);
            return why;
        }
    return why;
}

/* Ingresses that say nothing themselves are closed, if it protects. */
static bool close_for(struct ingress_settings *s, const char *name)
{
    bool *closes = streq(name, "global-auth-url")          ? &s->global_auth_closes
                   : streq(name, "whitelist-source-range") ? &s->allowlist_closes
                   : streq(name, "denylist-source-range")  ? &s->denylist_closes
                                                           : NULL;
    if (closes)
        *closes = true;
    return closes != NULL;
}

static const char *take_value(struct ingress_settings *s, struct ingress_policy *scratch,
                              const char *name, const char *value)
{
    const char *why = "";
    size_t i = 0;
    if (str_starts(str_from(name), STR("global-auth-")))
        return take_global_auth(s, scratch, name, value);
    while (i < ARRAY_LEN(rows) && !streq(rows[i].name, name))
        i++;
    if (i == ARRAY_LEN(rows))
        return ingress_annotation_needless(name) ? NULL : "";
    if (rows[i].read)
        return rows[i].read(s, value);
    if (!ingress_annotation_take(scratch, name, value, &why))
        return "";
    if (!why)
        add_default(&s->defaults, &s->n_defaults, name, value);
    return why;
}

static void take(struct ingress_settings *s, struct ingress_policy *scratch, const char *key,
                 const char *name, const char *value, struct findings *f)
{
    AUTO_CHARS char *field = xasprintf("data[%.128s]", name);
    const char *why = take_value(s, scratch, name, value);
    if (why && !*why)
        finding_add(f, FINDING_WARNING, "SettingNotSupported", key, field,
                    "docs/ingress-nginx.md names those that are", "it has no effect here");
    else if (why && close_for(s, name))
        finding_add(f, FINDING_ERROR, "SettingInvalid", key, field, NULL,
                    "\"%.80s\" is not taken, and because it protects, all Ingresses that say "
                    "nothing themselves answer 503: %s",
                    value, why);
    else if (why)
        finding_add(f, FINDING_WARNING, "SettingInvalid", key, field, NULL,
                    "\"%.80s\" is not taken, the default is in force: %s", value, why);
}

/* Without a server to ask the rest of it is nothing. */
static void finish_global_auth(struct ingress_settings *s, const struct ingress_policy *scratch)
{
    if (!scratch->guard->request.on && s->n_global_auth)
        defaults_free(&s->global_auth, &s->n_global_auth);
}

struct ingress_settings *ingress_settings_new(const char *key, const json_t *data,
                                              struct findings *f)
{
    struct ingress_settings *s = NEW(struct ingress_settings);
    struct ingress_policy *scratch = ingress_policy_usual(true);
    const char *name;
    json_t *value;
    s->hsts = s->hsts_subdomains = true;
    s->hsts_max_age_s = HSTS_AGE_S;
    s->https_code = HTTPS_CODE;
    json_object_foreach((json_t *)(uintptr_t)data, name, value)
    {
        if (json_is_string(value))
            take(s, scratch, key, name, json_string_value(value), f);
    }
    finish_global_auth(s, scratch);
    ingress_policy_free(scratch);
    return s;
}

void ingress_settings_free(struct ingress_settings *s)
{
    if (!s)
        return;
    defaults_free(&s->defaults, &s->n_defaults);
    defaults_free(&s->global_auth, &s->n_global_auth);
    for (uint32_t i = 0; i < s->n_hidden; i++)
        free(s->hidden[i]);
    for (uint32_t i = 0; i < s->n_allowed; i++)
        free(s->allowed[i]);
    free(s->hidden);
    free(s->allowed);
    free(s->add_headers);
    free(s->set_headers);
    free(s);
}

char *ingress_settings_hsts(const struct ingress_settings *s)
{
    if (s && !s->hsts)
        return NULL;
    return xasprintf("max-age=%u%s%s", s ? s->hsts_max_age_s : HSTS_AGE_S,
                     !s || s->hsts_subdomains ? "; includeSubDomains" : "",
                     s && s->hsts_preload ? "; preload" : "");
}
