/* What would change: every object as a server-side dry run gives it, against what is there. */
#include <errno.h>
#include <stdio.h>

#include "cli/install.h"

enum { VALUE_SHOWN = 100, FIELDS_SHOWN = 30 };

/* ---- differences ---- */

struct diff {
    struct buf *to;
    size_t lines;
};

/* from: how much of its text is left out, being the same as the other's. */
static void add_value(struct buf *b, const json_t *v, size_t from)
{
    AUTO_DONE(buf) struct buf text = {0};
    json_write(&text, v);
    struct str s = str_sub(buf_str(&text), MIN(from, text.n), text.n);
    buf_addf(b, "%s" STR_FMT "%s", from ? "…" : "", STR_ARG(str_first(s, VALUE_SHOWN)),
             s.n > VALUE_SHOWN ? "…" : "");
}

/* Where long values begin to differ, less a little. */
static size_t common_start(const json_t *before, const json_t *after)
{
    AUTO_DONE(buf) struct buf a = {0};
    AUTO_DONE(buf) struct buf b = {0};
    size_t n = 0;
    json_write(&a, before);
    json_write(&b, after);
    while (n < MIN(a.n, b.n) && a.p[n] == b.p[n])
        n++;
    if (MAX(a.n, b.n) <= VALUE_SHOWN || n <= VALUE_SHOWN / 2)
        return 0;
    for (n -= VALUE_SHOWN / 4; n && ((unsigned char)a.p[n] & 0xc0) == 0x80;)
        n--; /* not in the middle of a character */
    return n;
}

static void add_line(struct diff *d, char sign, const char *path, const json_t *before,
                     const json_t *after)
{
    if (++d->lines > FIELDS_SHOWN)
        return;
    buf_addf(d->to, "    %c %s: ", sign, path);
    size_t from = before && after ? common_start(before, after) : 0;
    if (before)
        add_value(d->to, before, from);
    if (before && after)
        buf_add_cstr(d->to, " -> ");
    if (after)
        add_value(d->to, after, from);
    buf_add_char(d->to, '\n');
}

static void compare(struct diff *d, const char *path, const json_t *before, const json_t *after);

static void compare_maps(struct diff *d, const char *path, const json_t *before,
                         const json_t *after)
{
    const char *key;
    const json_t *v;
    /* Reading is all that is done with them. */
    json_object_foreach((json_t *)(uintptr_t)before, key, v)
    {
        AUTO_CHARS char *p = xasprintf("%s%s%s", path, *path ? "." : "", key);
        compare(d, p, v, json_object_get(after, key));
    }
    json_object_foreach((json_t *)(uintptr_t)after, key, v)
    {
        AUTO_CHARS char *p = xasprintf("%s%s%s", path, *path ? "." : "", key);
        if (!json_object_get(before, key))
            compare(d, p, NULL, v);
    }
}

static const json_t *named(const json_t *list, const char *name)
{
    const json_t *v;
    size_t i;
    json_array_foreach(list, i, v) if (streq(json_key_str(v, "name"), name)) return v;
    return NULL;
}

/* Elements with names are told by these, texts as those that come and go, others by their place. */
static void compare_lists(struct diff *d, const char *path, const json_t *before,
                          const json_t *after)
{
    const json_t *v;
    size_t i, lines = d->lines;
    const json_t *first = json_array_get(json_array_size(before) ? before : after, 0);
    if (json_is_string(first)) {
        json_array_foreach(before, i, v) if (!json_array_has(after, v))
            add_line(d, '-', path, v, NULL);
        json_array_foreach(after, i, v) if (!json_array_has(before, v))
            add_line(d, '+', path, NULL, v);
        if (d->lines == lines && !json_equal(before, after)) /* the same in another order */
            add_line(d, '~', path, before, after);
        return;
    }
    if (json_key_str(first, "name")) {
        json_array_foreach(before, i, v)
        {
            const char *name = json_key_str(v, "name");
            AUTO_CHARS char *p = xasprintf("%s[%s]", path, name ? name : "?");
            compare(d, p, v, named(after, name));
        }
        json_array_foreach(after, i, v)
        {
            const char *name = json_key_str(v, "name");
            AUTO_CHARS char *p = xasprintf("%s[%s]", path, name ? name : "?");
            if (!named(before, name))
                compare(d, p, NULL, v);
        }
        return;
    }
    for (i = 0; i < MAX(json_array_size(before), json_array_size(after)); i++) {
        AUTO_CHARS char *p = xasprintf("%s[%zu]", path, i);
        compare(d, p, json_array_get(before, i), json_array_get(after, i));
    }
}

