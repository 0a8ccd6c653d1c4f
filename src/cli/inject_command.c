/* fairlead inject: manifests with a proxy beside each pod; what has none is printed as it came. */
#include <stdio.h>

#include "cli/cli_output.h"
#include "kube/manifest.h"
#include "model/inject.h"

struct inject_args {
    struct arg_list files;
    const char *output;
    struct inject_options options;
};

static void tell(const json_t *object, const char *what)
{
    const char *ns = json_at_str(object, "metadata.namespace"),
               *name = json_at_str(object, "metadata.name");
    fprintf(stderr, "%s %s%s%s: %s\n", json_key_str(object, "kind"), ns ? ns : "", ns ? "/" : "",
            name ? name : "(no name yet)", what);
}

/* Exit code, or -1. */
static int inject(const struct inject_args *a, json_t *object)
{
    json_t *pod = inject_pod_of(object);
    struct err err = {0};
    if (!pod)
        return -1;
    const char *ns = json_at_str(object, "metadata.namespace"),
               *workload = pod == object ? NULL : json_at_str(object, "metadata.name");
    struct inject_verdict v = inject_decide(pod, ns, NULL, &a->options);
    if (!v.yes) {
        AUTO_CHARS char *text = xasprintf("no proxy: %s", v.why);
        tell(object, text);
        return -1;
    }
    if (inject_pod(pod, workload, &a->options, &err) < 0) {
        tell(object, err_text(&err));
        return EXIT_FAILED;
    }
    return -1;
}

static int run(const struct inject_args *a)
{
    AUTO_JSON json_t *objects = json_array();
    struct err err = {0};
    json_t *one;
    size_t i;
    if (!a->files.n)
        return program_fail(EXIT_USAGE_ERROR, "fairlead inject -f app.yaml | kubectl apply -f -",
                            "-f is missing: which manifests?");
    if (!streq(a->output, "yaml") && !streq(a->output, "json"))
        return program_fail(EXIT_USAGE_ERROR, "yaml or json", "-o: \"%s\" is not known", a->output);
    for (i = 0; i < a->files.n; i++)
        if (manifest_read(a->files.v[i], objects, &err) < 0)
            return program_fail(EXIT_FAILED, NULL, "%s", err_text(&err));
    json_array_foreach(objects, i, one)
    {
        int code = inject(a, one);
        if (code >= 0)
            return code; /* nothing is printed: half of it is no manifest */
    }
    cli_print_objects(a->output, objects);
    return EXIT_OK;
}

int cli_inject(int argc, char **argv)
{
    struct inject_args a = {.output = "yaml",
                            .options = {.image = "fairlead/proxy", .revision = "fairlead"}};
    struct arg args[] = {
        {"filename", 'f', ARG_STRINGS, &a.files, "FILE",
         "manifests: a file, a directory, - for standard input (repeat)", 0, 0, false},
        {"image", 0, ARG_STRING, &a.options.image, "IMAGE", "of the proxy (default fairlead/proxy)",
         0, 0, false},
        {"control", 0, ARG_STRING, &a.options.control, "HOST:PORT",
         "the control plane (default fairlead-control.fairlead-system.svc.cluster.local:15012)", 0,
         0, false},
        {"cni", 0, ARG_BOOL, &a.options.cni, NULL,
         "fairlead-cni on the nodes leads traffic to the proxies: no NET_ADMIN (default no)", 0, 0,
         false},
        {"dns-capture", 0, ARG_BOOL, &a.options.dns_capture, NULL,
         "what the pods ask of DNS goes to their proxies (default no; the annotation "
         "proxy.istio.io/config of a pod says otherwise)",
         0, 0, false},
        {"revision", 'r', ARG_STRING, &a.options.revision, "NAME",
         "of the control plane, as istio.io/rev says it (default fairlead)", 0, 0, false},
        {"output", 'o', ARG_STRING, &a.output, "FORMAT", "yaml or json (default yaml)", 0, 0,
         false},
        {.name = NULL},
    };
    const struct program p = {
        "fairlead inject",
        "prints manifests with a proxy beside each pod; who gets none, and why, on stderr",
        "-f FILE… [flags]",
        "  fairlead inject -f app.yaml | kubectl apply -f -\n"
        "  kubectl get deploy web -o yaml | fairlead inject -f -\n",
        args,
        false};
    int code = program_start(&p, argc, argv, NULL, NULL);
    if (code < 0)
        code = run(&a);
    arg_list_done(&a.files);
    return code;
}
