/* A neighbour of a view is one thing: if something of its session is to be another, it is removed
 * and made anew, since most of that resets it anyway. What is told to it (address families, route
 * maps) is changed line by line. */
#include "agent/frr_config.h"

#include <stdarg.h>
#include <stdio.h>

/* ---- statements ---- */

static void statement_done(struct frr_statement *s)
{
    free(s->outer);
    free(s->inner);
    free(s->line);
    free(s->key);
}

static bool is_secret(const char *line)
{
    return strstr(line, " password ") != NULL;
}

static void add(struct frr_config *c, struct str outer, struct str inner, struct str line)
{
    AUTO_CHARS char *key =
        xasprintf(STR_FMT "\n" STR_FMT "\n" STR_FMT, STR_ARG(outer), STR_ARG(inner), STR_ARG(line));
    if (c->v.n >= FRR_STATEMENTS_MAX)
        c->failed = true;
    if (c->failed || map_find_cstr(&c->known, key))
        return;
    struct frr_statement s = {
        .outer = str_dup(outer), .inner = str_dup(inner), .line = str_dup(line), .key = TAKE(key)};
    s.secret = is_secret(s.line);
    c->known.borrows = true;
    map_put_cstr(&c->known, s.key, s.key);
    vec_push(&c->v, s);
}

void frr_config_add(struct frr_config *c, const char *outer, const char *inner, const char *fmt,
                    ...)
{
    AUTO_DONE(buf) struct buf line = {0};
    va_list ap;
    va_start(ap, fmt);
    buf_addv(&line, fmt, ap);
    va_end(ap);
    add(c, str_from(outer), str_from(inner), buf_str(&line));
}

void frr_config_done(struct frr_config *c)
{
    map_done(&c->known);
    VEC_FOREACH (s, &c->v)
        statement_done(s);
    vec_done(&c->v);
    vec_done(&c->foreign);
    c->failed = false;
}

bool frr_config_has(const struct frr_config *c, const struct frr_statement *s)
{
    return map_find_cstr(&c->known, s->key) != NULL;
}

bool frr_config_equal(const struct frr_config *a, const struct frr_config *b)
{
    bool same = a->v.n == b->v.n && !a->failed && !b->failed;
    for (size_t i = 0; same && i < a->v.n; i++)
        same = frr_config_has(b, &a->v.v[i]);
    return same;
}

bool frr_config_is_foreign(const struct frr_config *c, const struct ip *peer)
{
    VEC_FOREACH (ip, &c->foreign)
        if (ip_eq(ip, peer))
            return true;
    return false;
}

static void format_line(const struct frr_statement *s, struct buf *out)
{
    const char *secret = s->secret ? strstr(s->line, " password ") : NULL;
    int n = secret ? (int)(secret - s->line) : (int)strlen(s->line);
    if (*s->line)
        buf_addf(out, "%s%s%.*s%s\n", *s->outer ? " " : "", *s->inner ? " " : "", n, s->line,
                 secret ? " password (hidden)" : "");
}

static void format_block(const struct frr_config *c, const char *outer, const char *inner,
                         struct buf *out)
{
    if (*inner)
        buf_addf(out, " %s\n", inner);
    VEC_FOREACH (s, &c->v)
        if (streq(s->outer, outer) && streq(s->inner, inner))
            format_line(s, out);
}

/* Block by block, in the order in which they were named first. */
void frr_config_format(const struct frr_config *c, struct buf *out)
{
    struct map done = {0}, inners = {0};
    VEC_FOREACH (first, &c->v) {
        if (map_put_cstr(&done, first->outer, out))
            continue;
        if (*first->outer)
            buf_addf(out, "%s\n", first->outer);
        map_done(&inners);
        VEC_FOREACH (s, &c->v)
            if (streq(s->outer, first->outer) && !map_put_cstr(&inners, s->inner, out))
                format_block(c, s->outer, s->inner, out);
    }
    map_done(&inners);
    map_done(&done);
}

