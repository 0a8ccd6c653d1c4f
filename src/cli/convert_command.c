/* fairlead convert-ingress: Ingresses to objects of Istio or the Gateway API, printed as manifests.
 */
#include <stdio.h>

#include "cli/cli_output.h"
#include "cli/object_source.h"
#include "model/convert.h"

struct convert_args {
    struct cli_session session;
    struct arg_list files;
    const char *output, *api, *compat;
    struct convert_options options;
    bool all;
};

static int read_objects(struct convert_args *a, struct object_source *s)
{
    if (a->files.n)
        return object_source_read_files(s, &a->files, false, a->session.namespace_);
    int code = cli_session_open(&a->session);
    return code < 0 ? object_source_read_cluster(s, &a->session, OBJECTS_FOR_ROUTES) : code;
}

/* Those of other namespaces are left out: of a cluster, without -A. False: no Ingress is left. */
static bool keep_ingresses(const struct convert_args *a, json_t *list)
{
    size_t i = json_array_size(list), n = 0;
    while (i--) {
        const json_t *j = json_array_get(list, i);
        if (!streq(json_key_str(j, "kind"), "Ingress"))
            continue;
        if (!a->files.n && !a->all &&
            !streq(json_at_str(j, "metadata.namespace"), a->session.namespace_))
            json_array_remove(list, i);
        else
            n++;
    }
    return n > 0;
}

static void tell(struct object_source *s, const struct findings *lost)
{
    for (size_t i = 0; i < lost->n; i++) {
        const struct finding *f = &lost->v[i];
        AUTO_CHARS char *place = object_source_place(s, "Ingress", f->object, f->field);
        fprintf(stderr, "%s: Ingress %s%s%s%s %s: %s\n",
                f->severity == FINDING_ERROR ? "error" : "warning", f->object, place ? " (" : "",
                place ? place : "", place ? ")" : "", f->field, f->message);
    }
}

static int convert(const struct convert_args *a, struct object_source *s)
{
    AUTO_DONE(findings) struct findings lost = {0};
    if (!keep_ingresses(a, s->list))
        return program_fail(EXIT_FAILED, a->files.n ? NULL : "-A: of all namespaces",
                            "there is no Ingress to convert");
    AUTO_JSON json_t *objects = convert_ingresses(s->list, &a->options, &lost);
    tell(s, &lost);
    cli_print_objects(a->output, objects);
    return EXIT_OK;
}

static int run(struct convert_args *a)
{
    struct object_source s = {0};
    bool gateway_api = streq(a->api, "gateway-api");
    if (!gateway_api && !streq(a->api, "istio"))
        return program_fail(EXIT_USAGE_ERROR, "istio, gateway-api",
                            "--output-api: \"%s\" is not known", a->api);
    if (a->compat && (gateway_api || !streq(a->compat, "1.8")))
        return program_fail(EXIT_USAGE_ERROR, "--compat 1.8",
                            gateway_api ? "--compat is about Istio's API"
                                        : "--compat: \"%s\" is not known",
                            a->compat);
    if (!streq(a->output, "yaml") && !streq(a->output, "json"))
        return program_fail(EXIT_USAGE_ERROR, "yaml or json", "-o: \"%s\" is not known", a->output);
    a->options.api = a->compat     ? CONVERT_ISTIO_1_8
                     : gateway_api ? CONVERT_GATEWAY_API
                                   : CONVERT_ISTIO;
    int code = read_objects(a, &s);
    if (code < 0)
        code = convert(a, &s);
    object_source_done(&s);
    return code;
}

int cli_convert_ingress(int argc, char **argv)
{
    struct convert_args a = {
        .output = "yaml",
        .api = "istio",
        .options = {.gateway_namespace = "istio-system", .gateway_class = "fairlead"}};
    struct arg args[] = {
        {"filename", 'f', ARG_STRINGS, &a.files, "FILE",
         "manifests instead of the cluster: Ingresses; Services, where ports have names; "
         "IngressClasses (repeat)",
         0, 0, false},
        {"all-namespaces", 'A', ARG_BOOL, &a.all, NULL, "of the cluster: of all namespaces", 0, 0,
         false},
        {"output-api", 0, ARG_STRING, &a.api, "API",
         "istio: Gateway and VirtualService; gateway-api: Gateway and HTTPRoute (default istio)", 0,
         0, false},
        {"compat", 0, ARG_STRING, &a.compat, "VERSION",
         "1.8: the names and the form of istioctl convert-ingress of that version", 0, 0, false},
        {"gateway-namespace", 0, ARG_STRING, &a.options.gateway_namespace, "NS",
         "of Istio's gateway (default istio-system)", 0, 0, false},
        {"gateway-class", 0, ARG_STRING, &a.options.gateway_class, "NAME",
         "GatewayClass, and name of the Gateways of the Gateway API (default fairlead)", 0, 0,
         false},
        {"output", 'o', ARG_STRING, &a.output, "FORMAT", "yaml or json (default yaml)", 0, 0,
         false},
        CLI_SESSION_ARGS(&a.session),
        {.name = NULL},
    };
    const struct program p = {
        "fairlead convert-ingress",
        "prints Ingresses as objects of Istio or the Gateway API; what gets lost on stderr",
        "[-f FILE…] [flags]",
        "  fairlead convert-ingress -f ingress.yaml\n"
        "  fairlead convert-ingress -f manifests/ --output-api gateway-api | kubectl apply -f -\n"
        "  fairlead convert-ingress -A -o json\n"
        "  fairlead convert-ingress -f ingress.yaml --compat 1.8\n",
        args,
        false};
    int code = program_start(&p, argc, argv, NULL, NULL);
    if (code < 0)
        code = run(&a);
    if (a.session.client)
        cli_session_close(&a.session);
    arg_list_done(&a.files);
    return code;
}
