/* fuzz-layer: cli
 * What calls itself a proxy's dump: whatever JSON it is, tables are made of it, and no key that was
 * in it is in what is shown. */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "cli/proxy_config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
void fuzz_without_faults(void);

/* Read by a command, which ends for want of memory. */
void fuzz_without_faults(void)
{
}

/* Tables go to standard output. */
static void print(const json_t *dump)
{
    static const struct proxy_config_filter any, some = {.port = 80, .fqdn = "a", .name = "a"};
    int out = dup(STDOUT_FILENO);
    if (out < 0 || !freopen("/dev/null", "w", stdout))
        abort();
    for (enum proxy_config_type type = 0; type < PROXY_CONFIG_TYPES; type++) {
        AUTO_JSON json_t *all = proxy_config_items(dump, type, &any);
        AUTO_JSON json_t *few = proxy_config_items(dump, type, &some);
        if (json_array_size(few) > json_array_size(all))
            abort();
        proxy_config_print(type, all);
    }
    fflush(stdout);
    (void)dup2(out, STDOUT_FILENO);
    close(out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const types[] = {"cds", "lds", "eds", "rds", "sds"};
    AUTO_DONE(buf) struct buf text = {0};
    AUTO_JSON json_t *dump = NULL;
    if (json_parse(str_of(data, size), 1 << 20, NULL, &dump, NULL) < 0)
        return 0;
    proxy_config_hide_keys(dump);
    json_write(&text, dump);
    if (str_contains(buf_str(&text), STR("\"private_key\":\"")) ||
        str_contains(buf_str(&text), STR("\"private_key\":{\"inline_string\"")))
        abort();
    print(dump);
    for (size_t i = 0; i < ARRAY_LEN(types); i++)
        json_decref(proxy_config_versions(dump, types[i]));
    return 0;
}
