/* Tables of the API's messages: metadata, owner references, selectors, conditions.
 *
 * A row: name in JSON, type, protobuf number, then shape, merge keys, defaults and limits. Names,
 * numbers and merge keys are those of the public Kubernetes API (v1.33). Data only: nothing here is
 * executed, everything is constant and lives as long as the program. See schema.h for the columns
 * and kinds.h for the list of kinds. */
#include "kube/schema_tables.h"

static const struct schema_field owner_reference_fields[] = {
    FIELD("apiVersion", STRING, 5, REQUIRED),
    FIELD("kind", STRING, 1, REQUIRED),
    FIELD("name", STRING, 3, REQUIRED),
    FIELD("uid", STRING, 4, .go_type = "types.UID", REQUIRED),
    FIELD("controller", BOOL, 6, OMIT, POINTER),
    FIELD("blockOwnerDeletion", BOOL, 7, OMIT, POINTER),
};
SCHEMA(owner_reference, "OwnerReference");

static const struct schema_field managed_fields_entry_fields[] = {
    FIELD("manager", STRING, 1, OMIT),
    FIELD("operation", STRING, 2, OMIT, .go_type = "v1.ManagedFieldsOperationType"),
    FIELD("apiVersion", STRING, 3, OMIT),
    FIELD("time", TIME, 4, OMIT, POINTER),
    FIELD("fieldsType", STRING, 6, OMIT),
    FIELD("fieldsV1", ANY, 7, OMIT, POINTER),
    FIELD("subresource", STRING, 8, OMIT),
};
SCHEMA(managed_fields_entry, "ManagedFieldsEntry");

static const struct schema_field object_meta_fields[] = {
    FIELD("name", STRING, 1, OMIT),
    FIELD("generateName", STRING, 2, OMIT),
    FIELD("namespace", STRING, 3, OMIT),
    FIELD("selfLink", STRING, 4, OMIT),
    FIELD("uid", STRING, 5, OMIT, .go_type = "types.UID"),
    FIELD("resourceVersion", STRING, 6, OMIT),
    FIELD("generation", INT64, 7, OMIT),
    FIELD("creationTimestamp", TIME, 8, OMIT),
    FIELD("deletionTimestamp", TIME, 9, OMIT, POINTER),
    FIELD("deletionGracePeriodSeconds", INT64, 10, OMIT, POINTER),
    FIELD("labels", STRING, 11, MAP, OMIT, .format = FORMAT_LABELS),
    FIELD("annotations", STRING, 12, MAP, OMIT, .format = FORMAT_LABEL_KEYS),
    FIELD("ownerReferences", OBJECT, 13, LIST, OF(owner_reference), OMIT, MERGE("uid"),
          .map_keys = "uid"),
    FIELD("finalizers", STRING, 14, LIST, OMIT, MERGE(NULL), .set = true),
    FIELD("managedFields", OBJECT, 17, LIST, OF(managed_fields_entry), OMIT, .atomic = true),
};
SCHEMA(object_meta, "ObjectMeta");

static const struct schema_field label_selector_requirement_fields[] = {
    FIELD("key", STRING, 1, REQUIRED),
    FIELD("operator", STRING, 2, .go_type = "v1.LabelSelectorOperator", REQUIRED,
          .values = "In|NotIn|Exists|DoesNotExist"),
    FIELD("values", STRING, 3, LIST, OMIT, .atomic = true),
};
SCHEMA(label_selector_requirement, "LabelSelectorRequirement");

static const struct schema_field label_selector_fields[] = {
    FIELD("matchLabels", STRING, 1, MAP, OMIT, .format = FORMAT_LABELS),
    FIELD("matchExpressions", OBJECT, 2, LIST, OF(label_selector_requirement), OMIT,
          .atomic = true),
};
SCHEMA(label_selector, "LabelSelector");

static const struct schema_field condition_fields[] = {
    FIELD("type", STRING, 1),
    FIELD("status", STRING, 2, .go_type = "v1.ConditionStatus"),
    FIELD("observedGeneration", INT64, 3, OMIT),
    FIELD("lastTransitionTime", TIME, 4),
    FIELD("reason", STRING, 5),
    FIELD("message", STRING, 6),
};
SCHEMA(condition, "Condition");

static const struct schema_field field_selector_requirement_fields[] = {
    FIELD("key", STRING, 1),
    FIELD("operator", STRING, 2, .go_type = "v1.FieldSelectorOperator"),
    FIELD("values", STRING, 3, LIST, OMIT, .atomic = true),
};
SCHEMA(field_selector_requirement, "FieldSelectorRequirement");

static const struct schema_field preconditions_fields[] = {
    FIELD("uid", STRING, 1, OMIT, POINTER, .go_type = "types.UID"),
    FIELD("resourceVersion", STRING, 2, OMIT, POINTER),
};
SCHEMA(preconditions, "Preconditions");

static const struct schema_field delete_options_fields[] = {
    TYPE_META,
    FIELD("gracePeriodSeconds", INT64, 1, OMIT, POINTER),
    FIELD("preconditions", OBJECT, 2, OF(preconditions), OMIT, POINTER),
    FIELD("orphanDependents", BOOL, 3, OMIT, POINTER),
    FIELD("propagationPolicy", STRING, 4, OMIT, POINTER, .go_type = "v1.DeletionPropagation"),
    FIELD("dryRun", STRING, 5, LIST, OMIT, .atomic = true),
    FIELD("ignoreStoreReadErrorWithClusterBreakingPotential", BOOL, 6, OMIT, POINTER),
};
SCHEMA(delete_options, "DeleteOptions");