/* ---- what a daemon shows ---- */

struct reading {
    struct frr_config *ret;
    struct str outer, inner; /* of ours; empty: none */
    bool foreign_router;     /* in a block of somebody else's */
};

static struct str next_line(struct str *text)
{
    struct str line = str_cut(*text, '\n', text);
    return line.n && line.p[line.n - 1] == '\r' ? str_sub(line, 0, line.n - 1) : line;
}

static struct str word(struct str *s)
{
    return str_cut(*s, ' ', s);
}

static bool is_word(struct str *s, const char *w)
{
    struct str rest = *s;
    if (!str_is(word(&rest), w))
        return false;
    *s = rest;
    return true;
}

/* "[ip|ipv6] prefix-list NAME [seq N ]REST": without the number, which is the daemon's business. */
static void read_prefix_list(struct reading *r, struct str line)
{
    AUTO_DONE(buf) struct buf whole = {0};
    struct str rest = line, family = word(&rest);
    if (!(str_is(family, "ip") || str_is(family, "ipv6")) || !is_word(&rest, "prefix-list") ||
        !str_starts(rest, STR(FRR_OWN)))
        return;
    struct str name = word(&rest);
    if (is_word(&rest, "seq"))
        (void)word(&rest);
    buf_addf(&whole, STR_FMT " prefix-list " STR_FMT " " STR_FMT, STR_ARG(family), STR_ARG(name),
             STR_ARG(rest));
    add(r->ret, STR(""), STR(""), buf_str(&whole));
}

static void read_foreign(struct reading *r, struct str line)
{
    struct ip ip;
    if (is_word(&line, "neighbor") && ip_parse(word(&line), &ip) == 0 && r->ret->foreign.n < 10000)
        vec_push(&r->ret->foreign, ip);
}

static void read_outer(struct reading *r, struct str line)
{
    struct str rest = line, end = {0};
    r->outer = r->inner = end;
    r->foreign_router = false;
    if (is_word(&rest, "router") && is_word(&rest, "bgp")) {
        (void)word(&rest);
        r->foreign_router = !is_word(&rest, "view") || !str_starts(rest, STR(FRR_OWN));
        if (!r->foreign_router)
            r->outer = line;
    } else if (str_starts(line, STR("route-map " FRR_OWN)) || str_is(line, "bfd")) {
        r->outer = line;
    } else {
        read_prefix_list(r, line);
    }
    if (r->outer.n && !str_is(line, "bfd"))
        add(r->ret, r->outer, STR(""), STR(""));
}

static bool is_end(struct str line)
{
    return !line.n || line.p[0] == '!' || str_is(line, "exit") ||
           str_is(line, "exit-address-family") || str_is(line, "end");
}

static void read_line(struct reading *r, struct str line)
{
    size_t indent = 0;
    while (indent < line.n && line.p[indent] == ' ')
        indent++;
    struct str text = str_sub(line, indent, line.n);
    bool bfd = str_is(r->outer, "bfd");
    if (!indent && !is_end(text)) {
        read_outer(r, text);
    } else if (indent && r->foreign_router) {
        read_foreign(r, text);
    } else if (is_end(text) || !r->outer.n) {
        if (indent && !str_is(text, "!") && r->outer.n)
            r->inner = STR("");
    } else if (indent == 1 && (bfd || str_starts(text, STR("address-family ")))) {
        r->inner = bfd && !str_starts(text, STR("profile " FRR_OWN)) ? STR("") : text;
        if (bfd && r->inner.n)
            add(r->ret, r->outer, r->inner, STR(""));
    } else if (!bfd || r->inner.n) {
        add(r->ret, r->outer, r->inner, text);
    }
}

/* A line with control characters in it is nothing that was said, and neither is what is below. */
static bool is_text(struct str line)
{
    for (size_t i = 0; i < line.n; i++)
        if ((unsigned char)line.p[i] < ' ' || line.p[i] == 0x7f)
            return false;
    return true;
}

