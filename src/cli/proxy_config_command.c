/* fairlead proxy-config: what a proxy has, from its admin interface or a saved dump. */
#include <stdio.h>

#include "cli/proxy_config.h"
#include "cli/proxy_source.h"

struct config_args {
    struct cli_session session;
    struct arg_list words;
    const char *output, *file, *level;
    struct proxy_config_filter filter;
};

static const struct {
    const char *one, *many;
} words[PROXY_CONFIG_TYPES] = {[PROXY_CLUSTERS] = {"cluster", "clusters"},
                               [PROXY_LISTENERS] = {"listener", "listeners"},
                               [PROXY_ROUTES] = {"route", "routes"},
                               [PROXY_ENDPOINTS] = {"endpoint", "endpoints"},
                               [PROXY_SECRETS] = {"secret", "secrets"}};

#define WHAT "listeners, routes, clusters, endpoints, secrets, bootstrap, log"

/* ---- where it comes from ---- */

static int read_dump(struct config_args *a, const char *path, json_t **ret)
{
    struct proxy_name p = {0};
    int code;
    if (a->file)
        return cli_json_file(a->file, "give what /config_dump?include_eds has answered", ret);
    code = proxy_name_find(&a->session, a->words.v[1], &p);
    if (code < 0)
        code = proxy_admin_json(&a->session, &p, path, ret);
    proxy_name_done(&p);
    return code;
}

/* ---- what is shown ---- */

static int show_items(struct config_args *a, enum proxy_config_type type)
{
    AUTO_JSON json_t *dump = NULL;
    const char *path =
        type == PROXY_ENDPOINTS ? "/clusters?format=json" : "/config_dump?include_eds";
    int code = read_dump(a, path, &dump);
    if (code >= 0)
        return code;
    proxy_config_hide_keys(dump);
    AUTO_JSON json_t *items = proxy_config_items(dump, type, &a->filter);
    if (streq(a->output, "table"))
        proxy_config_print(type, items);
    else
        cli_print_object(a->output, items);
    return EXIT_OK;
}

static int show_bootstrap(struct config_args *a)
{
    AUTO_JSON json_t *dump = NULL;
    json_t *config, *found = NULL;
    size_t i;
    int code = read_dump(a, "/config_dump?resource=bootstrap", &dump);
    if (code < 0)
        proxy_config_hide_keys(dump);
    json_array_foreach(json_object_get(dump, "configs"), i, config) found =
        found ? found : json_object_get(config, "bootstrap");
    if (code < 0 && !found)
        code = program_fail(EXIT_FAILED, NULL, "the dump has no bootstrap");
    if (code >= 0)
        return code;
    cli_print_object(streq(a->output, "yaml") ? "yaml" : "json", found);
    return EXIT_OK;
}

/* Of the proxy; with --level it is set. */
static int show_log(struct config_args *a)
{
    static const char *const levels[] = {"trace", "debug", "info", "warning", "error"};
    AUTO_DONE(buf) struct buf body = {0};
    struct proxy_name p = {0};
    bool known = !a->level;
    for (size_t i = 0; i < ARRAY_LEN(levels); i++)
        known = known || streq(a->level, levels[i]);
    if (!known)
        return program_fail(EXIT_USAGE_ERROR, "trace, debug, info, warning, error",
                            "--level: \"%s\" is not known", a->level);
    if (a->file)
        return program_fail(EXIT_USAGE_ERROR, NULL, "a file has no log level");
    AUTO_CHARS char *path =
        xasprintf("/logging%s%s", a->level ? "?level=" : "", a->level ? a->level : "");
    int code = proxy_name_find(&a->session, a->words.v[1], &p);
    if (code < 0)
        code = proxy_admin_ask(&a->session, &p, "POST", path, &body);
    proxy_name_done(&p);
    if (code >= 0)
        return code;
    fputs(buf_cstr(&body), stdout);
    return EXIT_OK;
}

static int run(struct config_args *a)
{
    const char *what = a->words.n ? a->words.v[0] : "";
    bool bootstrap = streq(what, "bootstrap"), log = streq(what, "log");
    size_t type = 0;
    while (type < PROXY_CONFIG_TYPES && !streq(what, words[type].one) &&
           !streq(what, words[type].many))
        type++;
    if (type == PROXY_CONFIG_TYPES && !bootstrap && !log)
        return program_fail(EXIT_USAGE_ERROR, WHAT, "fairlead proxy-config: %s%s%s",
                            *what ? "\"" : "say what to show", what,
                            *what ? "\" is not known" : "");
    if (a->words.n != (a->file ? 1u : 2u))
        return program_fail(EXIT_USAGE_ERROR, "fairlead proxy-config routes POD.NAMESPACE",
                            a->file ? "name a proxy or a file, not both" : "name a proxy");
    int code = cli_check_output(a->output, "table");
    if (code < 0 && !a->file)
        code = cli_session_open(&a->session);
    if (code >= 0)
        return code;
    return bootstrap ? show_bootstrap(a)
           : log     ? show_log(a)
                     : show_items(a, (enum proxy_config_type)type);
}

int cli_proxy_config(int argc, char **argv)
{
    struct config_args a = {.output = "table"};
    struct proxy_config_filter *f = &a.filter;
    struct arg args[] = {
        {"filename", 'f', ARG_STRING, &a.file, "FILE",
         "a saved /config_dump instead of a proxy; - is standard input", 0, 0, false},
        {"port", 0, ARG_INT, &f->port, "PORT", "of listeners, clusters, endpoints", 1, 65535,
         false},
        {"name", 0, ARG_STRING, &f->name, "NAME", "of routes, listeners, secrets", 0, 0, false},
        {"fqdn", 0, ARG_STRING, &f->fqdn, "HOST", "of clusters: their Service", 0, 0, false},
        {"subset", 0, ARG_STRING, &f->subset, "NAME", "of clusters", 0, 0, false},
        {"direction", 0, ARG_STRING, &f->direction, "WORD", "of clusters: inbound, outbound", 0, 0,
         false},
        {"type", 0, ARG_STRING, &f->type, "TYPE", "of clusters: EDS, STRICT_DNS …", 0, 0, false},
        {"address", 0, ARG_STRING, &f->address, "IP", "of listeners, endpoints", 0, 0, false},
        {"cluster", 0, ARG_STRING, &f->cluster, "NAME", "of endpoints", 0, 0, false},
        {"status", 0, ARG_STRING, &f->status, "WORD", "of endpoints: healthy, unhealthy …", 0, 0,
         false},
        {"level", 0, ARG_STRING, &a.level, "LEVEL", "of log: sets it", 0, 0, false},
        {"output", 'o', ARG_STRING, &a.output, "FORMAT", "table, json or yaml (default table)", 0,
         0, false},
        CLI_SESSION_ARGS(&a.session),
        {.name = NULL},
    };
    const struct program p = {
        "fairlead proxy-config",
        "shows what a proxy has: " WHAT,
        "WHAT [POD.NAMESPACE | POD | TYPE/NAME | -f FILE] [flags]",
        "  fairlead proxy-config routes fairlead-gateway-x.fairlead-system\n"
        "  fairlead proxy-config clusters deploy/fairlead-gateway -n fairlead-system --port 80\n"
        "  fairlead proxy-config endpoints -f dump.json --status unhealthy\n"
        "  fairlead proxy-config log fairlead-gateway-x.fairlead-system --level debug\n",
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
