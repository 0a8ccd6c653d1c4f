/* The table of directives, and those whose words decide. */
#include "model/snippet.h"

#include "base/buf.h"

static const struct {
    const char *directive;
    struct snippet_advice advice;
} table[] = {
#define ADVICE(directive, fate, annotation, note)                                                  \
    {directive, {SNIPPET_##fate, annotation, NULL, note}},
#include "model/snippet_advice.def"
#undef ADVICE
};

static const char *arg(const struct snippet_directive *d, size_t n)
{
    return n < d->n_args ? d->args[n] : "";
}

static void set(struct snippet_advice *ret, enum snippet_fate fate, const char *annotation,
                char *value, const char *note)
{
    *ret = (struct snippet_advice){fate, annotation, value, note};
}

static bool has_variable(const char *text)
{
    return strchr(text, '$') != NULL;
}

/* ---- headers ---- */

/* Of the answer. "Name: value", or the two as words. */
static void advise_answer_header(const struct snippet_directive *d, struct snippet_advice *ret)
{
    bool one = streq(d->name, "more_set_headers");
    struct str value, name = str_trim(str_cut(str_from(arg(d, 0)), ':', &value));
    if (!one)
        value = str_from(arg(d, 1));
    AUTO_CHARS char *text =
        xasprintf(STR_FMT ": " STR_FMT, STR_ARG(name), STR_ARG(str_trim(value)));
    if (str_starts(name, STR("Access-Control-")))
        set(ret, SNIPPET_TYPED, "enable-cors", xstrdup("true"), "and the cors-* annotations");
    else if (str_starts(str_from(arg(d, 0)), STR("-")))
        set(ret, SNIPPET_NOTHING, NULL, NULL, "a header for some answers alone has no typed form");
    else if (has_variable(text))
        set(ret, SNIPPET_NOTHING, NULL, NULL, "a header with a variable has no typed form");
    else
        set(ret, SNIPPET_TYPED, "custom-headers", xstrdup("NAMESPACE/NAME"),
            "of a ConfigMap with the header in its data");
}

/* Of the request. */
static void advise_request_header(const struct snippet_directive *d, struct snippet_advice *ret)
{
    static const struct {
        const char *name;
        struct snippet_advice advice;
    } known[] = {
        {"X-Forwarded-Prefix", {SNIPPET_TYPED, "x-forwarded-prefix", NULL, NULL}},
        {"X-Forwarded-For", {SNIPPET_NEEDLESS, NULL, NULL, "it is sent anyway"}},
        {"X-Forwarded-Proto", {SNIPPET_NEEDLESS, NULL, NULL, "it is sent anyway"}},
        {"X-Request-ID", {SNIPPET_NEEDLESS, NULL, NULL, "it is sent anyway"}},
        {"Upgrade", {SNIPPET_NEEDLESS, NULL, NULL, "WebSocket is passed on"}},
        {"Connection", {SNIPPET_NEEDLESS, NULL, NULL, "WebSocket is passed on"}},
    };
    struct str rest, name = str_trim(str_cut(str_from(arg(d, 0)), ':', &rest));
    const char *value = arg(d, 1);
    if (str_eq_nocase(name, STR("Host"))) {
        if (has_variable(value))
            set(ret, SNIPPET_NEEDLESS, NULL, NULL, "the request's Host is sent on");
        else
            set(ret, SNIPPET_TYPED, "upstream-vhost", xstrdup(value), NULL);
        return;
    }
    for (size_t i = 0; i < ARRAY_LEN(known); i++)
        if (str_eq_nocase(name, str_from(known[i].name))) {
            *ret = known[i].advice;
            if (ret->annotation && *value && !has_variable(value))
                ret->value = xstrdup(value);
            return;
        }
}

/* ---- redirects and rewrites ---- */

static void advise_target(const char *target, const char *code, struct snippet_advice *ret)
{
    bool permanent = streq(code, "301") || streq(code, "308") || streq(code, "permanent");
    if (str_starts(str_from(target), STR("https://$host")) ||
        str_starts(str_from(target), STR("https://$server_name")))
        set(ret, SNIPPET_TYPED, "force-ssl-redirect", xstrdup("true"), NULL);
    else if (has_variable(target))
        set(ret, SNIPPET_NOTHING, NULL, NULL,
            "a redirect that keeps parts of the request has no typed form but from-to-www-redirect "
            "and the one to https");
    else if (streq(code, "307") || streq(code, "308"))
        set(ret, SNIPPET_TYPED, permanent ? "permanent-redirect" : "temporal-redirect",
            xstrdup(target),
            permanent ? "and permanent-redirect-code \"308\""
                      : "and temporal-redirect-code \"307\"");
    else
        set(ret, SNIPPET_TYPED, permanent ? "permanent-redirect" : "temporal-redirect",
            xstrdup(target), NULL);
}

static void advise_return(const struct snippet_directive *d, struct snippet_advice *ret)
{
    const char *code = arg(d, 0), *target = arg(d, 1);
    if (d->n_args == 1 && strstr(code, "://"))
        advise_target(code, "302", ret);
    else if (d->n_args >= 2 && *code == '3')
        advise_target(target, code, ret);
    else if (streq(code, "403") || streq(code, "444"))
        set(ret, SNIPPET_NOTHING, NULL, NULL,
            "leave the path out (404), or allow no address with allowlist-source-range");
    else
        set(ret, SNIPPET_NOTHING, NULL, NULL,
            "an answer of one's own needs a backend that gives it");
}

static void advise_rewrite(const struct snippet_directive *d, struct snippet_advice *ret)
{
    const char *flag = arg(d, 2);
    if (streq(flag, "permanent") || streq(flag, "redirect"))
        advise_target(arg(d, 1), flag, ret);
    else if (*arg(d, 0) && *arg(d, 1))
        set(ret, SNIPPET_TYPED, "rewrite-target", xstrdup(arg(d, 1)),
            "and the expression as the rule's path");
    else
        set(ret, SNIPPET_NOTHING, NULL, NULL, NULL);
}

/* ---- who may come ---- */

/* "allow A; allow B; deny all;" is one list; "deny A; allow all;" another. The first that fits an
 * address counts: what stands behind "all" means nothing. */
static void advise_access(const struct snippet *s, size_t at, struct snippet_advice *ret)
{
    AUTO_DONE(buf) struct buf allowed = {0};
    AUTO_DONE(buf) struct buf denied = {0};
    bool rest_denied = false, over = false;
    for (size_t i = 0; i < s->n && !over; i++) {
        const struct snippet_directive *d = &s->v[i];
        struct buf *to = streq(d->name, "allow")  ? &allowed
                         : streq(d->name, "deny") ? &denied
                                                  : NULL;
        if (!to || d->depth != s->v[at].depth)
            continue;
        over = streq(arg(d, 0), "all");
        rest_denied = over && to == &denied;
        if (!over)
            buf_addf(to, "%s%s", to->n ? "," : "", arg(d, 0));
    }
    if (denied.n && allowed.n)
        set(ret, SNIPPET_NOTHING, NULL, NULL,
            "lists that allow and deny in turn: write them as one, allowlist-source-range");
    else if (rest_denied && allowed.n)
        set(ret, SNIPPET_TYPED, "allowlist-source-range", buf_take_cstr(&allowed), NULL);
    else if (denied.n && !rest_denied)
        set(ret, SNIPPET_TYPED, "denylist-source-range", buf_take_cstr(&denied), NULL);
    else if (rest_denied)
        set(ret, SNIPPET_NOTHING, NULL, NULL, "leave the path out: nobody gets there");
    else
        set(ret, SNIPPET_NEEDLESS, NULL, NULL, "everybody may come anyway");
}

/* Does the block that begins at v[at] answer itself, and other than by a redirect? */
static bool answers(const struct snippet *s, size_t at)
{
    for (size_t i = at + 1; i < s->n && s->v[i].depth > s->v[at].depth; i++)
        if (streq(s->v[i].name, "deny") ||
            (streq(s->v[i].name, "return") && *arg(&s->v[i], 0) != '3'))
            return true;
    return false;
}

static void advise_if(const struct snippet *s, size_t at, struct snippet_advice *ret)
{
    const struct snippet_directive *d = &s->v[at];
    const char *what = arg(d, 0);
    if (answers(s, at) && !strstr(what, "$request_method"))
        set(ret, SNIPPET_NOTHING, NULL, NULL,
            "who is turned away by what a request says of itself has no typed form; auth-url asks "
            "a "
            "service");
    else if (strstr(what, "$scheme") || strstr(what, "$http_x_forwarded_proto"))
        set(ret, SNIPPET_TYPED, "force-ssl-redirect", xstrdup("true"), NULL);
    else if (strstr(what, "$request_method") && str_starts(str_from(arg(d, 2)), STR("OPTIONS")))
        set(ret, SNIPPET_TYPED, "enable-cors", xstrdup("true"), "and the cors-* annotations");
    else if (strstr(what, "$http_") || strstr(what, "$cookie_"))
        set(ret, SNIPPET_TYPED, "canary-by-header", NULL,
            "or canary-by-cookie, if it chooses between backends");
    else
        set(ret, SNIPPET_NOTHING, NULL, NULL, "a condition has no typed form");
}

void snippet_advise(const struct snippet *s, size_t at, struct snippet_advice *ret)
{
    const struct snippet_directive *d = &s->v[at];
    *ret = (struct snippet_advice){.fate = SNIPPET_NOTHING, .note = "not known"};
    for (size_t i = 0; i < ARRAY_LEN(table); i++)
        if (streq(table[i].directive, d->name))
            *ret = table[i].advice;
    if (streq(d->name, "more_set_headers") || streq(d->name, "add_header"))
        advise_answer_header(d, ret);
    else if (streq(d->name, "proxy_set_header") || streq(d->name, "more_set_input_headers"))
        advise_request_header(d, ret);
    else if (streq(d->name, "return"))
        advise_return(d, ret);
    else if (streq(d->name, "rewrite"))
        advise_rewrite(d, ret);
    else if (streq(d->name, "allow") || streq(d->name, "deny"))
        advise_access(s, at, ret);
    else if (streq(d->name, "if"))
        advise_if(s, at, ret);
    else if (ret->annotation && !ret->value && d->n_args == 1 && !has_variable(arg(d, 0)))
        ret->value = xstrdup(arg(d, 0));
}
