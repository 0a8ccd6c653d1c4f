/* fairlead proxy-status: which proxies are connected, and whether they have what they were sent; of
 * one proxy, what it has against what its control plane would give it. */
#include <stdio.h>

#include "base/map.h"
#include "cli/cli_output.h"
#include "cli/proxy_config.h"
#include "cli/proxy_source.h"
#include "cli/view_token.h"

struct status_args {
    struct cli_session session;
    struct arg_list words;
    const char *output, *control_namespace;
};

static const char *const types[] = {"cds", "lds", "eds", "rds", "vhds", "sds"};

/* ---- all of them ---- */

/* "router~10.0.0.1~POD.NS~NS.svc.cluster.local": POD.NS; what has another form stays. */
static char *short_name(const char *id)
{
    struct str rest = str_from(id), part = {0};
    for (int i = 0; i < 3 && rest.p; i++)
        part = str_cut(rest, '~', &rest);
    return rest.p ? str_dup(part) : xstrdup(id);
}

static void add_rows(const char *control, json_t *answer, void *user)
{
    json_t *list = user, *one;
    size_t i;
    json_array_foreach(answer, i, one)
    {
        const char *id = json_key_str(one, "proxy");
        AUTO_CHARS char *name = short_name(id ? id : "");
        json_object_set_new(one, "name", json_text(str_from(name)));
        json_object_set_new(one, "control", json_string(control));
        json_array_append(list, one);
    }
}

static void print_all(const json_t *list)
{
    static const char *const names[] = {"NAME", "CLUSTER", "CDS",     "LDS",     "EDS", "RDS",
                                        "VHDS", "SDS",     "CONTROL", "VERSION", NULL};
    struct cli_table t = {.names = names};
    json_t *one;
    size_t i;
    json_array_foreach((json_t *)(uintptr_t)list, i, one)
    {
        cli_table_add(&t, json_key_str(one, "name"));
        cli_table_add(&t, json_key_str(one, "cluster"));
        for (size_t n = 0; n < ARRAY_LEN(types); n++) {
            const char *state = json_key_str(json_object_get(one, types[n]), "state");
            cli_table_add(&t, state ? state : "IGNORED");
        }
        cli_table_add(&t, json_key_str(one, "control"));
        cli_table_add(&t, json_key_str(one, "version"));
    }
    cli_table_print(&t, true);
    json_array_foreach((json_t *)(uintptr_t)list, i, one) if (json_key_str(one, "problem")) fprintf(
        stderr, "warning: %s: %s\n", json_key_str(one, "name"), json_key_str(one, "problem"));
}

static int show_all(struct status_args *a)
{
    AUTO_JSON json_t *list = json_array();
    int code = control_ask_each(&a->session, a->control_namespace, "/debug/syncz", add_rows, list);
    if (code >= 0)
        return code;
    if (streq(a->output, "table"))
        print_all(list);
    else
        cli_print_object(a->output, list);
    return EXIT_OK;
}

/* ---- one of them ---- */

static void keep_first(const char *control, json_t *answer, void *user)
{
    json_t **first = user;
    (void)control;
    if (!*first)
        *first = json_incref(answer);
}

static const json_t *version_of(const json_t *list, const char *name)
{
    json_t *one;
    size_t i;
    json_array_foreach((json_t *)(uintptr_t)list, i,
                       one) if (streq(json_key_str(one, "name"), name)) return one;
    return NULL;
}

static void add_difference(json_t *list, const char *name, const char *what)
{
    json_array_append_new(list, json_pack("{s:s,s:s}", "name", name, "difference", what));
}

/* has: what the proxy has, given: what control has; both lists of {name, version}. All of a type:
 * what it has not is missing; else it has what it asked for. */
static json_t *compare(const json_t *has, const json_t *given, bool all)
{
    json_t *list = json_array(), *one;
    size_t i;
    json_array_foreach((json_t *)(uintptr_t)has, i, one)
    {
        const char *name = json_key_str(one, "name");
        const json_t *other = version_of(given, name);
        if (!other)
            add_difference(list, name, "only the proxy has it");
        else if (!streq(json_key_str(other, "version"), json_key_str(one, "version")))
            add_difference(list, name, "the proxy has another version");
    }
    json_array_foreach((json_t *)(uintptr_t)given, i,
                       one) if (all && !version_of(has, json_key_str(one, "name")))
        add_difference(list, json_key_str(one, "name"), "the proxy does not have it");
    return list;
}

/* The resource without what says of which type it is. */
static bool same_resource(const json_t *a, const json_t *b)
{
    AUTO_JSON json_t *x = json_copy((json_t *)(uintptr_t)a);
    AUTO_JSON json_t *y = json_copy((json_t *)(uintptr_t)b);
    json_object_del(x, "@type");
    json_object_del(y, "@type");
    return json_equal(x, y);
}

static void add_hosts(const json_t *table, struct map *to)
{
    json_t *host;
    size_t i;
    json_array_foreach(json_object_get(table, "virtual_hosts"), i, host)
    {
        AUTO_CHARS char *name =
            xasprintf("%s/%s", json_key_str(table, "name"), json_key_str(host, "name"));
        map_put_cstr(to, name, host);
    }
}

