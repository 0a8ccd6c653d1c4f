/* fuzz-layer: model
 * Objects as JSON, one a line, to what is said of them: analysis, conversions, a migration's
 * report. Every finding of the analysis has a code; every conversion puts out whole objects, the
 * same ones whatever the order of the input. */
#include <stdlib.h>

#include "model/analysis.h"
#include "model/convert.h"
#include "model/migrate.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
void fuzz_without_faults(void);

/* Read by a command, which ends for want of memory. */
void fuzz_without_faults(void)
{
}

/* Names are there once: of two the order would decide. */
static bool is_there(const json_t *list, const json_t *object)
{
    static const char *const paths[] = {"kind", "metadata.namespace", "metadata.name"};
    json_t *j;
    size_t i;
    json_array_foreach((json_t *)(uintptr_t)list, i, j)
    {
        bool same = true;
        for (size_t p = 0; p < ARRAY_LEN(paths); p++)
            same = same && streq(json_at_str(j, paths[p]), json_at_str(object, paths[p]));
        if (same)
            return true;
    }
    return false;
}

static void add(json_t *list, struct str line)
{
    json_t *j;
    if (json_parse(line, 1 << 20, NULL, &j, NULL) < 0)
        return;
    if (json_is_object(j) && json_at_str(j, "metadata.name") &&
        !json_at_str(j, "metadata.namespace"))
        json_put_str(j, "metadata.namespace", "default");
    if (json_is_object(j) && !is_there(list, j))
        json_array_append(list, j);
    json_decref(j);
}

static void analyze(const json_t *objects)
{
    static const char *const controllers[] = {"fairlead.dev/ingress", INGRESS_CONTROLLER_NGINX,
                                              NULL};
    static const struct ingress_options options = {
        .controllers = controllers, .class_name = "nginx", .without_class = true};
    const struct analysis_input in = {.ingress = &options,
                                      .objects = objects,
                                      .knows_classes = true,
                                      .knows_services = true,
                                      .knows_endpoints = true,
                                      .knows_pods = true,
                                      .knows_secrets = true};
    struct findings f = {0};
    analysis_run(&in, &f);
    for (size_t i = 0; i < f.n; i++)
        if (!analysis_code_find(f.v[i].id))
            abort();
    findings_done(&f);
}

static void convert(const json_t *objects, const json_t *reversed, enum convert_api api)
{
    const struct convert_options o = {
        .api = api, .gateway_namespace = "istio-system", .gateway_class = "fairlead"};
    struct findings lost = {0}, other = {0};
    json_t *one = convert_ingresses(objects, &o, &lost),
           *two = convert_ingresses(reversed, &o, &other), *j;
    size_t i;
    if (api != CONVERT_ISTIO_1_8 && !json_equal(one, two))
        abort();
    json_array_foreach(one, i, j) if (!json_at_str(j, "metadata.name") || !json_at(j, "spec"))
        abort();
    json_decref(one);
    json_decref(two);
    findings_done(&lost);
    findings_done(&other);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    json_t *objects = json_array(), *reversed = json_array(), *j;
    struct migrate_report report;
    struct str rest = str_of(data, size);
    size_t i;
    while (rest.n)
        add(objects, str_cut(rest, '\n', &rest));
    json_array_foreach(objects, i, j) json_array_insert(reversed, 0, j);
    analyze(objects);
    for (enum convert_api api = CONVERT_ISTIO; api <= CONVERT_ISTIO_1_8; api++)
        convert(objects, reversed, api);
    migrate_look(objects, "nginx", &report);
    migrate_report_done(&report);
    json_decref(objects);
    json_decref(reversed);
    return 0;
}
