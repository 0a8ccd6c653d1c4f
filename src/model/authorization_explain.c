#include "model/authorization_explain.h"

#include <stdio.h>

#include "base/buf.h"

enum answer { NO, MAYBE, YES };

/* What a condition is about, as text; NULL: the call has none. *ret_maybe: nobody knows here. */
static char *fact(const struct authorization_call *c, const struct authorization_condition *of,
                  bool *ret_maybe)
{
    struct str rest, part = c->principal ? str_from(c->principal) : STR("");
    struct str domain = str_cut(part, '/', &rest);
    (void)str_cut(rest, '/', &rest); /* ns */
    struct str ns = str_cut(rest, '/', &rest);
    (void)str_cut(rest, '/', &rest); /* sa */
    char number[8], ip[IP_TEXT_BYTES];
    switch (of->key) {
    case AUTHORIZATION_PRINCIPAL:
        return c->principal ? xstrdup(c->principal) : NULL;
    case AUTHORIZATION_NAMESPACE:
        return c->principal ? str_dup(ns) : NULL;
    case AUTHORIZATION_ACCOUNT:
        return c->principal ? xasprintf(STR_FMT "/" STR_FMT, STR_ARG(ns), STR_ARG(rest)) : NULL;
    case AUTHORIZATION_TRUST_DOMAIN:
        return c->principal ? str_dup(domain) : NULL;
    case AUTHORIZATION_PEER:
        *ret_maybe = !c->from.family;
        return c->from.family ? xstrdup(ip_format(&c->from, ip)) : NULL;
    case AUTHORIZATION_HOST:
        return str_dup(c->q->host);
    case AUTHORIZATION_METHOD:
        return str_dup(c->q->method);
    case AUTHORIZATION_PATH:
        return str_dup(c->q->path);
    case AUTHORIZATION_PORT:
        snprintf(number, sizeof(number), "%u", c->port);
        return xstrdup(number);
    case AUTHORIZATION_HEADER:
        return explain_header_of(c->q, json_string_value(json_array_get(of->path, 0)));
    case AUTHORIZATION_REQUEST_PRINCIPAL:
    case AUTHORIZATION_AUDIENCE:
    case AUTHORIZATION_PRESENTER:
    case AUTHORIZATION_CLAIM: {
        AUTO_CHARS char *token = explain_header_of(c->q, "authorization");
        *ret_maybe = token != NULL; /* without a token there are none of these */
        return NULL;
    }
    case AUTHORIZATION_CLIENT:
    case AUTHORIZATION_ADDRESS:
    case AUTHORIZATION_SERVER_NAME:
    case AUTHORIZATION_METADATA:
        break;
    }
    *ret_maybe = true;
    return NULL;
}

/* "x", "x*", "*x", "*": there is something. */
static bool is_like(struct str want, struct str have, bool ignore_case)
{
    bool begin = want.n && want.p[want.n - 1] == '*', end = want.n && *want.p == '*';
    if (str_is(want, "*"))
        return have.n > 0;
    struct str text = end ? str_sub(want, 1, want.n) : begin ? str_sub(want, 0, want.n - 1) : want;
    if (text.n > have.n || (!begin && !end && text.n != have.n))
        return false;
    struct str part = end ? str_sub(have, have.n - text.n, have.n) : str_sub(have, 0, text.n);
    return ignore_case ? str_eq_nocase(part, text) : str_eq(part, text);
}

/* "/a/{*}/b", "/a/{**}" */
static bool is_of_template(struct str want, struct str path)
{
    while (want.n && path.n) {
        struct str segment, have;
        want = str_sub(want, *want.p == '/', want.n);
        path = str_sub(path, *path.p == '/', path.n);
        segment = str_cut(want, '/', &want);
        if (str_is(segment, "{**}"))
            return true;
        have = str_cut(path, '/', &path);
        if (str_is(segment, "{*}") ? !have.n : !str_eq(segment, have))
            return false;
    }
    return !want.n && !path.n;
}