static void compare(struct diff *d, const char *path, const json_t *before, const json_t *after)
{
    if (before && after && json_equal(before, after))
        return;
    if (json_is_object(before) && json_is_object(after))
        compare_maps(d, path, before, after);
    else if (json_is_array(before) && json_is_array(after))
        compare_lists(d, path, before, after);
    else
        add_line(d, !before ? '+' : !after ? '-' : '~', path, before, after);
}

/* Without what the server keeps for itself, and without anything secret. */
static json_t *plain(const json_t *object)
{
    static const char *const kept[] = {
        "status",       "metadata.managedFields", "metadata.resourceVersion",
        "metadata.uid", "metadata.generation",    "metadata.creationTimestamp",
        "data.release"};
    json_t *j = json_deep_copy(object);
    for (size_t i = 0; i < ARRAY_LEN(kept); i++)
        json_del(j, kept[i]);
    return j;
}

void install_diff(const json_t *before, const json_t *after, struct buf *to)
{
    AUTO_JSON json_t *a = plain(before);
    AUTO_JSON json_t *b = plain(after);
    struct diff d = {to, 0};
    compare(&d, "", a, b);
    if (d.lines > FIELDS_SHOWN)
        buf_addf(to, "      and %zu more\n", d.lines - FIELDS_SHOWN);
}

/* ---- the plan ---- */

static bool helm_wrote(const json_t *live)
{
    json_t *m;
    size_t i;
    json_array_foreach(json_at(live, "metadata.managedFields"), i, m)
    {
        const char *manager = json_key_str(m, "manager");
        if (manager && str_starts(str_from(manager), STR("helm")) &&
            str_empty(json_key_str(m, "subresource")))
            return true;
    }
    return false;
}

static const json_t *find(const json_t *objects, const json_t *o)
{
    const json_t *x;
    size_t i;
    json_array_foreach(objects, i, x) if (streq(json_key_str(x, "kind"), json_key_str(o, "kind")) &&
                                          streq(json_at_str(x, "metadata.name"),
                                                json_at_str(o, "metadata.name")) &&
                                          streq(json_at_str(x, "metadata.namespace"),
                                                json_at_str(o, "metadata.namespace"))) return x;
    return NULL;
}

static void strip_lists(json_t *from, const json_t *before, const json_t *now);

/* Takes out what was said before and is said no longer. A dry run leaves it where Helm has said it:
 * its fields become ours only when the object is applied. */
static void strip(json_t *from, const json_t *before, const json_t *now)
{
    const char *key;
    const json_t *was;
    if (json_is_array(before)) {
        strip_lists(from, before, now);
        return;
    }
    /* Reading is all that is done with it. */
    json_object_foreach((json_t *)(uintptr_t)before, key, was)
    {
        const json_t *is = json_object_get(now, key);
        if (!is)
            json_object_del(from, key);
        else
            strip(json_object_get(from, key), was, is);
    }
}

static void strip_lists(json_t *from, const json_t *before, const json_t *now)
{
    const json_t *was;
    size_t i;
    json_array_foreach(before, i, was)
    {
        const char *name = json_key_str(was, "name");
        const json_t *is = name ? named(now, name) : NULL;
        /* It is the caller's tree, which is changed. */
        json_t *there = name ? (json_t *)(uintptr_t)named(from, name) : NULL;
        if (is && there)
            strip(there, was, is);
    }
}

