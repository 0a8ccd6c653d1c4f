/* Values of the command line, held against the chart's schema; what is fit is rendered.
 * fuzz-layer: chart */
#include "chart/chart.h"
#include "chart/values.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    AUTO_JSON json_t *chosen = json_object();
    AUTO_JSON json_t *schema = chart_schema();
    AUTO_JSON json_t *defaults = chart_values();
    AUTO_DONE(buf) struct buf told = {0};
    if (values_set(chosen, str_of(data, size), size & 1, NULL) < 0)
        return 0;
    json_object_set_new(chosen, "crds", json_pack("{s:b}", "install", 0)); /* they take long */
    AUTO_JSON json_t *all = values_coalesce(defaults, chosen);
    if (values_check(schema, all, &told, NULL) == 0) {
        AUTO_DONE(chart_output) struct chart_output o = {0};
        (void)!chart_render(all, &o, NULL);
    }
    return 0;
}
