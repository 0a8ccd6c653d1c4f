/* fairlead install, upgrade: the chart in the program into a cluster. Looks, shows, asks, applies,
 * waits; keeps Helm's record of it. */
#include <stdio.h>
#include <string.h>

#include "base/time.h"
#include "chart/values.h"
#include "cli/install.h"

enum { TIMEOUT_MS = 5 * 60 * 1000 };

void install_done(struct install *in)
{
    VEC_FOREACH (k, &in->kinds) {
        free(k->api_version);
        free(k->kind);
    }
    VEC_FOREACH (c, &in->plan) {
        json_decref(c->object);
        free(c->what);
        free(c->path);
        buf_done(&c->fields);
    }
    vec_done(&in->kinds);
    vec_done(&in->plan);
    chart_output_done(&in->output);
    release_done(&in->last);
    json_decref(in->chosen);
    json_decref(in->values);
    json_decref(in->before);
    free(in->deployed);
    free(in->first_deployed);
    arg_list_done(&in->files);
    arg_list_done(&in->sets);
    arg_list_done(&in->texts);
    if (in->session.client)
        cli_session_close(&in->session);
}

static int render(struct install *in)
{
    struct err err = {0};
    int code = install_check_values(in);
    if (code >= 0)
        return code;
    chart_output_done(&in->output);
    return chart_render(in->values, &in->output, &err) < 0
               ? program_fail(EXIT_FAILED, NULL, "the chart: %s", err_text(&err))
               : -1;
}

static int print_manifests(struct install *in)
{
    int code = install_choose(in);
    code = code < 0 ? render(in) : code;
    if (code >= 0)
        return code;
    fputs(buf_cstr(&in->output.manifest), stdout);
    return EXIT_OK;
}

/* Is there a release, and may this command go on with it? */
static int look_at_release(struct install *in)
{
    AUTO_JSON json_t *ns = install_get(in, "/api/v1/namespaces/" CHART_NAMESPACE);
    in->namespace_exists = ns != NULL;
    int code = install_find_release(in);
    if (code >= 0)
        return code;
    const char *status = in->last.version ? in->last.status : "uninstalled";
    bool gone = streq(status, "uninstalled");
    if (gone) {
        free(in->deployed);
        in->deployed = NULL;
    }
    if (in->upgrade && gone)
        return program_fail(EXIT_FAILED, "fairlead install",
                            "there is no release " CHART_RELEASE " in " CHART_NAMESPACE);
    if (!in->upgrade && !gone)
        return program_fail(EXIT_FAILED, "fairlead upgrade", "it is installed: revision %lld is %s",
                            (long long)in->last.version, status);
    if (str_starts(str_from(status), STR("pending")) && !in->to)
        return program_fail(EXIT_FAILED,
                            "wait for who does it; if nobody does, fairlead upgrade --to REVISION "
                            "or fairlead uninstall",
                            "revision %lld is %s: somebody is at it, or was interrupted",
                            (long long)in->last.version, status);
    return -1;
}

static int settle(struct install *in)
{
    AUTO_JSON json_t *defaults = chart_values();
    int code = -1;
    if (in->to) {
        if ((code = install_take_revision(in)) >= 0)
            return code;
        in->values = values_coalesce(defaults, in->chosen);
        return install_preflight(in);
    }
    if (in->upgrade && !in->reset_values)
        in->chosen = json_deep_copy(in->last.config);
    code = install_choose(in);
    code = code < 0 ? render(in) : code;
    code = code < 0 ? install_preflight(in) : code;
    return code < 0 ? render(in) : code; /* with what was found */
}

static int put_out(struct install *in)
{
    AUTO_JSON json_t *record =
        release_record(in->last.version + 1, in->first_deployed, json_deep_copy(in->chosen),
                       buf_str(&in->output.manifest), buf_str(&in->output.notes));
    int64_t version = in->last.version + 1;
    int code = install_make_namespace(in);
    if (code < 0)
        code = install_keep(in, record, in->upgrade ? "pending-upgrade" : "pending-install",
                            in->upgrade ? "Preparing upgrade" : "Initial install underway");
    if (code >= 0)
        return code;
    code = install_apply_plan(in);
    if (code < 0 && in->wait)
        code = install_wait(in, in->output.objects, NULL);
    if (code >= 0) {
        (void)install_keep(in, record, "failed", "not applied whole, or not ready in time");
        return code;
    }
    code = install_keep(in, record, "deployed",
                        in->to        ? "Rollback complete"
                        : in->upgrade ? "Upgrade complete"
                                      : "Install complete");
    if (code < 0)
        install_supersede(in, version);
    return code;
}

/* Helm keeps them in another order. */
static bool same_objects(const struct install *in)
{
    AUTO_JSON json_t *before = NULL;
    const json_t *o;
    size_t i;
    if (chart_parse_manifest(str_from(in->last.manifest), &before, NULL) < 0 ||
        json_array_size(before) != json_array_size(in->output.objects))
        return false;
    json_array_foreach(before, i, o) if (!json_array_has(in->output.objects, o)) return false;
    return true;
}

static bool is_as_it_was(const struct install *in)
{
    return !install_changes(in) && in->last.version && streq(in->last.status, "deployed") &&
           json_equal(in->chosen, in->last.config) && same_objects(in);
}

