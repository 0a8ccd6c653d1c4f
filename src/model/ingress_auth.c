/* What is taken is what ingress-nginx 1.15 was seen to take, and no more of its configuration's
 * language than the variables that published recipes use. */
#include "model/ingress_auth.h"

#include <ctype.h>
#include <errno.h>

#include "base/vec.h"
#include "model/ingress_value.h"

enum { HEADERS_MAX = 64 };

/* ---- texts ---- */

static enum route_variable variable_of(struct str name)
{
    static const struct {
        const char *name;
        enum route_variable variable;
    } all[] = {{"scheme", ROUTE_SCHEME},
               {"pass_access_scheme", ROUTE_SCHEME},
               {"host", ROUTE_HOST},
               {"http_host", ROUTE_HTTP_HOST},
               {"best_http_host", ROUTE_HTTP_HOST},
               {"request_uri", ROUTE_REQUEST_URI},
               {"escaped_request_uri", ROUTE_ESCAPED_REQUEST_URI}};
    for (size_t i = 0; i < ARRAY_LEN(all); i++)
        if (str_is(name, all[i].name))
            return all[i].variable;
    return ROUTE_VARIABLE_NONE;
}

/* "$name" or "${name}" at the beginning of s; how long it is: 0: none that is known. */
static size_t take_variable(struct str s, enum route_variable *ret)
{
    bool braces = s.n > 1 && s.p[1] == '{';
    size_t from = braces ? 2 : 1, to = from;
    while (to < s.n && (isalnum((unsigned char)s.p[to]) || s.p[to] == '_'))
        to++;
    *ret = variable_of(str_sub(s, from, to));
    if (*ret == ROUTE_VARIABLE_NONE || (braces && (to >= s.n || s.p[to] != '}')))
        return 0;
    return to + braces;
}

static const char *read_text(struct str s, struct route_text *ret)
{
    struct route_text t = {0};
    size_t from = 0;
    for (size_t i = 0; i < s.n;) {
        enum route_variable variable = ROUTE_VARIABLE_NONE;
        size_t n = s.p[i] == '$' ? take_variable(str_sub(s, i, s.n), &variable) : 0;
        bool bad = (unsigned char)s.p[i] <= ' ' || s.p[i] == 0x7f || strchr("\"'\\`", s.p[i]) ||
                   (s.p[i] == '$' && !n);
        if (bad) {
            route_text_done(&t);
            return "it may hold no blanks or quotes, and of variables $scheme, $host, $http_host, "
                   "$request_uri, $escaped_request_uri alone";
        }
        if (n)
            route_text_add(&t, str_sub(s, from, i), variable);
        i += n ? n : 1;
        from = n ? i : from;
    }
    if (from < s.n)
        route_text_add(&t, str_sub(s, from, s.n), ROUTE_VARIABLE_NONE);
    route_text_done(ret);
    *ret = t;
    return NULL;
}

/* ---- names and passwords ---- */

const char *read_auth_type(struct ingress_policy *p, const char *value)
{
    if (streq(value, "digest"))
        return "digest keeps passwords in a form that is as good as the password: use basic over "
               "https, or auth-url";
    p->auth.basic = streq(value, "basic");
    return p->auth.basic ? NULL : "it must be basic";
}

const char *read_auth_secret(struct ingress_policy *p, const char *value)
{
    return ingress_value_keep(value, &p->auth.secret);
}

const char *read_auth_secret_type(struct ingress_policy *p, const char *value)
{
    p->guard->basic.map = streq(value, "auth-map");
    return p->guard->basic.map || streq(value, "auth-file") ? NULL
                                                            : "it must be auth-file or auth-map";
}

const char *read_auth_realm(struct ingress_policy *p, const char *value)
{
    for (const char *c = value; *c; c++)
        if ((unsigned char)*c < ' ' || (unsigned char)*c > '~' || strchr("\"\\", *c))
            return "it must be printable text without quotes and backslashes";
    return ingress_value_keep(value, &p->guard->basic.realm);
}

const char *read_satisfy(struct ingress_policy *p, const char *value)
{
    p->guard->any = streq(value, "any");
    return p->guard->any || streq(value, "all") ? NULL : "it must be any or all";
}