static bool value_is(const struct authorization_condition *of, const struct authorization_call *c,
                     const char *want, const char *have, const char *ns)
{
    struct prefix network;
    struct ip ip;
    AUTO_CHARS char *own = NULL;
    switch ((int)of->key) {
    case AUTHORIZATION_PEER:
        if (ip_parse(str_from(want), &ip) == 0)
            return ip_eq(&ip, &c->from);
        return prefix_parse(str_from(want), &network) == 0 && prefix_contains(&network, &c->from);
    case AUTHORIZATION_ACCOUNT:
        own = strchr(want, '/') ? xstrdup(want) : xasprintf("%s/%s", ns, want);
        return streq(own, have);
    case AUTHORIZATION_HOST:
        return is_like(str_from(want), str_from(have), true);
    case AUTHORIZATION_PATH:
        if (strchr(want, '{'))
            return is_of_template(str_from(want), str_from(have));
        return is_like(str_from(want), str_from(have), false);
    default:
        return is_like(str_from(want), str_from(have), false);
    }
}

static bool is_among(const struct authorization_condition *of, const struct authorization_call *c,
                     const json_t *list, const char *have, const char *ns)
{
    for (size_t i = 0; have && i < json_array_size(list); i++)
        if (value_is(of, c, json_string_value(json_array_get(list, i)), have, ns))
            return true;
    return false;
}

static const char *const words[] = {
    [AUTHORIZATION_PRINCIPAL] = "the caller",
    [AUTHORIZATION_REQUEST_PRINCIPAL] = "whose token it is",
    [AUTHORIZATION_NAMESPACE] = "the caller's namespace",
    [AUTHORIZATION_ACCOUNT] = "the caller's account",
    [AUTHORIZATION_TRUST_DOMAIN] = "the caller's trust domain",
    [AUTHORIZATION_PEER] = "the caller's address",
    [AUTHORIZATION_CLIENT] = "the client's address",
    [AUTHORIZATION_HOST] = "the host",
    [AUTHORIZATION_PORT] = "the port",
    [AUTHORIZATION_METHOD] = "the method",
    [AUTHORIZATION_PATH] = "the path",
    [AUTHORIZATION_HEADER] = "a header",
    [AUTHORIZATION_AUDIENCE] = "the token's audience",
    [AUTHORIZATION_PRESENTER] = "the token's presenter",
    [AUTHORIZATION_CLAIM] = "a claim of the token",
    [AUTHORIZATION_ADDRESS] = "the address that is called",
    [AUTHORIZATION_SERVER_NAME] = "the name in TLS",
    [AUTHORIZATION_METADATA] = "metadata",
};

static enum answer ask_one(const struct authorization_policy *p,
                           const struct authorization_condition *of,
                           const struct authorization_call *c, struct buf *why)
{
    bool maybe = false;
    if (!c->http && authorization_key_is_http(of->key)) { /* bytes have none of it */
        buf_addf(why, "%s is not known of bytes", words[of->key]);
        return p->action == AUTHORIZATION_DENY ? YES : NO;
    }
    AUTO_CHARS char *have = fact(c, of, &maybe);
    if (maybe) {
        buf_addf(why, "%s is not known here", words[of->key]);
        return MAYBE;
    }
    bool is = !of->values || is_among(of, c, of->values, have, p->o.ns);
    bool is_not = is_among(of, c, of->not_values, have, p->o.ns);
    if (is && !is_not)
        return YES;
    if (have)
        buf_addf(why, "%s is %s", words[of->key], have);
    else
        buf_addf(why, "%s: there is none", words[of->key]);
    return NO;
}

/* All of them. */
static enum answer ask_all(const struct authorization_policy *p,
                           const struct authorization_conditions *all,
                           const struct authorization_call *c, struct buf *why)
{
    enum answer answer = YES;
    VEC_FOREACH (of, &all->v) {
        AUTO_DONE(buf) struct buf text = {0};
        enum answer one = ask_one(p, of, c, &text);
        if (one >= answer)
            continue;
        answer = one;
        buf_clear(why);
        buf_add_str(why, buf_str(&text));
    }
    return answer;
}

/* One of them; none: any. */
static enum answer ask_some(const struct authorization_policy *p,
                            const struct authorization_conditions *list, size_t n,
                            const struct authorization_call *c, struct buf *why)
{
    enum answer answer = n ? NO : YES;
    for (size_t i = 0; i < n && answer < YES; i++) {
        AUTO_DONE(buf) struct buf text = {0};
        enum answer one = ask_all(p, &list[i], c, &text);
        if (i == 0 || one > answer) {
            buf_clear(why);
            buf_add_str(why, buf_str(&text));
        }
        answer = MAX(answer, one);
    }
    return answer;
}