void frr_config_parse(struct str text, struct frr_config *ret)
{
    struct reading r = {.ret = ret};
    while (text.p && text.n) {
        struct str line = next_line(&text);
        if (is_text(line))
            read_line(&r, line);
        else
            r = (struct reading){.ret = ret};
    }
}

/* ---- from one to another ---- */

struct diff {
    const struct frr_config *from, *to;
    struct map to_outers; /* blocks that are there */
    struct map remade;    /* "OUTER\nNEIGHBOUR", and route map entries */
    struct frr_commands *ret;
    const char *outer, *inner; /* that commands are in now; "": none */
};

void frr_commands_done(struct frr_commands *c)
{
    VEC_FOREACH (one, c)
        free(one->text);
    vec_done(c);
}

static void say(struct diff *d, enum frr_command_kind kind, bool secret, const char *before,
                const char *text)
{
    vec_push(d->ret, (struct frr_command){kind, xasprintf("%s%s", before, text), secret});
}

static void go_to(struct diff *d, const char *outer, const char *inner)
{
    if (streq(d->outer, outer) && streq(d->inner, inner))
        return;
    if (*d->inner)
        say(d, FRR_LEAVE, false, "", "exit");
    if (*d->outer && !streq(d->outer, outer))
        say(d, FRR_LEAVE, false, "", "exit");
    if (*outer && !streq(d->outer, outer))
        say(d, FRR_ENTER, false, "", outer);
    if (*inner)
        say(d, FRR_ENTER, false, "", inner);
    d->outer = outer;
    d->inner = inner;
}

static bool is_router(const struct frr_statement *s)
{
    return str_starts(str_from(s->outer), STR("router "));
}

static bool is_route_map(const struct frr_statement *s)
{
    return str_starts(str_from(s->outer), STR("route-map "));
}

static bool is_network(const struct frr_statement *s)
{
    return is_router(s) && *s->inner && str_starts(str_from(s->line), STR("network "));
}

/* The neighbour it is about; empty: none. */
static struct str neighbour_of(const struct frr_statement *s)
{
    struct str rest = str_from(s->line);
    if (is_router(s) && str_is(word(&rest), "neighbor") && rest.n)
        return word(&rest);
    return (struct str){0};
}

/* What is made anew as a whole when a statement of it is another; NULL: it stands for itself. */
static char *whole_of(const struct frr_statement *s)
{
    struct str neighbour = neighbour_of(s);
    if (is_route_map(s))
        return xstrdup(s->outer);
    if (neighbour.n)
        return xasprintf("%s\n" STR_FMT, s->outer, STR_ARG(neighbour));
    return NULL;
}

static bool is_remade(const struct diff *d, const struct frr_statement *s)
{
    AUTO_CHARS char *whole = whole_of(s);
    return whole && map_find_cstr(&d->remade, whole);
}

static void find_remade(struct diff *d, const struct frr_config *a, const struct frr_config *b)
{
    VEC_FOREACH (s, &a->v) {
        AUTO_CHARS char *whole = *s->inner ? NULL : whole_of(s);
        if (whole && !frr_config_has(b, s))
            map_put_cstr(&d->remade, whole, d);
    }
}

static void find_outers(const struct frr_config *c, struct map *ret)
{
    VEC_FOREACH (s, &c->v) {
        AUTO_CHARS char *block = xasprintf("%s\n%s", s->outer, s->inner);
        map_put_cstr(ret, block, ret);
        map_put_cstr(ret, s->outer, ret);
    }
}

static bool is_there(const struct map *outers, const char *outer, const char *inner)
{
    AUTO_CHARS char *block = xasprintf("%s%s%s", outer, *inner ? "\n" : "", inner);
    return map_find_cstr(outers, block) != NULL;
}