char *ingress_own_object(const struct ingress_object *i, const char *name)
{
    struct str rest, ns = str_cut(str_from(name), '/', &rest);
    struct str object = rest.p ? rest : ns;
    if ((rest.p && !str_is(ns, i->namespace_)) || !str_is_dns1123_subdomain(object))
        return NULL;
    return xasprintf("%s/" STR_FMT, i->namespace_, STR_ARG(object));
}

void ingress_close_for(struct ingress_policy *p, const struct ingress_object *i, struct findings *f,
                       const char *annotation, const char *what, const char *remedy)
{
    AUTO_CHARS char *field =
        xasprintf("metadata.annotations[%s%s]", INGRESS_NGINX_PREFIX, annotation);
    p->closed = true;
    finding_add(f, FINDING_ERROR, "AnnotationInvalid", i->key, field, remedy,
                "%s, and because it protects, the paths of this Ingress answer 503", what);
}

static void finish_basic(struct ingress_policy *p, const struct ingress_object *i,
                         struct findings *f)
{
    struct route_basic_auth *b = &p->guard->basic;
    if (!b->realm)
        b->realm = xstrdup("");
    if (!p->auth.basic) {
        if (p->auth.secret && !p->closed)
            finding_add(f, FINDING_WARNING, "AnnotationIncomplete", i->key,
                        "metadata.annotations[" INGRESS_NGINX_PREFIX "auth-secret]",
                        "add auth-type: basic", "it has no effect without auth-type");
        return;
    }
    b->secret = p->auth.secret ? ingress_own_object(i, p->auth.secret) : NULL;
    if (!p->auth.secret)
        ingress_close_for(p, i, f, "auth-type", "there is no auth-secret",
                          "name a Secret of this namespace");
    else if (!b->secret)
        ingress_close_for(p, i, f, "auth-secret", "it is no Secret of this namespace",
                          "give its name; one of another namespace cannot be used");
}

/* ---- another server ---- */

/* "host" or "host:port"; *ret_port stays where none is given. */
static bool read_authority(struct str s, struct route_auth_request *r)
{
    struct str port, host = str_cut(s, ':', &port);
    uint64_t number = r->port;
    if (port.p && (str_to_u64(port, &number) < 0 || number < 1 || number > 65535))
        return false;
    r->port = (uint16_t)number;
    r->own_host =
        str_is(host, "$host") || str_is(host, "$http_host") || str_is(host, "$best_http_host");
    char *lower = str_dup(host);
    for (char *c = lower; *c; c++)
        *c = (char)tolower((unsigned char)*c);
    free(r->host);
    r->host = lower;
    if (r->own_host)
        free(TAKE(r->host));
    return r->own_host || str_is_dns1123_subdomain(str_from(lower));
}

const char *read_auth_url(struct ingress_policy *p, const char *value)
{
    struct route_auth_request *r = &p->guard->request;
    struct str s = str_from(value);
    if (!s.n)
        return NULL; /* nobody is asked */
    r->on = true;
    r->tls = str_starts(s, STR("https://"));
    r->port = r->tls ? 443 : 80;
    if (!r->tls && !str_starts(s, STR("http://")))
        return "it must be a URL that begins with http:// or https://";
    s = str_sub(s, r->tls ? 8 : 7, s.n);
    size_t end = 0;
    while (end < s.n && !strchr("/?#", s.p[end]))
        end++;
    struct str path = str_sub(s, end, s.n);
    if (!read_authority(str_sub(s, 0, end), r))
        return "it must name a host, or $host, and a port or none";
    if (path.n && *path.p != '/')
        return "its path must begin with /";
    return str_contains(path, STR("#")) ? "it may have no #"
                                        : read_text(path.n ? path : STR("/"), &r->path);
}

const char *read_auth_method(struct ingress_policy *p, const char *value)
{
    static const char *const all[] = {"GET",   "HEAD", "POST",    "PUT",   "PATCH",
                                      "TRACE", "COPY", "OPTIONS", "DELETE"};
    for (size_t i = 0; i < ARRAY_LEN(all); i++)
        if (streq(value, all[i]))
            return ingress_value_keep(value, &p->guard->request.method);
    return "it must be a method in capitals, such as GET";
}