static enum answer ask_rule(const struct authorization_policy *p,
                            const struct authorization_rule *r, const struct authorization_call *c,
                            struct buf *why)
{
    AUTO_DONE(buf) struct buf from = {0}, to = {0}, when = {0};
    const enum answer answers[] = {ask_some(p, r->from.v, r->from.n, c, &from),
                                   ask_some(p, r->to.v, r->to.n, c, &to),
                                   ask_all(p, &r->when, c, &when)};
    const struct buf *texts[] = {&from, &to, &when};
    size_t least = 0;
    for (size_t i = 1; i < ARRAY_LEN(answers); i++)
        if (answers[i] < answers[least])
            least = i;
    if (answers[least] < YES)
        buf_add_str(why, buf_str(texts[least]));
    return answers[least];
}

/* The rule that fits best, and why it does not. */
static enum answer ask(const struct authorization_policy *p, const struct authorization_call *c,
                       struct buf *field, struct buf *why)
{
    enum answer best = NO;
    if (p->broken) {
        buf_addf(why, "it cannot be read: fairlead analyze says why");
        return p->action == AUTHORIZATION_ALLOW ? NO : YES;
    }
    if (!p->rules.n)
        buf_addf(why, "it has no rules");
    for (size_t i = 0; i < p->rules.n && best < YES; i++) {
        AUTO_DONE(buf) struct buf text = {0};
        enum answer one = ask_rule(p, &p->rules.v[i], c, &text);
        if (i > 0 && one <= best)
            continue;
        best = one;
        buf_clear(field);
        buf_clear(why);
        buf_addf(field, "spec.rules[%zu]", i);
        buf_add_str(why, buf_str(&text));
    }
    return best;
}

static const char *const actions[] = {[AUTHORIZATION_ALLOW] = "ALLOW",
                                      [AUTHORIZATION_DENY] = "DENY",
                                      [AUTHORIZATION_AUDIT] = "AUDIT",
                                      [AUTHORIZATION_CUSTOM] = "CUSTOM"};

struct poll {
    enum answer answer; /* of those that decide, the best */
    bool any;
    const char *by; /* whose that is */
};

static void ask_action(const struct authorization_list *list, enum authorization_action action,
                       const struct authorization_call *c, json_t *steps, struct poll *ret)
{
    static const char *const matches[] = {"no", "maybe", "yes"};
    *ret = (struct poll){NO, false, ""};
    VEC_FOREACH (one, &list->v) {
        const struct authorization_policy *p = *one;
        AUTO_DONE(buf) struct buf field = {0}, why = {0};
        if (p->action != action || p->nobodys)
            continue;
        enum answer answer = ask(p, c, &field, &why);
        json_array_append_new(steps, json_pack("{s:s,s:s,s:s,s:s,s:s,s:b}", "object", p->o.key,
                                               "action", actions[action], "matches",
                                               matches[answer], "field", buf_cstr(&field), "why",
                                               buf_cstr(&why), "dryRun", p->dry_run));
        if (p->dry_run)
            continue;
        ret->any = true;
        if (answer > ret->answer) {
            ret->answer = answer;
            ret->by = p->o.key;
        }
    }
}

enum authorization_result authorization_explain(const struct authorization_list *list,
                                                const struct authorization_call *c, json_t *steps,
                                                char **ret_by)
{
    struct poll custom, deny, allow, audit;
    ask_action(list, AUTHORIZATION_CUSTOM, c, steps, &custom);
    ask_action(list, AUTHORIZATION_DENY, c, steps, &deny);
    ask_action(list, AUTHORIZATION_ALLOW, c, steps, &allow);
    ask_action(list, AUTHORIZATION_AUDIT, c, steps, &audit);
    if (deny.answer == YES) {
        *ret_by = xstrdup(deny.by);
        return AUTHORIZATION_FORBIDDEN;
    }
    if (allow.any && allow.answer == NO) {
        *ret_by = xstrdup("");
        return AUTHORIZATION_FORBIDDEN;
    }
    if (custom.answer > NO || deny.answer == MAYBE || (allow.any && allow.answer == MAYBE)) {
        *ret_by = xstrdup(custom.answer > NO     ? custom.by
                          : deny.answer == MAYBE ? deny.by
                                                 : allow.by);
        return AUTHORIZATION_OPEN;
    }
    *ret_by = xstrdup(allow.by);
    return AUTHORIZATION_ALLOWED;
}
