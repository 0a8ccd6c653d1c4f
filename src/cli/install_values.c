/* Values for the chart: what the release had, files, --set, and what the cluster itself says of the
 * API server's address. */
#include <errno.h>
#include <stdio.h>

#include "chart/values.h"
#include "cli/install.h"
#include "codec/yaml.h"
#include "kube/manifest.h"

static int add_file(const char *file, struct str text, void *user, struct err *reterr)
{
    json_t *chosen = user;
    AUTO_JSON json_t *j = NULL;
    int r = yaml_parse(text, &j, reterr);
    if (r < 0)
        return err_prefix(reterr, NULL, file);
    if (j && !json_is_object(j))
        return err_set(reterr, -EINVAL, NULL, "%s: not a map of values", file);
    values_merge(chosen, j);
    return 0;
}

int install_choose(struct install *in)
{
    struct err err = {0};
    int r = 0;
    if (!in->chosen)
        in->chosen = json_object();
    for (size_t i = 0; i < in->files.n && r == 0; i++)
        r = manifest_for_files(in->files.v[i], false, add_file, in->chosen, &err);
    if (r < 0)
        return program_fail(EXIT_FAILED, "a file of values, as helm takes it", "--filename: %s",
                            err_text(&err));
    for (size_t i = 0; i < in->sets.n && r == 0; i++)
        r = values_set(in->chosen, str_from(in->sets.v[i]), false, &err);
    for (size_t i = 0; i < in->texts.n && r == 0; i++)
        r = values_set(in->chosen, str_from(in->texts.v[i]), true, &err);
    return r < 0 ? program_fail(EXIT_USAGE_ERROR, "--set control.replicas=3,logLevel=debug",
                                "--set: %s", err_text(&err))
                 : -1;
}

int install_check_values(struct install *in)
{
    AUTO_JSON json_t *schema = chart_schema();
    AUTO_JSON json_t *defaults = chart_values();
    AUTO_DONE(buf) struct buf told = {0};
    struct err err = {0};
    if (json_object_size(json_object_get(in->chosen, "global")))
        return program_fail(EXIT_FAILED, "leave it out", "global: nothing here heeds it");
    json_decref(in->values);
    in->values = values_coalesce(defaults, in->chosen);
    int found = values_check(schema, in->values, &told, &err);
    if (found < 0)
        return program_fail(EXIT_FAILED, NULL, "%s", err_text(&err));
    if (!found)
        return -1;
    fprintf(stderr, "error: %d value%s cannot be:\n", found, found == 1 ? "" : "s");
    for (struct str rest = buf_str(&told), line; rest.p && rest.n;) {
        line = str_cut(rest, '\n', &rest);
        fprintf(stderr, "  " STR_FMT "\n", STR_ARG(line));
    }
    fputs("hint: deploy/chart/values.yaml says what each is; null gives back the default\n",
          stderr);
    return EXIT_FAILED;
}