const char *read_auth_signin(struct ingress_policy *p, const char *value)
{
    struct str s = str_from(value);
    if (!str_starts(s, STR("http://")) && !str_starts(s, STR("https://")) &&
        !str_starts(s, STR("$scheme://")))
        return "it must be a URL that begins with http:// or https://";
    const char *why = read_text(s, &p->guard->request.sign_in);
    return why ? why : ingress_value_keep(value, &p->auth.sign_in);
}

const char *read_auth_signin_redirect_param(struct ingress_policy *p, const char *value)
{
    return ingress_value_is_token(str_from(value)) && !strpbrk(value, "&#%+")
               ? ingress_value_keep(value, &p->auth.sign_in_param)
               : "it must be a parameter's name";
}

const char *read_auth_response_headers(struct ingress_policy *p, const char *value)
{
    struct route_auth_request *r = &p->guard->request;
    VEC(char *) list = {0};
    struct str rest = str_from(value);
    bool ok = true;
    while (rest.p && ok) {
        struct str one = str_trim(str_cut(rest, ',', &rest));
        ok = list.n < HEADERS_MAX && (ingress_value_is_token(one) || (!one.n && !rest.p && list.n));
        if (one.n)
            vec_push(&list, str_dup(one));
    }
    if (ok && !r->response_headers) {
        r->response_headers = list.v;
        r->n_response_headers = (uint32_t)list.n;
        return NULL;
    }
    VEC_FOREACH (one, &list)
        free(*one);
    vec_done(&list);
    return "it must be a list of at most 64 headers with commas between them";
}

const char *read_auth_request_redirect(struct ingress_policy *p, const char *value)
{
    return read_text(str_from(value), &p->guard->request.redirect);
}

const char *read_auth_proxy_set_headers(struct ingress_policy *p, const char *value)
{
    return ingress_value_keep(value, &p->auth.set_headers);
}

const char *read_auth_always_set_cookie(struct ingress_policy *p, const char *value)
{
    return ingress_value_bool(value, &p->guard->request.always_set_cookie);
}

/* Where the client wanted to go, for the page to send it there: unless the URL says so itself. */
static void finish_sign_in(struct ingress_policy *p)
{
    const char *param = p->auth.sign_in_param ? p->auth.sign_in_param : "rd";
    struct route_text *t = &p->guard->request.sign_in;
    const char *query = p->auth.sign_in ? strchr(p->auth.sign_in, '?') : NULL;
    size_t n = strlen(param);
    if (!p->auth.sign_in)
        return;
    for (const char *c = query; c; c = strchr(c + 1, '&'))
        if (strncmp(c + 1, param, n) == 0 && c[1 + n] == '=')
            return;
    AUTO_CHARS char *intro = xasprintf("%s%s=", query ? "&" : "?", param);
    route_text_add(t, str_from(intro), ROUTE_SCHEME);
    route_text_add(t, STR("://"), ROUTE_HTTP_HOST);
    route_text_add(t, STR(""), ROUTE_ESCAPED_REQUEST_URI);
}

int ingress_service_of_host(const char *host, char **ret)
{
    static const struct str domain = STR(".cluster.local");
    struct str s = str_from(host), rest;
    if (str_ends(s, domain))
        s.n -= domain.n;
    struct str name = str_cut(s, '.', &rest), ns = rest.p ? str_cut(rest, '.', &rest) : rest;
    if (!ns.p || !str_is(rest, "svc") || !str_is_dns1123_label(name) || !str_is_dns1123_label(ns))
        return -ENOENT;
    *ret = xasprintf(STR_FMT "/" STR_FMT, STR_ARG(ns), STR_ARG(name));
    return 0;
}

void ingress_auth_finish(struct ingress_policy *p, const struct ingress_object *i,
                         struct findings *f)
{
    struct route_auth_request *r = &p->guard->request;
    finish_basic(p, i, f);
    finish_sign_in(p);
    if (!r->method)
        r->method = xstrdup("GET");
    if (!p->auth.set_headers)
        return;
    r->set_headers = ingress_own_object(i, p->auth.set_headers);
    if (!r->set_headers)
        ingress_close_for(p, i, f, "auth-proxy-set-headers", "it is no ConfigMap of this namespace",
                          "give its name; one of another namespace cannot be used");
}