static void unsay(struct diff *d, const struct frr_statement *s)
{
    go_to(d, s->outer, s->inner);
    if (str_starts(str_from(s->line), STR("no ")))
        say(d, FRR_DO, s->secret, "", s->line + 3);
    else
        say(d, FRR_DO, s->secret, "no ", s->line);
}

/* Views, neighbours, and what is told to those that stay. */
static void remove_from_routers(struct diff *d)
{
    struct map done = {0};
    VEC_FOREACH (s, &d->from->v) {
        AUTO_CHARS char *whole = whole_of(s);
        if (!is_router(s))
            continue;
        if (!is_there(&d->to_outers, s->outer, "")) {
            go_to(d, "", "");
            if (!map_put_cstr(&done, s->outer, d))
                say(d, FRR_DO, false, "no ", s->outer);
        } else if (whole && map_find_cstr(&d->remade, whole)) {
            struct str neighbour = neighbour_of(s);
            AUTO_CHARS char *text = str_dup(neighbour);
            go_to(d, s->outer, "");
            if (!map_put_cstr(&done, whole, d))
                say(d, FRR_DO, false, "no neighbor ", text);
        } else if (*s->line && !frr_config_has(d->to, s)) {
            unsay(d, s);
        }
    }
    map_done(&done);
}

/* Those with the same number are replaced at once: what they let through is looked at again only
 * some seconds after the last change. */
static void remove_remade_maps(struct diff *d)
{
    struct map done = {0};
    VEC_FOREACH (s, &d->from->v)
        if (is_route_map(s) && is_there(&d->to_outers, s->outer, "") && is_remade(d, s) &&
            !map_put_cstr(&done, s->outer, d)) {
            go_to(d, "", "");
            say(d, FRR_DO, false, "no ", s->outer);
        }
    map_done(&done);
}

static void add_these(struct diff *d, bool (*is_wanted)(const struct frr_statement *))
{
    VEC_FOREACH (s, &d->to->v) {
        if (!is_wanted(s) || (frr_config_has(d->from, s) && !is_remade(d, s)))
            continue;
        go_to(d, s->outer, s->inner);
        if (*s->line)
            say(d, FRR_DO, s->secret, "", s->line);
    }
}

static bool is_filter(const struct frr_statement *s)
{
    return !*s->outer;
}

static bool is_of_bfd(const struct frr_statement *s)
{
    return streq(s->outer, "bfd");
}

static bool is_session(const struct frr_statement *s)
{
    return is_router(s) && !is_network(s);
}

/* Filters and profiles that nobody names any more. */
static void remove_the_rest(struct diff *d)
{
    struct map done = {0};
    VEC_FOREACH (s, &d->from->v) {
        bool block = !*s->outer || is_there(&d->to_outers, s->outer, s->inner);
        if (is_router(s) || frr_config_has(d->to, s) || (is_route_map(s) && block))
            continue;
        if (block) {
            if (*s->line)
                unsay(d, s);
            continue;
        }
        const char *what = is_route_map(s) ? s->outer : s->inner;
        go_to(d, is_route_map(s) ? "" : s->outer, "");
        if (!map_put_cstr(&done, what, d))
            say(d, FRR_DO, false, "no ", what);
    }
    map_done(&done);
}

void frr_config_diff(const struct frr_config *from, const struct frr_config *to,
                     struct frr_commands *ret)
{
    struct diff d = {.from = from, .to = to, .ret = ret, .outer = "", .inner = ""};
    find_outers(to, &d.to_outers);
    find_remade(&d, from, to);
    find_remade(&d, to, from);
    remove_from_routers(&d);
    add_these(&d, is_filter);
    remove_remade_maps(&d);
    add_these(&d, is_route_map);
    add_these(&d, is_of_bfd);
    add_these(&d, is_session);
    add_these(&d, is_network);
    remove_the_rest(&d);
    go_to(&d, "", "");
    map_done(&d.to_outers);
    map_done(&d.remade);
}