static int run(struct install *in)
{
    if (in->render)
        return print_manifests(in);
    in->session.namespace_ = CHART_NAMESPACE;
    int code = cli_session_open(&in->session);
    code = code < 0 ? look_at_release(in) : code;
    code = code < 0 ? settle(in) : code;
    code = code < 0 ? install_plan(in) : code;
    if (code >= 0)
        return code;
    install_print_plan(in);
    if (is_as_it_was(in)) {
        puts("nothing to do: it is as it was");
        return EXIT_OK;
    }
    if (in->dry_run)
        return EXIT_OK;
    if ((code = install_confirm(in, in->upgrade ? "Change this?" : "Install this?")) >= 0)
        return code;
    in->began_ms = time_mono_ms();
    if ((code = put_out(in)) >= 0)
        return code;
    printf("revision %lld is deployed\n", (long long)in->last.version + 1);
    fputs(buf_cstr(&in->output.notes), stdout);
    return EXIT_OK;
}

#define COMMON_ARGS(in)                                                                             \
    {"filename", 'f', ARG_STRINGS, &(in)->files, "FILE", "values, as helm takes them (repeat)",     \
     0,          0,   false},                                                                       \
        {"set", 0, ARG_STRINGS, &(in)->sets, "KEY=VALUE", "one value, or several (repeat)",         \
         0,     0, false},                                                                          \
        {"set-string", 0, ARG_STRINGS, &(in)->texts, "KEY=VALUE", "the same, always as text", 0, 0, \
         false},                                                                                    \
        {"dry-run", 0, ARG_BOOL, &(in)->dry_run, NULL, "looks and shows, and changes nothing",      \
         0,         0, false},                                                                      \
        {"yes", 0, ARG_BOOL, &(in)->yes, NULL, "does not ask", 0, 0, false},                        \
        {"wait", 0, ARG_BOOL, &(in)->wait, NULL, "until all is ready (default true)", 0, 0, false}, \
        {"timeout", 0, ARG_DURATION, &(in)->timeout_ms, "D", "how long (default 5m)", 0, 0, false}, \
        {"beside-kube-proxy",                                                                       \
         0,                                                                                         \
         ARG_BOOL,                                                                                  \
         &(in)->beside_kube_proxy,                                                                  \
         NULL,                                                                                      \
         "though a kube-proxy runs",                                                                \
         0,                                                                                         \
         0,                                                                                         \
         false},                                                                                    \
    {                                                                                               \
        "take-ownership", 0, ARG_BOOL, &(in)->take_ownership, NULL,                                 \
            "of objects that are there and are nobody's, or somebody else's", 0, 0, false           \
    }
#define SERVER_ARGS(in)                                                                            \
    {"kubeconfig", 0, ARG_STRING, &(in)->session.kubeconfig, "FILE", "kubeconfig to use", 0, 0,    \
     false},                                                                                       \
    {                                                                                              \
        "context", 0, ARG_STRING, &(in)->session.context, "NAME", "context of it", 0, 0, false     \
    }

int cli_install(int argc, char **argv)
{
    AUTO_DONE(install) struct install in = {.wait = true, .timeout_ms = TIMEOUT_MS};
    struct arg args[] = {COMMON_ARGS(&in),
                         SERVER_ARGS(&in),
                         {"render", 0, ARG_BOOL, &in.render, NULL,
                          "prints the objects, and asks no cluster", 0, 0, false},
                         {.name = NULL}};
    const struct program p = {"fairlead install",
                              "puts Fairlead into a cluster, as helm does with its chart",
                              "[-f FILE] [--set KEY=VALUE] [flags]",
                              "  fairlead install --dry-run\n"
                              "  fairlead install --set image.registry=my.registry/net --yes\n"
                              "  fairlead install -f values.yaml --set mesh.revisionOnly=true\n"
                              "  fairlead install --render -f values.yaml > fairlead.yaml\n",
                              args,
                              false};
    int code = program_start(&p, argc, argv, NULL, NULL);
    return code < 0 ? run(&in) : code;
}

int cli_upgrade(int argc, char **argv)
{
    AUTO_DONE(install)
    struct install in = {.wait = true, .timeout_ms = TIMEOUT_MS, .upgrade = true};
    struct arg args[] = {COMMON_ARGS(&in),
                         SERVER_ARGS(&in),
                         {"reset-values", 0, ARG_BOOL, &in.reset_values, NULL,
                          "forgets the values of before (default: they are kept)", 0, 0, false},
                         {"to", 0, ARG_INT, &in.to, "N", "back to this revision, with its values",
                          1, INT32_MAX, false},
                         {.name = NULL}};
    const struct program p = {"fairlead upgrade",
                              "brings what is installed to this version, or to other values",
                              "[-f FILE] [--set KEY=VALUE] [flags]",
                              "  fairlead upgrade --dry-run\n"
                              "  fairlead upgrade --set gateway.replicas=3 --yes\n"
                              "  fairlead upgrade --to 3\n",
                              args,
                              false};
    int code = program_start(&p, argc, argv, NULL, NULL);
    if (code < 0 && in.to && (in.files.n || in.sets.n || in.texts.n || in.reset_values))
        code = program_fail(EXIT_USAGE_ERROR, "give either", "--to has the values of its revision");
    return code < 0 ? run(&in) : code;
}
