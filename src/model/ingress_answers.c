/* What becomes of answers on their way to the client: attributes of their cookies, where they send
 * to, how fast they go, whether a log tells of them. Of nginx's expressions and variables in such
 * values ingress-nginx lets next to none through; none is taken here. */
#include <ctype.h>

#include "model/ingress_readers.h"
#include "model/ingress_value.h"

enum { RATE_MAX_KB = 4 << 20 };

/* Letters, digits and what stands in names, paths and URLs; an expression begins with ~. */
static bool is_text(struct str s)
{
    for (size_t i = 0; i < s.n; i++)
        if (!isalnum((unsigned char)s.p[i]) && !memchr("-._~/:?&=", s.p[i], 9))
            return false;
    return s.n > 0 && *s.p != '~';
}

static void set_pair(struct route_pair *p, struct str from, struct str to)
{
    route_pair_done(p);
    if (from.n)
        *p = (struct route_pair){str_dup(from), str_dup(to)};
}

/* "off", or two words. */
static const char *read_pair(const char *value, struct route_pair *ret, bool of_names)
{
    struct str rest, from = str_cut(str_trim(str_from(value)), ' ', &rest), to = str_trim(rest);
    if (str_is(from, "off") && !to.n) {
        set_pair(ret, STR(""), STR(""));
        return NULL;
    }
    if (of_names && str_starts(from, STR("."))) /* nginx passes over a dot before a domain */
        from = str_sub(from, 1, from.n);
    if (of_names && str_starts(to, STR(".")))
        to = str_sub(to, 1, to.n);
    if (!is_text(from) || !is_text(to))
        return "it must be off, or what is replaced and what replaces it, with a blank between "
               "them, without expressions and variables";
    set_pair(ret, from, to);
    return NULL;
}

const char *read_proxy_cookie_domain(struct ingress_policy *p, const char *v)
{
    return read_pair(v, &p->answers.cookie_domain, true);
}

const char *read_proxy_cookie_path(struct ingress_policy *p, const char *v)
{
    return read_pair(v, &p->answers.cookie_path, false);
}

/* "default" would be the address of ingress-nginx's own balancer, which no endpoint names. */
static const char *read_place(const char *v, char **ret)
{
    if (!streq(v, "off") && !streq(v, "default"))
        return is_text(str_from(v)) ? ingress_value_keep(v, ret)
                                    : "it must be off, default, or a URL or path without "
                                      "expressions and variables";
    free(TAKE(*ret));
    return NULL;
}

const char *read_proxy_redirect_from(struct ingress_policy *p, const char *v)
{
    return read_place(v, &p->answers.redirect.from);
}

const char *read_proxy_redirect_to(struct ingress_policy *p, const char *v)
{
    return read_place(v, &p->answers.redirect.to);
}

const char *read_relative_redirects(struct ingress_policy *p, const char *v)
{
    return ingress_value_bool(v, &p->answers.relative);
}

static const char *read_kilobytes(const char *v, uint64_t *ret)
{
    int64_t n;
    if (str_to_i64(str_from(v), &n) < 0 || n > RATE_MAX_KB)
        return "it must be a number of kilobytes up to 4194304; 0 is no limit";
    *ret = n > 0 ? (uint64_t)n << 10 : 0;
    return NULL;
}

const char *read_limit_rate(struct ingress_policy *p, const char *v)
{
    return read_kilobytes(v, &p->answers.bytes_per_s);
}

const char *read_limit_rate_after(struct ingress_policy *p, const char *v)
{
    return read_kilobytes(v, &p->answers.bytes_before);
}

const char *read_enable_access_log(struct ingress_policy *p, const char *v)
{
    bool on = true;
    const char *why = ingress_value_bool(v, &on);
    if (!why)
        p->answers.unlogged = !on;
    return why;
}

void ingress_answers_finish(struct ingress_policy *p, const struct ingress_object *i,
                            struct findings *f)
{
    const struct route_pair *to = &p->answers.redirect;
    if (!!to->from == !!to->to)
        return;
    for (uint32_t a = 0; a < i->n_annotations; a++) {
        AUTO_CHARS char *field =
            xasprintf("metadata.annotations[%s%s]", INGRESS_NGINX_PREFIX, i->annotations[a].name);
        bool off =
            streq(i->annotations[a].value, "off") || streq(i->annotations[a].value, "default");
        if (!off && str_starts(str_from(i->annotations[a].name), STR("proxy-redirect-")))
            finding_add(f, FINDING_WARNING, "AnnotationIncomplete", i->key, field,
                        "give both proxy-redirect-from and proxy-redirect-to",
                        "one has no effect without the other");
    }
}

static void copy_pair(struct route_pair *to, const struct route_pair *from)
{
    if (from->from && from->to)
        *to = (struct route_pair){xstrdup(from->from), xstrdup(from->to)};
}

void ingress_answers_apply(const struct route_answers *a, struct route *r)
{
    r->answers.unlogged = a->unlogged;
    r->answers.relative = a->relative && r->action == ROUTE_REDIRECT && !r->redirect.host;
    if (r->action == ROUTE_REDIRECT)
        return;
    copy_pair(&r->answers.cookie_domain, &a->cookie_domain);
    copy_pair(&r->answers.cookie_path, &a->cookie_path);
    copy_pair(&r->answers.redirect, &a->redirect);
    r->answers.bytes_per_s = a->bytes_per_s;
    r->answers.bytes_before = a->bytes_per_s ? a->bytes_before : 0;
}