static int plan_object(struct install *in, struct install_change *c)
{
    struct kube_reply live, after;
    int code = install_call(in, "GET", c->path, NULL, NULL, &live);
    if (code)
        return code;
    const char *ns = json_at_str(c->object, "metadata.namespace");
    c->verb = live.status == 404 ? INSTALL_NEW : INSTALL_SAME;
    c->adopts = live.status == 200 && helm_wrote(live.object);
    /* Nothing can be tried in a namespace that is not there yet. */
    if (c->verb == INSTALL_NEW && ns && streq(ns, CHART_NAMESPACE) && !in->namespace_exists) {
        kube_reply_done(&live);
        return -1;
    }
    code = install_apply_object(in, c->path, c->object, true, &after);
    if (code == 0 && after.status >= 300)
        code = install_refused(c->what, &after);
    if (code == 0 && c->verb == INSTALL_SAME) {
        if (c->adopts)
            strip(after.object, find(in->before, c->object), c->object);
        install_diff(live.object, after.object, &c->fields);
        c->verb = c->fields.n ? INSTALL_CHANGED : INSTALL_SAME;
    }
    if (code >= 0)
        kube_reply_done(&after);
    kube_reply_done(&live);
    return code ? code : -1;
}

/* What is there of the release and is no longer among it. */
static int plan_leaving(struct install *in)
{
    json_t *o;
    size_t i;
    json_array_foreach(in->before, i, o)
    {
        AUTO_CHARS char *path = find(in->output.objects, o) ? NULL : install_path(in, o);
        AUTO_JSON json_t *live = path ? install_get(in, path) : NULL;
        if (!live || chart_step_of(o) == CHART_NAMESPACES)
            continue;
        struct install_change *c = vec_add(&in->plan);
        c->verb = chart_keeps(live) ? INSTALL_STAYS : INSTALL_GOES;
        c->object = json_incref(o);
        c->what = install_name(o);
        c->path = TAKE(path);
    }
    return -1;
}

int install_plan(struct install *in)
{
    struct err err = {0};
    json_t *o;
    size_t i;
    int code = -1;
    if (in->deployed && chart_parse_manifest(str_from(in->deployed), &in->before, &err) < 0)
        return program_fail(EXIT_FAILED, NULL, "the record of the release: %s", err_text(&err));
    json_array_foreach(in->output.objects, i, o)
    {
        struct install_change *c = vec_add(&in->plan);
        c->object = json_deep_copy(o);
        install_own(c->object);
        c->what = install_name(o);
        c->path = install_path(in, o);
        if (!c->path)
            return program_fail(EXIT_FAILED, NULL, "%s: the server has no such kind", c->what);
        if (code < 0)
            code = plan_object(in, c);
    }
    return code < 0 ? plan_leaving(in) : code;
}

size_t install_changes(const struct install *in)
{
    size_t n = 0;
    VEC_FOREACH (c, &in->plan)
        n += c->verb != INSTALL_SAME && c->verb != INSTALL_STAYS;
    return n;
}

void install_print_plan(const struct install *in)
{
    static const char *const words[] = {"+ new", "~ changed", "", "- goes", "  stays"};
    size_t n[ARRAY_LEN(words)] = {0};
    VEC_FOREACH (c, &in->plan) {
        n[c->verb]++;
        if (c->verb != INSTALL_SAME)
            printf("%-10s %s\n%s", words[c->verb], c->what, buf_cstr(&c->fields));
    }
    printf("%zu new, %zu changed, %zu go, %zu as they are\n", n[INSTALL_NEW], n[INSTALL_CHANGED],
           n[INSTALL_GOES], n[INSTALL_SAME] + n[INSTALL_STAYS]);
    fflush(stdout);
}

int install_confirm(const struct install *in, const char *question)
{
    char answer[16] = "";
    if (in->yes)
        return -1;
    if (!isatty(STDIN_FILENO))
        return program_fail(EXIT_USAGE_ERROR, "--yes, or --dry-run to look only",
                            "there is no terminal to ask at");
    fprintf(stderr, "%s [y/N] ", question);
    if (fgets(answer, sizeof(answer), stdin) && (answer[0] == 'y' || answer[0] == 'Y'))
        return -1;
    return program_fail(EXIT_FAILED, NULL, "nothing is changed");
}