/* Of hosts a dump has no versions: they are the same if they say the same. */
static json_t *compare_hosts(const json_t *dump, const json_t *given)
{
    AUTO_DONE(map) struct map has = {0};
    json_t *list = json_array(), *config, *one;
    struct str name;
    size_t c, i;
    json_array_foreach(json_object_get(dump, "configs"), c, config)
        json_array_foreach(json_object_get(config, "dynamic_route_configs"), i, one)
            add_hosts(json_object_get(one, "route_config"), &has);
    json_array_foreach((json_t *)(uintptr_t)given, i, one)
    {
        const char *key = json_key_str(one, "name");
        const json_t *host = map_remove_cstr(&has, key);
        if (!host)
            add_difference(list, key, "the proxy does not have it");
        else if (!same_resource(host, json_object_get(one, "resource")))
            add_difference(list, key, "the proxy has another version");
    }
    for (size_t at = 0; map_next(&has, &at, &name, NULL);) {
        AUTO_CHARS char *text = str_dup(name);
        add_difference(list, text, "only the proxy has it");
    }
    return list;
}

static bool print_comparison(const json_t *j)
{
    static const char *const words[] = {"Clusters", "Listeners", "Endpoints",
                                        "Routes",   "Hosts",     "Secrets"};
    bool same = true;
    json_t *one;
    size_t i;
    for (size_t n = 0; n < ARRAY_LEN(types); n++) {
        const json_t *list = json_object_get(j, types[n]);
        printf("%s %s\n", words[n], json_array_size(list) ? "Don't Match" : "Match");
        json_array_foreach((json_t *)(uintptr_t)list, i, one)
            printf("  %s: %s\n", json_key_str(one, "name"), json_key_str(one, "difference"));
        same = same && !json_array_size(list);
    }
    return same;
}

static int show_one(struct status_args *a, const struct proxy_name *p)
{
    AUTO_JSON json_t *given = NULL;
    AUTO_JSON json_t *dump = NULL;
    AUTO_JSON json_t *result = json_object();
    int code = control_ask_each(&a->session, a->control_namespace, "/debug/config_dump", keep_first,
                                &given);
    if (code < 0)
        code = proxy_admin_json(&a->session, p, "/config_dump?include_eds", &dump);
    if (code >= 0)
        return code;
    bool same = true;
    for (size_t n = 0; n < ARRAY_LEN(types); n++) {
        bool hosts = streq(types[n], "vhds");
        AUTO_JSON json_t *has = hosts ? NULL : proxy_config_versions(dump, types[n]);
        const json_t *ours = json_object_get(given, types[n]);
        json_t *list = hosts ? compare_hosts(dump, ours)
                             : compare(has, ours, streq(types[n], "cds") || n == 1);
        same = same && !json_array_size(list);
        json_object_set_new(result, types[n], list);
    }
    if (streq(a->output, "table"))
        print_comparison(result);
    else
        cli_print_object(a->output, result);
    return same ? EXIT_OK : EXIT_FINDINGS;
}

static int run(struct status_args *a)
{
    struct proxy_name p = {0};
    int code = cli_check_output(a->output, "table");
    if (a->words.n > 1)
        code = program_fail(EXIT_USAGE_ERROR, "fairlead proxy-status POD.NAMESPACE",
                            "name one proxy, or none");
    if (code < 0)
        code = cli_session_open(&a->session);
    if (code < 0 && a->words.n)
        code = proxy_name_find(&a->session, a->words.v[0], &p);
    if (code < 0)
        code = a->words.n ? show_one(a, &p) : show_all(a);
    proxy_name_done(&p);
    return code;
}

int cli_proxy_status(int argc, char **argv)
{
    struct status_args a = {.output = "table", .control_namespace = "fairlead-system"};
    struct arg args[] = {
        {"control-namespace", 0, ARG_STRING, &a.control_namespace, "NS",
         "where the control plane's pods are (default fairlead-system)", 0, 0, false},
        {"output", 'o', ARG_STRING, &a.output, "FORMAT", "table, json or yaml (default table)", 0,
         0, false},
        VIEW_ARGS(&a.session),
        CLI_SESSION_ARGS(&a.session),
        {.name = NULL},
    };
    const struct program p = {
        "fairlead proxy-status",
        "says which proxies have what they were sent; of one, what differs",
        "[POD.NAMESPACE | POD | TYPE/NAME] [flags]",
        "  fairlead proxy-status\n"
        "  fairlead proxy-status fairlead-gateway-x.fairlead-system\n"
        "  fairlead proxy-status deploy/fairlead-gateway -n fairlead-system\n",
        args,
        false};
    int code = program_start(&p, argc, argv, &a.words, NULL);
    if (code < 0)
        code = run(&a);
    if (a.session.client)
        cli_session_close(&a.session);
    arg_list_done(&a.words);
    return code;
}
