#pragma once
/* The Helm chart (deploy/chart) that this program has in it: its values, and the objects that they
 * give. Pure. */

#include "chart/template.h"

#define CHART_RELEASE   "fairlead"
#define CHART_NAMESPACE "fairlead-system" /* programs know it by this name */

const struct chart_file *chart_files(size_t *ret_n);
/* "" if there is none. */
struct str chart_file_text(const char *name);
/* New references to what these files say. */
json_t *chart_metadata(void); /* Chart.yaml */
json_t *chart_values(void);   /* values.yaml */
json_t *chart_schema(void);   /* values.schema.json */

struct chart_output {
    json_t *objects;     /* in the order in which they are applied */
    struct buf manifest; /* the same as text, as Helm keeps it */
    struct buf notes;    /* what is said at the end */
};

/* values: defaults and what was chosen, as one. */
int chart_render(json_t *values, struct chart_output *ret, struct err *reterr) NODISCARD;
/* Objects of a manifest that a release has kept, in the same order. */
int chart_parse_manifest(struct str manifest, json_t **ret, struct err *reterr) NODISCARD;
void chart_output_done(struct chart_output *o);

/* The steps in which objects are applied; taken out in the other order. */
enum chart_step {
    CHART_NAMESPACES,
    CHART_DEFINITIONS, /* of kinds */
    CHART_RIGHTS,
    CHART_SETTINGS, /* ConfigMaps, Services, classes */
    CHART_CONTROL,
    CHART_AGENTS,
    CHART_GATEWAYS,
    CHART_WEBHOOKS, /* only once control is ready */
};
enum chart_step chart_step_of(const json_t *object);
bool chart_keeps(const json_t *object); /* helm.sh/resource-policy: keep */
